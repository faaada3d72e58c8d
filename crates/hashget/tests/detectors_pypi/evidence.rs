//! What proves the files of an installed wheel, with an index on loopback.

use base64::Engine as _;
use hashget::detectors::select;
use hashget::fetch::{FetchOptions, RetryOptions, Sources, standard_sources};
use hashget::hashdb::{HashDb as _, LocalHashDb};
use hashget::index::{Indexer, TreeIndexed};
use hashget::limits::Limits;
use hashget::model::{Digest, Evidence};
use hashget::monitor::Recorder;
use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{ZipEntry, zip};

use super::{INFO, SITE, WHEEL, installed, variables, write};

/// A wheel, as installed below `tree` and as an index on loopback has it.
struct Stage {
    origin: Origin,
    tree: tempfile::TempDir,
    wheel: Vec<u8>,
    hashdb: LocalHashDb,
}

fn stored<'a>(name: &'a str, content: &'a [u8]) -> ZipEntry<'a> {
    ZipEntry { name: name.as_bytes(), content, deflate: false, ..ZipEntry::default() }
}

fn line(path: &str, content: &[u8]) -> String {
    let digest = Digest::of(content);
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest.as_bytes());
    format!("{path},sha256={text},{}\n", content.len())
}

impl Stage {
    fn new(json: bool) -> Self {
        let tree = installed();
        let data = Digest::of(b"noise");
        let noise: Vec<u8> = (0..8000u32)
            .flat_map(|number| {
                Digest::of(&[data.as_bytes(), &number.to_le_bytes()[..]].concat())
                    .as_bytes()
                    .to_vec()
            })
            .collect();
        let files: [(&str, &[u8]); 4] = [
            ("a_b/one.py", b"one = 1\n"),
            ("a_b/noise.bin", &noise),
            ("A_b-1.0.data/purelib/a_b/two.py", b"two = 2\n"),
            ("A_b-1.0.data/data/share/doc", b"documentation"),
        ];
        let record: String = files.iter().map(|(path, content)| line(path, content)).collect();
        let record = record + "\"a_b/o,n\"\"e.py\",,\nA_b-1.0.dist-info/RECORD,,\n";
        let mut entries: Vec<ZipEntry<'_>> =
            files.iter().map(|(name, content)| stored(name, content)).collect();
        entries.push(stored("A_b-1.0.dist-info/WHEEL", WHEEL.as_bytes()));
        entries.push(stored("A_b-1.0.dist-info/RECORD", record.as_bytes()));
        let wheel = zip(&entries);
        for (path, content) in [
            ("a_b/one.py", files[0].1),
            ("a_b/noise.bin", files[1].1),
            ("a_b/two.py", b"two = 22\n"),
            ("../../../share/doc", files[3].1),
        ] {
            write(tree.path(), &format!("{SITE}/{path}"), content);
        }
        let local = line("a_b/one.py", files[0].1)
            + &line("a_b/noise.bin", files[1].1)
            + &line("a_b/two.py", files[2].1)
            + &line("../../../share/doc", files[3].1)
            + &line("../../../bin/tool", b"#!")
            + &line("../../../../../../../../etc/passwd", b"x")
            + "a_b/__pycache__/one.pyc,,\r\n";
        write(tree.path(), &format!("{INFO}/RECORD"), local);
        let origin = Origin::start();
        let (name, digest) = ("A_b-1.0-py3-none-any.whl", Digest::of(&wheel));
        let page = if json {
            format!(
                "{{\"files\": [{{\"filename\": \"{name}\", \"url\": \"../../f/{name}\", \"size\": {}, \"hashes\": \
                 {{\"sha256\": \"{digest}\"}}}}]}}",
                wheel.len()
            )
        } else {
            format!("<html><a href=\"../../f/{name}#sha256={digest}\">{name}</a></html>")
        };
        origin.serve("/simple/a-b/", page.into_bytes());
        origin.serve(&format!("/f/{name}"), wheel.clone());
        let hashdb = LocalHashDb::open(&tree.path().join("db")).unwrap();
        Self { origin, tree, wheel, hashdb }
    }

    fn index(&self, evidence: Evidence) -> TreeIndexed {
        let machine = variables(&[("PIP_INDEX_URL", &self.origin.url("/simple"))]);
        let retry = RetryOptions { tries: 1, ..RetryOptions::default() };
        let Sources { source, web } =
            standard_sources(&FetchOptions { retry, ..FetchOptions::default() }).unwrap();
        let indexer = Indexer {
            hashdb: &self.hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &[],
            limits: &Limits::default(),
            jobs: 1,
            evidence,
        };
        let (detectors, monitor) =
            (select(&["pypi".to_owned()], &[]).unwrap(), Recorder::default());
        indexer.index_tree(&self.tree.path().join("venv"), &detectors, &machine, &monitor).unwrap()
    }

    fn known(&self) -> (Evidence, Vec<String>) {
        let (id, record) = self.hashdb.list().unwrap().pop().unwrap();
        assert_eq!(
            (record.sha256, record.size),
            (Digest::of(&self.wheel), self.wheel.len() as u64)
        );
        let name = format!("pypi:a-b-1.0-py3-none-any@{}", self.origin.url("/simple"));
        assert_eq!(record.signatures[0].to_string(), name);
        let members = self.hashdb.members(id).unwrap();
        let mut paths: Vec<String> = members.iter().map(|member| member.path.to_string()).collect();
        paths.sort();
        (record.evidence, paths)
    }

    fn fetched(&self) -> u64 {
        let of_wheel = |path: &str| path.starts_with("/f/");
        self.origin.requests().iter().filter(|one| of_wheel(&one.path)).map(|one| one.bytes).sum()
    }
}

#[test]
fn each_evidence_gives_what_it_promises() {
    for json in [true, false] {
        let stage = Stage::new(json);
        assert_eq!(stage.index(Evidence::Local).new, 1);
        let asked = &stage.origin.requests_of("/simple/a-b/")[0];
        // As PEP 691 wants it: JSON rather than HTML, and older indexes understand it, too.
        let accept = asked.accept.as_deref().unwrap();
        assert!(accept.starts_with("application/vnd.pypi.simple.v1+json,"), "{accept}");
        assert!(accept.ends_with("text/html;q=0.01"), "{accept}");
        assert_eq!(asked.range, None);
        let unchanged = ["A_b-1.0.data/data/share/doc", "a_b/noise.bin", "a_b/one.py"];
        // The list on this machine proves nothing, so that of the wheel is read.
        assert_eq!(stage.known(), (Evidence::Declared, unchanged.map(str::to_owned).to_vec()));
        assert_eq!(stage.index(Evidence::Declared).known, 1);
        // An index that tells no size costs one byte.
        let tail = stage.fetched() - u64::from(!json);
        assert!(tail * 4 < stage.wheel.len() as u64, "{tail} of {}", stage.wheel.len());
        assert_eq!(stage.index(Evidence::Downloaded).new, 1);
        let (evidence, members) = stage.known();
        assert_eq!((evidence, members.len()), (Evidence::Downloaded, 6));
        assert_eq!(stage.index(Evidence::Downloaded).known, 1);
    }
}
