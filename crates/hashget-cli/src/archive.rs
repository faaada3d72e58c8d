//! An archive given by the user: a file, a URL, a file of a store, `-` for standard input, or a folder into which one was unpacked.
//!
//! Invariant: nothing is written, and an archive is never read from a terminal.

use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use fs_err::File;
use hashget::archive::{
    KnowsMembers, Listed, Listing, MembersError, PackageMembers, RemoteArchive, StoredContents,
    StoredEntries, StoredVerified, read_folder_manifest, read_for_listing, read_manifest,
    verify_contents, verify_stored,
};
use hashget::fetch::{Beside, Source};
use hashget::hashdb::{HashDb, NoHashDb};
use hashget::model::Evidence;
use hashget::model::manifest::{AnyManifest, MANIFEST_NAME};
use hashget::pending_file::behind_links;
use hashget::storage::{SharedSource, StreamSource};
use hashget::supplement::is_supplement;
use hashget_backup::encryption::{Header, header_of};
use hashget_backup::store::{Patience, Store};

use crate::commands::without_ending;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::manifest_copy::{Opened, Told, mended, mended_in_store};
use crate::stores::{classed, file_in_store, is_in_store};

/// What a command says that read nothing of an archive but its manifest.
pub(crate) fn unread(archive: &Path) -> Option<String> {
    let is_manifest = archive.is_dir() || archive.file_name() == Some(MANIFEST_NAME.as_ref());
    let line =
        "Only the manifest was read, not the rest of the archive: `hashget verify` reads all of it";
    (!is_manifest).then(|| line.to_owned())
}

/// Is it the URL of an archive?
fn url(archive: &Path) -> Option<&str> {
    archive.to_str().filter(|text| text.starts_with("https://") || text.starts_with("http://"))
}

/// Does another machine have it?
pub(crate) fn is_remote(archive: &Path) -> bool {
    url(archive).is_some() || is_in_store(archive)
}

/// Is it a folder, into which an archive may have been unpacked?
fn is_folder(archive: &Path) -> bool {
    archive != Path::new("-") && !is_remote(archive) && archive.is_dir()
}

/// The archives that are named, and those in the folders that are named, by name.
pub(crate) fn archives(places: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    for place in places {
        // A damaged manifest is an archive that cannot be read, and no folder of archives.
        let is_series = is_folder(place) && !place.join(MANIFEST_NAME).exists();
        if !is_series {
            archives.push(place.clone());
            continue;
        }
        archives.extend(archives_in(place)?);
    }
    Ok(archives)
}

/// The archives in a folder, those files that are called like what `pack` writes, by name.
pub(crate) fn archives_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    for entry in fs_err::read_dir(folder).context("cannot find archives")? {
        let path = entry?.path();
        let name = path.file_name().map(OsStr::as_bytes);
        let is_archive = |name| without_ending(name).is_some() && !is_supplement(name);
        if path.is_file() && name.is_some_and(is_archive) {
            archives.push(path);
        }
    }
    archives.sort_unstable();
    if archives.is_empty() {
        let wrong =
            format!("no archive lies in {}: expected names like x.tar.zst", folder.display());
        return Err(UsageError(wrong).into());
    }
    Ok(archives)
}

/// Opens the file, the URL, the file of a store, or standard input for `-`, and decrypts it if it is encrypted. A folder is
/// refused, with `for_a_folder` as advice.
pub(crate) fn open<'e>(
    archive: &Path,
    for_a_folder: &str,
    environment: &'e Environment<'_>,
) -> anyhow::Result<Box<dyn SharedSource + 'e>> {
    open_told(archive, for_a_folder, Told::AsNote, environment).map(|(source, _)| source)
}

/// The same; whether its manifest is damaged, and comes from the copy beside it.
fn open_told<'e>(
    archive: &Path,
    for_a_folder: &str,
    told: Told,
    environment: &'e Environment<'_>,
) -> anyhow::Result<Opened<'e>> {
    let source = open_as_it_is(archive, for_a_folder, environment)?;
    let (source, is_damaged) = match file_in_store(archive)? {
        Some((address, name)) => {
            let store = environment.store(&address, Patience::brief())?;
            mended_in_store(source, store, &name, told, environment)
        }
        None if archive == Path::new("-") || is_remote(archive) => (source, false),
        None => mended(source, archive, told, environment),
    };
    let source = environment.decrypted(source, &archive.display().to_string())?;
    Ok((source, is_damaged))
}

