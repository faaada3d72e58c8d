//! A session of the Python tool 0.176 with the server.

use std::path::{Path, PathBuf};
use std::process::Command;

use hashget::model::Digest;
use hashget_server::Scope;
use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::{TarBuilder, deb};

use crate::support::{TestServer, settings};

/// The tool, in a home folder of its own.
struct Tool {
    program: PathBuf,
    home: PathBuf,
    server: String,
}

impl Tool {
    fn new(home: &Path, server: &TestServer) -> Self {
        let path = std::env::var_os("PATH").unwrap();
        // `hashget` itself may be ours; the other program of the package is only the Python tool's.
        let admin = std::env::split_paths(&path)
            .map(|folder| folder.join("hashget-admin"))
            .find(|program| program.exists())
            .unwrap();
        let mut program = fs_err::canonicalize(admin).unwrap().with_file_name("hashget");
        let script = fs_err::read_to_string(&program).unwrap();
        if !script.lines().next().unwrap().contains("python") {
            // It only starts the one of the Python that is chosen here.
            let scripts = "import sysconfig; print(sysconfig.get_path('scripts'))";
            let output = Command::new("python3").args(["-c", scripts]).output().unwrap();
            let folder = String::from_utf8(output.stdout).unwrap();
            program = Path::new(folder.trim()).join("hashget");
        }
        fs_err::create_dir_all(home).unwrap();
        Self { program, home: home.to_owned(), server: server.client.url("/") }
    }

    /// Runs it with these arguments; what it says.
    fn run(&self, arguments: &[&str]) -> String {
        let script = fs_err::read_to_string(&self.program).unwrap();
        let python = script.lines().next().and_then(|line| line.strip_prefix("#!")).unwrap();
        // As root, its cache would be that of the whole machine.
        let start = "import os, runpy, sys; os.getuid = lambda: 1000; sys.argv = sys.argv[1:]; \
                     runpy.run_path(sys.argv[0], run_name='__main__')";
        let output = Command::new(python)
            .args(["-W", "ignore", "-c", start])
            .arg(&self.program)
            .args(arguments)
            .arg("--hashdb_path")
            .arg(self.home.join("hashdb"))
            .args(["--hashserver", &self.server])
            .env("HOME", &self.home)
            .env("no_proxy", "*")
            .current_dir(&self.home)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    }
}

/// A Debian package with a file that is large enough for an anchor, and that file.
fn package() -> (Vec<u8>, Vec<u8>) {
    let content: Vec<u8> = (0u32..50_000).flat_map(u32::to_le_bytes).collect();
    let control = "Package: tool\nVersion: 1:2.0-1\nArchitecture: amd64\nMaintainer: a <a@a.example>\n\
                   Description: a tool\n";
    let data =
        TarBuilder::new().directory("./").directory("./usr/").file("./usr/tool", &content).finish();
    (deb(&[("control", control.as_bytes())], &data, "gzip"), content)
}

/// A root on which the package is installed, and something else is.
fn system(folder: &Path, content: &[u8]) -> PathBuf {
    let root = folder.join("root");
    fs_err::create_dir_all(root.join("var/lib/dpkg")).unwrap();
    fs_err::create_dir_all(root.join("usr")).unwrap();
    fs_err::write(root.join("usr/tool"), content).unwrap();
    fs_err::write(root.join("own"), "own").unwrap();
    let status = "Package: tool\nStatus: install ok installed\nPriority: optional\nSection: a\nInstalled-Size: 1\n\
                  Maintainer: a <a@a.example>\nArchitecture: amd64\nVersion: 1:2.0-1\nDescription: a tool\n\n";
    fs_err::write(root.join("var/lib/dpkg/status"), status).unwrap();
    root
}

