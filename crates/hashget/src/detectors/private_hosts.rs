//! Hosts for which the clients on this machine have credentials: what they give may be for this machine only.
//!
//! Invariant: a host counts as private if any configuration file or variable of any client has a token, a password or a user name
//! for any part of it, whichever client it is, unless the user's configuration says that the host is public. Neither
//! messages nor answers contain a secret.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use url::Url;

use super::{Candidate, DetectError, Machine, small_files};
use crate::model::{RelPath, escaped};

mod clients;

/// Size limit of a configuration file; a larger one is not read.
const MAX_BYTES: u64 = 4 << 20;

/// A host with which a client logs in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Host {
    name: String,
    /// Its port, if that is not the usual one. `None` for every port.
    port: Option<Option<u16>>,
}

impl Host {
    /// The host of a URL, of `//HOST/PATH`, or of `HOST/PATH`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_matches(['"', '\'']);
        let text =
            text.strip_prefix("sparse+").or_else(|| text.strip_prefix("git+")).unwrap_or(text);
        let rest = text.split_once("//").map_or(text, |(_, rest)| rest);
        let scheme = if text.starts_with("http://") { "http" } else { "https" };
        Self::of_url(&Url::parse(&format!("{scheme}://{rest}")).ok()?)
    }

    /// The host of this name, whatever its port.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_ascii_lowercase(), port: None }
    }

    fn of_url(url: &Url) -> Option<Self> {
        let name = url.host_str()?.to_ascii_lowercase();
        Some(Self { name, port: Some(url.port()) })
    }

    fn is(&self, asked: &Self) -> bool {
        self.name == asked.name && (self.port.is_none() || self.port == asked.port)
    }
}

/// The hosts for which clients have credentials, as seen from one place on this machine.
#[derive(Debug, Default)]
pub struct PrivateHosts {
    /// Each with the file or variable that has the credentials.
    own: Vec<(Host, PathBuf)>,
    /// Those of the folders above.
    above: Vec<Arc<PrivateHosts>>,
    /// Hosts that the user's configuration declares public.
    public: BTreeSet<String>,
}

impl PrivateHosts {
    /// Those that apply to `entry`, an absolute path: by the configuration in the folders above it, in the home folders,
    /// of the machine, and by its environment.
    pub fn near(machine: &Machine, entry: &Path) -> Arc<Self> {
        struct Near(Arc<PrivateHosts>);
        let Some(folder) = entry.parent().filter(|folder| folder.parent().is_some()) else {
            return Self::of_machine(machine);
        };
        let near = machine.once(folder, || {
            let above = Self::near(machine, folder);
            let own = clients::in_folder(machine, folder);
            // Most folders have no configuration.
            let public = machine.public_hosts.clone();
            Near(if own.is_empty() {
                above
            } else {
                Arc::new(Self { own, above: vec![above], public })
            })
        });
        Arc::clone(&near.0)
    }

    /// Those of the whole tree at `root`, with the entries `paths`: of the machine, the folders above the tree, and all folders in it
    /// that have a client's configuration.
    pub fn of_tree<'p>(
        machine: &Machine,
        root: &Path,
        paths: impl IntoIterator<Item = &'p RelPath>,
    ) -> Self {
        let root = fs_err::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let is_configuration = |path: &&RelPath| clients::is_configuration(path.as_bytes());
        let folders: BTreeSet<PathBuf> = paths
            .into_iter()
            .filter(is_configuration)
            .flat_map(|path| clients::homes_of(&path.below(&root)))
            .collect();
        let near = |folder: PathBuf| Self::near(machine, &folder.join("x"));
        let above = folders.into_iter().chain([root]).map(near).collect();
        Self { own: Vec::new(), above, public: machine.public_hosts.clone() }
    }

    fn of_machine(machine: &Machine) -> Arc<Self> {
        struct OfMachine(Arc<PrivateHosts>);
        let hosts = machine.once(Path::new("/"), || {
            let folders = machine.homes.iter().chain(&machine.root);
            let mut own = clients::in_variables(machine);
            own.extend(folders.flat_map(|folder| clients::in_folder(machine, folder)));
            let public = machine.public_hosts.clone();
            OfMachine(Arc::new(Self { own, above: Vec::new(), public }))
        });
        Arc::clone(&hosts.0)
    }

    /// Why what `url` gives may be for this machine only: which file or variable has credentials for its host. `None`
    /// if no client is known to have any.
    pub fn reason(&self, url: &str) -> Option<String> {
        // The usual case, for each URL of each package.
        if self.is_empty() {
            return None;
        }
        let url = Url::parse(url).ok()?;
        let asked = Host::of_url(&url)?;
        let with_port = || Some(format!("{}:{}", asked.name, url.port_or_known_default()?));
        if self.public.contains(&asked.name)
            || with_port().is_some_and(|host| self.public.contains(&host))
        {
            return None;
        }
        let place = self.find(&asked)?;
        Some(format!(
            "{} has a password or token for {}: it may not be public ([host.\"{}\"] public = true in the \
             configuration says that it is)",
            escaped(place.as_os_str().as_bytes()),
            escaped(asked.name.as_bytes()),
            escaped(asked.name.as_bytes()),
        ))
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.above.iter().all(|above| above.is_empty())
    }

    /// Does any client have credentials for the host of this name, at whatever port?
    pub(super) fn has_name(&self, name: &str) -> bool {
        let is = |(host, _): &(Host, PathBuf)| host.name == name;
        !self.public.contains(name)
            && (self.own.iter().any(is) || self.above.iter().any(|above| above.has_name(name)))
    }

    fn find(&self, asked: &Host) -> Option<&Path> {
        let own =
            self.own.iter().find(|(host, _)| host.is(asked)).map(|(_, place)| place.as_path());
        own.or_else(|| self.above.iter().find_map(|above| above.find(asked)))
    }
}

/// The error of a candidate in the tree at `root` that would be fetched or asked for at a private host. If only one of
/// several indexes is private, the package may be from that one, and its name is not told to the others.
pub(crate) fn refused(
    machine: &Machine,
    root: &Path,
    candidate: &Candidate,
) -> Option<DetectError> {
    let entry = candidate.found_at.below(&machine.real_path(root).ok()?);
    let hosts = PrivateHosts::near(machine, &entry);
    let pages = candidate.question.iter().flat_map(|question| question.pages());
    let urls = std::iter::once(&candidate.url).chain(&candidate.also).chain(pages);
    let reason = urls.into_iter().find_map(|url| hosts.reason(url))?;
    let name = escaped(candidate.name().as_bytes());
    Some(DetectError::new(&entry, format!("{name}: {reason}")))
}

/// The text of a configuration file, if it is one that can be read.
fn text_of(file: &Path) -> Option<String> {
    let bytes = small_files::read_whole(file, MAX_BYTES).ok()??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
