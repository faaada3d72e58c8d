//! Packages whose URL an index tells, that are proven by other digests, and whose files are listed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashget::detectors::{self, Candidate, Declared, FileList, Listed, Parts, Question};
use hashget::fetch::{FetchOptions, RetryOptions, Sources, standard_sources};
use hashget::hashdb::HashDb as _;
use hashget::index::{Indexer, TreeIndexed};
use hashget::limits::Limits;
use hashget::model::{Algorithm, Checksum, Digest, Evidence, RelPath, Signature};
use hashget::monitor::Recorder;
use hashget_testkit::origin::{Fault, Origin};

use crate::parts::{MemoryDb, tar};

/// Asks pages of lines `NAME URL SHA256 SIZE`; a size of 0 is not told.
#[derive(Debug)]
struct Line {
    name: String,
    pages: Vec<String>,
}

impl Question for Line {
    fn pages(&self) -> &[String] {
        &self.pages
    }

    fn answer(&self, _url: &str, page: &[u8]) -> Result<Option<detectors::Answer>, String> {
        let page = std::str::from_utf8(page).map_err(|error| error.to_string())?;
        let of = |line: &str| {
            let [name, url, sha256, size] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
            (name == self.name).then(|| detectors::Answer {
                url: url.to_owned(),
                sha256: sha256.parse().ok(),
                size: size.parse().ok().filter(|size| *size > 0),
                ..detectors::Answer::default()
            })
        };
        Ok(page.lines().find_map(of))
    }
}

/// Lists in files of lines `MEMBER PATH ALGORITHM:HEX`: one on this machine, one at the end of the package.
#[derive(Debug)]
struct Lines {
    root: PathBuf,
    local: Option<String>,
    bytes_of_list: u64,
}

fn listed(list: &str) -> Vec<Listed> {
    let line = |line: &str| {
        let [member, path, checksum] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        Listed {
            member: RelPath::new(member).unwrap(),
            path: RelPath::new(path).unwrap(),
            checksum: checksum.parse().unwrap(),
        }
    };
    list.lines().map(line).collect()
}

impl FileList for Lines {
    fn format(&self) -> &'static str {
        "tar"
    }

    fn root(&self) -> &Path {
        &self.root
    }

    fn local(&self) -> Result<Option<Vec<Listed>>, String> {
        Ok(self.local.as_deref().map(listed))
    }

    fn declared(
        &self,
        part: &mut Parts<'_>,
        size: u64,
        _limits: &Limits,
    ) -> io::Result<Option<Declared>> {
        let list = part(size - self.bytes_of_list, self.bytes_of_list)?;
        Ok(Some(listed(&String::from_utf8(list).map_err(io::Error::other)?).into()))
    }
}

/// An index, two packages, and a tree with two files of one of them, one changed.
struct Stage {
    origin: Origin,
    folder: tempfile::TempDir,
    hashdb: MemoryDb,
    package: Vec<u8>,
    list: String,
}

impl Stage {
    fn new() -> Self {
        let stage = tempfile::tempdir().unwrap();
        let (own, changed) = (b"own own".as_slice(), b"as it came".as_slice());
        fs_err::write(stage.path().join("own"), own).unwrap();
        fs_err::write(stage.path().join("changed"), "not as it came").unwrap();
        let sum = |algorithm: Algorithm, bytes: &[u8]| {
            let mut hasher = algorithm.hasher();
            hasher.update(bytes);
            hasher.finish()
        };
        let list = format!(
            "etc/own own {}\netc/changed changed {}\netc/gone gone {}",
            sum(Algorithm::Sha512, own),
            sum(Algorithm::Sha256, changed),
            sum(Algorithm::Md5, changed),
        );
        let mut package = tar(&[("etc/own", own), ("etc/changed", changed)]);
        package.extend(list.bytes());
        Self { origin: Origin::start(), folder: stage, hashdb: MemoryDb::default(), package, list }
    }

    fn serve(&self, told_size: u64) {
        self.origin.serve("/files/one.tar", self.package.clone());
        self.origin.serve("/files/two.tar", tar(&[("two", b"2")]));
        let (one, two) = (self.origin.url("/files/one.tar"), self.origin.url("/files/two.tar"));
        let digests = [Digest::of(&self.package), Digest::of(&tar(&[("two", b"2")]))];
        let page = format!("one {one} {} {told_size}\ntwo {two} {} 0\n", digests[0], digests[1]);
        self.origin.serve("/index/", page.into_bytes());
    }

