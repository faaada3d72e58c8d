//! Choosing detectors; hint files and kernel sources on disk, and those that cannot be understood.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

#[path = "conformance/detector.rs"]
mod conformance;

use std::path::Path;

use hashget::detectors::{Candidate, DETECTORS, DetectError, Machine, Rule, RuleConfig, select};
use hashget::index::detect_tree;
use hashget::model::{Digest, RelPath};
use hashget::monitor::{ProblemKind, Recorder, Silent};

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

fn found(root: &Path, detector: &str) -> (Vec<Candidate>, Vec<DetectError>) {
    let detectors = select(&[detector.to_owned()], &[]).unwrap();
    detect_tree(root, &detectors, &Machine::default(), &Silent).unwrap()
}

#[test]
fn every_detector_conforms() {
    let mut names = std::collections::BTreeSet::new();
    for detector in DETECTORS {
        assert!(names.insert(detector.name().to_owned()), "two are called {}", detector.name());
        conformance::check(*detector);
    }
}

mod selecting {
    use super::*;

    fn names(chosen: &[&str], rules: &[Rule]) -> Vec<String> {
        let chosen: Vec<String> = chosen.iter().map(|&name| name.to_owned()).collect();
        let detectors = select(&chosen, rules).unwrap();
        detectors.iter().map(|detector| detector.name().to_owned()).collect()
    }

    #[test]
    fn all_none_and_names() {
        let json = r#"{"name": "house", "path": "**", "url": "https://packages.example/x"}"#;
        let config: RuleConfig = serde_json::from_str(json).unwrap();
        let rules = [Rule::compile(&config).unwrap()];
        let all = names(&["all"], &rules);
        // The one that names a package first is the one that is thanked for it: the order is for users to see.
        let built_in = [
            "hint",
            "kernel",
            "cargo",
            "debian",
            "arch",
            "rpm",
            "pypi",
            "npm",
            "rustup",
            "go",
            "maven",
            "gradle",
            "gems",
            "conda",
            "huggingface",
            "wordpress",
            "downloads",
        ];
        assert_eq!(all[..all.len() - 1], built_in);
        assert_eq!(all.last().map(String::as_str), Some("house"), "rules come last");
        assert_eq!(names(&["none"], &rules), [""; 0]);
        assert_eq!(names(&["house", "hint", "house"], &rules), ["hint", "house"]);
        assert_eq!(names(&["all"], &[]).len(), DETECTORS.len());
    }

    #[test]
    fn a_rule_cannot_have_the_name_of_a_detector() {
        for name in DETECTORS.iter().map(|detector| detector.name()).chain(["all", "none"]) {
            let json = format!(
                r#"{{"name": "{name}", "path": "**", "url": "https://packages.example/x"}}"#
            );
            let config: RuleConfig = serde_json::from_str(&json).unwrap();
            let error = Rule::compile(&config).unwrap_err().to_string();
            assert!(error.contains(&format!("rule \"{name}\": name: ")), "{error}");
            assert!(error.contains("choose another one"), "{error}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_those_there_are() {
        let error = select(&["hint".to_owned(), "hnit\u{1b}".to_owned()], &[]).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("\"hnit\\u{1b}\""), "{text}");
        assert!(text.contains("all, none, hint, kernel, cargo, debian"), "{text}");
    }
}

mod hints {
    use super::*;

