//! URLs whose form says that they give other bytes from time to time: the latest release, a branch, an archive that a
//! forge makes on request.
//!
//! Invariant: the answer depends on the URL alone. It is a list of well-known forms, not a proof: a URL that is not on it
//! may move as well.

use url::Url;

use crate::formats;

/// Words that stand for what is new at the time of the request.
const NEWEST: [&str; 3] = ["latest", "current", "newest"];

/// Words for a series of releases; a dated or numbered file in it is one release.
const SERIES: [&str; 5] = ["stable", "nightly", "snapshot", "snapshots", "daily"];

/// Names of branches.
const BRANCHES: [&str; 7] = ["main", "master", "trunk", "head", "develop", "devel", "default"];

/// Kinds of packages that registries name by the package and its version, so that any word may be part of the name.
const NAMED_BY_REGISTRIES: [&str; 4] = ["whl", "crate", "gem", "conda"];

/// Does the URL have a form that is known to give other bytes from time to time?
pub fn is_moving(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let decoded = percent_decoded(url.path()).to_ascii_lowercase();
    let segments: Vec<&str> = decoded.split('/').filter(|segment| !segment.is_empty()).collect();
    let Some((file, folders)) = segments.split_last() else { return false };
    // A module's name is whatever its author chose, and the version follows.
    let folders = match folders.iter().position(|folder| *folder == "@v") {
        Some(_) => return false,
        None => folders,
    };
    let is_made = is_made_by_forge(url.host_str().unwrap_or_default(), folders, file);
    is_made || folders_move(folders, file) || file_moves(folders, file)
}

/// Archives that forges make on request. Their bytes change when the forge changes its program.
fn is_made_by_forge(host: &str, folders: &[&str], file: &str) -> bool {
    let is_archive = formats::is_package_name(file.as_bytes());
    let after = |name: &str| folders.iter().position(|folder| *folder == name);
    // OWNER/PROJECT/archive/..., and PROJECT/-/archive/...
    let of_project = after("archive").is_some_and(|at| at >= 2) && is_archive;
    let by_kind = ["tarball", "zipball"].iter().any(|kind| after(kind).is_some_and(|at| at >= 2));
    let by_ref = folders.windows(2).any(|pair| pair[0] == "refs");
    host.starts_with("codeload.") || of_project || by_kind || by_ref
}

/// Does one of the folders say so?
fn folders_move(folders: &[&str], file: &str) -> bool {
    let is_release = has_version(file) || folders.iter().any(|folder| is_date(folder));
    folders.iter().enumerate().any(|(at, folder)| {
        if is_named(folder, folders, at, file) {
            return false;
        }
        let first = folder.split(['-', '_', '.']).next().unwrap_or(folder);
        let branch = matches!(
            folders.get(at.wrapping_sub(1)),
            Some(&("resolve" | "raw" | "blob" | "heads"))
        ) && BRANCHES.contains(folder);
        branch
            || NEWEST.contains(&first)
            || folder.ends_with("-snapshot")
            || matches!(*folder, "head" | "stable")
            || (SERIES.contains(folder) && !is_release)
    })
}

/// Is the folder the name of a package that happens to be such a word: `current/-/current-1.0.0.tgz`,
/// `latest/1.0/download`?
fn is_named(folder: &str, folders: &[&str], at: usize, file: &str) -> bool {
    let rest = file.strip_prefix(folder).and_then(|rest| rest.strip_prefix(['-', '_', '.']));
    let is_version = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let version = folders.get(at + 1).filter(|_| file == "download");
    rest.is_some_and(is_version) || version.is_some_and(|version| is_version(version))
}

/// Does the name of the file say so?
fn file_moves(folders: &[&str], file: &str) -> bool {
    // Names in registries begin with the package's own name, which may contain any word.
    let ending = file.rsplit('.').next().unwrap_or_default();
    let is_package = NAMED_BY_REGISTRIES.contains(&ending)
        || folders.iter().enumerate().any(|(at, folder)| is_named(folder, &[], at, file));
    if is_package {
        return false;
    }
    let first = file.split('.').next().unwrap_or(file);
    let is_branch = BRANCHES.contains(&first) && formats::is_package_name(file.as_bytes());
    let words: Vec<&str> = file.split(['-', '_', '.', '+']).collect();
    let is_newest = words.iter().any(|word| NEWEST.contains(word));
    let is_release = has_version(file) || folders.iter().any(|folder| is_date(folder));
    let is_series = words.iter().any(|word| SERIES.contains(word)) && !is_release;
    is_branch || is_newest || is_series || file.contains("-snapshot")
}