    fn candidate(&self, name: &str, local: bool) -> Candidate {
        let pages = vec![self.origin.url("/empty/"), self.origin.url("/index/")];
        let list = Lines {
            root: self.folder.path().to_owned(),
            local: local.then(|| self.list.clone()),
            bytes_of_list: self.list.len() as u64,
        };
        Candidate {
            origin: hashget::model::Origin::Client,
            url: pages[0].clone(),
            signature: Some(Signature { kind: "x".to_owned(), value: name.to_owned() }),
            question: Some(Arc::new(Line { name: name.to_owned(), pages })),
            lists: vec![Arc::new(list)],
            ..Candidate::default()
        }
    }

    fn index(
        &self,
        candidates: Vec<Candidate>,
        evidence: Evidence,
        offline: bool,
    ) -> (TreeIndexed, Recorder) {
        self.index_from(candidates, evidence, FetchOptions { offline, ..FetchOptions::default() })
    }

    fn index_from(
        &self,
        candidates: Vec<Candidate>,
        evidence: Evidence,
        options: FetchOptions,
    ) -> (TreeIndexed, Recorder) {
        let retry = RetryOptions { tries: 1, ..RetryOptions::default() };
        let options = FetchOptions { retry, ..options };
        let Sources { source, web } = standard_sources(&options).unwrap();
        let limits = Limits::default();
        let indexer = Indexer {
            hashdb: &self.hashdb,
            source: &*source,
            web: &*web,
            mirrors: &[],
            limits: &limits,
            jobs: 2,
            evidence,
        };
        let recorder = Recorder::default();
        let indexed = indexer.index_candidates(candidates, &recorder).unwrap();
        (indexed, recorder)
    }

    fn asked(&self, path: &str) -> usize {
        self.origin.requests().iter().filter(|request| request.path == path).count()
    }
}

#[test]
fn a_page_is_asked_once_and_its_packages_are_fetched() {
    let stage = Stage::new();
    stage.serve(0);
    let both = || vec![stage.candidate("one", false), stage.candidate("two", false)];
    let (indexed, _) = stage.index(both(), Evidence::Downloaded, false);
    assert_eq!((indexed.new, indexed.failed.len()), (2, 0), "{:?}", indexed.failed);
    assert_eq!((stage.asked("/index/"), stage.asked("/empty/")), (1, 1));
    let expected = ["/files/one.tar", "/files/two.tar"].map(|path| stage.origin.url(path));
    assert_eq!(stage.hashdb.urls(), expected);
    // Known by their names: nobody is asked again.
    let (indexed, _) = stage.index(both(), Evidence::Downloaded, false);
    assert_eq!((indexed.known, stage.asked("/index/")), (2, 1));
}

#[test]
fn what_no_index_has_or_can_be_asked_for_is_not_relied_on() {
    let stage = Stage::new();
    stage.serve(0);
    let (indexed, _) = stage.index(vec![stage.candidate("three", false)], Evidence::Signed, false);
    assert_eq!(
        (indexed.unreliable.as_slice(), indexed.failed.len()),
        (&["three".to_owned()][..], 0)
    );
    let (indexed, _) = stage.index(vec![stage.candidate("one", false)], Evidence::Signed, true);
    assert_eq!(indexed.unreliable, ["one"]);
}

#[test]
fn an_index_that_talks_nonsense_or_not_at_all_is_told() {
    let stage = Stage::new();
    stage.origin.serve("/index/", b"\xff\xfe".to_vec());
    let (indexed, recorder) =
        stage.index(vec![stage.candidate("one", false)], Evidence::Signed, false);
    assert_eq!(indexed.failed.len(), 1);
    assert!(format!("{:?}", recorder.recorded().problems).contains("cannot look up one"));
    stage.origin.always("/index/", Fault::Drop);
    let many = (0..9).map(|number| {
        let name = format!("p{number}");
        let pages = vec![stage.origin.url(&format!("/index/?{number}"))];
        let question: Arc<dyn Question> = Arc::new(Line { name: name.clone(), pages });
        Candidate { question: Some(question), ..stage.candidate(&name, false) }
    });
    let before = stage.origin.requests().len();
    stage.origin.always("/index/", Fault::Drop);
    for number in 0..9 {
        stage.origin.always(&format!("/index/?{number}"), Fault::Drop);
    }
    let (indexed, _) = stage.index(many.collect(), Evidence::Signed, false);
    assert_eq!(indexed.failed.len(), 9);
    // Five are enough; two others may have been in progress with the fifth.
    assert!(stage.origin.requests().len() - before <= 7, "{:?}", stage.origin.requests());
}

