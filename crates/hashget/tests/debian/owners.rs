//! Whose a file is, by dpkg's own lists.

use std::path::PathBuf;

use hashget::detectors::{Owner, owners};

#[test]
fn dpkgs_lists_say_whose_a_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs_err::canonicalize(folder.path()).unwrap();
    let info = root.join("var/lib/dpkg/info");
    fs_err::create_dir_all(&info).unwrap();
    fs_err::create_dir_all(root.join("usr/bin")).unwrap();
    std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
    let paragraph = |name: &str| {
        let status = "Status: install ok installed\nVersion: 1:2-3\nArchitecture: amd64";
        format!("Package: {name}\n{status}\nMulti-Arch: same\n\n")
    };
    let status = paragraph("one") + &paragraph("two");
    fs_err::write(root.join("var/lib/dpkg/status"), status).unwrap();
    fs_err::write(info.join("one:amd64.list"), "/.\n/bin\n/bin/one\n/usr/x\n").unwrap();
    fs_err::write(info.join("two.list"), "/usr/x\n").unwrap();
    let diversions = "/usr/x\n/usr/x.real\ntwo\n";
    fs_err::write(root.join("var/lib/dpkg/diversions"), diversions).unwrap();
    let files = ["usr/bin/one", "usr/x", "usr/x.real", "usr/y"].map(|name| root.join(name));
    let found = owners(&files);
    let owner = |file: &PathBuf| {
        found.get(file).map(|Owner { signature, root: of }| {
            assert_eq!(*of, root);
            signature.value.clone()
        })
    };
    let name = |name: &str| Some(format!("{name}_1:2-3_amd64"));
    assert_eq!(files.each_ref().map(owner), [name("one"), name("two"), name("one"), None]);
}
