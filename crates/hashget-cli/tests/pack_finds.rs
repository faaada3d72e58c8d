//! `pack` finds what `index --tree` finds, whichever detector it is: a package whose files lie elsewhere than the entry that led
//! to it is not thought useless.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use hashget::model::{Algorithm, Digest};
use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, ZipEntry, compress, zip};
use support::{Ended, Machine};

fn noise(name: &str) -> Vec<u8> {
    let digest = |number| *Digest::of(format!("{name}{number}").as_bytes()).as_bytes();
    (0..600_u32).flat_map(digest).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

fn tarball(name: &str, content: &[u8]) -> Vec<u8> {
    compress("gzip", &TarBuilder::new().file(name, content).finish())
}

fn link(target: &str, at: &Path) {
    fs_err::create_dir_all(at.parent().unwrap()).unwrap();
    fs_err::os::unix::fs::symlink(target, at).unwrap();
}

/// Makes a tree with one package of an ecosystem, and serves it.
type Make = fn(&Machine, &Origin);

/// Each ecosystem whose files may lie elsewhere than what names the package.
const ECOSYSTEMS: &[(&str, Make)] = &[
    ("hint", |machine, origin| {
        origin.serve("/a.tar.gz", tarball("deep/a", &noise("hint")));
        machine.write(
            "tree/hashget-hint.json",
            format!("{{\"url\": \"{}\"}}", origin.url("/a.tar.gz")),
        );
        machine.write("tree/deep/a", noise("hint"));
    }),
    ("npm", |machine, origin| {
        origin.serve("/a-1.0.0.tgz", tarball("package/i.js", &noise("npm")));
        machine.write("tree/app/node_modules/a/i.js", noise("npm"));
        machine.write("tree/app/node_modules/a/package.json", "{}");
        let package =
            format!("{{\"version\": \"1.0.0\", \"resolved\": \"{}\"}}", origin.url("/a-1.0.0.tgz"));
        let lock = format!("{{\"packages\": {{\"node_modules/a\": {package}}}}}");
        machine.write("tree/app/package-lock.json", lock);
    }),
    ("pypi", |machine, origin| {
        let wheel =
            zip(&[ZipEntry { name: b"a/data", content: &noise("pypi"), ..ZipEntry::default() }]);
        origin.serve("/a-1.0-py3-none-any.whl", wheel);
        let site = "tree/lib/python3.11/site-packages";
        machine.write(&format!("{site}/a/data"), noise("pypi"));
        machine.write(&format!("{site}/a-1.0.dist-info/WHEEL"), "Tag: py3-none-any\n");
        let url = origin.url("/a-1.0-py3-none-any.whl");
        let direct = format!("{{\"url\": \"{url}\", \"archive_info\": {{}}}}");
        machine.write(&format!("{site}/a-1.0.dist-info/direct_url.json"), direct);
    }),
    ("conda", |machine, origin| {
        let package =
            compress("bzip2", &TarBuilder::new().file("share/a", &noise("conda")).finish());
        origin.serve("/a-1.0-0.tar.bz2", package);
        machine.write("tree/env/share/a", noise("conda"));
        let record = format!("{{\"url\": \"{}\"}}", origin.url("/a-1.0-0.tar.bz2"));
        machine.write("tree/env/conda-meta/a-1.0-0.json", record);
    }),
    ("rustup", |machine, origin| {
        let package =
            compress("xz", &TarBuilder::new().file("cargo/bin/cargo", &noise("rustup")).finish());
        let hash = sha256(&package);
        origin.serve("/cargo.tar.xz", package);
        machine.write("tree/toolchain/bin/cargo", noise("rustup"));
        machine.write("tree/toolchain/lib/rustlib/components", "cargo-x\n");
        let url = origin.url("/cargo.tar.xz");
        let manifest = format!(
            "date = \"2024-01-01\"\n[pkg.cargo.target.x]\nxz_url = \"{url}\"\nxz_hash = \"{hash}\"\n"
        );
        machine.write("tree/toolchain/lib/rustlib/multirust-channel-manifest.toml", manifest);
    }),
    ("gems", |machine, origin| {
        let data = tarball("lib/a.rb", &noise("gems"));
        let gem = TarBuilder::new()
            .file("metadata.gz", &compress("gzip", b"--- x"))
            .file("data.tar.gz", &data)
            .finish();
        origin.serve("/info/a", format!("---\n1.0 |checksum:{}\n", sha256(&gem)).into_bytes());
        origin.serve("/gems/a-1.0.gem", gem);
        machine.write("tree/.gemrc", format!("---\n:sources: [\"{}\"]\n", origin.url("/")));
        machine.write("tree/home/specifications/a-1.0.gemspec", "# stub: a 1.0 ruby lib\n");
        machine.write("tree/home/gems/a-1.0/lib/a.rb", noise("gems"));
    }),
    ("go", |machine, origin| {
        let content = noise("go");
        let module = zip(&[ZipEntry {
            name: b"m.example/a@v1.0.0/a.go",
            content: &content,
            ..ZipEntry::default()
        }]);
        origin.serve("/m.example/a/@v/v1.0.0.info", b"{\"Version\": \"v1.0.0\"}".to_vec());
        origin.serve("/m.example/a/@v/v1.0.0.zip", module);
        machine.write("tree/.config/go/env", format!("GOPROXY={}\n", origin.url("")));
        machine.write("tree/go/pkg/mod/cache/download/m.example/a/@v/v1.0.0.ziphash", "h1:x");
        machine.write("tree/go/pkg/mod/m.example/a@v1.0.0/a.go", content);
    }),
    ("huggingface", |machine, origin| {
        let (content, commit) = (noise("hub"), "0123456789abcdef0123456789abcdef01234567");
        let digest = sha256(&content);
        let page = format!(
            "{{\"siblings\": [{{\"rfilename\": \"m.bin\", \"lfs\": {{\"sha256\": \"{digest}\"}}}}]}}"
        );
        origin.serve(&format!("/api/models/o/m/revision/{commit}"), page.into_bytes());
        origin.serve(&format!("/o/m/resolve/{commit}/m.bin"), content.clone());
        let model = "tree/snapshots/daily/hub/models--o--m";
        machine.write(&format!("{model}/blobs/{digest}"), content);
        link(
            &format!("../../blobs/{digest}"),
            &machine.path(&format!("{model}/snapshots/{commit}/m.bin")),
        );
    }),
    ("maven", |machine, origin| {
        let jar =
            zip(&[ZipEntry { name: b"A.class", content: &noise("maven"), ..ZipEntry::default() }]);
        let place = "org/acme/repository/core/a/1.0";
        let mut hasher = Algorithm::Sha1.hasher();
        hasher.update(&jar);
        let sha1 = hasher.finish().to_string().replace("sha1:", "");
        origin.serve(&format!("/m2/{place}/a-1.0.jar"), jar.clone());
        origin.serve(&format!("/m2/{place}/a-1.0.jar.sha1"), sha1.into_bytes());
        machine.write(&format!("tree/.m2/repository/{place}/a-1.0.jar"), jar);
        machine.write(
            &format!("tree/.m2/repository/{place}/_remote.repositories"),
            "a-1.0.jar>own=\n",
        );
        let url = origin.url("/m2");
        let settings = format!(
            "<settings><mirrors><mirror><id>own</id><url>{url}</url></mirror></mirrors></settings>"
        );
        machine.write("tree/.m2/settings.xml", settings);
    }),
    ("downloads", |machine, origin| {
        let package = tarball("a", &noise("downloads"));
        origin.serve("/a.tar.gz", package.clone());
        machine.write("tree/a.tar.gz", package);
        let url = origin.url("/a.tar.gz");
        machine.write(
            "tree/a.tar.gz.meta4",
            format!("<m><file name=\"a.tar.gz\"><url>{url}</url></file></m>"),
        );
    }),
];

/// The packages in a HashDB.
fn packages(machine: &Machine, db: &str) -> Vec<String> {
    let listed = machine.hashget(&["--db", db, "db", "list", "--json"]).expect(0);
    let url = |record: &serde_json::Value| record["url"].as_str().map(str::to_owned);
    listed.records().iter().filter_map(url).collect()
}

#[test]
fn pack_finds_what_index_finds() {
    for (name, make) in ECOSYSTEMS {
        let (machine, origin) = (Machine::new(), Origin::start());
        make(&machine, &origin);
        // What a file of a tree names is fetched from public hosts only.
        let config = machine.write("config.toml", "[host.\"127.0.0.1\"]\npublic = true\n");
        let run = |arguments: &[&str]| {
            let mut command = machine.bare();
            command.envs(machine.variables()).env("HASHGET_CONFIG", &config);
            command.env("HF_ENDPOINT", origin.url("")).args(arguments);
            Ended::of(&mut command).expect(0)
        };
        let ended = run(&["--db", "one", "index", "--tree", "tree", "--detect", name]);
        let indexed = packages(&machine, "one");
        assert_eq!(indexed.len(), 1, "{name}: {}{}", ended.stdout, ended.stderr);
        run(&["--db", "two", "pack", "tree", "-n", "--detect", name]);
        assert_eq!(packages(&machine, "two"), indexed, "{name}");
    }
}