#[test]
fn a_page_that_cannot_be_had_is_requested_once_for_all_its_packages() {
    for fault in [Fault::Drop, Fault::Status(501), Fault::Status(503)] {
        let stage = Stage::new();
        stage.origin.always("/index/", fault.clone());
        let many = (0..4).map(|number| stage.candidate(&format!("p{number}"), false));
        let (indexed, recorder) = stage.index(many.collect(), Evidence::Signed, false);
        assert_eq!((indexed.failed.len(), stage.asked("/index/")), (4, 1), "{fault:?}");
        let told = recorder.recorded().problems;
        assert!(told.iter().all(|(.., message)| message == &told[0].2), "{told:?}");
    }
}

/// An index that wants a login is no outage: the files are archived.
#[test]
fn an_index_that_refuses_access_is_no_outage() {
    for status in [401, 402, 403, 451] {
        let stage = Stage::new();
        stage.origin.always("/index/", Fault::Status(status));
        let many = (0..4).map(|number| stage.candidate(&format!("p{number}"), false));
        let (indexed, recorder) = stage.index(many.collect(), Evidence::Signed, false);
        assert_eq!((indexed.failed.len(), stage.asked("/index/")), (0, 1), "{status}");
        assert_eq!(indexed.unreliable.len(), 4, "{status}");
        assert_eq!(recorder.recorded().problems, [], "{status}");
    }
}

/// The origin says that it does not have them; what the pool would say is of no use for a record.
#[test]
fn a_pool_that_was_given_up_does_not_hide_the_origins_answer() {
    let (stage, pool) = (Stage::new(), Origin::start());
    let candidate = |number: usize| {
        let sha256 = Digest::of(&[u8::try_from(number).unwrap()]);
        let path = format!("/sha256/{}", pool_path(&sha256));
        pool.always(&path, Fault::Drop);
        let url = stage.origin.url(&format!("/files/{number}"));
        let origin = hashget::model::Origin::Client;
        Candidate { url, origin, sha256: Some(sha256), ..Candidate::default() }
    };
    let options = FetchOptions { pools: vec![pool.url("")], ..FetchOptions::default() };
    let candidates: Vec<Candidate> = (0..12).map(candidate).collect();
    let (indexed, recorder) = stage.index_from(candidates, Evidence::Signed, options);
    // The first ones failed at the pool, before it was given up; three threads work at once.
    assert!((4..=7).contains(&indexed.failed.len()), "{:?}", indexed.failed);
    assert_eq!(indexed.unreliable.len() + indexed.failed.len(), 12);
    let recorded = recorder.recorded();
    assert!(recorded.skipped.iter().all(|(_, reason)| reason.contains("does not have it")));
    assert!(!format!("{:?}", recorded.problems).contains("all failed"), "{recorded:?}");
}

