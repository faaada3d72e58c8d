//! What a system of dpkg says of itself, and what dpkg was told to do otherwise than its packages say.
//!
//! Invariant: what dpkg calls a file decides where it is looked for; its lists of digests are not read.

use std::collections::{BTreeMap, BTreeSet};

use super::super::system::{PathRules, within};
use super::super::{
    InstalledSystem, Override, PackageUrl, Release, SystemPackage, Told, TreeFiles, of_kind,
};
use super::status::{self, Installed};
use super::{Diversions, diversions_in};
use crate::model::{RelPath, Signature};

/// The distribution whose packages these are if nothing says otherwise.
const ID: &str = "debian";

/// The package whose version says which release a system is of: `12.4+deb12u5`.
const BASE: &str = "base-files";

/// Scripts of packages that may set modes and owners.
const SCRIPTS: [&str; 2] = ["preinst", "postinst"];

/// Members of a package that dpkg does not keep as they are.
const NOT_KEPT: &str = "control/control";

/// Folders of its own whose owner and mode apt sets whenever it downloads, and the user for that.
const OF_DOWNLOADS: [&str; 2] = ["var/cache/apt/archives/partial", "var/lib/apt/lists/partial"];
const DOWNLOADER: &str = "_apt";

/// What everybody calls a package with this signature.
pub(super) fn package_url(signature: &Signature, url: &str) -> Option<PackageUrl> {
    let (rest, architecture) = of_kind(signature, "deb")?.rsplit_once('_')?;
    let (name, version) = rest.split_once('_')?;
    // Debian has packages with this name in theirs.
    let place = url.split("/pool/").next().and_then(|url| url.rsplit_once('/'));
    let place = place.map_or("", |(place, _)| place);
    let is_ubuntu = place.contains("launchpad") || place.contains("ubuntu");
    let distribution = if is_ubuntu { "ubuntu" } else { ID };
    let package = PackageUrl::new("deb", name).within([distribution]).at(version);
    Some(package.with("arch", architecture))
}

/// The system in `folder` of the tree, whose list of packages is `path`.
pub(super) fn read(
    tree: &dyn TreeFiles,
    folder: &RelPath,
    path: &RelPath,
) -> Option<InstalledSystem> {
    let is_list = path.as_bytes().ends_with(b"/status");
    let lists: Vec<RelPath> = match is_list {
        true => vec![path.clone()],
        false => {
            let names = tree.names(path).into_iter().filter(|name| !name.ends_with(b".md5sums"));
            names.filter_map(|name| path.join(&name).ok()).collect()
        }
    };
    let lists = lists.iter().filter_map(|list| tree.read(list));
    let installed: Vec<Installed> =
        lists.filter_map(|list| Some(status::read(&list[..]).ok()?.0)).flatten().collect();
    let release = release(tree, folder, &installed);
    let packages = installed.into_iter().map(|package| described(package, &release, is_list));
    Some(InstalledSystem {
        folder: folder.clone(),
        packages: packages.collect(),
        told: told(tree, folder),
        release,
    })
}

/// What the system says of itself; without an `os-release`, by the package that would have it.
fn release(tree: &dyn TreeFiles, folder: &RelPath, installed: &[Installed]) -> Release {
    let mut release = Release::read(tree, folder);
    let base = installed.iter().find(|package| package.name == BASE);
    if let Some(base) = base.filter(|_| release.id.is_empty()) {
        let major = base.version.split(|next: char| !next.is_ascii_digit()).next();
        let is_derived = base.version.contains("ubuntu");
        (release.id, release.version) = match (is_derived, major) {
            (false, Some(major)) => (ID.to_owned(), major.to_owned()),
            (false, None) => (ID.to_owned(), String::new()),
            (true, _) => ("ubuntu".to_owned(), String::new()),
        };
    }
    release
}

