//! Systems of pacman.
//!
//! Invariant: what is damaged or lies is told, and costs no file: it is archived.

use hashget::model::{Checksum, Digest, Evidence};
use hashget_testkit::origin::Fault;
use hashget_testkit::packages::{TarBuilder, compress};

use super::{System, noise};

/// A package with its files.
pub(crate) struct Package {
    name: &'static str,
    version: &'static str,
    validation: &'static str,
    built: u64,
    files: Vec<(String, Vec<u8>)>,
}

impl Package {
    fn new(name: &'static str, version: &'static str) -> Self {
        let files = vec![
            (format!("etc/{name}.conf"), b"setting = 1\n".to_vec()),
            (format!("usr/bin/{name}"), noise(name, 800_000)),
            (format!("usr/share/{name}/a b"), b"odd name".to_vec()),
        ];
        Self { name, version, validation: "pgp", built: 1_700_000_000, files }
    }

    fn full_name(&self) -> String {
        format!("{}-{}-x86_64", self.name, self.version)
    }

    fn file(&self) -> String {
        format!("{}.pkg.tar.zst", self.full_name())
    }

    fn folder(&self) -> String {
        format!("var/lib/pacman/local/{}-{}", self.name, self.version)
    }

    fn mtree(&self) -> Vec<u8> {
        let mut list = "#mtree\n/set type=file uid=0 gid=0 mode=644\n./.PKGINFO time=1.0 size=3 \
                        sha256digest=0000000000000000000000000000000000000000000000000000000000000000\n\
                        ./usr time=1.0 mode=755 type=dir\n"
            .to_owned();
        for (path, content) in &self.files {
            let path = path.replace(' ', "\\040");
            let (size, digest) = (content.len(), Digest::of(content));
            list += &format!("./{path} time=1.0 size={size} sha256digest={digest}\n");
        }
        compress("gzip", list.as_bytes())
    }

    /// As makepkg writes it: what describes the package comes first.
    fn package(&self) -> Vec<u8> {
        let info = format!(
            "# Generated\npkgname = {}\npkgbase = x\npkgver = {}\narch = x86_64\n",
            self.name, self.version
        );
        let tar = TarBuilder::new()
            .file(".BUILDINFO", b"format = 2\n")
            .file(".MTREE", &self.mtree())
            .file(".PKGINFO", info.as_bytes());
        let tar = self.files.iter().fold(tar, |tar, (path, content)| tar.file(path, content));
        compress("zstd", &tar.finish())
    }

    fn description(&self, more: &str) -> String {
        format!(
            "%NAME%\n{}\n\n%VERSION%\n{}\n\n%BASE%\nx\n\n%ARCH%\nx86_64\n\n%BUILDDATE%\n{}\n\n{more}",
            self.name, self.version, self.built
        )
    }

    fn install(&self, system: &System) {
        for (path, content) in &self.files {
            system.write(path, content);
        }
        let folder = self.folder();
        let validation = format!("%VALIDATION%\n{}\n\n", self.validation);
        system.write(&format!("{folder}/desc"), self.description(&validation));
        system.write(&format!("{folder}/mtree"), self.mtree());
        system.write("var/lib/pacman/local/ALPM_DB_VERSION", "9\n");
    }

    /// The path of the package in an archive at `/packages/`.
    fn place(&self) -> String {
        let first = &self.name[..1];
        format!("/packages/{first}/{}/{}", self.name, self.file()).replace(':', "%3A")
    }
}

/// The repository's database has these packages.
fn sync(system: &System, repository: &str, packages: &[(&Package, &[u8])]) {
    let tar = packages.iter().fold(TarBuilder::new(), |tar, (package, bytes)| {
        let (file, size, digest) = (package.file(), bytes.len(), Digest::of(bytes));
        let more = format!("%FILENAME%\n{file}\n\n%CSIZE%\n{size}\n\n%SHA256SUM%\n{digest}\n\n");
        let folder = format!("{}-{}", package.name, package.version);
        tar.file(&format!("{folder}/desc"), package.description(&more).as_bytes())
    });
    let file = format!("var/lib/pacman/sync/{repository}.db");
    system.write(&file, compress("gzip", &tar.finish()));
}

