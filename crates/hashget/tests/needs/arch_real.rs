//! A package built by the real makepkg and installed by the real pacman.
//!
//! Invariant: the package and the databases here were written by those programs.

use std::path::Path;
use std::process::Command;

use hashget::model::{Digest, Evidence};

use crate::run;
use crate::system::System;

const PKGBUILD: &str = r#"
pkgname=sample-tool
pkgver=1.2
pkgrel=3
epoch=1
arch=(x86_64)
backup=(etc/sample.conf)
package() {
  mkdir -p "$pkgdir/usr/bin" "$pkgdir/usr/share/doc/sample tool" "$pkgdir/etc"
  seq 1 50000 > "$pkgdir/usr/bin/sample"
  ln -s sample "$pkgdir/usr/bin/alias"
  echo odd > "$pkgdir/usr/share/doc/sample tool/odd#na=me \\x"
  echo conf > "$pkgdir/etc/sample.conf"
}
"#;

/// Makes the package in `folder`, with the database of a repository beside it. makepkg does not run as root.
fn make(folder: &Path) {
    fs_err::write(folder.join("PKGBUILD"), PKGBUILD).unwrap();
    let mut command = Command::new("makepkg");
    command.args(["-d", "-f", "--nocheck"]);
    if rustix::process::geteuid().is_root() {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs_err::set_permissions(folder, mode).unwrap();
        command = Command::new("setpriv");
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups", "makepkg"];
        command.args(user).args(["-d", "-f", "--nocheck"]);
    }
    command.env("PKGEXT", ".pkg.tar.zst").env("CARCH", "x86_64").env("LC_ALL", "C.UTF-8");
    command.env("PKGDEST", folder).env("BUILDDIR", folder).env("HOME", folder);
    run(command.current_dir(folder));
    let package = folder.join("sample-tool-1:1.2-3-x86_64.pkg.tar.zst");
    run(Command::new("repo-add").arg(folder.join("extra.db.tar.gz")).arg(package));
}

pub(crate) fn what_pacman_installed_is_understood() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(folder.path(), mode).unwrap();
    let repository = folder.path().join("repository");
    fs_err::create_dir(&repository).unwrap();
    make(&repository);
    let mut system = System::new("arch", "arch");
    system.configure("arch", "/packages/", "");
    let configuration = format!(
        "[options]\nArchitecture = x86_64\nSigLevel = Never\n[extra]\nServer = file://{}\n",
        repository.display()
    );
    let configuration_file = folder.path().join("pacman.conf");
    fs_err::write(&configuration_file, configuration).unwrap();
    let pacman = system.root().join("var/lib/pacman");
    fs_err::create_dir_all(&pacman).unwrap();
    run(Command::new("pacman")
        .arg("--root")
        .arg(system.root())
        .arg("--config")
        .arg(&configuration_file)
        .arg("--dbpath")
        .arg(&pacman)
        .arg("--cachedir")
        .arg(system.root().join("var/cache/pacman/pkg"))
        .args(["--noconfirm", "-Sydd", "sample-tool"]));
    let name = "sample-tool-1:1.2-3-x86_64.pkg.tar.zst";
    let package = fs_err::read(repository.join(name)).unwrap();
    let candidate = system.the_only();
    assert_eq!(candidate.sha256, Some(Digest::of(&package)));
    assert!(candidate.local_file.is_some());
    let place = format!("/packages/s/sample-tool/{}", name.replace(':', "%3A"));
    assert_eq!(candidate.url, system.origin.url(&place));
    system.origin.serve(&place, package);
    fs_err::remove_dir_all(system.root().join("var/cache")).unwrap();
    for evidence in [Evidence::Local, Evidence::Declared, Evidence::Downloaded] {
        let packed = system.there_and_back(evidence);
        assert!(packed.left_out_files >= 3, "{evidence}: {}", packed.left_out_files);
        fs_err::remove_dir_all(system.path("back")).unwrap();
    }
}
