//! Locations of a lake: parses and checks them. Makes no request, and reads and creates nothing.

use std::{fmt, path::PathBuf, str::FromStr};

use object_store::path::Path;
use url::Url;

use super::LakeError;

/// Examples of locations, for hints.
pub const EXAMPLES: &str = "give a folder, file://, s3://bucket/prefix, abfss://container@account.dfs.core.windows.net/prefix, \
     az://container/prefix, gs://bucket/prefix, uc://catalog.schema/volume or uc://catalog.schema";

/// The location of a lake. Prints as a path, or as a URL without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Absolute.
    Folder(PathBuf),
    S3 {
        bucket: String,
        /// The host of a Cloudflare R2 account, whose API is S3's.
        r2: Option<String>,
        prefix: Path,
    },
    Azure {
        account: StorageAccount,
        container: String,
        prefix: Path,
    },
    Google {
        bucket: String,
        prefix: Path,
    },
    /// In Unity Catalog, which resolves it to a storage URL.
    Catalog(CatalogLocation),
}

/// A location in Unity Catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogLocation {
    /// The schema's own storage below an external location.
    Schema(SchemaName),
    /// A volume or a folder in it.
    Volume { volume: VolumeName, folder: Path },
}

impl CatalogLocation {
    pub fn schema(&self) -> &SchemaName {
        match self {
            Self::Schema(schema) => schema,
            Self::Volume { volume, .. } => &volume.schema,
        }
    }
}

impl fmt::Display for CatalogLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(schema) => write!(f, "uc://{schema}"),
            Self::Volume { volume: VolumeName { schema, volume }, folder } if folder.as_ref().is_empty() => {
                write!(f, "uc://{schema}/{volume}")
            }
            Self::Volume { volume: VolumeName { schema, volume }, folder } => {
                write!(f, "uc://{schema}/{volume}/{folder}")
            }
        }
    }
}

/// A storage account of Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageAccount {
    /// The account that the environment names.
    Configured,
    Named {
        name: String,
        /// `core.windows.net`, or the domain of another Azure cloud.
        domain: String,
    },
}

/// A catalog and a schema in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaName {
    pub catalog: String,
    pub schema: String,
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.catalog, self.schema)
    }
}

/// A volume and its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeName {
    pub schema: SchemaName,
    pub volume: String,
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.volume)
    }
}

/// The path of a folder of a volume in SQL: `/Volumes/catalog/schema/volume/folder`, without a slash at its end. Contains no
/// character that engines escape differently in a quoted name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePath(String);

impl VolumePath {
    /// Returns the path of `folder` in a volume. The folder may be empty.
    ///
    /// # Errors
    /// [`LakeError::BadLocation`].
    pub fn in_volume(VolumeName { schema, volume }: &VolumeName, folder: &Path) -> Result<Self, LakeError> {
        format!("/Volumes/{}/{}/{volume}/{folder}", schema.catalog, schema.schema).parse()
    }

    /// Returns the folder of a table, without a slash at its end.
    pub fn table(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }
}

impl fmt::Display for VolumePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VolumePath {
    type Err = LakeError;

    fn from_str(text: &str) -> Result<Self, LakeError> {
        let path = text.trim_end_matches('/');
        let is_odd = |character: char| matches!(character, '\'' | '"' | '\\') || character.is_control();
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(bad(text, "a volume's path is written /Volumes/catalog/schema/volume"));
        }
        if path.contains(is_odd) {
            return Err(bad(text, "it has a quote or a backslash, which engines escape differently"));
        }
        Ok(Self(path.into()))
    }
}

impl Location {
    /// Returns the location as a URL that ends with a slash.
    ///
    /// # Errors
    /// [`LakeError::BadLocation`] for a folder that is not an absolute path.
    pub fn url(&self) -> Result<Url, LakeError> {
        if let Self::Folder(folder) = self {
            let not_absolute = |()| bad(&folder.display().to_string(), "it is not an absolute path");
            return Url::from_directory_path(folder).map_err(not_absolute);
        }
        let text = format!("{self}/");
        Url::parse(&text).map_err(|error| bad(&text, &error.to_string()))
    }

