//! Where a store is, as a person writes it.
//!
//! Invariant: the only place that reads addresses and opens stores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hashget::error::ErrorClass;
use hashget::fetch::OriginOptions;
use hashget::model::escaped;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::Url;

use super::s3::{CredentialsFrom, S3Options, S3Store};
use super::sftp::{SftpPlace, SftpStore};
use super::{CommandStore, Commands, FolderStore, Patience, Store, StoreError};

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub enum Address {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket, and what the keys in it begin with: nothing, or a path that ends with `/`.
    S3(String, String),
    /// A folder of another machine.
    Sftp(SftpPlace),
    /// Commands.
    Commands(Commands),
}

/// An address as it is written in a configuration.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Table(Commands),
}

/// A text that is no address of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address:?} is no place for archives: {problem}; expected a folder, s3://BUCKET/PREFIX, sftp://USER@HOST/FOLDER or exec:COMMAND"
)]
pub struct BadAddress {
    address: String,
    problem: String,
}

impl BadAddress {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::BadInput
    }
}

impl TryFrom<Written> for Address {
    type Error = BadAddress;

    fn try_from(written: Written) -> Result<Self, BadAddress> {
        match written {
            Written::Text(text) => Self::parse(&text),
            Written::Table(commands) => Ok(Self::Commands(commands)),
        }
    }
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// It is none. The error has no password in it.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let wrong = |problem: &str| {
            let (address, problem) = (without_password(text), problem.to_owned());
            BadAddress { address, problem }
        };
        if let Some(place) = text.strip_prefix("s3://") {
            return bucket(place).map_err(wrong);
        }
        if text.starts_with("sftp://") {
            return sftp(text).map_err(wrong);
        }
        if let Some(command) = text.strip_prefix("exec:") {
            let send = command.trim().to_owned();
            let commands = Commands { send, read: None, list: None, remove: None };
            return match commands.send.is_empty() {
                true => Err(wrong("it has no command")),
                false => Ok(Self::Commands(commands)),
            };
        }
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match scheme.filter(|scheme| is_scheme(scheme)) {
            _ if text.is_empty() => Err(wrong("it is empty")),
            Some(scheme) => Err(wrong(&format!("{scheme} is not known"))),
            None => Ok(Self::Folder(PathBuf::from(text))),
        }
    }

    /// The store and the name of a file in one, of `s3://` and `sftp://` addresses; `None` of anything else.
    ///
    /// # Errors
    /// It begins like one and is none.
    pub fn of_file(text: &str) -> Result<Option<(Self, String)>, BadAddress> {
        if !text.starts_with("s3://") && !text.starts_with("sftp://") {
            return Ok(None);
        }
        let wrong = || {
            let problem = "it names no file".to_owned();
            BadAddress { address: without_password(text), problem }
        };
        let (folder, name) = text.rsplit_once('/').ok_or_else(wrong)?;
        if name.is_empty() || folder.ends_with(':') || folder.ends_with(":/") {
            return Err(wrong());
        }
        let address = match Self::parse(folder) {
            // The folder is the root.
            Err(_) if text.starts_with("sftp://") => Self::parse(&format!("{folder}/"))?,
            address => address?,
        };
        let name = match &address {
            Self::Sftp(_) => percent_decode_str(name).decode_utf8_lossy().into_owned(),
            _ => name.to_owned(),
        };
        Ok(Some((address, name)))
    }

    /// What it is called in messages.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::S3(bucket, prefix) => {
                format!("s3://{bucket}/{prefix}").trim_end_matches('/').to_owned()
            }
            Self::Sftp(SftpPlace { user, host, port, folder }) => {
                let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                let folder =
                    if folder.starts_with('/') { folder.clone() } else { format!("/~/{folder}") };
                format!("sftp://{user}{host}{port}{folder}")
            }
            Self::Commands(commands) => format!("exec:{}", escaped(commands.send.as_bytes())),
        }
    }
}

/// The text without what stands between `:` and `@` before the host.
fn without_password(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            // It cannot fail where there was one.
            let _ = url.set_password(None);
            url.to_string()
        }
        _ => text.to_owned(),
    }
}