pub(crate) fn the_python_tool_submits_indexes_packs_and_gets() {
    let origin = Origin::start();
    let (package, content) = package();
    origin.serve("/tool_2.0-1_amd64.deb", package.clone());
    let url = origin.url("/tool_2.0-1_amd64.deb");
    let server = TestServer::start(settings(
        "anonymous = [\"read\", \"submit\"]\n[submissions]\nagain_after_hours = 1\npublic_hosts = [\"127.0.0.1\"]\n\
         [python]\nmotd = \"welcome here\"\naccept_urls = [\"127\\\\.0\\\\.0\\\\.1\"]",
    ));
    let folder = tempfile::tempdir().unwrap();

    // One machine submits what it has indexed.
    let first = Tool::new(&folder.path().join("first"), &server);
    let said = first.run(&["--submit", &url, "-p", "mine"]);
    assert!(said.contains("Submit 202"), "{said}");
    server.client.wait_for(1, "seen");
    // What was seen once is told to nobody.
    assert_eq!(server.client.get("/sig/deb/t/tool/tool_2.0-1_amd64").status, 404);
    server.pass(1);
    server.client.wait_for(1, "published");
    let said = first.run(&["--submit", &url, "-p", "again"]);
    assert!(!said.contains("Submit 202"), "the server has it already: {said}");

    // Another one, which knows nothing, needs no package to pack.
    let second = Tool::new(&folder.path().join("second"), &server);
    let root = system(folder.path(), &content);
    let root_text = root.to_str().unwrap();
    let said = second.run(&["--index", root_text]);
    assert!(said.contains("1 pulled") && said.contains("welcome here"), "{said}");
    let requests = origin.requests_of("/tool_2.0-1_amd64.deb").len();
    let archive = folder.path().join("archive.tar.gz");
    second.run(&["--pack", root_text, "-zf", archive.to_str().unwrap()]);
    assert!(fs_err::metadata(&archive).unwrap().len() < 20_000);
    assert_eq!(origin.requests_of("/tool_2.0-1_amd64.deb").len(), requests);
    let restored = unpacked(&archive, &folder.path().join("restored"));
    second.run(&["-u", restored.to_str().unwrap(), "--user"]);
    assert!(fs_err::read(restored.join("usr/tool")).unwrap() == content);
    assert_eq!(fs_err::read(restored.join("own")).unwrap(), b"own");

    // A file or a package by its digest.
    let got = |name: &str, digest: &[u8]| {
        let tool = Tool::new(&folder.path().join(name), &server);
        let out = tool.home.join("out");
        fs_err::create_dir_all(&out).unwrap();
        let digest = format!("sha256:{}", Digest::of(digest));
        tool.run(&["--get", &digest, "-o", out.to_str().unwrap()]);
        let files: Vec<_> = fs_err::read_dir(&out).unwrap().map(|one| one.unwrap()).collect();
        assert_eq!(files.len(), 1);
        fs_err::read(files[0].path()).unwrap()
    };
    assert!(got("file", &content) == content);
    assert!(got("package", &package) == package);
    let writer = server.client.with_token(&server.token("writer", Scope::Submit));
    let hex = Digest::of(&package).to_string();
    let place = format!("/pool/sha256/{}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..6], &hex[6..]);
    assert_eq!(writer.ask("PUT", &place, &[], package.clone()).status, 201);
    // When its host is gone, the pool still has the package.
    origin.always("/tool_2.0-1_amd64.deb", Fault::Status(404));
    let fourth = Tool::new(&folder.path().join("fourth"), &server);
    let from_pool = unpacked(&archive, &folder.path().join("from-pool"));
    fourth.run(&["-u", from_pool.to_str().unwrap(), "--user", "--pool", &server.client.url("")]);
    assert!(fs_err::read(from_pool.join("usr/tool")).unwrap() == content);
}

/// What tar makes of an archive of the tool: all but what packages give back.
fn unpacked(archive: &Path, into: &Path) -> PathBuf {
    fs_err::create_dir(into).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("xzf").arg(archive).arg("-C").arg(into);
    assert!(tar.status().unwrap().success());
    assert!(!into.join("usr/tool").exists());
    into.to_owned()
}