    /// Returns the location with the environment's storage account if it names none itself.
    pub fn in_account(self, account: Option<&str>) -> Self {
        match (self, account) {
            (Self::Azure { account: StorageAccount::Configured, container, prefix }, Some(name)) => {
                let account = StorageAccount::Named { name: name.to_owned(), domain: "core.windows.net".into() };
                Self::Azure { account, container, prefix }
            }
            (location, _) => location,
        }
    }

    /// Returns another location in the same bucket or container.
    pub fn with_prefix(mut self, other: Path) -> Self {
        match &mut self {
            Self::S3 { prefix, .. } | Self::Azure { prefix, .. } | Self::Google { prefix, .. } => *prefix = other,
            Self::Folder(_) | Self::Catalog(_) => {}
        }
        self
    }

    /// Returns the path inside the bucket or container.
    pub fn prefix(&self) -> Path {
        match self {
            Self::S3 { prefix, .. } | Self::Azure { prefix, .. } | Self::Google { prefix, .. } => prefix.clone(),
            Self::Folder(_) | Self::Catalog(_) => Path::default(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (root, prefix) = match self {
            Self::Folder(folder) => return write!(f, "{}", folder.display()),
            Self::Catalog(location) => return write!(f, "{location}"),
            Self::S3 { bucket, r2: None, prefix } => (format!("s3://{bucket}"), prefix),
            Self::S3 { bucket, r2: Some(host), prefix } => (format!("r2://{bucket}@{host}"), prefix),
            Self::Google { bucket, prefix } => (format!("gs://{bucket}"), prefix),
            Self::Azure { account: StorageAccount::Configured, container, prefix } => {
                (format!("az://{container}"), prefix)
            }
            Self::Azure { account: StorageAccount::Named { name, domain }, container, prefix } => {
                (format!("abfss://{container}@{name}.dfs.{domain}"), prefix)
            }
        };
        if prefix.as_ref().is_empty() { f.write_str(&root) } else { write!(f, "{root}/{prefix}") }
    }
}

fn bad(text: &str, reason: &str) -> LakeError {
    LakeError::BadLocation { text: shown(text), reason: reason.into() }
}

/// Returns a location as it may be printed: without query and password, which could be secrets.
fn shown(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let (text, rest) = text.split_at(end);
    let hidden = if rest.is_empty() { "" } else { "?…" };
    let Some((scheme, after)) = text.split_once("://") else { return format!("{text}{hidden}") };
    let (host, path) = after.split_at(after.find('/').unwrap_or(after.len()));
    match host.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => format!("{scheme}://…@{host}{path}{hidden}"),
        _ => format!("{text}{hidden}"),
    }
}

impl FromStr for Location {
    type Err = LakeError;

