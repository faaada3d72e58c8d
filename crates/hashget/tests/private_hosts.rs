//! Hosts for which a client on this machine has credentials: what they give is not taken for public.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

use std::path::Path;

use hashget::detectors::{Machine, PrivateHosts, select};
use hashget::index::detect_tree;
use hashget::model::RelPath;
use hashget::monitor::Silent;

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

const URL: &str = "https://r.example/npm/@corp/a/-/a-1.0.0.tgz";

/// A file, its contents, and what is set in the environment.
type Way = (&'static str, &'static str, Option<(&'static str, &'static str)>);

/// Each way in which a client may have credentials for the host of [`URL`], with what it lies beside.
fn ways() -> Vec<Way> {
    vec![
        (".npmrc", "//r.example/npm/:_authToken=SECRET\n", None),
        (".npmrc", "//r.example/:_authToken=${NPM_TOKEN}\n", None),
        (".npmrc", "//R.example/other/:_password=SECRET\n//R.example/other/:username=u\n", None),
        (".npmrc", "@corp:registry=https://r.example/npm/\n_auth=SECRET\nalways-auth=true\n", None),
        (".npmrc", "registry = https://r.example\n_authToken = SECRET\n", None),
        (".npmrc", "registry=https://u:SECRET@r.example/npm\n", None),
        ("etc/npmrc", "//r.example/:_authToken=SECRET\n", None),
        (".yarnrc", "\"//r.example/npm/:_authToken\" \"SECRET\"\n", None),
        (".yarnrc.yml", "npmRegistryServer: \"https://r.example\"\nnpmAuthToken: SECRET\n", None),
        (
            ".yarnrc.yml",
            "npmScopes:\n  corp:\n    npmAuthIdent: SECRET\n    npmRegistryServer: https://r.example/npm\n",
            None,
        ),
        (".yarnrc.yml", "npmRegistries:\n  \"//r.example/npm\":\n    npmAuthToken: SECRET\n", None),
        (".netrc", "machine r.example login u password SECRET\n", None),
        ("_netrc", "machine\n  r.example\n  login u\n  password SECRET\n", None),
        ("pip.conf", "[global]\nextra-index-url = https://u@r.example/simple\n", None),
        (".config/pip/pip.conf", "[global]\nindex-url = https://u:SECRET@r.example/simple\n", None),
        (
            ".pypirc",
            "[corp]\nrepository = https://r.example/upload\nusername = u\npassword = SECRET\n",
            None,
        ),
        (
            ".cargo/credentials.toml",
            "[registries.corp]\ntoken = \"SECRET\"\n",
            Some((
                ".cargo/config.toml",
                "[registries.corp]\nindex = \"sparse+https://r.example/index/\"\n",
            )),
        ),
        (
            ".m2/settings.xml",
            "<settings><servers><server><id>corp</id><password>SECRET</password></server></servers>\
             <mirrors><mirror><id>corp</id><url>https://r.example/m2</url></mirror></mirrors></settings>",
            None,
        ),
        (".condarc", "channels:\n  - https://r.example/t/SECRET/main\n", None),
        (".gem/credentials", "---\nhttps://r.example: Bearer SECRET\n", None),
        (".bundle/config", "---\nBUNDLE_R__EXAMPLE: \"u:SECRET\"\n", None),
        (
            ".config/composer/auth.json",
            "{\"http-basic\": {\"r.example\": {\"username\": \"u\", \"password\": \"SECRET\"}}}",
            None,
        ),
        (".config/go/env", "GOPROXY=https://u:SECRET@r.example/go\n", None),
    ]
}