/// Does the name contain two numbers with a dot between them, or a date?
fn has_version(name: &str) -> bool {
    let bytes = name.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let dotted = (1..bytes.len()).any(|at| bytes[at] == b'.' && digit(at - 1) && digit(at + 1));
    dotted || name.split(|letter: char| !letter.is_ascii_digit()).any(|digits| digits.len() >= 8)
}

/// Is it a date: `2024-01-31`, or `20240131` with or without a time?
fn is_date(folder: &str) -> bool {
    let digits = folder.bytes().filter(u8::is_ascii_digit).count();
    let plain = folder.bytes().all(|byte| byte.is_ascii_digit() || b"-tz".contains(&byte));
    plain && (8..=14).contains(&digits) && (folder.starts_with("19") || folder.starts_with("20"))
}

/// The path with its percent-encoded characters decoded, so that an encoded letter hides no word.
fn percent_decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| first == b'%').and_then(|code| hex::decode(code).ok());
        match code.as_deref() {
            Some(&[byte]) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_today_moves() {
        for url in [
            "https://d.example/linux/direct/browser-stable_current_amd64.deb",
            "https://d.example/client/latest/meet_amd64.tar.xz",
            "https://d.example/client/LATEST/meet-6.1.tar.xz",
            "https://d.example/client/l%61test/meet-6.1.tar.xz",
            "https://d.example/dist/latest-v18.x/node-v18.19.0.tar.gz",
            "https://d.example/tool-latest.tar.gz",
            "https://d.example/tool_latest_x86_64-ubuntu22.04.deb",
            "https://d.example/images/current/amd64/installer.iso",
            "https://d.example/stable/tool-1.2.tar.gz",
            "https://d.example/nightly/tool.tar.xz",
            "https://d.example/tool-nightly-linux.tar.xz",
            "https://d.example/o/p/releases/latest/download/tool-1.2.zip",
            "https://d.example/m2/org/x/1.0-SNAPSHOT/x-1.0-20240101.120000-1.jar",
            "https://d.example/x-1.0-SNAPSHOT.jar",
            "https://d.example/HEAD.tar.gz",
        ] {
            assert!(is_moving(url), "{url}");
        }
    }

    #[test]
    fn branches_and_archives_made_by_forges_move() {
        for url in [
            "https://f.example/o/p/archive/refs/heads/main.zip",
            "https://f.example/o/p/archive/refs/tags/v1.2.tar.gz",
            "https://f.example/o/p/archive/v1.2.tar.gz",
            "https://f.example/g/s/p/-/archive/v1.2/p-v1.2.tar.bz2",
            "https://codeload.f.example/o/p/tar.gz/0123456789abcdef",
            "https://f.example/repos/o/p/tarball/v1.2",
            "https://f.example/main.zip",
            "https://f.example/p/master.tar.gz",
            "https://h.example/o/m/resolve/main/model.bin",
            "https://h.example/o/m/raw/master/data.csv",
        ] {
            assert!(is_moving(url), "{url}");
        }
    }

    #[test]
    fn one_version_does_not_move() {
        for url in [
            "https://r.example/stable/-/stable-0.1.8.tgz",
            "https://r.example/latest-version/-/latest-version-5.1.0.tgz",
            "https://r.example/@s/current/-/current-1.0.0.tgz",
            "https://r.example/api/v1/crates/latest/1.0.0/download",
            "https://f.example/packages/ab/cd/tf_nightly-2.16.0-cp311-cp311-linux_x86_64.whl",
            "https://m.example/maven2/org/x/latest/1.0/latest-1.0.jar",
            "https://p.example/host.example/current/@v/v1.0.0.zip",
            "https://t.example/dist/2024-01-31/cargo-nightly-x86_64-linux.tar.xz",
            "https://c.example/main/noarch/tool-1.0-0.conda",
            "https://a.example/archive/debian/20200101T000000Z/pool/main/a/a/a_1_all.deb",
            "https://a.example/dist/archive/tool-1.0.tar.gz.asc",
            "https://d.example/pool/main/b/browser-stable_120.0.6-1_amd64.deb",
            "https://d.example/releases/download/v1.2/tool-1.2-linux.tar.gz",
            "https://h.example/o/m/resolve/0123456789abcdef0123456789abcdef01234567/model.bin",
            "https://d.example/maintenance.zip",
            "https://d.example/",
            "not a url",
        ] {
            assert!(!is_moving(url), "{url}");
        }
    }
}
