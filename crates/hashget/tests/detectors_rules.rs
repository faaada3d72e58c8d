//! User rules: what they find, what trees cannot make of them, and what is refused in a configuration.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

use std::path::Path;

use hashget::detectors::{Candidate, DetectError, Machine, Rule, RuleConfig};
use hashget::index::detect_tree;
use hashget::model::Digest;
use hashget::monitor::Silent;
use serde_json::json;

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

fn rule(config: serde_json::Value) -> Result<Rule, String> {
    let config: RuleConfig = serde_json::from_value(config).map_err(|error| error.to_string())?;
    Rule::compile(&config).map_err(|error| error.to_string())
}

fn found(root: &Path, rule: &Rule) -> (Vec<Candidate>, Vec<DetectError>) {
    detect_tree(root, &[rule], &Machine::default(), &Silent).unwrap()
}

#[test]
fn path_and_file_fill_the_templates() {
    let tree = tempfile::tempdir().unwrap();
    let sum = Digest::of(b"x");
    let version = format!("<?php\n$wp_version = '6.2.2';\n$sum = '{sum}';\n");
    write(tree.path(), "srv/blog/wp-includes/version.php", version);
    write(tree.path(), "srv/blog/wp-includes/other.php", "$wp_version = '1';");
    let rule = rule(json!({
        "name": "sites",
        "path": "**/wp-includes/version.php",
        "path_pattern": "(?<site>[^/]+)/wp-includes/",
        "patterns": ["^\\$wp_version = '(?<version>[0-9.]+)';$", "sum = '(?<sum>[0-9a-f]+)'"],
        "url": "https://downloads.example/{site}/wordpress-{version}.zip",
        "sha256": "{sum}",
        "signature": "wordpress:{version}",
        "project": "{site}"
    }))
    .unwrap();
    let (candidates, errors) = found(tree.path(), &rule);
    assert!(errors.is_empty(), "{errors:?}");
    let [candidate] = &candidates[..] else { panic!("{candidates:?}") };
    assert_eq!(candidate.url, "https://downloads.example/blog/wordpress-6.2.2.zip");
    assert_eq!(candidate.sha256, Some(sum));
    assert_eq!(candidate.signature.as_ref().unwrap().to_string(), "wordpress:6.2.2");
    assert_eq!(candidate.project.as_deref(), Some("blog"));
}

#[test]
fn another_file_below_a_folder_or_beside_a_file_may_be_read() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "app/meta/VERSION", "4.5\r\n");
    write(tree.path(), "app/start.sh", "");
    for (path, file) in [("app", "meta/VERSION"), ("*/start.sh", "meta/VERSION")] {
        let rule = rule(json!({
            "name": "app", "path": path, "file": file, "patterns": ["^(?<v>[0-9.]+)$"],
            "url": "https://downloads.example/app-{v}.tgz"
        }));
        let (candidates, _) = found(tree.path(), &rule.unwrap());
        assert_eq!(candidates.len(), 1, "{path}");
        assert_eq!(candidates[0].url, "https://downloads.example/app-4.5.tgz", "{path}");
    }
}

#[test]
fn without_patterns_names_alone_decide() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "opt/tool-1.2/bin/tool", "");
    write(tree.path(), "opt/other/bin/tool", "");
    let rule = rule(json!({
        "name": "tool", "path": "opt/*/bin", "path_pattern": "^opt/tool-(?<v>[0-9.]+)/",
        "url": "https://downloads.example/tool-{v}.tgz"
    }));
    let (candidates, _) = found(tree.path(), &rule.unwrap());
    assert_eq!(candidates.len(), 1);
    assert_eq!(candidates[0].url, "https://downloads.example/tool-1.2.tgz");
}

#[test]
fn a_file_that_does_not_match_or_is_not_there_is_nothing() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "one/VERSION", "no number\n");
    fs_err::create_dir(tree.path().join("two")).unwrap();
    let rule = rule(json!({
        "name": "app", "path": "*", "file": "VERSION", "patterns": ["^(?<v>[0-9.]+)$"],
        "url": "https://downloads.example/app-{v}.tgz"
    }));
    let (candidates, errors) = found(tree.path(), &rule.unwrap());
    assert!(candidates.is_empty() && errors.is_empty(), "{candidates:?} {errors:?}");
}

