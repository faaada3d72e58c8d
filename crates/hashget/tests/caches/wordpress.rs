//! WordPress, its plugins and themes.

use std::path::Path;

use hashget::detectors::Candidate;

use super::{answer, assert_nothing, found, nonsense, write};

const UPDATE: &str = "<?php\n * Checks against the server at api.press.example. Will only check\n\
    $url = 'http://api.press.example/core/version-check/1.7/?' . http_build_query( $query );\n";

fn site(root: &Path) {
    write(root, "wp-includes/update.php", UPDATE);
    write(root, "wp-includes/version.php", "<?php\n/** x */\n$wp_version = '6.1.9';\n");
    write(root, "wp-content/plugins/spam-stop/readme.txt", "=== Spam ===\nStable tag: trunk\n");
    write(root, "wp-content/plugins/spam-stop/a.php", "<?php // Version: 9\n");
    write(
        root,
        "wp-content/plugins/spam-stop/main.php",
        "<?php\n/*\nPlugin Name: Spam\nVersion: 5.0.2\n*/",
    );
    write(
        root,
        "wp-content/themes/plain/style.css",
        "/*\n * Theme Name: Plain\n * Version: 1.0\n */",
    );
}

fn by_name(root: &Path, name: &str) -> Candidate {
    let (candidates, errors) = found("wordpress", root);
    assert!(errors.is_empty(), "{errors:?}");
    let is_it = |one: &Candidate| one.signature.as_ref().unwrap().value == name;
    candidates.into_iter().find(is_it).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn the_directory_is_asked_for_each_version() {
    let tree = tempfile::tempdir().unwrap();
    site(tree.path());
    for (name, page, said, url) in [
        (
            "en_US-6.1.9",
            "https://api.press.example/core/checksums/1.0/?version=6.1.9&locale=en_US",
            "{\"checksums\":{\"index.php\":\"00\"}}",
            "https://press.example/wordpress-6.1.9.zip",
        ),
        (
            "plugin/spam-stop-5.0.2",
            "https://downloads.press.example/plugin-checksums/spam-stop/5.0.2.json",
            "{\"plugin\":\"spam-stop\",\"files\":{}}",
            "https://downloads.press.example/plugin/spam-stop.5.0.2.zip",
        ),
        (
            "theme/plain-1.0",
            "https://api.press.example/themes/info/1.1/?action=theme_information&request[slug]=plain&request[fields][versions]=1",
            "{\"slug\":\"plain\",\"versions\":{\"1.0\":\"https://x.example/y.zip\",\"1.1\":\"\"}}",
            "https://downloads.press.example/theme/plain.1.0.zip",
        ),
    ] {
        let candidate = by_name(tree.path(), name);
        assert_eq!(candidate.question.as_ref().unwrap().pages(), [page]);
        assert_eq!(answer(&candidate, said.as_bytes()).unwrap().unwrap().url, url);
        let no = [
            "{\"checksums\":false}",
            "{\"error\":\"x\"}",
            "{\"versions\":{\"1.1\":\"x\"}}",
            "false",
        ];
        for page in no.map(|page| page.as_bytes().to_vec()).into_iter().chain(nonsense()) {
            assert!(!matches!(answer(&candidate, &page), Ok(Some(_))));
        }
    }
    assert_eq!(found("wordpress", &tree.path().join("wp-content/plugins")).0.len(), 1);
}

#[test]
fn headers_and_readmes_are_written_in_many_ways() {
    for (readme, script) in [
        ("README.txt", "<?php\n/*\nPlugin Name: Spam\nVersion: 5.0.2\n*/"),
        ("readme.md", "<?php\n/**\n * Plugin Name: Spam\n * Version: 5.0.2\n */"),
        ("Readme.MD", "<?php\n# Plugin name: Spam\n# version: 5.0.2\n"),
        ("readme.txt", "<?php /* Plugin Name: Spam\nVersion: 5.0.2 */ $x = 1;\n"),
        ("readme.txt", "<?php\r/*\r * Plugin Name: Spam\r * Version: 5.0.2\r */\r"),
        ("readme.txt", "<?php\r\n/*\r\n\tPLUGIN NAME: Spam\r\n\tVersion:5.0.2?>\r\n"),
    ] {
        let tree = tempfile::tempdir().unwrap();
        write(tree.path(), "wp-includes/update.php", UPDATE);
        write(tree.path(), &format!("wp-content/plugins/spam-stop/{readme}"), "=== Spam ===");
        write(tree.path(), "wp-content/plugins/spam-stop/main.php", script);
        by_name(tree.path(), "plugin/spam-stop-5.0.2");
    }
}

#[test]
fn a_language_has_packages_of_its_own() {
    let tree = tempfile::tempdir().unwrap();
    site(tree.path());
    let version = "<?php\n$wp_version = '6.4';\n$wp_local_package = 'de_DE';\n";
    write(tree.path(), "wp-includes/version.php", version);
    let candidate = by_name(tree.path(), "de_DE-6.4");
    let told = answer(&candidate, b"{\"checksums\":{}}").unwrap().unwrap();
    assert_eq!(told.url, "https://downloads.press.example/release/de_DE/wordpress-6.4.zip");
}

#[test]
fn what_tells_no_version_is_none() {
    for (path, text) in [
        ("wp-includes/version.php", "<?php\n$wp_version = '6/../../x';\n"),
        ("wp-includes/version.php", "<?php\n$wp_version = '6.4?x=1';\n"),
        ("wp-includes/version.php", "<?php\n$wp_version = $other;\n"),
        ("wp-content/plugins/own/readme.txt", "=== Own ===\n"),
        ("wp-content/themes/own/style.css", "body { color: red }"),
        ("wp-content/themes/o n/style.css", "/* Theme Name: x\nVersion: 1 */"),
        ("docs/readme.txt", "x"),
    ] {
        let tree = tempfile::tempdir().unwrap();
        write(tree.path(), "wp-includes/update.php", UPDATE);
        write(tree.path(), path, text);
        assert_nothing("wordpress", tree.path());
    }
    let tree = tempfile::tempdir().unwrap();
    site(tree.path());
    fs_err::remove_file(tree.path().join("wp-includes/update.php")).unwrap();
    assert_nothing("wordpress", tree.path());
    write(
        tree.path(),
        "wp-includes/update.php",
        "'http://api.u:secret@x.example/core/version-check/'",
    );
    assert_nothing("wordpress", tree.path());
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "wp-includes/update.php", UPDATE);
    super::assert_survives("wordpress", tree.path(), "wp-includes/version.php");
    super::assert_survives("wordpress", tree.path(), "wp-content/themes/x/style.css");
}
