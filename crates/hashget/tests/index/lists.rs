//! Packages whose files are listed: on this machine, or within the package.

use hashget::hashdb::HashDb as _;
use hashget::model::{Digest, Evidence};

use crate::registry::Stage;

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