/// `has_info`: does dpkg keep what is in the package besides its files?
fn described(package: Installed, release: &Release, has_info: bool) -> SystemPackage {
    let Installed { name, version, architecture, multi_arch_same, conffiles, source } = &package;
    let distribution = if release.id.is_empty() { ID } else { &release.id };
    let mut url = PackageUrl::new("deb", name.clone()).within([distribution]).at(version.clone());
    url = url.with("arch", architecture.clone()).with("distro", release.distribution());
    let source = source.as_ref().map(|(source, of)| match of {
        Some(of) => format!("{source}@{of}"),
        None => source.clone(),
    });
    let qualified = if *multi_arch_same { format!("{name}:{architecture}") } else { name.clone() };
    let info = format!("var/lib/dpkg/info/{qualified}.");
    let mut places = vec![("data/", String::new())];
    let mut scripts = Vec::new();
    if has_info {
        places.push(("control/", info.clone()));
        let script = |script: &str| {
            let member = RelPath::new(format!("control/{script}")).ok()?;
            Some((member, RelPath::new(format!("{info}{script}")).ok()?))
        };
        scripts.extend(SCRIPTS.iter().filter_map(|name| script(name)));
    }
    SystemPackage {
        signature: Signature { kind: "deb".to_owned(), value: package.full_name() },
        name: name.clone(),
        package_url: url.with("upstream", source.unwrap_or_default()),
        places,
        configuration: conffiles.iter().map(|(path, _)| path.clone()).collect(),
        may_be_missing: BTreeSet::new(),
        scripts,
    }
}

/// Is this member of a package a file of the system afterwards?
pub(super) fn is_laid_down(member: &RelPath) -> bool {
    member.as_bytes() != NOT_KEPT.as_bytes()
}

fn told(tree: &dyn TreeFiles, folder: &RelPath) -> Told {
    let read = |path: &str| within(folder, path).and_then(|path| tree.read(&path));
    let text = |path: &str| String::from_utf8_lossy(&read(path).unwrap_or_default()).into_owned();
    let diverted: Diversions =
        read("var/lib/dpkg/diversions").map(|list| diversions_in(&list)).unwrap_or_default();
    let (users, groups) = (numbers(&text("etc/passwd")), numbers(&text("etc/group")));
    let overridden = text("var/lib/dpkg/statoverride");
    let by_apt = Override { mode: 0o700, uid: users.get(DOWNLOADER).copied(), gid: None };
    let of_downloads = OF_DOWNLOADS.iter().filter_map(|path| RelPath::new(*path).ok());
    let overridden = overridden.lines().filter_map(|line| overriding(line, &users, &groups));
    Told {
        diverted,
        overridden: of_downloads.map(|path| (path, by_apt)).chain(overridden).collect(),
        unwanted: unwanted(tree, folder, &text),
        configuration: Vec::new(),
    }
}

/// Names and numbers of users or groups: the first and the third field of each line.
fn numbers(text: &str) -> BTreeMap<String, u32> {
    let understand = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(understand).collect()
}

/// `USER GROUP MODE PATH`, where a user or group may be a `#` and a number.
fn overriding(
    line: &str,
    users: &BTreeMap<String, u32>,
    groups: &BTreeMap<String, u32>,
) -> Option<(RelPath, Override)> {
    let mut fields = line.splitn(4, ' ');
    let (user, group, mode, path) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let number = |name: &str, known: &BTreeMap<String, u32>| match name.strip_prefix('#') {
        Some(number) => number.parse().ok(),
        None => known.get(name).copied().or((name == "root").then_some(0)),
    };
    let mode = u32::from_str_radix(mode, 8).ok()?;
    let (uid, gid) = (number(user, users), number(group, groups));
    Some((RelPath::normalise(path.as_bytes()).ok()?, Override { mode, uid, gid }))
}

