//! `hashget get`: fetches and proves one file or package that the HashDB knows.
//!
//! Invariant: the file appears under its name only once its bytes are proven.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hashget::archive::PackageFiles;
use hashget::error::ErrorClass;
use hashget::fetch::Wanted;
use hashget::hashdb::{HashDb, Key};
use hashget::model::{Digest, PackageRecord, RelPath, escaped};
use hashget::pending_file::PendingFile;
use serde_json::json;

use crate::environment::Environment;
use crate::exit::{self, UsageError};
use crate::output::{safe, size};
use crate::values::{self, Thing};

/// Download one file by its digest, or one package by its signature
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget get deb:vim_9.0_amd64 -o .")]
pub(crate) struct Get {
    /// sha256:HEX of a file or package, or the signature TYPE:VALUE of a package
    #[arg(value_name = "HASHSPEC|SIGNATURE", value_parser = values::thing)]
    what: Thing,

    /// Folder to write it to
    #[arg(short, long = "output", value_name = "DIR")]
    output: PathBuf,
}

/// A file or package that was found in the HashDB.
struct KnownFile {
    package: PackageRecord,
    /// The path of the wanted file in the package, and its digest; `None` for the package itself.
    member: Option<(RelPath, Digest)>,
}

impl Get {
    /// What is kept after an interruption, and how to continue.
    pub(super) fn after_interruption(&self) -> String {
        let folder = self.output.display();
        format!("nothing is in {folder} yet; downloads are kept: run the same command to continue")
    }

    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let no_folder = || format!("output folder \"{}\" does not exist", self.output.display());
        let folder = fs_err::metadata(&self.output).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => anyhow::Error::new(error).context(no_folder()),
            _ => error.into(),
        })?;
        if !folder.is_dir() {
            let wrong = format!("{} is not a folder: -o takes a folder", self.output.display());
            return Err(UsageError(wrong).into());
        }
        let hashdb = environment.hashdb()?;
        let found = self.find(&*hashdb)?;
        let source = environment.sources()?.source;
        let files = PackageFiles { source: &*source, limits: &environment.limits };
        let mut last = None;
        for thing in &found {
            match fetch(&files, thing, &self.output, environment) {
                Ok((file, bytes)) => return report(environment, thing, &file, bytes),
                Err(error) if exit::class(&error) == Some(ErrorClass::Interrupted) => {
                    return Err(error);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            anyhow::anyhow!("not found in the HashDB: first index the package that contains it")
        }))
    }

    /// Everything in the HashDB that matches.
    fn find(&self, hashdb: &dyn HashDb) -> anyhow::Result<Vec<KnownFile>> {
        match &self.what {
            Thing::Signature(signature) => whole(hashdb, Key::Signature(signature)),
            Thing::Digest(digest) => {
                let mut found = whole(hashdb, Key::Package(*digest))?;
                let holders = hashdb.find_one(Key::Content(*digest))?;
                hashdb.prefetch_members(&holders)?;
                for (id, package) in holders.iter().zip(hashdb.records(&holders)?) {
                    let Some(package) = package else { continue };
                    let member = hashdb
                        .members(*id)?
                        .into_iter()
                        .find(|member| member.sha256 == Some(*digest));
                    if let Some(member) = member {
                        found.push(KnownFile { package, member: Some((member.path, *digest)) });
                    }
                }
                // The smallest download first.
                found.sort_by_key(|found| found.package.size);
                Ok(found)
            }
        }
    }
}

fn whole(hashdb: &dyn HashDb, key: Key<'_>) -> anyhow::Result<Vec<KnownFile>> {
    let records = hashdb.records(&hashdb.find_one(key)?)?;
    let found = |package| KnownFile { package, member: None };
    Ok(records.into_iter().flatten().map(found).collect())
}

