//! Signed notes: text with Ed25519 signatures, in the text format of C2SP signed-note (c2sp.org/signed-note).
//!
//! ```text
//! the text, one or more lines
//!
//! — key name base64(4 bytes of key id || signature)
//! ```
//!
//! The text counts only once a signature of a trusted key has been verified, so [`open`] is the only way to it.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::ids::hex;

/// A larger note is refused unread. Sixteen signatures of any kind fit in.
pub const MAX_NOTE_BYTES: usize = 128 << 10;

/// Ed25519, in the registry of signature types.
const ED25519: u8 = 0x01;
const SIGNER_PREFIX: &str = "PRIVATE+KEY+";
const SIGNATURE_PREFIX: &str = "— ";

/// Why a note or a key was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("a key name has no spaces, plus signs or control characters and is not empty")]
    Name,
    #[error("it is not a verifier key, NAME+ID+KEY: {0}")]
    VerifierKey(&'static str),
    #[error("it is not a signing key, PRIVATE+KEY+NAME+ID+KEY: {0}")]
    SignerKey(&'static str),
    #[error("it is not a signed note: {0}")]
    Malformed(&'static str),
    /// No signature is of the trusted key. Whose the others are, nobody can say.
    #[error("it bears no signature of {0}")]
    Unsigned(String),
    #[error("the signature of {0} does not fit the text")]
    BadSignature(String),
}

/// A key that signs: `PRIVATE+KEY+<name>+<id>+<base64>`. Never shown by `Debug`.
#[derive(Clone)]
pub struct SignerKey {
    name: String,
    key: SigningKey,
}

/// A key that verifies: `<name>+<id>+<base64>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: VerifyingKey,
}

impl SignerKey {
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, seed: [u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        Ok(Self { name: name.into(), key: SigningKey::from_bytes(&seed) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn verifier(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The key as it is kept in a file. Secret.
    pub fn secret_text(&self) -> String {
        let material = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        format!("{SIGNER_PREFIX}{}+{}+{}", self.name, hex(&self.verifier().id()), STANDARD.encode(material))
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({})", self.name)
    }
}

impl FromStr for SignerKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::SignerKey;
        let rest = text.strip_prefix(SIGNER_PREFIX).ok_or(wrong("it does not begin with PRIVATE+KEY+"))?;
        let (name, id, seed) = parts(rest).map_err(wrong)?;
        let key = Self::new(name, seed)?;
        if hex(&key.verifier().id()) == id { Ok(key) } else { Err(wrong("its id is of another key")) }
    }
}

impl VerifierKey {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256 over name, line break, type and key.
    fn id(&self) -> [u8; 4] {
        let digest =
            Sha256::new().chain_update(&self.name).chain_update([b'\n', ED25519]).chain_update(self.key).finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), STANDARD.encode(material))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::VerifierKey;
        if text.starts_with(SIGNER_PREFIX) {
            return Err(wrong("it is the secret signing key; give the key that `audit keygen` printed"));
        }
        let (name, id, bytes) = parts(text).map_err(wrong)?;
        check_name(name)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| wrong("it is no point of the curve"))?;
        let key = Self { name: name.into(), key };
        if key.key.is_weak() {
            Err(wrong("anybody could sign for it"))
        } else if hex(&key.id()) != id {
            Err(wrong("its id is of another key"))
        } else {
            Ok(key)
        }
    }
}

/// Name, id and 32 bytes of key material.
fn parts(text: &str) -> Result<(&str, &str, [u8; 32]), &'static str> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("it has not three parts");
    };
    let material = STANDARD.decode(material).map_err(|_| "its last part is not base64")?;
    match material.split_first() {
        Some((&ED25519, bytes)) => {
            let bytes = bytes.try_into().map_err(|_| "its key has not 32 bytes")?;
            Ok((name, id, bytes))
        }
        _ => Err("it is not of type Ed25519"),
    }
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(wrong) { Err(NoteError::Name) } else { Ok(()) }
}

