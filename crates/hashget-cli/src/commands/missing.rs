//! `hashget missing`: the files of an archive that cannot be had, and what they can be found by.
//!
//! Invariant: places are asked as `verify` asks them; a digest is printed only where something knows it, and all else is called unknown.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use fs_err::File;
use hashget::archive::{
    MissingFile, MissingFiles, PackageState, Unnamed, Verified, VerifiedPackage, VerifyOptions,
    missing_files,
};
use hashget::fetch::shown;
use hashget::model::{Digest, total_bytes};
use serde_json::json;

use super::verify::{state_name, with_verifier};
use crate::archive::{self, Knowledge};
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{Console, counted, safe, size};
use crate::supplements::{archive_of, offered};

/// List the files of an archive that cannot be had, with what they can be found by
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget missing www.tar.zst\n         \
                        hashget missing --format sha256sum www.tar.zst >/tmp/wanted; (cd /mnt/old && sha256sum -c /tmp/wanted)")]
pub(crate) struct Missing {
    /// Archive, its URL, or folder in which a restore is not complete; `-` is standard input
    #[arg(value_name = "FILE|DIR|URL|-")]
    archive: PathBuf,

    /// Print only what a program reads: lines for `sha256sum -c`, or one SHA-256 a line
    #[arg(long, value_enum, value_name = "sha256sum|digests", hide_possible_values = true)]
    format: Option<Form>,
}

/// What is printed for another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Sha256sum,
    Digests,
}

/// What was found.
struct Found<'m> {
    /// The packages that cannot be had, each with its index in the manifest.
    packages: Vec<(usize, &'m VerifiedPackage)>,
    files: MissingFiles<'m>,
}

impl Missing {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        if self.format.is_some() && console.is_json() {
            let wrong = "--format and --json cannot both go to standard output: choose one";
            return Err(UsageError(wrong.to_owned()).into());
        }
        let (manifest, stored) = archive::contents(&self.archive, environment)?;
        let context = || format!("cannot tell what is missing of {}", self.archive.display());
        let archive = archive_of(&self.archive, &manifest);
        let supplemented = offered(&[], environment)?.complete(&archive);
        let local = environment.local()?;
        let verified = with_verifier(&supplemented, &*local, environment, |verifier| {
            verifier.verify(&manifest, &VerifyOptions::default(), console)
        })?
        .with_context(context)?;
        let packages: Vec<(usize, &VerifiedPackage)> = verified
            .packages
            .iter()
            .enumerate()
            .filter(|(_, package)| package.state() != PackageState::Present)
            .collect();
        let indices: Vec<usize> = packages.iter().map(|(index, _)| *index).collect();
        let knowledge = Knowledge::new(environment, false)?.with_digests();
        let members = knowledge.members(environment);
        let mut files =
            missing_files(&manifest, &stored, &indices, &members, console).with_context(context)?;
        if self.archive != Path::new("-") && self.archive.is_dir() {
            files.files.retain(|file| !is_there(&self.archive, file));
        }
        let found = Found { packages, files };
        console.in_bulk(|| match self.format {
            None => found.list(console),
            Some(Form::Sha256sum) => found.list_for_sha256sum(console),
            Some(Form::Digests) => found.list_digests(console),
        })?;
        self.summary(&found, &verified, console)
    }

    fn summary(
        &self,
        found: &Found<'_>,
        verified: &Verified,
        console: &Console,
    ) -> anyhow::Result<()> {
        let Found { packages, files: missing } = found;
        let is_lost = |package: &VerifiedPackage| package.state() == PackageState::Lost;
        let lost = packages.iter().filter(|(_, package)| is_lost(package)).count();
        let unreachable = packages.len() - lost;
        let bytes = total_bytes(missing.files.iter().map(|file| file.size));
        let (files, unknown) = (missing.files.len(), missing.without_digest());
        let packages_of = |number: usize| counted(number, "package", "packages");
        let mut lines = Vec::new();
        if packages.is_empty() {
            let all = packages_of(verified.packages.len());
            lines.push(format!("Nothing is missing: {all} available (size checked)"));
        } else {
            let mut what = Vec::new();
            if lost > 0 {
                what.push(format!("{} LOST", packages_of(lost)));
            }
            if unreachable > 0 {
                what.push(format!("{} could not be checked", packages_of(unreachable)));
            }
            let (what, files) = (what.join(", "), counted(files, "file", "files"));
            lines.push(format!("Missing: {files}, {}, of {what}", size(bytes)));
        }
        if unknown > 0 {
            let files = counted(unknown, "file", "files");
            let but = if self.format.is_some() { ", and not in the list" } else { "" };
            lines.push(format!("The SHA-256 of {files} is unknown{but}"));
        }
        if !missing.unnamed.is_empty() {
            let line = "Not all files are known by name: their packages are neither in the HashDB nor is the archive's list of names there";
            lines.push(line.to_owned());
        }
        if !packages.is_empty() {
            let next = "If you find any of these packages and files, `hashget restore DIR --accept FILE` takes them, whatever their names";
            lines.push(next.to_owned());
        }
        let body = json!({
            "packages": verified.packages.len(),
            "lost": lost,
            "unreachable": unreachable,
            "files": files,
            "bytes": bytes,
            "files_without_digest": unknown,
            "unnamed": missing.unnamed.len(),
        });
        Ok(console.summary("missing", body, &lines)?)
    }
}

