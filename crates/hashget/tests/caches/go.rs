//! Go's module cache.

use std::path::Path;

use super::{answer, assert_nothing, found, found_with, nonsense, the_only, write};

const MODULE: &str = "go/pkg/mod/cache/download/github.com/!burnt!sushi/toml/@v/v1.4.0.ziphash";

fn cache(root: &Path, environment: &str) {
    write(root, MODULE, "h1:xyz=");
    write(root, "go/pkg/mod/cache/download/github.com/!burnt!sushi/toml/@v/v1.4.0.info", "{}");
    // Only its requirements were read, not its files.
    write(root, "go/pkg/mod/cache/download/golang.org/x/net/@v/v0.1.0.mod", "module x");
    write(root, ".config/go/env", environment);
}

#[test]
fn a_module_is_asked_for_at_the_proxy() {
    let home = tempfile::tempdir().unwrap();
    cache(home.path(), "GOFLAGS=-x\nGOPROXY=https://proxy.example/,direct\n");
    for tree in ["", "go/pkg/mod", "go/pkg/mod/cache/download/github.com"] {
        let candidate = the_only("go", &home.path().join(tree));
        let page = "https://proxy.example/github.com/!burnt!sushi/toml/@v/v1.4.0.info";
        assert_eq!(candidate.question.as_ref().unwrap().pages(), [page]);
        let name = candidate.signature.as_ref().unwrap().to_string();
        assert_eq!(name, "go:github.com/BurntSushi/toml@v1.4.0");
        let found =
            answer(&candidate, b"{\"Version\":\"v1.4.0\",\"Time\":\"x\"}").unwrap().unwrap();
        let zip = "https://proxy.example/github.com/!burnt!sushi/toml/@v/v1.4.0.zip";
        assert_eq!((found.url.as_str(), found.sha256), (zip, None));
        assert_eq!(answer(&candidate, b"{\"Version\":\"v1.4.1\"}"), Ok(None));
        for page in nonsense() {
            assert!(!matches!(answer(&candidate, &page), Ok(Some(_))));
        }
    }
}

#[test]
fn all_proxies_up_to_direct_are_asked() {
    let home = tempfile::tempdir().unwrap();
    cache(
        home.path(),
        "GOPROXY=https://a.example|file:///x,https://b.example,direct,https://c.example",
    );
    let candidate = the_only("go", home.path());
    let pages = candidate.question.unwrap().pages().join(" ");
    assert!(pages.contains("a.example") && pages.contains("b.example"), "{pages}");
    assert!(!pages.contains("c.example") && !pages.contains("file:"), "{pages}");
    let variables = [("GOPROXY", "https://d.example")];
    let (candidates, _) = found_with("go", home.path(), &variables);
    assert!(candidates[0].url.starts_with("https://d.example/"));
}

#[test]
fn private_modules_are_never_asked_for() {
    for environment in [
        "GOPROXY=https://p.example\nGOPRIVATE=x.example,github.com/Burnt*",
        "GOPROXY=https://p.example\nGONOPROXY=github.com\n",
        "GOPROXY=https://p.example\nGOPRIVATE=*.com/*/toml\n",
        "GOPROXY=https://p.example\nGOPRIVATE=github.com/[\n",
        "GOPROXY=direct\n",
        "GOPROXY=off\n",
        "GOPROXY=https://user:secret@p.example\n",
    ] {
        let home = tempfile::tempdir().unwrap();
        cache(home.path(), environment);
        assert_nothing("go", home.path());
    }
    let home = tempfile::tempdir().unwrap();
    cache(home.path(), "GOPROXY=https://p.example\nGOPRIVATE=github.com/Burnt,*.org\n");
    the_only("go", home.path());
}

#[test]
fn the_default_stands_in_an_installed_go() {
    let home = tempfile::tempdir().unwrap();
    cache(home.path(), "");
    let (_, errors) = found("go", home.path());
    assert!(errors[0].to_string().contains("GOPROXY"), "{errors:?}");
    let toolchain = "go/pkg/mod/golang.org/toolchain@v0.0.1-go1.22.1.linux-amd64/go.env";
    write(home.path(), toolchain, "# defaults\nGOPROXY=https://default.example,direct\n");
    assert!(the_only("go", home.path()).url.starts_with("https://default.example/github.com/"));
    fs_err::remove_file(home.path().join(toolchain)).unwrap();
    write(home.path(), "usr/local/go/go.env", "GOPROXY=https://system.example,direct\n");
    assert!(the_only("go", home.path()).url.starts_with("https://system.example/"));
}

#[test]
fn names_that_are_no_modules() {
    for path in [
        "x.ziphash",
        "@v/v1.ziphash",
        "cache/download/@v/v1.ziphash",
        "cache/download/a b/@v/v1.ziphash",
        "cache/download/a%2e/@v/v1.ziphash",
        "cache/download/UPPER/@v/v1.ziphash",
        "cache/download/x/@v/.ziphash",
        "cache/download/x/@v/v1?y.ziphash",
    ] {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), ".config/go/env", "GOPROXY=https://p.example\n");
        write(home.path(), path, "h1:x");
        assert_nothing("go", home.path());
    }
}