    #[test]
    fn a_hint_names_a_package() {
        let tree = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"package");
        write(
            tree.path(),
            "site/hashget-hint.json",
            format!(
                r#"{{"url": "https://Packages.example/wp.zip", "project": "my", "later": [],
                     "sha256": "{digest}", "size": 12}}"#
            ),
        );
        write(tree.path(), "z/.hashget-hint.json", r#"{"url": "http://packages.example/z.tar"}"#);
        write(tree.path(), "my-hashget-hint.json", "not a hint");
        let (candidates, errors) = found(tree.path(), "hint");
        assert!(errors.is_empty(), "{errors:?}");
        let [z, wp] = &candidates[..] else { panic!("{candidates:?}") };
        assert_eq!(z.url, "http://packages.example/z.tar");
        assert_eq!(z.project.as_deref(), Some("_hints"));
        assert_eq!((z.sha256, z.size), (None, None));
        assert_eq!(wp.url, "https://packages.example/wp.zip");
        assert_eq!(wp.project.as_deref(), Some("my"));
        assert_eq!((wp.sha256, wp.size), (Some(digest), Some(12)));
        assert_eq!(wp.found_at, RelPath::try_from("site/hashget-hint.json").unwrap());
    }

    #[test]
    fn bad_hints_are_told_each_for_itself() {
        for (content, problem) in [
            ("", "not JSON"),
            ("{\"url\": \"https://a.example/x\"", "not JSON"),
            ("[\"https://a.example/x\"]", "JSON object"),
            ("{\"project\": \"x\"}", "no \"url\""),
            ("{\"url\": 7}", "not a hint"),
            ("{\"url\": \"file:///etc/passwd\"}", "scheme"),
            ("{\"url\": \"x/y.zip\"}", "not a URL"),
            ("{\"url\": \"https://u:p@a.example/x\"}", "user name or password"),
            ("{\"url\": \"https://a.example/x\", \"sha256\": \"12\"}", "SHA-256"),
            ("{\"url\": \"https://a.example/x\", \"size\": -1}", "not a hint"),
            ("{\"url\": \"\\u001b[2J\"}", "[2J"),
        ] {
            let tree = tempfile::tempdir().unwrap();
            write(tree.path(), "hashget-hint.json", content);
            write(tree.path(), "good/hashget-hint.json", r#"{"url": "https://b.example/x"}"#);
            let (candidates, errors) = found(tree.path(), "hint");
            assert_eq!(candidates.len(), 1, "{content}");
            assert_eq!(errors.len(), 1, "{content}");
            let text = errors[0].to_string();
            assert!(text.contains(problem) && !text.contains('\u{1b}'), "{content}: {text}");
            assert!(text.contains("hashget-hint.json: "), "{text}");
        }
    }

    #[test]
    fn only_small_regular_files_are_read() {
        let tree = tempfile::tempdir().unwrap();
        write(tree.path(), "a/hashget-hint.json", vec![b' '; 64 * 1024 + 1]);
        write(tree.path(), "real.json", r#"{"url": "https://a.example/x"}"#);
        fs_err::create_dir_all(tree.path().join("b/hashget-hint.json")).unwrap();
        fs_err::create_dir(tree.path().join("c")).unwrap();
        let link = tree.path().join("c/hashget-hint.json");
        fs_err::os::unix::fs::symlink("../real.json", link).unwrap();
        fs_err::create_dir(tree.path().join("d")).unwrap();
        let fifo = tree.path().join("d/hashget-hint.json");
        let (folder, kind) = (rustix::fs::CWD, rustix::fs::FileType::Fifo);
        rustix::fs::mknodat(folder, &fifo, kind, rustix::fs::Mode::RUSR, 0).unwrap();
        let (candidates, errors) = found(tree.path(), "hint");
        assert!(candidates.is_empty(), "{candidates:?}");
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].problem.contains("more than 65536 bytes"), "{}", errors[0]);
    }

    #[test]
    fn one_url_is_one_candidate_and_a_contradiction_is_told_and_hides_nothing() {
        let tree = tempfile::tempdir().unwrap();
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        write(tree.path(), "a/hashget-hint.json", r#"{"url": "https://a.example/x"}"#);
        for (folder, digest) in [("b", one), ("c", two)] {
            let json = format!(r#"{{"url": "https://a.example/x", "sha256": "{digest}"}}"#);
            write(tree.path(), &format!("{folder}/hashget-hint.json"), json);
        }
        let monitor = Recorder::default();
        let detectors = select(&["hint".to_owned()], &[]).unwrap();
        let (candidates, errors) =
            detect_tree(tree.path(), &detectors, &Machine::default(), &monitor).unwrap();
        let found: Vec<_> = candidates.iter().map(|candidate| candidate.sha256).collect();
        assert_eq!(found, [Some(one), Some(two)]);
        assert_eq!(errors.len(), 1);
        assert!(errors[0].to_string().contains(&two.to_string()), "{}", errors[0]);
        let problems = monitor.recorded().problems;
        assert!(matches!(&problems[..], [(ProblemKind::Note, _, _)]), "{problems:?}");
    }
}

mod kernels {
    use super::*;

    const MAKEFILE: &str = "# SPDX-License-Identifier: GPL-2.0\nVERSION = 6\nPATCHLEVEL = 1\n\
                            SUBLEVEL = 192\nEXTRAVERSION =\nNAME = Curry Ramen\n";

    #[test]
    fn trees_and_tarballs_are_found() {
        let tree = tempfile::tempdir().unwrap();
        write(tree.path(), "usr/src/linux/Makefile", MAKEFILE);
        write(tree.path(), "usr/src/linux/kernel/fork.c", "");
        write(tree.path(), "usr/src/linux/kernel/Makefile", "obj-y = fork.o\n");
        write(tree.path(), "usr/src/linux-6.1.192.tar.xz", "");
        write(tree.path(), "usr/src/linux-5.10.tar.gz", "");
        let (candidates, errors) = found(tree.path(), "kernel");
        assert!(errors.is_empty());
        let urls: Vec<&str> = candidates.iter().map(|candidate| &*candidate.url).collect();
        assert_eq!(
            urls,
            [
                "https://cdn.kernel.org/pub/linux/kernel/v5.x/linux-5.10.tar.gz",
                "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.1.192.tar.xz",
            ]
        );
    }

    #[test]
    fn the_tree_itself_may_be_the_kernel() {
        let tree = tempfile::tempdir().unwrap();
        write(tree.path(), "Makefile", MAKEFILE.replace("NAME", "OTHER"));
        write(tree.path(), "kernel/fork.c", "");
        assert!(found(tree.path(), "kernel").0.is_empty(), "neither a NAME nor a Kconfig");
        write(tree.path(), "Kconfig", "");
        assert_eq!(found(tree.path(), "kernel").0.len(), 1);
    }

    #[test]
    fn other_makefiles_and_names_are_none() {
        let tree = tempfile::tempdir().unwrap();
        write(tree.path(), "boot/Makefile", MAKEFILE);
        write(tree.path(), "headers/Makefile", MAKEFILE);
        write(tree.path(), "headers/kernel/Makefile", "");
        write(tree.path(), "rc/Makefile", MAKEFILE.replace("VERSION =\n", "VERSION = -rc2\n"));
        write(tree.path(), "rc/kernel/fork.c", "");
        write(tree.path(), "own/Makefile", "VERSION = 6\n\nall:\n");
        write(tree.path(), "own/kernel/main.c", "");
        write(tree.path(), "binary/Makefile", b"\xff\xfe\0VERSION = 6");
        write(tree.path(), "binary/kernel/main.c", "");
        fs_err::create_dir_all(tree.path().join("linux-6.1.tar.xz")).unwrap();
        assert!(found(tree.path(), "kernel").0.is_empty());
    }
}

mod many_jobs {
    use super::*;
    use hashget::index::{Detected, detect};

    /// What came of it, without times.
    fn shown(detected: &Detected) -> Vec<String> {
        let candidates = detected
            .candidates
            .iter()
            .map(|one| format!("{} {} {} {:?}", one.found_by, one.url, one.found_at, one.sha256));
        let errors = detected.errors.iter().map(ToString::to_string);
        let efforts =
            detected.efforts.iter().map(|one| format!("{}: {}", one.detector, one.packages));
        candidates.chain(errors).chain(efforts).collect()
    }

    #[test]
    fn one_thread_and_many_find_the_same() {
        let tree = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for number in 0..3000 {
            let path = format!("{number:04}/hashget-hint.json");
            // Of each three one is damaged, and two name the same package with another digest.
            let digest = Digest::of(format!("{number}").as_bytes());
            let url = format!("https://packages.example/{}", number / 3);
            let json = match number % 3 {
                0 => "{".to_owned(),
                _ => format!(r#"{{"url": "{url}", "sha256": "{digest}"}}"#),
            };
            write(tree.path(), &path, json);
            paths.push(RelPath::try_from(path.as_str()).unwrap());
        }
        let detectors = select(&["all".to_owned()], &[]).unwrap();
        let with = |jobs| {
            let machine = Machine::default();
            shown(&detect(tree.path(), &paths, &detectors, &machine, jobs, &Silent))
        };
        let one = with(1);
        assert!(one.contains(&"hint: 2000".to_owned()), "{one:?}");
        assert!(one[0].starts_with("hint https://packages.example/0 0001/"), "{}", one[0]);
        assert_eq!(one.len(), 2000 + 2000 + DETECTORS.len());
        for jobs in [2, 8] {
            assert_eq!(with(jobs), one);
        }
    }
}