impl Found<'_> {
    /// For people, or as records: each package, with its files.
    fn list(&self, console: &Console) -> anyhow::Result<()> {
        for (index, package) in &self.packages {
            console.data(|| package_line(package), "package", || package_record(package))?;
            self.list_files(Some(*index), console)?;
            for unnamed in self.files.unnamed.iter().filter(|one| one.package == *index) {
                list_unnamed(unnamed, package, console)?;
            }
            for (_, sha256) in self.files.digests.iter().filter(|(of, _)| of == index) {
                let line = || format!("  {sha256}  one of its files");
                let record = || json!({ "path": null, "size": null, "sha256": sha256, "package": url(package) });
                console.data(line, "missing", record)?;
            }
        }
        self.list_files(None, console)
    }

    /// The files of one package, or those of which the archive does not say whose they are.
    fn list_files(&self, package: Option<usize>, console: &Console) -> anyhow::Result<()> {
        let of = self.packages.iter().find(|(index, _)| Some(*index) == package);
        for file in self.files.files.iter().filter(|file| file.package == package) {
            let MissingFile { path, size: bytes, sha256, .. } = file;
            let line = || {
                let sha256 = sha256.map_or("unknown".to_owned(), |sha256| sha256.to_string());
                format!("  {sha256:64}  {:>11}  {path}", size(*bytes))
            };
            let package = of.map(|(_, package)| url(package));
            let record =
                || json!({ "path": path, "size": bytes, "sha256": sha256, "package": package });
            console.data(line, "missing", record)?;
        }
        Ok(())
    }

    fn list_for_sha256sum(&self, console: &Console) -> anyhow::Result<()> {
        for file in &self.files.files {
            if let Some(sha256) = file.sha256 {
                console.line_for_programs(&checksum_line(sha256, file.path.as_bytes()))?;
            }
        }
        Ok(())
    }

    fn list_digests(&self, console: &Console) -> anyhow::Result<()> {
        let packages = self.packages.iter().map(|(_, package)| package.package.sha256);
        let files = self.files.files.iter().filter_map(|file| file.sha256);
        let others = self.files.digests.iter().map(|(_, sha256)| *sha256);
        let mut digests: Vec<Digest> = packages.chain(files).chain(others).collect();
        digests.sort_unstable();
        digests.dedup();
        for digest in digests {
            console.line(&digest.to_string())?;
        }
        Ok(())
    }
}

/// Is the file in the folder already, with the right contents? What cannot be read is not.
fn is_there(folder: &Path, file: &MissingFile) -> bool {
    let path = file.path.below(folder);
    let has_size = fs_err::symlink_metadata(&path)
        .is_ok_and(|found| found.is_file() && found.len() == file.size);
    has_size
        && file.sha256.is_some_and(|sha256| {
            let found = File::open(&path).and_then(|mut file| Digest::of_reader(&mut file));
            found.is_ok_and(|found| found == sha256)
        })
}

/// A line that `sha256sum -c` reads. Names with a backslash or the end of a line in them are escaped as it does.
fn checksum_line(sha256: Digest, path: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(path.len());
    for byte in path {
        match byte {
            b'\\' => name.extend(b"\\\\"),
            b'\n' => name.extend(b"\\n"),
            b'\r' => name.extend(b"\\r"),
            byte => name.push(*byte),
        }
    }
    let mark: &[u8] = if name.len() == path.len() { b"" } else { b"\\" };
    [mark, sha256.to_string().as_bytes(), b"  ", &name].concat()
}

fn url(package: &VerifiedPackage) -> String {
    shown(&package.package.url)
}

fn package_line(package: &VerifiedPackage) -> String {
    let state = match package.state() {
        PackageState::Lost => "lost",
        _ => "could not be checked",
    };
    let bytes = package.package.size.map_or("size unknown".to_owned(), size);
    let (name, sha256) = (package.package.shown_name(), package.package.sha256);
    format!("{name}: {state}; {bytes}, sha256 {sha256}, {}", safe(&url(package)))
}

fn package_record(package: &VerifiedPackage) -> serde_json::Value {
    json!({
        "url": url(package),
        "also": package.package.also,
        "sha256": package.package.sha256,
        "size": package.package.size,
        "signatures": package.package.signatures,
        "state": state_name(package.state()),
    })
}

/// A part of a package whose files are not known by name.
fn list_unnamed(
    unnamed: &Unnamed<'_>,
    package: &VerifiedPackage,
    console: &Console,
) -> anyhow::Result<()> {
    let below = String::from_utf8_lossy(&unnamed.placement.to.0);
    let line =
        || format!("  all that it gives below \"{}\": names and digests unknown", safe(&below));
    let record = || {
        json!({
            "below": below,
            "package": url(package),
            "package_bytes": package.package.size,
            "files": null,
            "bytes": null,
        })
    };
    Ok(console.data(line, "unnamed", record)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_sha256sum_escapes_them() {
        let sha256 = Digest::from_bytes([0; 32]);
        let zeros = "0".repeat(64);
        for (path, expected) in [
            (&b"a b"[..], format!("{zeros}  a b")),
            (b"a\\b", format!("\\{zeros}  a\\\\b")),
            (b"a\nb\rc", format!("\\{zeros}  a\\nb\\rc")),
        ] {
            assert_eq!(checksum_line(sha256, path), expected.as_bytes());
        }
        let odd = checksum_line(sha256, b"\xff");
        assert_eq!(odd.last(), Some(&0xff));
    }
}
