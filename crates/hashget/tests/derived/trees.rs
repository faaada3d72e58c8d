//! Packages, and trees into which they are installed as their own programs would do it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hashget::model::Digest;
use hashget_testkit::packages::{ZipEntry, conda, deb, zip};
use hashget_testkit::trees::{self, Snapshot, snapshot};

use crate::scene::{Part, Scene, lay_down, tar};

/// Where dpkg keeps what it knows.
pub(crate) const INFO: &str = "var/lib/dpkg/info";

/// The parts of a .deb with so many files.
pub(crate) fn parts(files: usize) -> Vec<Part> {
    let folders = ["usr", "usr/share", "usr/share/tool"].map(Part::folder);
    let file = |number: usize| {
        let path = format!("usr/share/tool/a file of the tool, number {number:04}");
        Part::file(&path, format!("contents {number}\n").repeat(20))
    };
    folders.into_iter().chain((0..files).map(file)).collect()
}

/// The list that dpkg writes.
pub(crate) fn list_of(parts: &[Part]) -> String {
    let names = parts.iter().map(|part| format!("/{}\n", String::from_utf8_lossy(&part.path)));
    format!("/.\n{}", names.collect::<String>())
}

/// A machine on which dpkg has unpacked a package with these parts, and has written this list.
pub(crate) fn debian(parts: &[Part], list: &str) -> (Scene, Snapshot) {
    let scene = Scene::new();
    let sums = "0123456789abcdef  usr/share/tool/x\n".repeat(30);
    let control = [
        ("md5sums", sums.as_bytes()),
        ("postinst", &b"#!/bin/sh\nexit 0\n"[..]),
        ("prerm", b"#!/bin/sh\nexit 1\n"),
    ];
    scene.index("tool_1.0_all.deb", &deb(&control, &tar(parts), "gzip"));
    lay_down(&scene.tree(), parts);
    for (name, content) in control {
        let path = trees::file(&scene.tree(), format!("{INFO}/tool.{name}"), content);
        trees::mtime(&path, 1_700_000_000, 0);
    }
    let path = trees::file(&scene.tree(), format!("{INFO}/tool.list"), list);
    trees::mtime(&path, 1_650_000_000, 123_456_789);
    let before = snapshot(&scene.tree());
    (scene, before)
}

/// A line of a wheel's record.
pub(crate) fn row(path: &str, content: &str) -> String {
    let digest = BASE64_URL_SAFE_NO_PAD.encode(Digest::of(content.as_bytes()).as_bytes());
    format!("{path},sha256={digest},{}", content.len())
}

/// A virtual environment into which a wheel was installed, with its modules compiled.
pub(crate) fn virtual_environment(modules: usize, further: &[String]) -> (Scene, Snapshot) {
    let scene = Scene::new();
    let module = |number: usize| {
        (format!("tool/module_{number:03}.py"), format!("VALUE = {number}\n").repeat(10))
    };
    let mut files: Vec<(String, String)> = (0..modules).map(module).collect();
    files.push(("tool-1.0.dist-info/METADATA".into(), "Name: tool\n".repeat(10)));
    files.push(("tool-1.0.dist-info/RECORD".into(), "tool-1.0.dist-info/RECORD,,\n".into()));
    let entries: Vec<ZipEntry<'_>> = files
        .iter()
        .map(|(name, content)| ZipEntry {
            name: name.as_bytes(),
            content: content.as_bytes(),
            ..ZipEntry::default()
        })
        .collect();
    scene.index("tool-1.0-py3-none-any.whl", &zip(&entries));
    let (site, record) = ("lib/python3.11/site-packages", "tool-1.0.dist-info/RECORD");
    let mut rows: BTreeSet<String> = further.iter().cloned().collect();
    for (name, content) in files.iter().filter(|(name, _)| name != record) {
        trees::file(&scene.tree(), format!("{site}/{name}"), content);
        rows.insert(row(name, content));
        if let Some(module) = name.strip_prefix("tool/").and_then(|name| name.strip_suffix(".py")) {
            let compiled = format!("tool/__pycache__/{module}.cpython-311.pyc");
            trees::file(&scene.tree(), format!("{site}/{compiled}"), "compiled");
            rows.insert(format!("{compiled},,"));
        }
    }
    rows.insert(format!("{record},,"));
    let text: String = rows.iter().map(|row| format!("{row}\r\n")).collect();
    trees::file(&scene.tree(), format!("{site}/{record}"), text);
    let before = snapshot(&scene.tree());
    (scene, before)
}

/// What stands in conda's packages where the path of an environment will be.
pub(crate) const PLACEHOLDER: &str =
    "/home/builder/feedstock_root/build_artifacts/tool/_h_env_placehold_placehold_placehold_pl";

/// An environment of conda, with a text and a binary file that have its path.
pub(crate) fn conda_environment(prefix: Option<&str>) -> (Scene, Snapshot) {
    let scene = Scene::new();
    let environment = scene.tree().to_str().unwrap().to_owned() + "/env";
    let prefix = prefix.unwrap_or(&environment);
    let text = |at: &str| format!("#!{at}/bin/python\n{}", format!("use {at}\n").repeat(100));
    let binary = |at: &str| {
        let string = |rest: &str, times: usize| {
            let padding = "\0".repeat((PLACEHOLDER.len() - at.len()) * times);
            format!("{}{padding}\0", format!("{at}{rest}").repeat(times))
        };
        format!("\u{7f}ELF\0{}{}{}", string("/lib:", 2), string("/share", 1), "\0x".repeat(400))
    };
    let private = "what only this package has\n".repeat(50);
    let packed = [
        Part::folder("bin"),
        Part::file("bin/tool", text(PLACEHOLDER)),
        Part::folder("lib"),
        Part::file("lib/data", private.clone()),
        Part::file("lib/libtool.so", binary(PLACEHOLDER)),
    ];
    let info = tar(&[Part::folder("info"), Part::file("info/index.json", "{}")]);
    scene.index("tool-1.0-0.conda", &conda(&tar(&packed), &info));
    let installed = [
        Part::folder("bin"),
        Part::file("bin/tool", text(prefix)),
        Part::folder("lib"),
        Part::file("lib/data", private),
        Part::file("lib/libtool.so", binary(prefix)),
    ];
    lay_down(&scene.tree().join("env"), &installed);
    let file = |path: &str, mode: &str| {
        serde_json::json!({
            "_path": path, "file_mode": mode, "prefix_placeholder": PLACEHOLDER,
        })
    };
    let paths = [file("bin/tool", "text"), file("lib/libtool.so", "binary")];
    let record = serde_json::json!({ "name": "tool", "paths_data": { "paths": paths } });
    trees::file(&scene.tree(), "env/conda-meta/tool-1.0-0.json", record.to_string());
    let before = snapshot(&scene.tree());
    (scene, before)
}