fn bucket(place: &str) -> Result<Address, &'static str> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let prefix = prefix.trim_end_matches('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if bucket.is_empty() || !bucket.bytes().all(is_plain) {
        return Err("the name of the bucket is not one");
    }
    if prefix.is_empty() {
        return Ok(Address::S3(bucket.to_owned(), String::new()));
    }
    if prefix.split('/').any(|part| matches!(part, "" | "." | ".."))
        || prefix.contains(char::is_control)
    {
        return Err("its prefix has a part that is empty, \".\" or \"..\"");
    }
    Ok(Address::S3(bucket.to_owned(), format!("{prefix}/")))
}

fn sftp(text: &str) -> Result<Address, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no URL")?;
    if url.password().is_some() {
        return Err("passwords have no place in it: use a key, which ssh finds by itself");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("? and # are written as %3F and %23");
    }
    let decoded =
        |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it has no host")?;
    let host = decoded(host.trim_matches(['[', ']'])).map_err(|_| "its host is no text")?;
    let user = decoded(url.username()).map_err(|_| "its user is no text")?;
    let folder = decoded(url.path()).map_err(|_| "its folder is no text")?;
    if host.starts_with('-') || user.starts_with('-') {
        return Err("a host or user that begins with - would be an option");
    }
    let folder = match folder.as_str() {
        "" => return Err("it has no folder"),
        "/~" | "/~/" => String::new(),
        folder => folder.strip_prefix("/~/").unwrap_or(folder).to_owned(),
    };
    let user = Some(user).filter(|user| !user.is_empty());
    Ok(Address::Sftp(SftpPlace { user, host, port: url.port(), folder }))
}

/// What the configuration says of a bucket: `[s3."BUCKET"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// The URL of the store.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Is the bucket's name in the path of URLs?
    pub path_style: Option<bool>,
    /// The profile in the file of credentials.
    pub profile: Option<String>,
    /// A file of credentials for this bucket.
    pub credentials_file: Option<PathBuf>,
    /// Are locks such that a special right removes them?
    #[serde(default)]
    pub removable_locks: bool,
}

/// What stores are opened with.
#[derive(Clone)]
pub struct StoreSettings {
    /// What the configuration says of each bucket.
    pub s3: BTreeMap<String, S3Settings>,
    /// The credentials of the environment.
    pub credentials: CredentialsFrom,
    /// The endpoint and the region of the environment.
    pub s3_defaults: S3Settings,
    /// The command for `ssh`, with its first arguments.
    pub ssh: Vec<String>,
    /// Time-outs and proxies.
    pub network: OriginOptions,
    /// How long a store is asked again.
    pub patience: Patience,
}

impl StoreSettings {
    /// What the environment says; `variable` looks a variable up.
    pub fn of_environment(
        home: Option<&Path>,
        network: OriginOptions,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let first = |names: [&str; 2]| {
            names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()))
        };
        let s3_defaults = S3Settings {
            endpoint: first(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
            region: first(["AWS_REGION", "AWS_DEFAULT_REGION"]),
            ..S3Settings::default()
        };
        let ssh = variable("HASHGET_SSH").unwrap_or_default();
        let ssh: Vec<String> = ssh.split_whitespace().map(str::to_owned).collect();
        let ssh = if ssh.is_empty() { vec!["ssh".to_owned()] } else { ssh };
        let credentials = CredentialsFrom::of_environment(home, variable);
        let (s3, patience) = (BTreeMap::new(), Patience::default());
        Self { s3, credentials, s3_defaults, ssh, network, patience }
    }

    fn of_bucket(&self, bucket: &str) -> (S3Options, CredentialsFrom) {
        let own = self.s3.get(bucket).cloned().unwrap_or_default();
        let defaults = S3Options::default();
        let options = S3Options {
            endpoint: own.endpoint.or_else(|| self.s3_defaults.endpoint.clone()),
            region: own
                .region
                .or_else(|| self.s3_defaults.region.clone())
                .unwrap_or(defaults.region.clone()),
            path_style: own.path_style,
            locks_are_final: !own.removable_locks,
            ..defaults
        };
        let credentials = CredentialsFrom {
            file: own.credentials_file,
            profile: own.profile,
            ..self.credentials.clone()
        };
        (options, credentials)
    }
}

