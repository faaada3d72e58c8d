//! Ruby's gems.

use std::path::Path;

use hashget::model::Digest;

use super::{answer, assert_nothing, found, nonsense, the_only, write};

const HOME: &str = "usr/local/lib/ruby/gems/3.3.0";
const DEFAULTS: &str = "usr/local/lib/ruby/3.3.0/rubygems/defaults.rb";

fn gem(root: &Path, name: &str, stub: &str) {
    let specification =
        format!("# -*- encoding: utf-8 -*-\n# stub: {stub} lib\n\nGem::Specification");
    write(root, &format!("{HOME}/specifications/{name}.gemspec"), specification);
    write(root, &format!("{HOME}/cache/{name}.gem"), format!("gem {name}"));
}

fn defaults(root: &Path) {
    let text = "module Gem\n  def self.default_sources\n    @default_sources ||= %w[https://gems.example/]\n";
    write(root, DEFAULTS, text);
}

#[test]
fn the_index_tells_the_digest_of_the_cached_gem() {
    let tree = tempfile::tempdir().unwrap();
    gem(tree.path(), "rake-13.0.6", "rake 13.0.6 ruby");
    defaults(tree.path());
    let candidate = the_only("gems", tree.path());
    assert_eq!(candidate.question.as_ref().unwrap().pages(), ["https://gems.example/info/rake"]);
    assert_eq!(candidate.signature.as_ref().unwrap().to_string(), "gem:rake-13.0.6");
    let cached = tree.path().canonicalize().unwrap().join(HOME).join("cache/rake-13.0.6.gem");
    assert_eq!(candidate.local_file.as_ref(), Some(&cached));
    let sha256 = Digest::of(b"gem rake-13.0.6");
    let page = format!(
        "---\n13.0.60 |checksum:{sha256}\n13.0.6 a:>= 1&< 2,b:= 3|checksum:{sha256},ruby:>= 2.2\n"
    );
    let told = answer(&candidate, page.as_bytes()).unwrap().unwrap();
    assert_eq!(told.url, "https://gems.example/gems/rake-13.0.6.gem");
    assert_eq!(told.sha256, Some(sha256));
    for page in nonsense().into_iter().chain([b"---\n13.0.60 |checksum:x\n".to_vec()]) {
        assert!(!matches!(answer(&candidate, &page), Ok(Some(_))));
    }
}

#[test]
fn platforms_are_part_of_the_version() {
    let tree = tempfile::tempdir().unwrap();
    gem(tree.path(), "nokogiri-1.16.0-x86_64-linux", "nokogiri 1.16.0 x86_64-linux");
    defaults(tree.path());
    let candidate = the_only("gems", tree.path());
    let page = "1.16.0 |checksum:x\n1.16.0-x86_64-linux racc:~> 1.4|checksum:y\n";
    let told = answer(&candidate, page.as_bytes()).unwrap().unwrap();
    assert_eq!(told.url, "https://gems.example/gems/nokogiri-1.16.0-x86_64-linux.gem");
    assert_eq!(told.sha256, None, "what is no digest is none");
}

#[test]
fn a_gemrc_counts_more_and_passwords_are_never_used() {
    let tree = tempfile::tempdir().unwrap();
    gem(tree.path(), "rake-13.0.6", "rake 13.0.6 ruby");
    defaults(tree.path());
    let gemrc = "---\n:verbose: true\n:sources:\n- https://u:secret@inside.example/\n- https://own.example\n:x: 1\n- https://no.example\n";
    write(tree.path(), "etc/gemrc", gemrc);
    let candidate = the_only("gems", tree.path());
    assert_eq!(candidate.question.unwrap().pages(), ["https://own.example/info/rake"]);
    fs_err::remove_file(tree.path().join("etc/gemrc")).unwrap();
    fs_err::remove_file(tree.path().join(DEFAULTS)).unwrap();
    let (candidates, errors) = found("gems", tree.path());
    assert!(candidates.is_empty() && errors[0].to_string().contains(".gemrc"), "{errors:?}");
}

#[test]
fn sources_are_read_in_every_notation() {
    for gemrc in [
        ":sources: [\"https://own.example/\"]\n:x: 1\n",
        "---\n:backtrace: false\nsources:\n  - \"https://own.example\"   # ours\ngem: --no-document\n",
        "\u{feff}:sources:\r\n- https://own.example\r\n",
    ] {
        let tree = tempfile::tempdir().unwrap();
        gem(tree.path(), "rake-13.0.6", "rake 13.0.6 ruby");
        write(tree.path(), ".gemrc", gemrc);
        let candidate = the_only("gems", tree.path());
        assert_eq!(
            candidate.question.unwrap().pages(),
            ["https://own.example/info/rake"],
            "{gemrc}"
        );
    }
}

#[test]
fn bundlers_lock_file_says_which_gem_is_from_where() {
    let tree = tempfile::tempdir().unwrap();
    defaults(tree.path());
    gem(tree.path(), "rake-13.0.6", "rake 13.0.6 ruby");
    gem(tree.path(), "other-1.0", "other 1.0 ruby");
    let lock = "GIT\n  remote: https://git.example/x\n  specs:\n    other (1.0)\n\nGEM\n  remote: https://own.example/\n  \
        specs:\n    rake (13.0.6)\n      thing (>= 1)\n\nPLATFORMS\n  ruby\n";
    write(tree.path(), "Gemfile.lock", lock);
    let (candidates, errors) = found("gems", tree.path());
    assert!(errors.is_empty(), "{errors:?}");
    let mut pages: Vec<String> =
        candidates.iter().flat_map(|one| one.question.as_ref().unwrap().pages().to_vec()).collect();
    pages.sort();
    assert_eq!(pages, ["https://gems.example/info/other", "https://own.example/info/rake"]);
}

#[test]
fn specifications_that_tell_nothing() {
    let tree = tempfile::tempdir().unwrap();
    defaults(tree.path());
    gem(tree.path(), "other-1.0", "rake 13.0.6 ruby");
    gem(tree.path(), "x-1", "../../x 1 ruby");
    gem(tree.path(), "y-1", "y");
    let debian = "usr/share/rubygems-integration/all/specifications/rake-13.0.6.gemspec";
    write(tree.path(), debian, "# stub: rake 13.0.6 ruby lib\n");
    write(tree.path(), "own/y.gemspec", "# stub: y 1 ruby lib\n");
    assert_nothing("gems", tree.path());
    super::assert_survives("gems", tree.path(), &format!("{HOME}/specifications/z-1.gemspec"));
    gem(tree.path(), "rake-13.0.6", "rake 13.0.6 ruby");
    super::assert_survives("gems", tree.path(), DEFAULTS);
}