/// Fetches it into `folder`; returns the path of the new file and its size.
fn fetch(
    files: &PackageFiles<'_>,
    found: &KnownFile,
    folder: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<(PathBuf, u64)> {
    let name = found.name();
    let path = name.below(folder);
    let context = || format!("cannot write {}", path.display());
    let mut pending = PendingFile::create(&path, 0o666).with_context(context)?;
    let package = &found.package;
    let bytes = match &found.member {
        Some((_, digest)) => files
            .copy(package, digest, &mut pending, environment.console)
            .with_context(|| format!("cannot get {name} from {}", safe(package.display_name())))?,
        None => {
            let wanted = Wanted {
                name: package.own_name().map(str::to_owned),
                url: package.url.clone(),
                also: package.also.clone(),
                sha256: Some(package.sha256),
                size: Some(package.size),
                ..Wanted::default()
            };
            let mut fetched = files
                .source
                .fetch(&wanted, environment.console)
                .with_context(|| format!("cannot get {}", safe(package.display_name())))?;
            io::copy(&mut fetched.file, &mut pending).with_context(context)?
        }
    };
    pending.commit_new(&path).with_context(context)?;
    Ok((path, bytes))
}

impl KnownFile {
    /// The name for the file: the last part of its path in the package. For a package, the last part of its
    /// URL or, if that is not a useful name (`.../serde/1.0.200/download`), its signature.
    fn name(&self) -> RelPath {
        let package = &self.package;
        let last = match &self.member {
            Some((path, _)) => path.file_name().to_vec(),
            None => match package.signatures.first() {
                Some(signature) if !package.base_name().contains('.') => {
                    signature.value.replace('/', "-").into_bytes()
                }
                _ => package.base_name().as_bytes().to_vec(),
            },
        };
        RelPath::new(last)
            .ok()
            .filter(|name| name.parent() == Some(RelPath::root()))
            .or_else(|| RelPath::new(package.sha256.to_string()).ok())
            .expect("a digest in hex is a valid name")
    }
}

fn report(
    environment: &Environment<'_>,
    found: &KnownFile,
    file: &Path,
    bytes: u64,
) -> anyhow::Result<()> {
    let shown = escaped(file.as_os_str().as_encoded_bytes());
    let line = format!(
        "{shown}, {}, from {} ({})",
        size(bytes),
        safe(found.package.display_name()),
        safe(&found.package.url)
    );
    let record = json!({
        "file": file.to_string_lossy(),
        "bytes": bytes,
        "url": found.package.url,
        "member": found.member.as_ref().map(|(path, _)| path),
    });
    environment.console.summary("get", record, &[line])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use hashget::model::Evidence;

    use super::*;

    fn name(url: &str, signature: Option<&str>, member: Option<&str>) -> String {
        let package = PackageRecord {
            url: url.to_owned(),
            also: Vec::new(),
            sha256: Digest::of(b""),
            size: 0,
            format: "file".to_owned(),
            signatures: signature.into_iter().map(|text| text.parse().unwrap()).collect(),
            project: None,
            expires: None,
            indexed_at: 0,
            evidence: Evidence::Downloaded,
            vouched: false,
            recursive: false,
            passed_over: 0,
            origin: hashget::model::Origin::User,
            trees: Vec::new(),
            keeping: hashget::model::Keeping::Unknown,
            publisher: None,
        };
        let member = member.map(|path| (RelPath::try_from(path).unwrap(), Digest::of(b"")));
        KnownFile { package, member }.name().to_string()
    }

    #[test]
    fn a_file_has_its_own_name_and_a_package_that_of_its_url() {
        let url = "https://example.org/pool/vim.deb?x=1";
        assert_eq!(name(url, None, None), "vim.deb");
        assert_eq!(name(url, Some("deb:vim"), Some("data/usr/bin/vim")), "vim");
        let url = "https://example.org/crates/serde/1.0.200/download";
        assert_eq!(name(url, Some("crate:serde-1.0.200"), None), "serde-1.0.200");
        assert_eq!(name(url, Some("npm:@a/b"), None), "@a-b");
        assert_eq!(name(url, None, None), "download");
    }

    #[test]
    fn a_name_never_leads_out_of_the_folder() {
        let digest = Digest::of(b"").to_string();
        assert_eq!(name("https://example.org/..", None, None), digest);
        assert_eq!(name("https://example.org/a", Some("x:.."), None), digest);
        assert_eq!(
            name("https://example.org/a", Some("x:../../etc/passwd"), None),
            "..-..-etc-passwd"
        );
    }
}