    fn from_str(text: &str) -> Result<Self, LakeError> {
        let bad = |reason: &str| bad(text, reason);
        if text.trim().is_empty() {
            return Err(bad("it is empty"));
        }
        let Some((scheme, _)) = text.split_once("://") else { return folder(text, PathBuf::from(text)) };
        if text.contains(['?', '#']) {
            return Err(bad("it has a query or a fragment; set credentials in the environment only"));
        }
        if scheme == "uc" {
            return catalog(text).map(Self::Catalog);
        }
        let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        if url.password().is_some() {
            return Err(bad("it has a password; set credentials in the environment only"));
        }
        if scheme == "file" {
            return folder(text, url.to_file_path().map_err(|()| bad("it is not a local path"))?);
        }
        let prefix = Path::from_url_path(url.path()).map_err(|error| bad(&error.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        let user = url.username();
        match scheme {
            "abfss" => {
                let Some((name, domain)) = host.split_once(".dfs.").filter(|_| !user.is_empty()) else {
                    return Err(bad("it is written abfss://container@account.dfs.core.windows.net/prefix"));
                };
                let account =
                    StorageAccount::Named { name: named(text, "account", name)?, domain: named(text, "host", domain)? };
                Ok(Self::Azure { account, container: named(text, "container", user)?, prefix })
            }
            "r2" => {
                let r2 = Some(named(text, "host", host)?).filter(|host| host.ends_with(".r2.cloudflarestorage.com"));
                if r2.is_none() {
                    return Err(bad("it is written r2://bucket@account.r2.cloudflarestorage.com/prefix"));
                }
                Ok(Self::S3 { bucket: named(text, "bucket", user)?, r2, prefix })
            }
            _ if !user.is_empty() || url.port().is_some() => Err(bad("it has a user or a port")),
            "s3" | "s3a" => Ok(Self::S3 { bucket: named(text, "bucket", host)?, r2: None, prefix }),
            "gs" => Ok(Self::Google { bucket: named(text, "bucket", host)?, prefix }),
            "az" => Ok(Self::Azure {
                account: StorageAccount::Configured,
                container: named(text, "container", host)?,
                prefix,
            }),
            _ => Err(bad(&format!("the scheme {scheme} is not supported"))),
        }
    }
}

fn folder(text: &str, folder: PathBuf) -> Result<Location, LakeError> {
    let folder = std::path::absolute(folder).map_err(|error| bad(text, &error.to_string()))?;
    if folder.exists() && !folder.is_dir() {
        return Err(bad(text, "it is a file"));
    }
    Ok(Location::Folder(folder))
}

/// Parses `uc://catalog.schema` or `uc://catalog.schema/volume/folder`. A name with a dot is in back quotes, as in SQL.
fn catalog(text: &str) -> Result<CatalogLocation, LakeError> {
    let location = text.trim_start_matches("uc://").trim_end_matches('/');
    let Some((names, path)) = location.split_once('/') else {
        return schema(text, location).map(CatalogLocation::Schema);
    };
    let schema = schema(text, names)?;
    let (volume, folder) = path.split_once('/').unwrap_or((path, ""));
    if is_no_name(volume) || volume.contains(['.', '`']) {
        return Err(bad(text, &format!("{volume:?} cannot be a volume")));
    }
    let folder = Path::parse(folder).map_err(|error| bad(text, &error.to_string()))?;
    Ok(CatalogLocation::Volume { volume: VolumeName { schema, volume: volume.into() }, folder })
}

fn is_no_name(name: &str) -> bool {
    name.trim().is_empty() || name.contains(['/', ' ']) || name.chars().any(char::is_control)
}

fn schema(text: &str, names: &str) -> Result<SchemaName, LakeError> {
    let parts: Vec<&str> = match names.split('`').collect::<Vec<_>>()[..] {
        [plain] => plain.split('.').collect(),
        ["", catalog, ".", schema, ""] => vec![catalog, schema],
        ["", catalog, schema] => schema.strip_prefix('.').map_or_else(Vec::new, |schema| vec![catalog, schema]),
        [catalog, schema, ""] => catalog.strip_suffix('.').map_or_else(Vec::new, |catalog| vec![catalog, schema]),
        _ => Vec::new(),
    };
    match parts[..] {
        [catalog, schema] if !parts.iter().any(|name| is_no_name(name)) => {
            Ok(SchemaName { catalog: catalog.into(), schema: schema.into() })
        }
        _ => Err(bad(text, "it is written uc://catalog.schema/volume/folder or uc://catalog.schema")),
    }
}

/// Checks a name of a bucket, container, account or host: letters, digits, dots, hyphens, underscores and dollar signs.
fn named(text: &str, what: &str, name: &str) -> Result<String, LakeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '$');
    if name.is_empty() {
        return Err(bad(text, &format!("it names no {what}")));
    }
    if name.chars().all(plain) { Ok(name.into()) } else { Err(bad(text, &format!("{name:?} cannot be a {what}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match text.parse::<Location>() {
            Ok(location) => format!("{location} in {:?}", location.prefix().as_ref()),
            Err(LakeError::BadLocation { text, reason }) => format!("{text}: {reason}"),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn valid_locations_are_parsed() {
        fn check(text: &str, expected: &str) {
            assert_eq!(read(text), expected, "{text}");
        }
        check("/data/lake", r#"/data/lake in """#);
        check("file:///data/my%20lake", r#"/data/my lake in """#);
        check("s3://bucket", r#"s3://bucket in """#);
        check("s3://bucket/a/b/", r#"s3://bucket/a/b in "a/b""#);
        check("s3a://bucket/a/../b", r#"s3://bucket/b in "b""#);
        check("gs://bucket/a", r#"gs://bucket/a in "a""#);
        check("az://container/a", r#"az://container/a in "a""#);
        check("abfss://ops@team.dfs.core.windows.net/lake", r#"abfss://ops@team.dfs.core.windows.net/lake in "lake""#);
        check(
            "r2://ops@abc123.r2.cloudflarestorage.com/lake",
            r#"r2://ops@abc123.r2.cloudflarestorage.com/lake in "lake""#,
        );
        check("uc://main.ops", r#"uc://main.ops in """#);
        check("uc://`ma.in`.ops/", r#"uc://ma.in.ops in """#);
        check("uc://main.ops/lake", r#"uc://main.ops/lake in """#);
        check("uc://main.ops/lake/", r#"uc://main.ops/lake in """#);
        check("uc://`ma.in`.ops/lake/a/b/", r#"uc://ma.in.ops/lake/a/b in """#);
    }

    #[test]
    fn invalid_locations_are_refused_without_printing_secrets() {
        fn check(text: &str, expected: &str) {
            let error = read(text);
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        check("  ", "it is empty");
        check("ftp://host/lake", "the scheme ftp is not supported");
        check("s3:///lake", "it names no bucket");
        check("s3://bucket/lake?X-Amz-Signature=hunter2", "s3://bucket/lake?…: it has a query");
        check("az://container/lake?sv=2024&sig=hunter2", "set credentials in the environment only");
        check("s3://key:hunter2@bucket/lake", "s3://…@bucket/lake: it has a password");
        check("s3://key@bucket/lake", "it has a user or a port");
        check("s3://buck%20et/lake", "cannot be a bucket");
        check("r2://ops@team.example.com/lake", "it is written r2://bucket@account");
        check("abfss://account.dfs.core.windows.net/lake", "it is written abfss://container@account");
        check("abfss://ops@team.blob.core.windows.net/lake", "it is written abfss://container@account");
        check("uc://main", "it is written uc://catalog.schema");
        check("uc://main/lake", "it is written uc://catalog.schema");
        check("uc://main.ops//lake", "\"\" cannot be a volume");
        check("uc://main.ops/my.lake", "\"my.lake\" cannot be a volume");
        check("uc://main.ops/my lake", "\"my lake\" cannot be a volume");
        check("uc://main.ops/lake/../other", "illegal character");
        check("uc://main.ops.more", "it is written uc://catalog.schema");
    }

    #[test]
    fn the_path_of_a_table_in_a_volume_is_below_volumes() {
        let schema = SchemaName { catalog: "main".into(), schema: "o`ps".into() };
        let volume = VolumeName { schema, volume: "lake".into() };
        let path = |folder: &str| VolumePath::in_volume(&volume, &Path::from(folder)).map(|it| it.table("t"));
        assert_eq!(path("").unwrap(), "/Volumes/main/o`ps/lake/t");
        assert_eq!(path("a/b").unwrap(), "/Volumes/main/o`ps/lake/a/b/t");
        for odd in ["lake", "/Volumes/main/../x", "/Volumes/it's", "/a\\b", "/a\"b", "/a\nb"] {
            assert!(odd.parse::<VolumePath>().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_location_becomes_a_url_that_tables_can_be_joined_to() {
        for (text, expected) in [
            ("/data/lake", "file:///data/lake/t/"),
            ("s3://bucket/lake", "s3://bucket/lake/t/"),
            ("gs://bucket", "gs://bucket/t/"),
            ("abfss://ops@team.dfs.core.windows.net/a", "abfss://ops@team.dfs.core.windows.net/a/t/"),
            ("uc://main.ops", "uc://main.ops/t/"),
            ("uc://main.ops/lake/a", "uc://main.ops/lake/a/t/"),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.url().unwrap().join("t/").unwrap().as_str(), expected);
        }
    }
}