#[test]
fn a_tree_can_choose_neither_the_host_nor_a_query() {
    let tree = tempfile::tempdir().unwrap();
    let rule = rule(json!({
        "name": "app", "path": "*.txt", "patterns": ["^v=(?<v>.*)$"],
        "url": "https://downloads.example/{v}"
    }))
    .unwrap();
    let values =
        ["//evil.example/x", "@evil.example", "../../x", "a?b=c#d", "\\\\evil.example", "\t//e"];
    for (number, value) in values.iter().enumerate() {
        write(tree.path(), &format!("{number}.txt"), format!("v={value}\n"));
    }
    let (candidates, errors) = found(tree.path(), &rule);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(candidates.len(), values.len());
    for candidate in candidates {
        let url = candidate.url;
        assert!(url.starts_with("https://downloads.example/"), "{url}");
        assert!(!url.contains(['?', '#', '\\', '\t']), "{url}");
    }
}

#[test]
fn what_a_file_gives_is_checked() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "a.txt", "x");
    write(tree.path(), "big.txt", vec![b'x'; (1 << 20) + 1]);
    let rule = rule(json!({
        "name": "app", "path": "*.txt", "patterns": ["(?<sum>x)"],
        "url": "https://downloads.example/a", "sha256": "{sum}"
    }))
    .unwrap();
    let (candidates, errors) = found(tree.path(), &rule);
    assert!(candidates.is_empty());
    let [sum, big] = &errors[..] else { panic!("{errors:?}") };
    assert!(sum.to_string().contains("rule \"app\"") && sum.problem.contains("SHA-256"), "{sum}");
    assert!(big.problem.contains("more than 1048576 bytes"), "{big}");
}

#[test]
fn broken_rules_say_what_is_wrong_with_which_field() {
    let good = json!({
        "name": "app", "path": "*.txt", "patterns": ["(?<v>.)"],
        "url": "https://downloads.example/{v}"
    });
    assert!(rule(good.clone()).is_ok());
    let in_full = "url: its host must be written in full";
    let begins = "url: expected a template that begins with";
    for (field, value, expected) in [
        ("name", json!("hint"), "name: this name is taken"),
        ("name", json!("all"), "name: this name is taken"),
        ("name", json!("a b"), "name: expected letters"),
        ("path", json!("a[b"), "path: "),
        ("path_pattern", json!("(a"), "path_pattern: "),
        ("path_pattern", json!("(?<v>a)"), "two patterns have a group \"v\""),
        ("patterns", json!(["(?<v>.", "b"]), "patterns: "),
        ("patterns", json!([]), "url: \"https://downloads.example/{v}\" has {v}, but no pattern"),
        ("file", json!("../up"), "file: "),
        ("url", json!("https://{v}.example/x"), in_full),
        ("url", json!("https://downloads.example:{v}/x"), in_full),
        ("url", json!("https://downloads.example\\{v}/x"), in_full),
        ("url", json!("https:///{v}"), in_full),
        ("url", json!("https://\t/{v}/x"), in_full),
        ("url", json!("{v}://downloads.example/x"), begins),
        ("url", json!("ftp://downloads.example/{v}"), begins),
        ("url", json!("https://downloads.example"), begins),
        ("url", json!("https://u:p@downloads.example/{v}"), "url: it has a user name"),
        ("url", json!("https://downloads.example/{w}"), "there are: v"),
        ("sha256", json!("{nothing}"), "sha256: "),
        ("signature", json!("{nothing}"), "signature: "),
        ("project", json!("{v"), "project: "),
        ("colour", json!("red"), "unknown field `colour`"),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let error = rule(bad.clone()).expect_err(&bad.to_string());
        assert!(error.contains(expected), "{bad}: {error}");
    }
}

#[test]
fn two_rules_need_two_names() {
    let config: RuleConfig = serde_json::from_value(json!({
        "name": "app", "path": "*", "url": "https://downloads.example/x"
    }))
    .unwrap();
    let error = Rule::compile_all(&[config.clone(), config.clone()]).unwrap_err();
    assert_eq!(error.field, "name");
    assert_eq!(Rule::compile_all(&[config]).unwrap().len(), 1);
}