#[test]
fn credentials_of_any_client_make_a_host_private() {
    for (file, content, beside) in ways() {
        let (tree, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let entry = tree.path().join("project/app/entry");
        let reason = |machine: &Machine| PrivateHosts::near(machine, &entry).reason(URL);
        let machine = || Machine { homes: vec![home.path().to_owned()], ..Machine::default() };
        assert_eq!(reason(&machine()), None);
        for folder in [tree.path().join("project"), home.path().to_owned()] {
            write(&folder, file, content);
            if let Some((file, content)) = beside {
                write(&folder, file, content);
            }
            let why = reason(&machine()).unwrap_or_else(|| panic!("{file}: {content}"));
            assert!(
                why.contains("r.example") && why.contains(file) && !why.contains("SECRET"),
                "{why}"
            );
            let near = PrivateHosts::near(&machine(), &entry);
            for other in [
                "https://other.example/a",
                "https://sub.r.example/a",
                "https://example/r.example",
                "x",
            ] {
                assert_eq!(near.reason(other), None, "{file}: {other}");
            }
            let public_hosts = ["r.example".to_owned()].into();
            assert_eq!(reason(&Machine { public_hosts, ..machine() }), None, "{file}");
            let public_hosts = ["r.example:443".to_owned(), "other.example".to_owned()].into();
            assert_eq!(reason(&Machine { public_hosts, ..machine() }), None, "{file}");
            let public_hosts = ["r.example:8080".to_owned(), "example".to_owned()].into();
            assert!(reason(&Machine { public_hosts, ..machine() }).is_some(), "{file}");
            fs_err::remove_file(folder.join(file)).unwrap();
        }
    }
}

#[test]
fn credentials_in_the_environment_count() {
    for variables in [
        vec![("NPM_CONFIG_REGISTRY", "https://r.example/npm"), ("NPM_CONFIG__AUTHTOKEN", "SECRET")],
        vec![("YARN_NPM_REGISTRY_SERVER", "https://r.example"), ("YARN_NPM_AUTH_TOKEN", "SECRET")],
        vec![
            ("CARGO_REGISTRIES_CORP_INDEX", "sparse+https://r.example/index/"),
            ("CARGO_REGISTRIES_CORP_TOKEN", "SECRET"),
        ],
        vec![("PIP_EXTRA_INDEX_URL", "https://a.example/simple https://u:SECRET@r.example/simple")],
        vec![("GOPROXY", "https://u:SECRET@r.example,direct")],
    ] {
        let set = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let machine = Machine { variables: set.collect(), ..Machine::default() };
        let why = PrivateHosts::near(&machine, Path::new("/srv/x")).reason(URL);
        assert!(why.as_ref().is_some_and(|why| !why.contains("SECRET")), "{variables:?}: {why:?}");
    }
}

#[test]
fn variables_name_files_with_credentials() {
    for (variable, named, file, content) in [
        ("NETRC", "own", "own", "machine r.example login u password SECRET\n"),
        ("NPM_CONFIG_USERCONFIG", "own", "own", "//r.example/:_authToken=SECRET\n"),
        (
            "PIP_CONFIG_FILE",
            "own",
            "own",
            "[global]\nindex-url = https://u:SECRET@r.example/simple\n",
        ),
        (
            "CARGO_HOME",
            "cargo",
            "cargo/credentials.toml",
            "[registries.corp]\ntoken = \"SECRET\"\n",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), file, content);
        write(
            folder.path(),
            "cargo/config.toml",
            "[registries.corp]\nindex = \"https://r.example/git/index\"\n",
        );
        let set = [(variable.into(), folder.path().join(named).into())];
        let machine = Machine { variables: set.into(), ..Machine::default() };
        let why = PrivateHosts::near(&machine, Path::new("/srv/x")).reason(URL);
        assert!(why.as_ref().is_some_and(|why| !why.contains("SECRET")), "{variable}: {why:?}");
    }
}

#[test]
fn a_port_belongs_to_the_host() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), ".npmrc", "//127.0.0.1:4873/:_authToken=SECRET\n");
    let near = PrivateHosts::near(&Machine::default(), &tree.path().join("entry"));
    assert!(near.reason("http://127.0.0.1:4873/a").is_some());
    assert!(near.reason("http://127.0.0.1:4874/a").is_none());
}

#[test]
fn a_whole_tree_has_the_credentials_of_all_its_folders() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "home/u/app/.npmrc", "//r.example/:_authToken=SECRET\n");
    write(
        tree.path(),
        "home/v/.m2/settings.xml",
        "<settings><servers><server><id>x</id></server></servers>\
        <mirrors><mirror><id>x</id><url>https://m.example/</url></mirror></mirrors></settings>",
    );
    let paths = ["home/u/app/.npmrc", "home/u/app", "home/v/.m2/settings.xml"]
        .map(|path| RelPath::new(path).unwrap());
    let hosts = PrivateHosts::of_tree(&Machine::default(), tree.path(), &paths);
    assert!(hosts.reason(URL).is_some() && hosts.reason("https://m.example/a").is_some());
    assert!(hosts.reason("https://other.example/a").is_none());
}

#[test]
fn what_a_lock_file_has_from_a_private_host_is_no_candidate() {
    let lock = |name: &str, url: &str| {
        format!("\"node_modules/{name}\": {{\"version\": \"1.0.0\", \"resolved\": \"{url}\"}}")
    };
    let tree = tempfile::tempdir().unwrap();
    for folder in ["@corp/a", "b"] {
        write(tree.path(), &format!("app/node_modules/{folder}/package.json"), "{}");
    }
    let both =
        [lock("@corp/a", URL), lock("b", "https://public.example/b/-/b-1.0.0.tgz")].join(",");
    write(tree.path(), "app/package-lock.json", format!("{{\"packages\": {{{both}}}}}"));
    let found = |tree: &Path| {
        detect_tree(tree, &select(&["npm".to_owned()], &[]).unwrap(), &Machine::default(), &Silent)
            .unwrap()
    };
    assert_eq!(found(tree.path()).0.len(), 2);
    write(tree.path(), "app/.npmrc", "//r.example/npm/:_authToken=SECRET\n");
    let (candidates, errors) = found(tree.path());
    let urls: Vec<&str> = candidates.iter().map(|candidate| candidate.url.as_str()).collect();
    assert_eq!(urls, ["https://public.example/b/-/b-1.0.0.tgz"]);
    assert!(
        errors[0].problem.contains("token") && !errors[0].problem.contains("SECRET"),
        "{errors:?}"
    );
}