/// The note: `text`, which must end with a line break, and the key's signature.
///
/// # Errors
/// [`NoteError::Malformed`] for a text that cannot stand in a note.
pub fn sign(text: &str, key: &SignerKey) -> Result<String, NoteError> {
    check_text(text)?;
    let signature = key.key.sign(text.as_bytes());
    let bytes = [key.verifier().id().as_slice(), &signature.to_bytes()].concat();
    Ok(format!("{text}\n{SIGNATURE_PREFIX}{} {}\n", key.name, STANDARD.encode(bytes)))
}

/// The note's text, once the trusted key's signature has been verified. Signatures of other keys are ignored.
///
/// # Errors
/// [`NoteError::Malformed`], [`NoteError::Unsigned`], [`NoteError::BadSignature`].
pub fn open<'a>(note: &'a [u8], trusted: &VerifierKey) -> Result<&'a str, NoteError> {
    let malformed = NoteError::Malformed;
    if note.len() > MAX_NOTE_BYTES {
        return Err(malformed("it is larger than 128 KiB"));
    }
    let note = std::str::from_utf8(note).map_err(|_| malformed("it is not UTF-8"))?;
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(malformed("no empty line stands before the signatures"))?;
    let text = &note[..=text.len()];
    check_text(text)?;
    let signatures = signatures.strip_suffix('\n').ok_or(malformed("its last line has no end"))?;
    let mut verified = false;
    for line in signatures.split('\n') {
        let (name, signature) = line
            .strip_prefix(SIGNATURE_PREFIX)
            .and_then(|rest| rest.split_once(' '))
            .ok_or(malformed("a line below the empty line is no signature"))?;
        check_name(name).map_err(|_| malformed("a signature has no key name"))?;
        let bytes = STANDARD.decode(signature).map_err(|_| malformed("a signature is not base64"))?;
        let (id, signature) = bytes.split_at_checked(4).ok_or(malformed("a signature is too short"))?;
        if name != trusted.name || id != trusted.id() {
            continue;
        }
        let bad = || NoteError::BadSignature(trusted.to_string());
        let signature = Signature::from_slice(signature).map_err(|_| bad())?;
        trusted.key.verify_strict(text.as_bytes(), &signature).map_err(|_| bad())?;
        verified = true;
    }
    if verified { Ok(text) } else { Err(NoteError::Unsigned(trusted.to_string())) }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed("its text does not end with a line break"));
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Malformed("its text holds control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the specification.
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n— example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn key(seed: u8) -> SignerKey {
        SignerKey::new("ops-runbook", [seed; 32]).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_is_verified() {
        let trusted: VerifierKey = KEY.parse().unwrap();
        assert_eq!(open(NOTE.as_bytes(), &trusted).unwrap(), "This is an example message.\n");
        assert_eq!(trusted.to_string(), KEY);
    }

    #[test]
    fn unknown_signatures_are_ignored_and_a_wrong_one_of_the_trusted_key_spoils_the_note() {
        let (ours, theirs) = (key(1), key(2));
        let note = sign("text\n", &ours).unwrap();
        let line = |note: &str| note.rsplit_once("\n\n").unwrap().1.to_owned();
        let both = sign("text\n", &theirs).unwrap() + &line(&note);
        assert_eq!(open(both.as_bytes(), &ours.verifier()).unwrap(), "text\n");
        assert_eq!(open(both.as_bytes(), &theirs.verifier()).unwrap(), "text\n");

        let unsigned = NoteError::Unsigned(key(3).verifier().to_string());
        assert_eq!(open(both.as_bytes(), &key(3).verifier()), Err(unsigned));

        let spoilt = note + &line(&sign("other text\n", &ours).unwrap());
        let bad = NoteError::BadSignature(ours.verifier().to_string());
        assert_eq!(open(spoilt.as_bytes(), &ours.verifier()), Err(bad));
    }

    #[test]
    fn sixteen_signatures_are_no_reason_to_refuse() {
        let mut note = sign("text\n", &key(0)).unwrap();
        for seed in 1..40 {
            note += sign("text\n", &key(seed)).unwrap().rsplit_once("\n\n").unwrap().1;
        }
        assert_eq!(open(note.as_bytes(), &key(39).verifier()).unwrap(), "text\n");
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let whole = sign("text\n", &key(1)).unwrap();
        for (note, why) in [
            (String::new(), "no empty line"),
            ("text\n".into(), "no empty line"),
            ("text\n\n".into(), "no end"),
            (whole.trim_end().into(), "no end"),
            (whole.replace("text", "te\txt"), "control"),
            (whole.replace("\n\n", "\n\nmore\n"), "is no signature"),
            (whole.replace("— ", "- "), "is no signature"),
            (whole.clone() + "— ops-runbook AAAA=\n", "not base64"),
            (whole.clone() + "— ops-runbook AAA=\n", "too short"),
            ("x".repeat(MAX_NOTE_BYTES) + "\n\n", "larger"),
        ] {
            let error = open(note.as_bytes(), &key(1).verifier()).unwrap_err();
            assert!(error.to_string().contains(why), "{note:?}: {error}");
        }
    }

    #[test]
    fn keys_that_are_none_say_why() {
        fn check<T: FromStr<Err = NoteError> + fmt::Debug>(text: &str, why: &str) {
            let error = text.parse::<T>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let secret = key(1).secret_text();
        check::<VerifierKey>("", "three parts");
        check::<VerifierKey>("name+00000000", "three parts");
        check::<VerifierKey>(&secret, "secret signing key");
        check::<VerifierKey>(&KEY.replace("530d903a", "530d903b"), "another key");
        check::<VerifierKey>(&KEY.replace("/foo", "/bar"), "another key");
        check::<VerifierKey>(&KEY.replace("+Aek", "+Bek"), "type Ed25519");
        check::<VerifierKey>(&KEY.replace("example", "exam ple"), "key name");
        check::<VerifierKey>("a+00000000+AQ==", "32 bytes");
        check::<VerifierKey>("a+00000000+?", "base64");
        check::<VerifierKey>("a+00000000+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "anybody");
        check::<SignerKey>(KEY, "begin with");
        check::<SignerKey>(&secret.replace("ops-runbook", "ops"), "another key");
        assert_eq!(SignerKey::new("two words", [0; 32]).unwrap_err(), NoteError::Name);
        assert_eq!(SignerKey::new("one+two", [0; 32]).unwrap_err(), NoteError::Name);
        assert_eq!(format!("{:?}", key(1)), "SignerKey(ops-runbook)");
    }

    proptest! {
        #[test]
        fn what_was_signed_opens_with_its_key(text in "[^\\p{Cc}]{0,40}", more in "([^\\p{Cc}]{0,10}\n){0,4}", seed: [u8; 32]) {
            let key = SignerKey::new("a/b", seed).unwrap();
            let text = format!("{text}\n{more}");
            let note = sign(&text, &key).unwrap();
            prop_assert_eq!(open(note.as_bytes(), &key.verifier()), Ok(text.as_str()));
            let again: SignerKey = key.secret_text().parse().unwrap();
            let verifier: VerifierKey = key.verifier().to_string().parse().unwrap();
            prop_assert_eq!(again.verifier(), verifier);
        }

        #[test]
        fn any_changed_byte_is_refused(place in any::<prop::sample::Index>(), byte: u8) {
            let mut note = sign("ops\n17\nhash\n", &key(1)).unwrap().into_bytes();
            let place = place.index(note.len());
            prop_assume!(note[place] != byte);
            note[place] = byte;
            prop_assert!(open(&note, &key(1).verifier()).is_err());
        }

        #[test]
        fn any_bytes_are_answered_without_a_panic(bytes: Vec<u8>, text in "\\PC*") {
            let _ = open(&bytes, &key(1).verifier());
            let _ = open(text.as_bytes(), &key(1).verifier());
            let _ = text.parse::<VerifierKey>();
            let _ = format!("PRIVATE+KEY+{text}").parse::<SignerKey>();
        }
    }
}
