//! Packages whose URL an index tells.

use std::sync::Arc;

use hashget::detectors::{Candidate, Question};
use hashget::fetch::FetchOptions;
use hashget::model::{Digest, Evidence};
use hashget_testkit::origin::{Fault, Origin};

use crate::registry::{Line, Stage};

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

/// One index that fails, whatever the way, does not hide what the next one has.
#[test]
fn an_index_that_fails_does_not_hide_the_next_one() {
    let faults = [Fault::Drop, Fault::Status(403), Fault::Status(500), Fault::Status(501)];
    for fault in faults.into_iter().map(Some).chain([None]) {
        let stage = Stage::new();
        stage.serve(0);
        match &fault {
            Some(fault) => stage.origin.always("/empty/", fault.clone()),
            None => stage.origin.serve("/empty/", b"\xff\xfe".to_vec()),
        }
        let both = vec![stage.candidate("one", false), stage.candidate("two", false)];
        let (indexed, recorder) = stage.index(both, Evidence::Downloaded, false);
        assert_eq!((indexed.new, indexed.failed.len()), (2, 0), "{fault:?}: {:?}", indexed.failed);
        assert_eq!((stage.asked("/index/"), stage.asked("/empty/")), (1, 1), "{fault:?}");
        assert_eq!(recorder.recorded().problems, [], "{fault:?}");
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