/// Opens an archive of a destination, and decrypts it if it is encrypted.
pub(crate) fn open_of<'e>(
    store: &'e dyn Store,
    name: &str,
    environment: &'e Environment<'_>,
) -> anyhow::Result<Box<dyn SharedSource + 'e>> {
    let source = store.open(name, environment.console).map_err(classed)?;
    let (source, _) = mended_in_store(source, store, name, Told::AsNote, environment);
    environment.decrypted(source, name)
}

/// To whom an archive is encrypted, and its size, if it is and nothing was given that opens it.
pub(crate) fn sealed(
    archive: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<Option<(Header, Option<u64>)>> {
    if archive == Path::new("-") || is_folder(archive) || environment.has_identity() {
        return Ok(None);
    }
    let context = || format!("cannot read the manifest of {}", archive.display());
    let source = open_as_it_is(archive, "", environment).with_context(context)?;
    let header = header_of(&*source).map_err(std::io::Error::from).with_context(context)?;
    // Somebody can be asked for a passphrase.
    let header = header.filter(|header| !header.is_passphrase());
    Ok(header.map(|header| (header, source.size())))
}

fn open_as_it_is<'e>(
    archive: &Path,
    for_a_folder: &str,
    environment: &'e Environment<'_>,
) -> anyhow::Result<Box<dyn SharedSource + 'e>> {
    if archive == Path::new("-") {
        if std::io::stdin().is_terminal() {
            let wrong =
                "an archive cannot come from a terminal: redirect standard input, or give a FILE";
            return Err(UsageError(wrong.to_owned()).into());
        }
        return Ok(Box::new(StreamSource::new(std::io::stdin())));
    }
    if let Some((address, name)) = file_in_store(archive)? {
        return environment.open_in_store(&address, &name);
    }
    if let Some(url) = url(archive) {
        environment.lies_at(Beside::Url(url.to_owned()));
        let web = environment.network()?.web;
        return Ok(Box::new(RemoteArchive::open(web, url, environment.console)?));
    }
    let file = File::open(archive)?;
    if file.metadata()?.is_dir() {
        let name = archive.display();
        return Err(
            UsageError(format!("{name} is a folder, not an archive: {for_a_folder}")).into()
        );
    }
    for path in [archive, &behind_links(archive)] {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        environment.lies_at(Beside::Folder(folder.unwrap_or(Path::new(".")).to_owned()));
    }
    environment.opens(archive);
    Ok(Box::new(file))
}

/// Opens what is no archive, but lies where one could, and decrypts it if it is encrypted.
pub(crate) fn open_alone<'e>(
    path: &Path,
    environment: &'e Environment<'_>,
) -> anyhow::Result<Box<dyn SharedSource + 'e>> {
    let source: Box<dyn SharedSource + 'e> = match is_remote(path) {
        true => open_as_it_is(path, "", environment)?,
        false => Box::new(File::open(path)?),
    };
    environment.decrypted(source, &path.display().to_string())
}

/// Is the file encrypted, by its name?
pub(crate) fn is_encrypted(path: &Path) -> bool {
    let ending = path.extension().map(OsStr::as_bytes);
    ending.is_some_and(|ending| ending == b"age" || ending == b"enc")
}