/// The store in this bucket, below a prefix that is empty or ends with `/`. Nothing is asked of it yet.
///
/// # Errors
/// The settings are wrong.
pub fn open_bucket(
    (bucket, prefix): (&str, &str),
    shown: &str,
    settings: &StoreSettings,
) -> Result<S3Store, StoreError> {
    let (options, from) = settings.of_bucket(bucket);
    let network = (&settings.network, settings.patience.clone());
    S3Store::new(shown, (bucket, prefix), options, from, network)
}

/// Opens the store at an address. Nothing is asked of it yet.
///
/// # Errors
/// The settings are wrong.
pub fn open_store(
    address: &Address,
    settings: &StoreSettings,
) -> Result<Box<dyn Store>, StoreError> {
    let shown = address.shown();
    let patience = settings.patience.clone();
    Ok(match address {
        Address::Folder(folder) => Box::new(FolderStore::new(folder)),
        Address::S3(bucket, prefix) => Box::new(open_bucket((bucket, prefix), &shown, settings)?),
        Address::Sftp(place) => Box::new(SftpStore::new(&shown, place, &settings.ssh, patience)),
        Address::Commands(commands) => Box::new(CommandStore::new(commands.clone())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_folders_buckets_machines_and_commands() {
        let sftp = |user: Option<&str>, host: &str, port, folder: &str| {
            let (user, host, folder) =
                (user.map(str::to_owned), host.to_owned(), folder.to_owned());
            Address::Sftp(SftpPlace { user, host, port, folder })
        };
        let s3 = |bucket: &str, prefix: &str| Address::S3(bucket.to_owned(), prefix.to_owned());
        for (text, expected) in [
            ("/srv/backup", Address::Folder("/srv/backup".into())),
            ("backup", Address::Folder("backup".into())),
            ("a:b", Address::Folder("a:b".into())),
            ("s3://night", s3("night", "")),
            ("s3://night/hosts/web1/", s3("night", "hosts/web1/")),
            (
                "sftp://backup@nas.example:2222/srv/a%20b",
                sftp(Some("backup"), "nas.example", Some(2222), "/srv/a b"),
            ),
            ("sftp://nas/~/web1", sftp(None, "nas", None, "web1")),
            ("sftp://nas/~", sftp(None, "nas", None, "")),
            ("sftp://[::1]/srv", sftp(None, "::1", None, "/srv")),
        ] {
            assert_eq!(Address::parse(text), Ok(expected), "{text}");
        }
        assert!(matches!(Address::parse("exec:cat > {name}"), Ok(Address::Commands(_))));
    }

    #[test]
    fn what_is_no_address_is_told_without_its_password() {
        for text in [
            "",
            "s3://",
            "s3:///a",
            "s3://a b/c",
            "s3://a/b/../c",
            "s3://a//b",
            "exec: ",
            "http://x/y",
            "ftp://x",
            "sftp://nas",
            "sftp:///srv",
            "sftp://-oProxyCommand=x/srv",
            "sftp://user:hidden@nas/srv",
            "sftp://nas/a?b",
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains("expected") && !error.contains("hidden"), "{text}: {error}");
        }
    }

    #[test]
    fn the_file_of_an_address_is_its_last_part() {
        let split =
            |text| Address::of_file(text).unwrap().map(|(address, name)| (address.shown(), name));
        let of = |store: &str, name: &str| Some((store.to_owned(), name.to_owned()));
        assert_eq!(split("s3://night/a/b.tar"), of("s3://night/a", "b.tar"));
        assert_eq!(split("s3://night/b.tar"), of("s3://night", "b.tar"));
        assert_eq!(split("sftp://u@nas/srv/b%20c.tar"), of("sftp://u@nas/srv", "b c.tar"));
        assert_eq!(split("sftp://nas/b.tar"), of("sftp://nas/", "b.tar"));
        assert_eq!(split("sftp://nas/~/b.tar"), of("sftp://nas/~/", "b.tar"));
        assert_eq!(split("https://nas/b.tar"), None);
        assert_eq!(split("a.tar"), None);
        for text in ["s3://night", "s3://night/", "sftp://nas", "sftp://nas/srv/"] {
            assert!(Address::of_file(text).is_err(), "{text}");
        }
    }
}
