//! The layout of the sources, as `docs/architecture.md` describes it: who may import whom, registries,
//! sizes. A failure here means: change the code, or change the page and this table together.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A module of the library, and the modules it may import. Lower ones come first; nothing imports one
/// that is below it in this table.
const MODULES: &[(&str, &[&str])] = &[
    ("wording", &[]),
    ("monitor", &["wording"]),
    ("error", &["monitor"]),
    ("parallel", &[]),
    ("pending_file", &[]),
    ("storage", &["pending_file"]),
    ("model", &["error"]),
    ("limits", &[]),
    ("codec", &["model", "limits", "monitor"]),
    ("formats", &["model", "limits", "codec"]),
    ("derived", &["model", "limits", "formats"]),
    ("tree", &["model", "limits", "monitor", "pending_file"]),
    ("keeping", &["model"]),
    ("fetch", &["model", "limits", "monitor", "pending_file", "storage", "formats"]),
    ("programs", &["model", "limits", "monitor", "codec", "formats", "tree", "keeping", "fetch"]),
    ("hashdb", &["model", "limits", "codec", "pending_file"]),
    ("detectors", &["model", "limits", "codec", "formats", "tree"]),
    ("places", &["model", "keeping", "monitor", "fetch", "hashdb"]),
    (
        "index",
        &[
            "model",
            "limits",
            "monitor",
            "codec",
            "formats",
            "tree",
            "fetch",
            "hashdb",
            "detectors",
            "places",
        ],
    ),
    (
        "archive",
        &[
            "model", "limits", "monitor", "storage", "codec", "formats", "derived", "tree",
            "programs", "fetch", "hashdb", "places",
        ],
    ),
    ("sbom", &["model", "detectors"]),
    ("changed", &["model", "monitor", "detectors", "archive"]),
    ("parity", &["model", "limits", "monitor", "pending_file", "archive"]),
    (
        "supplement",
        &["model", "limits", "monitor", "formats", "tree", "fetch", "hashdb", "archive"],
    ),
    (
        "pack",
        &[
            "model",
            "limits",
            "monitor",
            "pending_file",
            "storage",
            "codec",
            "formats",
            "derived",
            "tree",
            "programs",
            "fetch",
            "hashdb",
            "detectors",
            "keeping",
            "places",
            "index",
            "archive",
            "parity",
        ],
    ),
    (
        "restore",
        &[
            "model", "limits", "monitor", "storage", "codec", "formats", "derived", "tree",
            "programs", "fetch", "archive",
        ],
    ),
    (
        "classify",
        &[
            "model",
            "monitor",
            "formats",
            "tree",
            "fetch",
            "hashdb",
            "detectors",
            "index",
            "pack",
            "archive",
            "parity",
            "supplement",
            "restore",
        ],
    ),
];

/// What every module above them may import: how errors and threads are dealt with. New files are not among it: formats
/// and detectors have no path to write to.
const GROUND: &[&str] = &["wording", "error", "parallel"];

/// Lines of a source file, tests included.
const MOST_LINES: usize = 600;

/// Names that say nothing about what is inside.
const MEANINGLESS: &[&str] =
    &["util", "utils", "common", "misc", "helper", "helpers", "core", "tools"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// All Rust files below a folder of the workspace, with their text.
fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![workspace().join(below)];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs_err::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(workspace()).unwrap().to_path_buf(), text));
            }
        }
    }
    found.sort();
    found
}

/// The sources of the library's module of this name.
fn module(name: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new("crates/hashget/src");
    let mut sources = sources("crates/hashget/src");
    sources.retain(|(path, _)| {
        path.starts_with(folder.join(name)) || *path == folder.join(name).with_extension("rs")
    });
    sources
}

