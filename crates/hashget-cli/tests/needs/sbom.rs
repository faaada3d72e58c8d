//! Bills of materials, checked by the programs of those who wrote the specifications, and by what reads package URLs.

use std::process::Command;

use super::support::Machine;
use super::system::install;

/// Validates by the schemas, and wants each package URL to be canonical.
const CYCLONEDX: &str = r#"
import json, sys
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator
from packageurl import PackageURL
text = open(sys.argv[1]).read()
version = json.loads(text)["specVersion"]
wrong = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.from_version(version)).validate_str(text)
assert wrong is None, wrong
urls = [one["purl"] for one in json.loads(text)["components"] if "purl" in one]
assert urls
for url in urls:
    assert PackageURL.from_string(url).to_string() == url, (url, PackageURL.from_string(url).to_string())
"#;

fn machine() -> Machine {
    let machine = Machine::new();
    install(&machine, &["one", "lib+two"]);
    let lock = r#"{"lockfileVersion":3,"packages":{"node_modules/@a/b":{"version":"1.2.3","resolved":"https://packages.example/b-1.2.3.tgz"}}}"#;
    machine.write("root/srv/app/package-lock.json", lock);
    let own = r#"{"name":"@a/b","version":"1.2.3"}"#;
    machine.write("root/srv/app/node_modules/@a/b/package.json", own);
    machine.write(
        "tool.tar",
        hashget_testkit::packages::TarBuilder::new().file("t/x", &[b'x'; 5000]).finish(),
    );
    machine
        .hashget(&["index", "--file", "tool.tar", "https://packages.example/a%20b/tool-1.0.tar"])
        .expect(0);
    machine.write("root/opt/t/x", "x".repeat(5000));
    machine.hashget(&["pack", "root", "-f", "a.tar.zst", "--no-index"]).expect(0);
    machine
}

fn accepts(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

pub(super) fn cyclonedx_is_valid_by_its_schemas() {
    let machine = machine();
    for tree in ["a.tar.zst", "root"] {
        for version in ["1.5", "1.6"] {
            machine.hashget(&["sbom", tree, "--spec", version, "-o", "x.cdx.json"]).expect(0);
            let file = machine.path("x.cdx.json").display().to_string();
            accepts("python3", &["-c", CYCLONEDX, &file]);
        }
    }
}

pub(super) fn spdx_is_valid_by_its_own_tools() {
    let machine = machine();
    for tree in ["a.tar.zst", "root"] {
        machine.hashget(&["sbom", tree, "--format", "spdx", "-o", "x.spdx.json"]).expect(0);
        accepts("pyspdxtools", &["-i", &machine.path("x.spdx.json").display().to_string()]);
    }
}