fn pool_path(sha256: &Digest) -> String {
    let hex = sha256.to_string();
    format!("{}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..6], &hex[6..])
}

#[test]
fn lists_give_evidence_and_only_what_is_unchanged() {
    for told_size in [true, false] {
        for (evidence, local) in
            [(Evidence::Local, true), (Evidence::Local, false), (Evidence::Declared, true)]
        {
            let stage = Stage::new();
            let size = stage.package.len() as u64;
            stage.serve(if told_size { size } else { 0 });
            let (indexed, _) = stage.index(vec![stage.candidate("one", local)], evidence, false);
            assert_eq!((indexed.new, indexed.failed.len()), (1, 0), "{:?}", indexed.failed);
            let (id, record) = stage.hashdb.list().pop().unwrap();
            let by_local_list = evidence == Evidence::Local && local;
            let expected = if by_local_list { Evidence::Local } else { Evidence::Declared };
            assert_eq!((record.evidence, record.size), (expected, size));
            assert_eq!(record.sha256, Digest::of(&stage.package));
            let members = stage.hashdb.members(id).unwrap();
            let found: Vec<_> =
                members.iter().map(|member| (member.path.to_string(), member.sha256)).collect();
            assert_eq!(found, [("etc/own".to_owned(), Some(Digest::of(b"own own")))]);
            // The list alone was fetched, and one byte where the index does not tell the size.
            let sent: u64 = stage
                .origin
                .requests()
                .iter()
                .filter(|request| request.path == "/files/one.tar")
                .map(|request| request.bytes)
                .sum();
            let list = if by_local_list { 0 } else { stage.list.len() as u64 };
            assert_eq!(sent, list + u64::from(!told_size));
        }
    }
}

#[test]
fn a_list_that_cannot_be_had_leads_to_the_package() {
    let stage = Stage::new();
    stage.serve(stage.package.len() as u64 + 7);
    // The index tells another size than the server: the list is not believed, the digest of the whole is.
    let (indexed, recorder) =
        stage.index(vec![stage.candidate("one", false)], Evidence::Declared, false);
    assert_eq!((indexed.new, indexed.failed.len()), (1, 0));
    assert_eq!(stage.hashdb.list()[0].1.evidence, Evidence::Downloaded);
    assert!(format!("{:?}", recorder.recorded().problems).contains("trying to download it"));
}

#[test]
fn another_digest_proves_files_on_this_machine_and_downloads() {
    let stage = Stage::new();
    stage.serve(0);
    let file = stage.folder.path().join("kept");
    fs_err::write(&file, &stage.package).unwrap();
    let mut hasher = Algorithm::Sha512.hasher();
    hasher.update(&stage.package);
    let right = hasher.finish();
    let wrong = Checksum::new(Algorithm::Sha512, &[7; 64]).unwrap();
    let candidate = |checksum: &Checksum, local_file: Option<PathBuf>| Candidate {
        origin: hashget::model::Origin::Client,
        url: stage.origin.url("/files/one.tar"),
        checksum: Some(checksum.clone()),
        local_file,
        ..Candidate::default()
    };
    let offline = |candidate| stage.index(vec![candidate], Evidence::Signed, true).0;
    assert_eq!(offline(candidate(&wrong, Some(file.clone()))).failed.len(), 1);
    let (indexed, recorder) = stage.index(vec![candidate(&wrong, None)], Evidence::Signed, false);
    assert_eq!((indexed.new, indexed.failed.len()), (0, 1));
    assert!(format!("{:?}", recorder.recorded().problems).contains("sha512:0707"));
    assert_eq!(offline(candidate(&right, Some(file))).new, 1);
    let record = stage.hashdb.list().pop().unwrap().1;
    assert_eq!((record.sha256, record.vouched), (Digest::of(&stage.package), false));
}

#[test]
fn a_package_of_this_machine_that_its_url_lacks_is_asked_for_elsewhere() {
    let stage = Stage::new();
    stage.serve(0);
    let file = stage.folder.path().join("kept");
    fs_err::write(&file, &stage.package).unwrap();
    let indexed = stage.candidate("one", false);
    let candidate = Candidate {
        url: stage.origin.url("/gone"),
        sha256: Some(Digest::of(&stage.package)),
        local_file: Some(file),
        otherwise: indexed.question.clone(),
        question: None,
        lists: Vec::new(),
        ..indexed
    };
    let (indexed, _) = stage.index(vec![candidate], Evidence::Signed, false);
    assert_eq!((indexed.new, indexed.failed.len()), (1, 0), "{:?}", indexed.unreliable);
    assert_eq!(stage.hashdb.list()[0].1.url, stage.origin.url("/files/one.tar"));
    let requests = stage.origin.requests_of("/files/one.tar");
    assert!(requests.iter().all(|request| request.range.is_some()), "{requests:?}");
}

#[test]
fn a_pool_has_a_package_by_another_digest() {
    for algorithm in [Algorithm::Sha512, Algorithm::Sha1] {
        let mut hasher = algorithm.hasher();
        hasher.update(&Stage::new().package);
        let checksum = hasher.finish();
        let hex = hex::encode(checksum.as_bytes());
        let cached = format!("{}/{}/{}/{}", algorithm.name(), &hex[..2], &hex[2..4], &hex[4..]);
        for (place, offline, is_found) in [
            // npm's cache, that cache's folder, a tarball as clients name it.
            (format!("_cacache/content-v2/{cached}"), false, true),
            (format!("content-v2/{cached}"), false, true),
            ("scope-one.tar".to_owned(), false, true),
            // Under any name only where nobody else can be asked.
            ("sha256/ab/anything".to_owned(), true, true),
            ("sha256/ab/anything".to_owned(), false, false),
        ] {
            let (stage, pool) = (Stage::new(), tempfile::tempdir().unwrap());
            stage.serve(0);
            let file = pool.path().join(&place);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(pool.path().join("other-one.tar"), "not the package").unwrap();
            let index = |content: &[u8], offline| {
                fs_err::write(&file, content).unwrap();
                let pools = vec![pool.path().to_str().unwrap().to_owned()];
                let options = FetchOptions { offline, pools, ..FetchOptions::default() };
                let candidate = Candidate {
                    origin: hashget::model::Origin::Client,
                    url: stage.origin.url("/files/one.tar"),
                    checksum: Some(checksum.clone()),
                    ..Candidate::default()
                };
                stage.index_from(vec![candidate], Evidence::Signed, options).0
            };
            assert_eq!(index(b"damaged", true).failed.len(), 1, "{place}");
            let indexed = index(&stage.package, offline);
            assert_eq!(indexed.new, 1, "{place}: {:?}", indexed.failed);
            let record = stage.hashdb.list().pop().unwrap().1;
            assert_eq!(record.sha256, Digest::of(&stage.package));
            assert_eq!(stage.asked("/files/one.tar"), usize::from(!is_found), "{place}");
        }
    }
}
