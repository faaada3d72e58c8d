//! Completing the records of known packages: nothing of them is ever lost.

use hashget::detectors::Candidate;
use hashget::fetch::MirrorRule;
use hashget::hashdb::{HashDb as _, HashDbWriter as _, LocalHashDb, PackageId};
use hashget::index::{Indexed, Indexer, Request};
use hashget::limits::Limits;
use hashget::model::{Origin, Signature};
use hashget::monitor::{Event, Monitor, Silent};

use crate::parts::{Answer, MemoryDb, Server, indexer, tar};

const URL: &str = "https://registry.example/x.tgz";
const AT_MIRROR: &str = "https://mirror.example/x.tgz";

fn rules() -> [MirrorRule; 1] {
    [MirrorRule {
        prefix: "https://registry.example/".to_owned(),
        use_urls: vec!["https://mirror.example/".to_owned()],
    }]
}

fn server() -> Server {
    Server::default().with(URL, Answer::Bytes(tar(&[("a", b"one"), ("b", b"two")])))
}

fn signature(text: &str) -> Signature {
    text.parse().unwrap()
}

fn candidates() -> Vec<Candidate> {
    let candidate = |url: &str, name: &str, project: Option<&str>| Candidate {
        origin: Origin::Client,
        url: url.to_owned(),
        signature: Some(signature(name)),
        project: project.map(str::to_owned),
        ..Candidate::default()
    };
    vec![candidate(AT_MIRROR, "npm:x-1", None), candidate(URL, "npm:x", Some("_npm"))]
}

fn indexed(indexer: &Indexer<'_>) -> PackageId {
    let request = Request { url: URL.to_owned(), ..Request::default() };
    let indexed = indexer.index(&request, &Silent).unwrap();
    let Indexed::New { id, members: 3, .. } = indexed else { panic!("{indexed:?}") };
    id
}

#[test]
fn two_candidates_complete_one_record() {
    let (server, limits, rules) = (server(), Limits::default(), rules());
    let (memory, folder) = (MemoryDb::default(), tempfile::tempdir().unwrap());
    let hashdb = LocalHashDb::open(folder.path()).unwrap();
    let indexer =
        Indexer { hashdb: &hashdb, mirrors: &rules, ..indexer(&memory, &server, &limits) };
    indexed(&indexer);
    let result = indexer.index_candidates(candidates(), &Silent).unwrap();
    assert_eq!((result.known, result.new), (2, 0));
    let [(id, record)] = &hashdb.list().unwrap()[..] else { panic!() };
    assert_eq!(hashdb.members(*id).unwrap().len(), 3);
    assert_eq!(record.signatures, [signature("npm:x-1"), signature("npm:x")]);
    assert_eq!(record.project.as_deref(), Some("_npm"));
    assert_eq!(hashdb.damages().unwrap(), Vec::<String>::new());
    assert_eq!(server.asked_urls().len(), 1);
}

/// Another process, which replaces or removes the package between two candidates.
struct Meanwhile<'a> {
    hashdb: &'a LocalHashDb,
    replaces: bool,
}

impl Monitor for Meanwhile<'_> {
    fn event(&self, _: Event<'_>) {}

    fn interrupted(&self) -> bool {
        for (id, record) in self.hashdb.list().unwrap() {
            // Only once: before any candidate has completed the record.
            if record.signatures.is_empty() && record.expires.is_none() {
                let members = self.hashdb.members(id).unwrap();
                self.hashdb.remove(id).unwrap();
                if self.replaces {
                    let expires = Some("2031-01-01".to_owned());
                    self.hashdb
                        .put(&hashget::model::PackageRecord { expires, ..record }, &members)
                        .unwrap();
                }
            }
        }
        false
    }
}

#[test]
fn what_another_process_replaces_meanwhile_stays_whole() {
    for replaces in [true, false] {
        let (server, limits, rules) = (server(), Limits::default(), rules());
        let (memory, folder) = (MemoryDb::default(), tempfile::tempdir().unwrap());
        let hashdb = LocalHashDb::open(folder.path()).unwrap();
        let indexer = Indexer {
            jobs: 1,
            hashdb: &hashdb,
            mirrors: &rules,
            ..indexer(&memory, &server, &limits)
        };
        indexed(&indexer);
        let monitor = Meanwhile { hashdb: &hashdb, replaces };
        let result = indexer.index_candidates(candidates(), &monitor).unwrap();
        assert_eq!((result.known, result.new), if replaces { (2, 0) } else { (1, 1) });
        let [(id, record)] = &hashdb.list().unwrap()[..] else { panic!() };
        assert_eq!(hashdb.members(*id).unwrap().len(), 3);
        assert_eq!(record.signatures, [signature("npm:x-1"), signature("npm:x")]);
        assert_eq!(record.expires.is_some(), replaces);
    }
}
