//! Signed notes: text with Ed25519 signatures, in the text format of C2SP signed-note (c2sp.org/signed-note).
//!
//! ```text
//! the text, one or more lines
//!
//! — key name base64(4 bytes of key id || signature)
//! ```
//!
//! [`open`] returns the text only after it has verified the signature of a trusted key.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::ids::hex;

/// Maximum size of a note. Sixteen signatures of any type fit.
pub const MAX_NOTE_BYTES: usize = 128 << 10;

/// Identifier of Ed25519 in the registry of signature types.
const ED25519: u8 = 0x01;
const SIGNER_PREFIX: &str = "PRIVATE+KEY+";
const SIGNATURE_PREFIX: &str = "— ";

/// Reason for which a note or a key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("a key name must not be empty or contain spaces, plus signs or control characters")]
    Name,
    #[error("not a verifier key, NAME+ID+KEY: {0}")]
    VerifierKey(&'static str),
    #[error("not a signing key, PRIVATE+KEY+NAME+ID+KEY: {0}")]
    SignerKey(&'static str),
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// No signature was made with the trusted key.
    #[error("the note has no signature of {0}")]
    Unsigned(String),
    #[error("the signature of {0} does not match the text")]
    BadSignature(String),
}

/// A signing key: `PRIVATE+KEY+<name>+<id>+<base64>`. `Debug` does not show the secret.
#[derive(Clone)]
pub struct SignerKey {
    name: String,
    key: SigningKey,
}

/// A verifier key: `<name>+<id>+<base64>`.
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

    /// Returns the key as it is stored in a file. Secret.
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
        if hex(&key.verifier().id()) == id { Ok(key) } else { Err(wrong("its id belongs to another key")) }
    }
}

impl VerifierKey {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the first four bytes of SHA-256 over name, line break, type and key.
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
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| wrong("it is not a point of the curve"))?;
        let key = Self { name: name.into(), key };
        if key.key.is_weak() {
            Err(wrong("it is a weak key, for which signatures can be forged"))
        } else if hex(&key.id()) != id {
            Err(wrong("its id belongs to another key"))
        } else {
            Ok(key)
        }
    }
}

/// Splits a key into its name, its id and 32 bytes of key material.
fn parts(text: &str) -> Result<(&str, &str, [u8; 32]), &'static str> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("it does not have three parts");
    };
    let material = STANDARD.decode(material).map_err(|_| "its last part is not base64")?;
    match material.split_first() {
        Some((&ED25519, bytes)) => {
            let bytes = bytes.try_into().map_err(|_| "its key does not have 32 bytes")?;
            Ok((name, id, bytes))
        }
        _ => Err("it is not of type Ed25519"),
    }
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(wrong) { Err(NoteError::Name) } else { Ok(()) }
}

/// Returns the note: `text`, which must end with a line break, and the signature.
///
/// # Errors
/// [`NoteError::Malformed`] if the text is not valid in a note.
pub fn sign(text: &str, key: &SignerKey) -> Result<String, NoteError> {
    check_text(text)?;
    let signature = key.key.sign(text.as_bytes());
    let bytes = [key.verifier().id().as_slice(), &signature.to_bytes()].concat();
    Ok(format!("{text}\n{SIGNATURE_PREFIX}{} {}\n", key.name, STANDARD.encode(bytes)))
}