/// A system with one package that its repository still has, and an archive that keeps it.
fn synced() -> (System, Package) {
    let (mut system, package) = (System::new("arch", "arch"), Package::new("tool", "1:1.0-2"));
    system.configure("arch", "/packages/", "");
    package.install(&system);
    sync(&system, "extra", &[(&package, &package.package())]);
    system.origin.serve(&package.place(), package.package());
    (system, package)
}

#[test]
fn a_package_is_known_by_name_digest_and_place() {
    let (system, package) = synced();
    system.write(&format!("var/cache/pacman/pkg/{}", package.file()), package.package());
    let candidate = system.the_only();
    assert_eq!(candidate.url, system.origin.url(&package.place()));
    assert_eq!(candidate.sha256, Some(Digest::of(&package.package())));
    assert_eq!(candidate.size, Some(package.package().len() as u64));
    assert_eq!(candidate.signature.unwrap().to_string(), "arch:tool-1:1.0-2-x86_64");
    assert!(candidate.local_file.unwrap().ends_with(package.file()));
    let listed = candidate.lists[0].local().unwrap().unwrap();
    let paths: Vec<String> = listed.iter().map(|file| file.path.to_string()).collect();
    assert_eq!(paths, ["etc/tool.conf", "usr/bin/tool", "usr/share/tool/a b"]);
    assert_eq!(listed[0].checksum, Checksum::from(Digest::of(b"setting = 1\n")));
}

#[test]
fn a_system_is_named_for_everybody_and_compared() {
    let (system, _) = synced();
    system.there_and_back(Evidence::Downloaded);
    let url = "pkg:alpm/arch/tool@1:1.0-2?arch=x86_64&distro=arch-41&upstream=x";
    system.told_and_compared(url, "usr/share/tool/a b");
}

#[test]
fn a_system_comes_back_on_any_evidence() {
    for evidence in [Evidence::Local, Evidence::Declared, Evidence::Downloaded] {
        let (system, _) = synced();
        system.write("etc/own.conf", "my own words");
        let packed = system.there_and_back(evidence);
        // With the package itself, pacman's list comes back too: it is `.MTREE`.
        let expected = if evidence == Evidence::Downloaded { 4 } else { 3 };
        assert_eq!(packed.left_out_files, expected, "{evidence}");
        let (record, _) = system.known();
        assert_eq!(record.evidence, evidence);
    }
}

#[test]
fn declared_takes_the_head_alone_and_local_nothing() {
    let (system, package) = synced();
    let (indexed, recorder) = system.index(Evidence::Local);
    assert_eq!((indexed.new, recorder.recorded().downloaded_bytes), (1, 0));
    let (indexed, recorder) = system.index(Evidence::Declared);
    assert_eq!((indexed.new, indexed.failed.len()), (1, 0));
    let fetched = recorder.recorded().downloaded_bytes;
    assert!(fetched > 0 && fetched * 4 < package.package().len() as u64, "{fetched}");
    assert_eq!(system.known().1, ["etc/tool.conf", "usr/bin/tool", "usr/share/tool/a b"]);
}

#[test]
fn a_changed_file_and_a_list_that_lies() {
    for evidence in [Evidence::Local, Evidence::Declared] {
        let (system, _) = synced();
        system.write("etc/tool.conf", "setting = 2\n");
        system.index(evidence);
        assert_eq!(system.known().1, ["usr/bin/tool", "usr/share/tool/a b"], "{evidence}");
    }
    let (system, mut package) = synced();
    let evil = b"evil".repeat(1000);
    system.write("usr/bin/tool", &evil);
    package.files[1].1.clone_from(&evil);
    system.write(&format!("{}/mtree", package.folder()), package.mtree());
    let knows_it = |system: &System| {
        use hashget::hashdb::{HashDb as _, Key};
        !system.hashdb.find_one(Key::Content(Digest::of(&evil))).unwrap().is_empty()
    };
    system.index(Evidence::Local);
    assert!(knows_it(&system), "that is what local evidence means");
    system.index(Evidence::Declared);
    assert!(!knows_it(&system));
}

