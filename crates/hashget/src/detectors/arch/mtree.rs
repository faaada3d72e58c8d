//! The digests of a package's files: from pacman's `mtree` on this machine, or from `.MTREE` at the start of
//! the package.
//!
//! Invariant: only regular files with a SHA-256 and a path within the system are listed. Only the first
//! entries of a package are fetched, and its own `.PKGINFO` proves that it is the right one.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::super::start::Start;
use super::super::{Declared, FileList, Listed, Parts, small_files};
use super::Installed;
use crate::formats::tar::TarReader;
use crate::limits::Limits;
use crate::model::{Algorithm, Checksum, RelPath, escaped};
use crate::tree::TreeRoot;

/// Size limit of a decompressed list; a larger one is an error.
const MAX_LIST: u64 = 256 << 20;
/// Size of the first request for a package; each further request is twice as large. A zstd block can only be
/// decompressed as a whole: 128 KiB, usually compressed to a third of that.
const FIRST_BYTES: u64 = 48 << 10;
/// The entries before a package's files never take more than this.
const MOST_BYTES: u64 = 64 << 20;

/// An installed package.
#[derive(Debug)]
pub(super) struct Files {
    tree: Arc<TreeRoot>,
    package: Installed,
}

impl Files {
    pub(super) fn new(tree: Arc<TreeRoot>, package: Installed) -> Self {
        Self { tree, package }
    }

    /// Reads `.MTREE` from the package in `reader`; `None` if the package does not begin with one.
    fn in_package(&self, reader: &mut dyn Read, limits: &Limits) -> io::Result<Option<Vec<u8>>> {
        let mut archive = TarReader::new(small_files::unpacked(reader, MAX_LIST)?, limits);
        let (mut list, mut is_right) = (None, false);
        while let Some(mut entry) = archive.next().map_err(io::Error::other)? {
            let path = entry.path.clone();
            match path.strip_prefix(b"./").unwrap_or(&path) {
                b".MTREE" => list = Some(whole(&mut entry)?),
                b".PKGINFO" => {
                    self.check(&whole(&mut entry)?)?;
                    is_right = true;
                }
                name if name.starts_with(b".") => {}
                _ => break,
            }
            if is_right && list.is_some() {
                return Ok(list);
            }
        }
        Ok(None)
    }

    /// Checks that this is the `.PKGINFO` of this package.
    fn check(&self, info: &[u8]) -> io::Result<()> {
        let info = String::from_utf8_lossy(info);
        let field = |name: &str| {
            let settings = info.lines().filter_map(|line| line.split_once(" = "));
            settings.into_iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
        };
        let found = format!("{}-{}-{}", field("pkgname"), field("pkgver"), field("arch"));
        let wanted = self.package.full_name();
        if found == wanted {
            return Ok(());
        }
        let found = escaped(found.as_bytes());
        let problem = format!("it is the package {found}, expected {wanted}");
        Err(io::Error::new(io::ErrorKind::InvalidData, problem))
    }
}

impl FileList for Files {
    fn format(&self) -> &'static str {
        "tar"
    }

    fn root(&self) -> &Path {
        self.tree.path()
    }

    fn local(&self) -> Result<Option<Vec<Listed>>, String> {
        let path = self.package.folder.join(b"mtree").map_err(|error| error.to_string())?;
        let Some(file) = small_files::open_below(&self.tree, &path) else { return Ok(None) };
        let list = small_files::unpacked(file, MAX_LIST).and_then(|mut list| whole(&mut list));
        let list = list.map_err(|error| format!("{path}: {error}"))?;
        Ok(Some(listed(&list)))
    }

    fn declared(
        &self,
        part: &mut Parts<'_>,
        size: u64,
        limits: &Limits,
    ) -> io::Result<Option<Declared>> {
        let mut start = Start::new(part, size.min(MOST_BYTES), FIRST_BYTES);
        let list = self.in_package(&mut start, limits);
        let list = match start.finish(list)? {
            Some(list) => whole(&mut small_files::unpacked(&list[..], MAX_LIST)?)?,
            None => return Ok(None),
        };
        Ok(Some(listed(&list).into()))
    }
}

/// Reads a list completely.
fn whole(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_LIST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_LIST {
        let problem = format!("it has more than {MAX_LIST} bytes: too many to be a list");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(bytes)
}

/// The files of a list in mtree(5) format: `/set KEY=VALUE...` for all lines after it, and lines
/// `PATH KEY=VALUE...`. Lines that cannot be parsed are skipped: their files are archived.
fn listed(list: &[u8]) -> Vec<Listed> {
    let mut default = b"file".to_vec();
    let mut found = Vec::new();
    for line in list.split(|&byte| byte == b'\n') {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(first) = words.next() else { continue };
        let words: Vec<&[u8]> = words.collect();
        let value = |key: &[u8]| words.iter().rev().find_map(|word| word.strip_prefix(key));
        match first {
            b"/set" => default = value(b"type=").map_or(default, <[u8]>::to_vec),
            b"/unset" => {}
            _ if first.starts_with(b"#") => {}
            _ => {
                let is_file = value(b"type=").unwrap_or(&default) == b"file";
                let digest = value(b"sha256digest=").filter(|_| is_file);
                found.extend(digest.and_then(|digest| file(first, digest)));
            }
        }
    }
    found
}

fn file(path: &[u8], digest: &[u8]) -> Option<Listed> {
    let path = unescaped(path)?;
    let path = RelPath::new(path.strip_prefix(b"./").unwrap_or(&path)).ok()?;
    let checksum = Checksum::from_hex(Algorithm::Sha256, std::str::from_utf8(digest).ok()?)?;
    // Files that describe the package are not files of the system.
    let is_own = !path.as_bytes().contains(&b'/') && path.as_bytes().starts_with(b".");
    (!is_own).then(|| Listed { member: path.clone(), path, checksum })
}

/// Decodes the escapes in a path: `\` and three octal digits.
fn unescaped(path: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(3)?;
        let digits = std::str::from_utf8(digits).ok()?;
        plain.push(u8::from_str_radix(digits, 8).ok()?);
        rest = after;
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_with_a_digest_and_a_proper_path_are_listed() {
        let digest = "8d0d4c8a1e6ab75ae2f81abf1e1e66ce1ab7be53c7b8f245a41907fc45b3a801";
        let list = format!(
            "#mtree\n/set type=file uid=0 gid=0 mode=644\n./.PKGINFO size=1 sha256digest={digest}\n\
             ./etc type=dir\n./etc/a\\040b\\134 size=5 md5digest=x sha256digest={digest}\n\
             ./usr/link type=link link=a sha256digest={digest}\n./../out sha256digest={digest}\n\
             ./a/../../out sha256digest={digest}\n/abs sha256digest={digest}\n./cut\\04 sha256digest={digest}\n\
             ./no sha256digest=12\n./none size=1\n/set type=dir\n./d sha256digest={digest}\n\
             ./f type=file sha256digest={digest}\n\n"
        );
        let paths: Vec<String> =
            listed(list.as_bytes()).iter().map(|file| file.path.to_string()).collect();
        let odd = RelPath::new(b"etc/a b\\".to_vec()).unwrap().to_string();
        assert_eq!(paths, [odd, "f".to_owned()]);
    }

    #[test]
    fn what_is_no_list_has_no_files() {
        for list in [&b""[..], b"\0\xff", b"\\", b"/set", b"/set type=", b"x\\777 sha256digest=1"] {
            assert!(listed(list).is_empty());
        }
    }
}