/// Verifies the trusted key's signature and returns the text of the note. Signatures of other keys are ignored.
///
/// # Errors
/// [`NoteError::Malformed`], [`NoteError::Unsigned`], [`NoteError::BadSignature`].
pub fn open<'a>(note: &'a [u8], trusted: &VerifierKey) -> Result<&'a str, NoteError> {
    let malformed = NoteError::Malformed;
    if note.len() > MAX_NOTE_BYTES {
        return Err(malformed("it is larger than 128 KiB"));
    }
    let note = std::str::from_utf8(note).map_err(|_| malformed("it is not UTF-8"))?;
    let (text, signatures) =
        note.rsplit_once("\n\n").ok_or(malformed("there is no empty line before the signatures"))?;
    let text = &note[..=text.len()];
    check_text(text)?;
    let signatures = signatures.strip_suffix('\n').ok_or(malformed("its last line has no line break"))?;
    let mut verified = false;
    for line in signatures.split('\n') {
        let (name, signature) = line
            .strip_prefix(SIGNATURE_PREFIX)
            .and_then(|rest| rest.split_once(' '))
            .ok_or(malformed("a line below the empty line is not a signature"))?;
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
        return Err(NoteError::Malformed("its text contains control characters"));
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
    fn unknown_signatures_are_ignored_and_a_wrong_one_of_the_trusted_key_is_refused() {
        let (ours, theirs) = (key(1), key(2));
        let note = sign("text\n", &ours).unwrap();
        let line = |note: &str| note.rsplit_once("\n\n").unwrap().1.to_owned();
        let both = sign("text\n", &theirs).unwrap() + &line(&note);
        assert_eq!(open(both.as_bytes(), &ours.verifier()).unwrap(), "text\n");
        assert_eq!(open(both.as_bytes(), &theirs.verifier()).unwrap(), "text\n");

        let unsigned = NoteError::Unsigned(key(3).verifier().to_string());
        assert_eq!(open(both.as_bytes(), &key(3).verifier()), Err(unsigned));

        let invalid = note + &line(&sign("other text\n", &ours).unwrap());
        let bad = NoteError::BadSignature(ours.verifier().to_string());
        assert_eq!(open(invalid.as_bytes(), &ours.verifier()), Err(bad));
    }

    #[test]
    fn a_note_with_sixteen_signatures_and_more_is_accepted() {
        let mut note = sign("text\n", &key(0)).unwrap();
        for seed in 1..40 {
            note += sign("text\n", &key(seed)).unwrap().rsplit_once("\n\n").unwrap().1;
        }
        assert_eq!(open(note.as_bytes(), &key(39).verifier()).unwrap(), "text\n");
    }

    #[test]
    fn invalid_notes_are_refused() {
        let whole = sign("text\n", &key(1)).unwrap();
        for (note, why) in [
            (String::new(), "no empty line"),
            ("text\n".into(), "no empty line"),
            ("text\n\n".into(), "no line break"),
            (whole.trim_end().into(), "no line break"),
            (whole.replace("text", "te\txt"), "control"),
            (whole.replace("\n\n", "\n\nmore\n"), "is not a signature"),
            (whole.replace("— ", "- "), "is not a signature"),
            (whole.clone() + "— ops-runbook AAAA=\n", "not base64"),
            (whole.clone() + "— ops-runbook AAA=\n", "too short"),
            ("x".repeat(MAX_NOTE_BYTES) + "\n\n", "larger"),
        ] {
            let error = open(note.as_bytes(), &key(1).verifier()).unwrap_err();
            assert!(error.to_string().contains(why), "{note:?}: {error}");
        }
    }

    #[test]
    fn invalid_keys_are_refused_with_a_reason() {
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
        check::<VerifierKey>("a+00000000+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "weak key");
        check::<SignerKey>(KEY, "begin with");
        check::<SignerKey>(&secret.replace("ops-runbook", "ops"), "another key");
        assert_eq!(SignerKey::new("two words", [0; 32]).unwrap_err(), NoteError::Name);
        assert_eq!(SignerKey::new("one+two", [0; 32]).unwrap_err(), NoteError::Name);
        assert_eq!(format!("{:?}", key(1)), "SignerKey(ops-runbook)");
    }

    proptest! {
        #[test]
        fn a_signed_note_opens_with_its_key(text in "[^\\p{Cc}]{0,40}", more in "([^\\p{Cc}]{0,10}\n){0,4}", seed: [u8; 32]) {
            let key = SignerKey::new("a/b", seed).unwrap();
            let text = format!("{text}\n{more}");
            let note = sign(&text, &key).unwrap();
            prop_assert_eq!(open(note.as_bytes(), &key.verifier()), Ok(text.as_str()));
            let parsed: SignerKey = key.secret_text().parse().unwrap();
            let verifier: VerifierKey = key.verifier().to_string().parse().unwrap();
            prop_assert_eq!(parsed.verifier(), verifier);
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
        fn any_bytes_are_parsed_without_a_panic(bytes: Vec<u8>, text in "\\PC*") {
            let _ = open(&bytes, &key(1).verifier());
            let _ = open(text.as_bytes(), &key(1).verifier());
            let _ = text.parse::<VerifierKey>();
            let _ = format!("PRIVATE+KEY+{text}").parse::<SignerKey>();
        }
    }
}