#[test]
fn a_head_of_another_package_or_none_is_not_believed() {
    let (system, package) = synced();
    let mut other = Package::new("fool", "1:1.0-2");
    other.files.clone_from(&package.files);
    let mut bytes = other.package();
    bytes.resize(package.package().len(), 0);
    system.origin.serve(&package.place(), bytes);
    let (indexed, recorder) = system.index(Evidence::Declared);
    // The head is refused, and so is the download: it has another digest.
    assert_eq!((indexed.new, indexed.failed.len()), (0, 0), "a file of the tree named it: a note");
    let problems = recorder.recorded().problems;
    assert!(problems.iter().any(|(_, _, text)| text.contains("fool-1:1.0-2")), "{problems:?}");
    let (system, package) = synced();
    system.origin.always(&package.place(), Fault::NoRange);
    assert_eq!(system.index(Evidence::Declared).0.new, 1, "a server without ranges");
}

#[test]
fn a_package_that_left_its_repository_is_downloaded() {
    let (mut system, package) = (System::new("arch", "arch"), Package::new("tool", "1.0-2"));
    system.configure("arch", "/packages/", "");
    package.install(&system);
    let newer = Package::new("tool", "1.0-3");
    sync(&system, "extra", &[(&newer, b"newer")]);
    // Built again under the same name: it is another file.
    let again = Package { built: 1, ..Package::new("tool", "1.0-2") };
    sync(&system, "testing", &[(&again, b"again")]);
    system.origin.serve(&package.place(), package.package());
    let candidate = system.the_only();
    assert_eq!((candidate.sha256, candidate.size), (None, None));
    let (indexed, recorder) = system.index(Evidence::Local);
    assert_eq!(indexed.new, 1);
    assert_eq!(system.known().0.evidence, Evidence::Downloaded);
    assert!(!recorder.recorded().skipped.is_empty());
}

#[test]
fn the_name_of_the_file_goes_by_cache_and_time() {
    let (mut system, mut package) = (System::new("arch", "arch"), Package::new("tool", "1.0-2"));
    system.configure("arch", "/packages/", "");
    package.install(&system);
    assert!(system.the_only().url.ends_with("/t/tool/tool-1.0-2-x86_64.pkg.tar.zst"));
    package.built = 1_500_000_000;
    package.install(&system);
    assert!(system.the_only().url.ends_with("/tool-1.0-2-x86_64.pkg.tar.xz"));
    system.write("var/cache/pacman/pkg/tool-1.0-2-x86_64.pkg.tar.zst", "x");
    assert!(system.the_only().url.ends_with("/tool-1.0-2-x86_64.pkg.tar.zst"));
}

#[test]
fn archives_are_learned_from_the_machine() {
    let package = Package::new("tool", "1.0-2");
    let file = package.file();
    let own_archive = format!("https://archive.distribution.example/packages/t/tool/{file}");
    let dated = "https://kept.example/x/repos/2024/02/29/$repo/os/$arch";
    for (id, mirrors, repository, expected) in [
        ("arch", "https://mirror.example/$repo/os/$arch", "extra", Some(own_archive)),
        ("arch", dated, "extra", Some(format!("https://kept.example/x/packages/t/tool/{file}"))),
        (
            "arch",
            dated,
            "own",
            Some(format!("https://kept.example/x/repos/2024/02/29/own/os/x86_64/{file}")),
        ),
        ("arch", "https://mirror.example/$repo/os/$arch", "own", None),
        ("other", "https://mirror.example/$repo/os/$arch", "extra", None),
        ("other", "https://u:secret@kept.example/repos/2024/02/29/$repo", "extra", None),
    ] {
        let system = System::new("arch", id);
        package.install(&system);
        sync(&system, repository, &[(&package, b"bytes")]);
        let configuration = format!(
            "[options]\nArchitecture = auto\n# Server = https://no.example\n[{repository}]\n\
             Include = /etc/pacman.d/mirrorlist\n"
        );
        system.write("etc/pacman.conf", configuration);
        system.write("etc/pacman.d/mirrorlist", format!("## near\nServer = {mirrors}\n"));
        let (candidates, notes) = system.found();
        let url = candidates.first().map(|candidate| candidate.url.clone());
        assert_eq!(url, expected, "{id} {mirrors} {repository}");
        assert_eq!(notes.len(), usize::from(url.is_none()), "{notes:?}");
        assert!(!format!("{notes:?}").contains("secret"));
    }
}