/// The text without comments.
fn code(text: &str) -> String {
    let lines =
        text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// The top-level modules that a text names after `crate::`, in groups too.
fn imports(text: &str) -> BTreeSet<String> {
    let is_name = |byte: &char| byte.is_ascii_alphanumeric() || *byte == '_';
    let mut found = BTreeSet::new();
    for rest in code(text).split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(rest.chars().take_while(is_name).collect());
            continue;
        };
        // The names at the first level of a `crate::{a::b, c}`.
        let (mut depth, mut name) = (0, String::new());
        for character in group.chars() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => name.clear(),
                character if depth == 0 && is_name(&character) => name.push(character),
                ':' if depth == 0 && !name.is_empty() => {
                    found.insert(std::mem::take(&mut name));
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn imports_are_found_alone_and_in_groups() {
    let text = "use crate::a::B;\n// crate::comment\nuse crate::{c::{D, e}, f::g};\nfn x() { crate::h::i() }";
    let names: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(names, ["a", "c", "f", "h"]);
}

#[test]
fn modules_import_only_what_lies_below_them() {
    let mut wrong = Vec::new();
    for (position, (name, allowed)) in MODULES.iter().enumerate() {
        let below: Vec<&str> = MODULES[..position].iter().map(|(name, _)| *name).collect();
        assert!(allowed.iter().all(|import| below.contains(import)), "the table itself: {name}");
        let files = module(name);
        assert!(!files.is_empty(), "the table names {name}, which is not there");
        for (path, text) in files {
            let is_module = |import: &str| MODULES.iter().any(|(name, _)| *name == import);
            for import in imports(&text).iter().filter(|import| is_module(import)) {
                let is_ground =
                    GROUND.contains(&import.as_str()) && below.contains(&import.as_str());
                if import != name && !is_ground && !allowed.contains(&import.as_str()) {
                    wrong.push(format!("{}: {name} may not import {import}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_library_is_in_the_table() {
    let library = fs_err::read_to_string(workspace().join("crates/hashget/src/lib.rs")).unwrap();
    let declared = code(&library);
    let declared: BTreeSet<&str> = declared
        .lines()
        .filter_map(|line| {
            line.trim().strip_prefix("pub mod ").or(line.trim().strip_prefix("mod "))
        })
        .map(|name| name.trim_end_matches(';'))
        .collect();
    let table: BTreeSet<&str> = MODULES.iter().map(|(name, _)| *name).collect();
    assert_eq!(declared, table);
}

/// The public error types of the library: each has a class, and `classify` knows it.
#[test]
fn every_public_error_has_a_class() {
    /// What these mean depends on where the text came from, or they are reported at once.
    const VALUES: &[&str] =
        &["ParseDigestError", "BadPath", "NotPublic", "DetectError", "ProgramError"];
    let classify =
        fs_err::read_to_string(workspace().join("crates/hashget/src/classify.rs")).unwrap();
    let mut found = 0;
    for (path, text) in sources("crates/hashget/src") {
        for rest in text.split("thiserror::Error)]").skip(1) {
            let declared = rest.lines().find(|line| line.starts_with("pub ")).unwrap_or("");
            let next = rest.lines().find(|line| line.contains("struct ") || line.contains("enum "));
            let Some(name) = next.filter(|next| *next == declared).and_then(|line| {
                line.split([' ', '(', '{', ';']).filter(|word| !word.is_empty()).nth(2)
            }) else {
                continue;
            };
            if VALUES.contains(&name) {
                continue;
            }
            found += 1;
            let named = classify.contains(&format!("        {name},\n"));
            assert!(named, "{}: classify does not know {name}", path.display());
        }
    }
    assert!(found >= 15, "{found}");
}

#[test]
fn the_library_leaves_terminal_environment_and_process_to_programs() {
    let forbidden = [
        "std::env::",
        "env::var",
        "std::io::stdout",
        "io::stdout(",
        "io::stderr(",
        "io::stdin(",
        "process::exit",
        "Command::new",
        "anyhow",
        "clap::",
        "unicode_width",
    ];
    // The signatures of package lists are verified by the programs that apt uses.
    let verifying = Path::new("crates/hashget/src/detectors/debian/signers.rs");
    // Backups run the user's commands, `ssh` and `sendmail`.
    let backup = Path::new("crates/hashget-backup/src");
    // The server's program is one file of its crate.
    let server = Path::new("crates/hashget-server/src/main.rs");
    let mut wrong = Vec::new();
    let libraries = ["hashget", "hashget-backup", "hashget-parity", "hashget-server"]
        .map(|name| sources(&format!("crates/{name}/src")));
    for (path, text) in libraries.concat() {
        if path == server {
            continue;
        }
        for word in forbidden.iter().filter(|word| code(&text).contains(**word)) {
            if *word == "Command::new" && (path == verifying || path.starts_with(backup)) {
                continue;
            }
            wrong.push(format!("{}: {word}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn formats_see_no_network_no_path_to_write_and_no_database() {
    let forbidden = ["ureq", "rusqlite", "std::net", "create_dir", "File::create", "fs_err::write"];
    for (path, text) in module("formats") {
        for word in forbidden {
            assert!(!code(&text).contains(word), "{}: {word}", path.display());
        }
    }
    // rpm's own database is an SQLite file of the tree.
    let foreign_database = Path::new("crates/hashget/src/detectors/rpm/database.rs");
    for (path, text) in module("detectors") {
        for word in forbidden {
            if word == "rusqlite" && path == foreign_database {
                continue;
            }
            assert!(!code(&text).contains(word), "{}: {word}", path.display());
        }
    }
}

/// The types that implement `interface` in a module, and the text of the module's registry.
fn registered(name: &str, interface: &str, registry: &str) -> (Vec<String>, String) {
    let files = module(name);
    let start = format!("impl {interface} for ");
    let implementors = files
        .iter()
        .flat_map(|(_, text)| text.split(&start).skip(1).collect::<Vec<_>>())
        .map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect())
        .collect();
    let own = Path::new("crates/hashget/src").join(name).join("mod.rs");
    let (_, text) = files.iter().find(|(path, _)| **path == own).unwrap();
    let list = text.split(registry).nth(1).expect("the registry is in mod.rs");
    (implementors, list.split(';').next().unwrap().to_owned())
}

#[test]
fn registries_list_every_format_and_every_detector() {
    let (formats, list) = registered("formats", "Format", "pub const FORMATS");
    assert!(formats.len() >= 4, "{formats:?}");
    for format in formats {
        assert!(list.contains(&format!("::{format}")), "{format} is not in FORMATS");
    }
    let (recipes, list) = registered("derived", "Recipe", "const RECIPES");
    assert!(recipes.len() >= 3, "{recipes:?}");
    for recipe in recipes {
        assert!(list.contains(&format!("::{recipe}")), "{recipe} is not in RECIPES");
    }
    let (detectors, list) = registered("detectors", "Detector", "pub const DETECTORS");
    assert!(detectors.len() >= 4, "{detectors:?}");
    // Rules are the user's own detectors: they come from the configuration.
    for detector in detectors.iter().filter(|detector| *detector != "Rule") {
        let named = [format!("::{detector}"), format!("&{detector}")];
        assert!(named.iter().any(|name| list.contains(name)), "{detector} is not in DETECTORS");
    }
}

/// Ecosystems and formats own their facts: whoever else needs one asks the trait.
#[test]
fn only_its_own_files_know_an_ecosystem_or_a_format() {
    let source = Path::new("crates/hashget/src");
    let owners = [
        "detectors/debian",
        "detectors/debian.rs",
        "formats/deb",
        "formats/deb.rs",
        "derived/dpkg_list.rs",
        "programs/program_package.rs",
    ];
    let mut wrong = Vec::new();
    for (path, text) in sources("crates/hashget/src") {
        let name = path.strip_prefix(source).unwrap();
        let code = code(text.split("\n#[cfg(test)]\n").next().unwrap());
        let is_registry = ["detectors/mod.rs", "formats/mod.rs", "derived/mod.rs"]
            .iter()
            .any(|registry| name == Path::new(registry));
        let is_owner = is_registry || owners.iter().any(|owner| name.starts_with(owner));
        let words = code.split(|byte: char| !byte.is_ascii_alphanumeric());
        // No knowledge of a package: globs of what a backup leaves out, hosts that ask to be spared or promise to keep what they have, the installers that a
        // wheel's `INSTALLER` can name, an example in a message.
        let excused = [
            ("pack/options.rs", "deb"),
            ("fetch/standard.rs", "debian"),
            ("keeping.rs", "debian"),
            ("detectors/pypi.rs", "debian"),
            ("model/package.rs", "deb"),
        ]
        .map(|(name, word)| (Path::new(name), word));
        for word in
            words.filter(|word| ["deb", "debs", "debian", "dpkg"].contains(&&*word.to_lowercase()))
        {
            if !is_owner && !excused.contains(&(name, &*word.to_lowercase())) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
        // Stages reach a detector only through the registry.
        let in_detectors = name.starts_with("detectors");
        for rest in code.split("detectors::").skip(1).filter(|_| !in_detectors) {
            let module: String =
                rest.chars().take_while(|byte| byte.is_ascii_lowercase() || *byte == '_').collect();
            if rest[module.len()..].starts_with("::") {
                wrong.push(format!("{}: detectors::{module}", path.display()));
            }
        }
        // Endings of file names are in the formats; the second list is of packages that no format reads.
        let has_list = !name.starts_with("formats") && name != Path::new("detectors/downloads.rs");
        let endings = ["\".zip\"", "\".whl\"", "\".gem\"", "\".rpm\""];
        if has_list && endings.iter().filter(|ending| code.contains(**ending)).count() > 1 {
            wrong.push(format!("{}: a list of endings", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_are_declared_and_run() {
    let text =
        fs_err::read_to_string(workspace().join("crates/hashget-cli/src/commands/mod.rs")).unwrap();
    for entry in fs_err::read_dir(workspace().join("crates/hashget-cli/src/commands")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.is_file() && name != "mod" {
            assert!(
                text.contains(&format!("{name}::")) && text.contains(&format!("{name}.run(")),
                "{name}"
            );
        }
    }
}

#[test]
fn files_open_with_what_they_are_for_and_stay_readable() {
    let sources = sources("crates");
    assert!(sources.len() > 60);
    let mut wrong = Vec::new();
    for (path, text) in sources {
        let first = text.lines().next().unwrap_or("");
        if first.strip_prefix("//! ").is_none_or(|purpose| purpose.len() < 10) {
            wrong.push(format!("{}: does not open with `//!` and what it is for", path.display()));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{}: {lines} lines; split it", path.display()));
        }
        let names = path.with_extension("");
        if names.iter().any(|name| MEANINGLESS.iter().any(|word| name == *word)) {
            wrong.push(format!("{}: a name from the glossary, please", path.display()));
        }
    }
    let main = workspace().join("crates/hashget-cli/src/main.rs");
    if fs_err::read_to_string(main).unwrap().lines().count() >= 80 {
        wrong.push("main.rs of the program has 80 lines or more".to_owned());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_depend_downwards() {
    let manifest = |name: &str| {
        let path = workspace().join("crates").join(name).join("Cargo.toml");
        let manifest: toml::Table = fs_err::read_to_string(path).unwrap().parse().unwrap();
        manifest
    };
    let depends = |name: &str, on: &str| {
        manifest(name).get("dependencies").is_some_and(|list| list.get(on).is_some())
    };
    assert!(depends("hashget-cli", "hashget"));
    assert!(depends("hashget-cli", "hashget-backup"));
    assert!(depends("hashget-server", "hashget"));
    for (name, on) in [
        ("hashget", "hashget-cli"),
        ("hashget", "hashget-backup"),
        ("hashget-backup", "hashget-cli"),
        ("hashget-backup", "anyhow"),
        ("hashget-backup", "clap"),
        ("hashget-parity", "hashget-backup"),
        ("hashget-testkit", "hashget-backup"),
        ("hashget", "hashget-testkit"),
        ("hashget", "hashget-server"),
        ("hashget", "tokio"),
        ("hashget-backup", "hashget-server"),
        ("hashget-cli", "hashget-server"),
        ("hashget-server", "hashget-backup"),
        ("hashget-server", "hashget-cli"),
        ("hashget-server", "hashget-testkit"),
        ("hashget-testkit", "hashget-server"),
        ("hashget", "hashget-backup"),
        ("hashget-backup", "hashget-cli"),
        ("hashget-backup", "hashget-testkit"),
        ("hashget-backup", "anyhow"),
        ("hashget-backup", "clap"),
        ("hashget-testkit", "hashget-backup"),
        ("hashget", "anyhow"),
        ("hashget", "clap"),
        ("hashget-cli", "hashget-testkit"),
        ("hashget-testkit", "hashget"),
        ("hashget-testkit", "hashget-cli"),
        ("hashget-testkit", "hashget-parity"),
        ("hashget-parity", "hashget"),
        ("hashget-parity", "hashget-cli"),
        ("hashget-parity", "hashget-testkit"),
        ("hashget-parity", "rustix"),
        ("hashget-parity", "ureq"),
    ] {
        assert!(!depends(name, on), "{name} must not depend on {on}");
    }
}

#[test]
fn pages_name_only_files_that_are_there() {
    for page in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/cli.md",
        "docs/design.md",
        "docs/shortcomings.md",
    ] {
        let text = fs_err::read_to_string(workspace().join(page)).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path = quoted.contains('/')
                && ["crates/", "docs/", "tests/", "./"]
                    .iter()
                    .any(|start| quoted.starts_with(start))
                && !quoted.contains(['*', ' ', '<', 'X']);
            assert!(!is_path || workspace().join(quoted).exists(), "{page} names {quoted}");
            // The walkthroughs name files of the library by their module.
            let module = quoted.split('/').next().unwrap();
            if page == "docs/architecture.md" && MODULES.iter().any(|(name, _)| *name == module) {
                let file = workspace().join("crates/hashget/src").join(quoted);
                assert!(
                    file.exists() || file.with_extension("rs").exists(),
                    "{page} names {quoted}"
                );
            }
        }
    }
}

#[test]
fn programs_that_tests_need_can_be_installed() {
    let script = fs_err::read_to_string(workspace().join("tests/install-tools.sh")).unwrap();
    let installed: BTreeSet<&str> =
        script.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let mut count = 0;
    for (path, text) in sources("crates") {
        if path.ends_with("tests/needs/main.rs") {
            for rest in text.split("Tool(\"").skip(1) {
                let program = rest.split('"').next().unwrap();
                assert!(installed.contains(program), "{}: {program}", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 10, "{count}");
}

#[test]
fn no_test_returns_because_something_is_missing() {
    for folder in [
        "crates/hashget/tests",
        "crates/hashget-backup/tests",
        "crates/hashget-cli/tests",
        "crates/hashget-server/tests",
    ] {
        for (path, text) in sources(folder) {
            let skips = text.to_lowercase().contains(concat!("skip", "ped: "));
            assert!(!skips, "{}: tests with needs go into tests/needs", path.display());
        }
    }
}