/// The manifest of an archive, or of the folder into which one was unpacked.
pub(crate) fn manifest(
    archive: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<AnyManifest> {
    let name = archive.display().to_string();
    let context = || format!("cannot read the manifest of {name}");
    let read = if is_folder(archive) {
        read_folder_manifest(archive, &environment.limits)
    } else {
        let mut bytes = open(archive, "", environment).with_context(context)?;
        read_manifest(&mut *bytes, &name, &environment.limits, environment.console)
    };
    read.with_context(context)
}

/// The manifest of an archive, or of the folder into which one was unpacked; and what it holds, if the manifest does not say so.
pub(crate) fn contents(
    archive: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<(AnyManifest, StoredEntries)> {
    let name = archive.display().to_string();
    let context = || format!("cannot read {name}");
    let read = if is_folder(archive) {
        let manifest = read_folder_manifest(archive, &environment.limits);
        manifest.map(|manifest| (manifest, StoredEntries::default()))
    } else {
        let mut bytes = open(archive, "", environment).with_context(context)?;
        read_for_listing(&mut *bytes, &name, &environment.limits, environment.console)
    };
    read.with_context(context)
}

/// The manifest of an archive that was read to its end, and what was found in it; what is wrong was reported. Of a folder or a
/// manifest alone, nothing else is read.
pub(crate) fn verified(
    archive: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<(AnyManifest, Option<StoredVerified>)> {
    if is_folder(archive) {
        return Ok((manifest(archive, environment)?, None));
    }
    let name = archive.display().to_string();
    let context = || format!("cannot verify {name}");
    let (mut bytes, is_damaged) =
        open_told(archive, "", Told::AsDamage, environment).with_context(context)?;
    let read = verify_stored(&mut *bytes, &name, &environment.limits, environment.console);
    let (manifest, stored) = read.with_context(context)?;
    Ok((manifest, stored.map(|stored| with_damage(stored, is_damaged))))
}

/// What was found, and one more fault if the manifest came from its copy.
fn with_damage(stored: StoredVerified, is_damaged: bool) -> StoredVerified {
    let wrong = stored.wrong + u64::from(is_damaged);
    StoredVerified { is_whole: stored.is_whole && !is_damaged, wrong, ..stored }
}

/// As [`verified`]; also what the archive gave, for the rehearsal of a restore.
pub(crate) fn verified_contents(
    archive: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<(AnyManifest, Option<(StoredVerified, StoredContents)>)> {
    if is_folder(archive) {
        return Ok((manifest(archive, environment)?, None));
    }
    let name = archive.display().to_string();
    let context = || format!("cannot verify {name}");
    let (mut bytes, is_damaged) =
        open_told(archive, "", Told::AsDamage, environment).with_context(context)?;
    let read = verify_contents(&mut *bytes, &name, &environment.limits, environment.console);
    let (manifest, read) = read.with_context(context)?;
    Ok((manifest, read.map(|(stored, contents)| (with_damage(stored, is_damaged), contents))))
}

/// What says which files are in a package: the HashDB, and the cache and pools, or with `fetch` the network, too.
pub(crate) struct Knowledge {
    hashdb: Arc<dyn HashDb>,
    source: Box<dyn Source>,
    fetch: bool,
    digests: bool,
    least: Evidence,
}

/// The HashDB. One that cannot be used is reported: everything else goes on without it.
fn usable_hashdb(environment: &Environment<'_>) -> Arc<dyn HashDb> {
    match environment.local_hashdb() {
        Ok(hashdb) => hashdb,
        Err(error) => {
            environment.console.warn(&format!("going on without the HashDB: {error:#}"));
            Arc::new(NoHashDb)
        }
    }
}

impl Knowledge {
    /// A HashDB that cannot be used is reported: everything else goes on without it.
    pub(crate) fn new(environment: &Environment<'_>, fetch: bool) -> anyhow::Result<Self> {
        let hashdb = usable_hashdb(environment);
        let source = if fetch { environment.sources()?.source } else { environment.local()? };
        Ok(Self { hashdb, source, fetch, digests: false, least: Evidence::Signed })
    }

    /// The same with a HashDB that is opened when it is first asked for, and is not created.
    pub(crate) fn if_there(environment: &Environment<'_>) -> anyhow::Result<Self> {
        let hashdb: Arc<dyn HashDb> = Arc::new(environment.lazy_hashdb());
        let (source, least) = (environment.local()?, Evidence::Signed);
        Ok(Self { hashdb, source, fetch: false, digests: false, least })
    }

    /// The same with the digests of files.
    pub(crate) fn with_digests(self) -> Self {
        Self { digests: true, ..self.by_nobodys_word() }
    }

    /// The same for whoever puts files in their places: what a publisher alone has said does not count.
    pub(crate) fn by_nobodys_word(self) -> Self {
        Self { least: Evidence::Downloaded, ..self }
    }

    /// The HashDB.
    pub(crate) fn hashdb(&self) -> Arc<dyn HashDb> {
        Arc::clone(&self.hashdb)
    }

    /// What it knows of the members of packages.
    pub(crate) fn members<'k>(&'k self, environment: &'k Environment<'_>) -> PackageMembers<'k> {
        self.members_with(None, environment)
    }

    /// The same with what supplements know.
    pub(crate) fn members_with<'k>(
        &'k self,
        supplements: Option<&'k dyn KnowsMembers>,
        environment: &'k Environment<'_>,
    ) -> PackageMembers<'k> {
        PackageMembers {
            hashdb: &*self.hashdb,
            least: self.least,
            supplements,
            source: &*self.source,
            must_have: self.fetch,
            digests: self.digests,
            limits: &environment.limits,
        }
    }

    /// The entries of an archive's tree; those that packages give are known for packages of which `is_wanted` says so, by
    /// where they are laid down.
    pub(crate) fn list<'m>(
        &self,
        manifest: &'m AnyManifest,
        stored: StoredEntries,
        is_wanted: &dyn Fn(&[u8]) -> bool,
        environment: &Environment<'_>,
    ) -> Result<Listing<'m>, MembersError> {
        let members = self.members(environment);
        Listing::new(Listed { manifest, stored }, &members, is_wanted, environment.console)
    }
}
