//! Packages built by the real rpmbuild, installed by the real rpm, listed by the real createrepo_c.
//!
//! Invariant: every package and every database here was written by those programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use hashget::model::{Digest, Evidence};

use crate::run;
use crate::system::System;

const SPEC: &str = r#"
Name: sample-tool
Version: 1.2
Release: 3.x1
Epoch: 2
Summary: s
License: MIT
Vendor: Example
%define __os_install_post %{nil}
%description
d
%package libs
Summary: l
BuildArch: noarch
%description libs
l
%install
mkdir -p "%{buildroot}/usr/bin" "%{buildroot}/usr/share/doc/x y" %{buildroot}/etc
seq 1 50000 > %{buildroot}/usr/bin/sample
ln %{buildroot}/usr/bin/sample %{buildroot}/usr/bin/sample2
ln -s sample %{buildroot}/usr/bin/alias
echo doc > "%{buildroot}/usr/share/doc/x y/a"
echo lib > "%{buildroot}/usr/share/doc/lib"
echo c > %{buildroot}/etc/sample.conf
touch %{buildroot}/etc/ghost
%files
/usr/bin/*
%config /etc/sample.conf
%ghost /etc/ghost
"/usr/share/doc/x y"
%files libs
/usr/share/doc/lib
"#;

/// The packages, built in `folder`.
fn build(folder: &Path) -> Vec<PathBuf> {
    let spec = folder.join("sample.spec");
    fs_err::write(&spec, SPEC).unwrap();
    let top = format!("_topdir {}", folder.join("top").display());
    run(Command::new("rpmbuild")
        .args(["--define", &top, "--define", "_build_id_links none", "-bb"])
        .arg(spec));
    let packages = folder.join("top/RPMS");
    vec![
        packages.join(format!("{0}/sample-tool-1.2-3.x1.{0}.rpm", std::env::consts::ARCH)),
        packages.join("noarch/sample-tool-libs-1.2-3.x1.noarch.rpm"),
    ]
}

/// A system with the packages, in a database of this kind.
fn installed(packages: &[PathBuf], backend: &str) -> System {
    let system = System::new("rpm", "own");
    let mut command = Command::new("rpm");
    command.arg("--root").arg(system.root());
    command.args(["--define", &format!("_db_backend {backend}"), "--dbpath", "/var/lib/rpm"]);
    command.args(["--nodeps", "--ignorearch", "--ignoreos", "--nosignature", "-i"]).args(packages);
    run(&mut command);
    system
}

pub(crate) fn what_rpm_installed_with_sqlite_is_understood() {
    assert_understood("sqlite");
}

pub(crate) fn what_rpm_installed_with_ndb_is_understood() {
    assert_understood("ndb");
}

fn assert_understood(backend: &str) {
    let folder = tempfile::tempdir().unwrap();
    let packages = build(folder.path());
    let repository = folder.path().join("top/RPMS");
    run(Command::new("createrepo_c").args(["--general-compress-type=gz"]).arg(&repository));
    let mut system = installed(&packages, backend);
    system.configure("own", "/packages/", "/kept/");
    let (candidates, notes) = system.found();
    assert!(candidates.len() == 2 && notes.is_empty(), "{candidates:?} {notes:?}");
    let machine = std::env::consts::ARCH;
    let place =
        format!("/packages/sample-tool/1.2/3.x1/{machine}/sample-tool-1.2-3.x1.{machine}.rpm");
    assert!(candidates.iter().any(|one| one.url == system.origin.url(&place)), "{candidates:?}");
    // With what a client knows of a repository.
    let cache = system.root().join("var/cache/libdnf5/own-0123456789abcdef/repodata");
    fs_err::create_dir_all(&cache).unwrap();
    for entry in fs_err::read_dir(repository.join("repodata")).unwrap() {
        let entry = entry.unwrap();
        fs_err::copy(entry.path(), cache.join(entry.file_name())).unwrap();
    }
    let server = system.origin.url("/kept/repo");
    system.write("etc/yum.repos.d/own.repo", format!("[own]\nbaseurl = {server}\n"));
    for package in &packages {
        let place = package.strip_prefix(&repository).unwrap();
        let bytes = fs_err::read(package).unwrap();
        system.origin.serve(&format!("/kept/repo/{}", place.display()), bytes);
    }
    let (candidates, notes) = system.found();
    assert!(candidates.len() == 2 && notes.is_empty(), "{candidates:?} {notes:?}");
    for package in &packages {
        let digest = Digest::of(&fs_err::read(package).unwrap());
        assert!(candidates.iter().any(|one| one.sha256 == Some(digest)), "{candidates:?}");
    }
    for evidence in [Evidence::Local, Evidence::Declared, Evidence::Downloaded] {
        let packed = system.there_and_back(evidence);
        assert!(packed.left_out_files >= 4, "{evidence}: {}", packed.left_out_files);
        fs_err::remove_dir_all(system.path("back")).unwrap();
    }
}
