//! apt's sources: from which server a package list came.
//!
//! Invariant: only http and https servers without a password in their URL are used.

use std::collections::BTreeMap;
use std::path::Path;

use crate::detectors::{DetectError, public_url, small_files};
use crate::formats::Paragraphs;

/// Size limit of a list of sources; a larger file is reported and ignored.
const MAX_BYTES: u64 = 1 << 20;

/// Servers by the prefix of the names that apt gives to their lists
/// (`deb.example.org_debian_dists_bookworm_`).
#[derive(Debug, Default)]
pub(super) struct Sources {
    by_prefix: BTreeMap<String, Vec<String>>,
    /// Paths of keyrings that the sources name.
    keyrings: Vec<String>,
}

impl Sources {
    /// Reads the sources of the system at `root`. Files that cannot be read are reported and ignored;
    /// lines that cannot be parsed are ignored.
    pub(super) fn read(root: &Path, note: &mut dyn FnMut(DetectError)) -> Self {
        let mut sources = Self::default();
        let apt = root.join("etc/apt");
        let mut files = vec![apt.join("sources.list")];
        let parts = fs_err::read_dir(apt.join("sources.list.d"));
        files.extend(parts.into_iter().flatten().flatten().map(|entry| entry.path()));
        files.sort();
        for file in files {
            let Some(bytes) = small_files::read_optional(&file, MAX_BYTES, note) else { continue };
            sources.add_file(file.extension().and_then(|extension| extension.to_str()), &bytes);
        }
        sources
    }

    fn add_file(&mut self, extension: Option<&str>, bytes: &[u8]) {
        match extension {
            Some("list") => self.add_lines(bytes),
            Some("sources") => self.add_paragraphs(bytes),
            _ => {}
        }
    }

    /// The servers whose lists begin with `prefix`: URLs that end with `/`.
    pub(super) fn servers(&self, prefix: &str) -> &[String] {
        self.by_prefix.get(prefix).map_or(&[], Vec::as_slice)
    }

    /// The absolute paths of the keyrings that sources name (`Signed-By`).
    pub(super) fn into_keyrings(self) -> Vec<String> {
        self.keyrings
    }

    fn add_keyrings<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        self.keyrings.extend(words.filter(|word| word.starts_with('/')).map(str::to_owned));
    }

    /// `deb [options] ADDRESS SUITE COMPONENT...`
    fn add_lines(&mut self, bytes: &[u8]) {
        for line in String::from_utf8_lossy(bytes).lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t']))
            else {
                continue;
            };
            let rest = rest.trim_start();
            let rest = match rest.strip_prefix('[') {
                Some(options) => {
                    let (options, rest) = options.split_once(']').unwrap_or_default();
                    let options = options.split_whitespace();
                    let keyrings = options.filter_map(|option| option.strip_prefix("signed-by="));
                    self.add_keyrings(keyrings.flat_map(|paths| paths.split(',')));
                    rest
                }
                None => rest,
            };
            let mut words = rest.split_whitespace();
            if let (Some(address), Some(suite)) = (words.next(), words.next()) {
                self.add(address, suite);
            }
        }
    }

    fn add_paragraphs(&mut self, bytes: &[u8]) {
        let mut paragraphs = Paragraphs::new(bytes);
        while let Ok(Some(paragraph)) = paragraphs.next() {
            let words = |name| paragraph.get(name).unwrap_or_default().split_whitespace();
            if words("Types").all(|kind| kind != "deb") || paragraph.get("Enabled") == Some("no") {
                continue;
            }
            self.add_keyrings(words("Signed-By"));
            for address in words("URIs") {
                words("Suites").for_each(|suite| self.add(address, suite));
            }
        }
    }

    fn add(&mut self, address: &str, suite: &str) {
        let Ok(address) = public_url(address) else { return };
        let address = format!("{}/", address.trim_end_matches('/'));
        let place = if suite.ends_with('/') {
            format!("{address}{}", suite.trim_start_matches("./").trim_start_matches('/'))
        } else {
            format!("{address}dists/{suite}/")
        };
        let servers = self.by_prefix.entry(list_name(&place)).or_default();
        if !servers.contains(&address) {
            servers.push(address);
        }
    }
}

/// The name that apt gives to the list at `url`.
fn list_name(url: &str) -> String {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let mut name = String::with_capacity(after_scheme.len());
    for byte in after_scheme.bytes() {
        match byte {
            b'/' => name.push('_'),
            b'_' | b'~' | b'=' | b'!' | b'@' | b'#' | b'$' | b'^' | b'&' | b'*' => {
                name.push_str(&format!("%{byte:02x}"));
            }
            byte => name.push(char::from(byte)),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_files_are_understood() {
        let mut sources = Sources::default();
        let list = b"# deb http://old.example/ x main\n\
            deb [arch=amd64 signed-by=/k] http://one.example/debian bookworm main contrib\n\
            deb-src http://src.example/debian bookworm main\n\
            deb http://user:secret@private.example/debian bookworm main\n\
            deb cdrom:[disc]/ bookworm main\ndeb https://flat.example/a_b/ ./\nbroken";
        sources.add_file(Some("list"), list);
        let parts =
            b"Types: deb deb-src\nURIs: http://two.example/debian/ http://one.example/debian\n\
            Suites: bookworm bookworm-updates\nComponents: main\n\n\
            Types: deb\nEnabled: no\nURIs: http://off.example\nSuites: x\n";
        sources.add_file(Some("sources"), parts);
        sources.add_file(Some("save"), b"deb http://save.example/ x main");
        let servers = |prefix: &str| sources.servers(prefix).join(" ");
        assert_eq!(servers("one.example_debian_dists_bookworm_"), "http://one.example/debian/");
        let prefix = "two.example_debian_dists_bookworm-updates_";
        assert_eq!(servers(prefix), "http://two.example/debian/");
        assert_eq!(servers("flat.example_a%5fb_"), "https://flat.example/a_b/");
        assert_eq!(sources.by_prefix.len(), 5, "{sources:?}");
    }

    #[test]
    fn a_system_without_apt_has_none() {
        assert_eq!(
            Sources::read(Path::new("/nothing/is/here"), &mut |error| panic!("{error}"))
                .by_prefix
                .len(),
            0
        );
    }
}
