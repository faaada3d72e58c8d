//! What detectors may know of the machine besides the tree.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

use hashget::detectors::Machine;

#[test]
fn the_nearest_configuration_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = |path: &str| folder.path().join(path);
    for file in ["system/etc/x.conf", "system/home/u/.x", "system/home/u/project/.x", "root/.x"] {
        fs_err::create_dir_all(path(file).parent().unwrap()).unwrap();
        fs_err::write(path(file), "").unwrap();
    }
    fs_err::create_dir_all(path("system/home/u/project/deep/.x")).unwrap();
    let machine = Machine { homes: vec![path("root")], ..Machine::default() };
    let found = machine.files_for(&path("system/home/u/project/deep/entry"), &[".x", "etc/x.conf"]);
    let expected = ["system/home/u/project/.x", "system/home/u/.x", "system/etc/x.conf", "root/.x"];
    assert_eq!(found, expected.map(path));
}

#[test]
fn only_variables_with_some_text_are_set() {
    let variables = [("EMPTY", ""), ("FULL", "x")].map(|(a, b)| (a.into(), b.into()));
    let machine = Machine { variables: variables.into(), ..Machine::default() };
    let found = ["EMPTY", "FULL", "NONE"].map(|name| machine.variable(name));
    assert_eq!(found, [None, Some("x"), None]);
}

#[test]
fn systems_are_above_an_entry_and_where_the_program_says() {
    let machine = Machine {
        root: Some("/".into()),
        homes: vec!["/root".into(), "/srv/image".into()],
        ..Machine::default()
    };
    let found = machine.systems_for(std::path::Path::new("/srv/image/home/x"));
    assert_eq!(
        found,
        ["/srv/image/home", "/srv/image", "/srv", "/root", "/"]
            .map(Into::<std::path::PathBuf>::into)
    );
    let unknown = Machine::default().systems_for(std::path::Path::new("/x"));
    assert!(unknown.is_empty(), "the machine that runs this is none of them");
}