#[test]
fn repositories_of_the_configuration_lose_nothing() {
    let (mut system, package) = (System::new("arch", "own"), Package::new("tool", "1.0-2"));
    system.configure("own", "", "/kept/");
    system.configure("arch", "/packages/", "");
    package.install(&system);
    sync(&system, "ours", &[(&package, &package.package())]);
    let server = system.origin.url("/kept/$repo/$arch");
    system.write("etc/pacman.conf", format!("[ours]\nServer = {server}/\n"));
    let path = format!("/kept/ours/x86_64/{}", package.file());
    assert_eq!(system.the_only().url, system.origin.url(&path));
    system.origin.serve(&path, package.package());
    assert_eq!(system.there_and_back(Evidence::Declared).left_out_files, 3);
}

#[test]
fn what_was_built_here_is_archived() {
    let (mut system, mut package) = (System::new("arch", "arch"), Package::new("tool", "1.0-2"));
    system.configure("arch", "/packages/", "");
    package.validation = "none";
    package.install(&system);
    let (candidates, notes) = system.found();
    assert!(candidates.is_empty());
    assert!(notes[0].problem.contains("1 packages are of no repository"), "{notes:?}");
}

#[test]
fn damage_is_told_and_the_others_go_on() {
    let (system, package) = synced();
    for (name, desc) in [
        ("empty-1-1", String::new()),
        ("cut-1-1", "%NAME%\ncut\n\n%VERSI".to_owned()),
        ("evil-1-1", "%NAME%\n../evil\n\n%VERSION%\n1-1\n\n%ARCH%\nany\n\n".to_owned()),
        ("other-1-1", "%NAME%\nx\n\n%VERSION%\n1-1\n\n%ARCH%\nany\n\n".to_owned()),
        ("large-1-1", "x".repeat(2 << 20)),
    ] {
        system.write(&format!("var/lib/pacman/local/{name}/desc"), desc);
    }
    fs_err::create_dir_all(system.root().join("var/lib/pacman/local/none-1-1")).unwrap();
    system.write("var/lib/pacman/sync/broken.db", b"\x1f\x8b\x08\0broken");
    system.write("var/lib/pacman/sync/text.db", "no archive");
    system.write("var/lib/pacman/sync/ignored.db.sig", "x");
    let (candidates, notes) = system.found();
    assert_eq!(candidates.len(), 1, "{candidates:?}");
    assert_eq!(candidates[0].sha256, Some(Digest::of(&package.package())));
    let problems: Vec<&str> = notes.iter().map(|note| &*note.problem).collect();
    assert_eq!(notes.len(), 7, "{notes:?}");
    for expected in ["no %NAME%", "no %VERSION%", "../evil", "package x-1-1", "too many"] {
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{expected}: {problems:?}"
        );
    }
    let list = &candidates[0].lists[0];
    let mtree = format!("{}/mtree", package.folder());
    for bytes in [&b""[..], b"\x1f\x8b\x08", b"\0\xff", &package.mtree()[..40]] {
        system.write(&mtree, bytes);
        assert!(!matches!(list.local(), Ok(Some(files)) if !files.is_empty()));
    }
    fs_err::remove_file(system.root().join(&mtree)).unwrap();
    assert_eq!(list.local(), Ok(None));
}

#[test]
fn links_do_not_lead_out_of_the_system() {
    let (system, package) = synced();
    let outside = tempfile::tempdir().unwrap();
    fs_err::write(outside.path().join("mtree"), package.mtree()).unwrap();
    let candidate = system.the_only();
    let folder = system.root().join(package.folder());
    fs_err::remove_file(folder.join("mtree")).unwrap();
    fs_err::os::unix::fs::symlink(outside.path().join("mtree"), folder.join("mtree")).unwrap();
    assert_eq!(candidate.lists[0].local(), Ok(None));
    fs_err::remove_dir_all(system.root().join("var/lib/pacman")).unwrap();
    fs_err::create_dir_all(system.root().join("var/lib/pacman")).unwrap();
    let local = system.root().join("var/lib/pacman/local");
    fs_err::os::unix::fs::symlink("/", &local).unwrap();
    assert!(system.found().0.is_empty());
    fs_err::remove_file(&local).unwrap();
    fs_err::write(&local, "a file").unwrap();
    assert!(system.found().0.is_empty());
}