/// `path-exclude` and `path-include` of dpkg's configuration, and the languages that localepurge removes.
fn unwanted(tree: &dyn TreeFiles, folder: &RelPath, text: &dyn Fn(&str) -> String) -> PathRules {
    let mut rules = PathRules::default();
    // What apt made may be removed with the lists: it makes it anew.
    OF_DOWNLOADS.iter().for_each(|path| rules.add(&format!("/{path}"), true));
    let parts = within(folder, "etc/dpkg/dpkg.cfg.d").map(|parts| tree.names(&parts));
    let parts =
        parts.unwrap_or_default().into_iter().filter_map(|name| String::from_utf8(name).ok());
    let files = parts.map(|name| format!("etc/dpkg/dpkg.cfg.d/{name}"));
    for file in files.chain(["etc/dpkg/dpkg.cfg".to_owned()]) {
        for line in text(&file).lines() {
            let Some((option, pattern)) = line.split_once(['=', ' ']) else { continue };
            match option.trim().trim_start_matches("--") {
                "path-exclude" => rules.add(pattern.trim(), true),
                "path-include" => rules.add(pattern.trim(), false),
                _ => {}
            }
        }
    }
    let purged = text("etc/locale.nopurge");
    if !purged.is_empty() && !purged.contains("\nNEEDSCONFIGFIRST") {
        let languages = ["/usr/share/locale/*/*", "/usr/share/man/[!m]*", "/usr/share/man/m[!a]*"];
        let others =
            ["/usr/share/gnome/help/*/*", "/usr/share/omf/*/*", "/usr/share/doc/kde/HTML/*/*"];
        languages.iter().chain(&others).for_each(|pattern| rules.add(pattern, true));
    }
    rules
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Files(BTreeMap<&'static str, &'static str>);

    impl TreeFiles for Files {
        fn read(&self, path: &RelPath) -> Option<Vec<u8>> {
            self.0.get(&*path.to_string()).map(|text| text.as_bytes().to_vec())
        }

        fn names(&self, folder: &RelPath) -> Vec<Vec<u8>> {
            let prefix = format!("{folder}/");
            let names = self.0.keys().filter_map(|path| path.strip_prefix(&*prefix));
            names.filter(|name| !name.contains('/')).map(|name| name.as_bytes().to_vec()).collect()
        }
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    const STATUS: &str = "Package: libx\nStatus: install ok installed\nVersion: 1:2-3\nArchitecture: amd64\n\
        Multi-Arch: same\nSource: x (1:2-2)\nConffiles:\n /etc/x 900150983cd24fb0d6963f7d28e17f72\n\n\
        Package: base-files\nStatus: install ok installed\nVersion: 12.4+deb12u5\nArchitecture: amd64\n";

    #[test]
    fn a_system_without_an_os_release_is_told_by_its_base() {
        let files = Files([("var/lib/dpkg/status", STATUS)].into());
        let system = read(&files, &RelPath::root(), &path("var/lib/dpkg/status")).unwrap();
        assert_eq!((&*system.release.id, &*system.release.version), ("debian", "12"));
        let package = &system.packages[0];
        let expected = "pkg:deb/debian/libx@1:2-3?arch=amd64&distro=debian-12&upstream=x%401:2-2";
        assert_eq!(package.package_url.to_string(), expected);
        assert_eq!(package.places[1], ("control/", "var/lib/dpkg/info/libx:amd64.".to_owned()));
        assert_eq!(package.configuration, [path("etc/x")]);
    }

    #[test]
    fn what_dpkg_was_told_is_understood() {
        let files = Files(
            [
                ("srv/a/var/lib/dpkg/status", STATUS),
                ("srv/a/usr/lib/os-release", "ID=ubuntu\nVERSION_ID=\"22.04\"\n"),
                ("srv/a/var/lib/dpkg/diversions", "/bin/sh\n/bin/sh.distrib\ndash\n/a\n/b\n:\n"),
                (
                    "srv/a/var/lib/dpkg/statoverride",
                    "root ssl 2755 /usr/bin/a\n#7 nobody 600 /b\nbroken\n",
                ),
                ("srv/a/etc/group", "root:x:0:\nssl:x:107:\n"),
                (
                    "srv/a/etc/dpkg/dpkg.cfg.d/slim",
                    "path-exclude=/usr/share/doc/*\npath-include=*/copyright\n",
                ),
                ("srv/a/etc/locale.nopurge", "MANDELETE\nen\n"),
            ]
            .into(),
        );
        let system = read(&files, &path("srv/a"), &path("srv/a/var/lib/dpkg/status")).unwrap();
        let told = &system.told;
        assert_eq!(told.diverted[&path("a")], (path("b"), None));
        assert_eq!(told.diverted[&path("bin/sh")].1.as_deref(), Some("dash"));
        let of = |name| told.overridden[&path(name)];
        assert_eq!(of("usr/bin/a"), Override { mode: 0o2755, uid: Some(0), gid: Some(107) });
        assert_eq!(of("b"), Override { mode: 0o600, uid: Some(7), gid: None });
        for (name, expected) in [
            ("usr/share/doc/a/x", true),
            ("usr/share/doc/a/copyright", false),
            ("usr/share/locale/de/LC_MESSAGES/a.mo", true),
            ("usr/share/man/de/man1/a.1.gz", true),
            ("usr/share/man/man1/a.1.gz", false),
        ] {
            assert_eq!(told.unwanted.has(&path(name)), expected, "{name}");
        }
        assert!(system.packages[0].package_url.to_string().contains("distro=ubuntu-22.04"));
    }
}
