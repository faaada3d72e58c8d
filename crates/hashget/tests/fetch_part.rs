//! Parts of what lies at a URL: the right bytes or an error, and never more of the network than needed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use hashget::fetch::{
    DirPool, Failover, FetchError, MirrorRule, Mirrors, Offline, Part, Retry, RetryOptions, Source,
};
use hashget::monitor::{Monitor, Recorder, Silent};
use hashget_testkit::origin::Fault;
use stage::{SIZE, Stage};

fn part(stage: &Stage, first: u64, count: u64) -> Result<Part, FetchError> {
    stage.source.fetch_part(&stage.origin.url("/p"), first, count, &Silent)
}

#[test]
fn the_wanted_bytes_come_and_no_others() {
    let total = SIZE as u64;
    for ranges in [true, false] {
        let stage = Stage::new();
        if !ranges {
            stage.origin.always("/p", Fault::NoRange);
        }
        for (first, count) in [(0, 1), (0, 4096), (72, 60), (total - 5, 5), (0, total)] {
            let found = part(&stage, first, count).unwrap();
            let [from, to] = [first, first + count].map(|at| usize::try_from(at).unwrap());
            assert!(found.bytes == stage.content[from..to], "{first} {count} {ranges}");
            assert_eq!(found.total, Some(total));
        }
        assert_eq!(part(&stage, total - 5, 100).unwrap().bytes, stage.content[SIZE - 5..]);
        assert_eq!(part(&stage, total + 5, 100).unwrap().bytes, b"");
        assert_eq!(part(&stage, 0, 0).unwrap().bytes, b"");
        if ranges {
            let sent: Vec<u64> = stage.origin.requests().iter().map(|sent| sent.bytes).collect();
            assert_eq!(sent, [1, 4096, 60, 5, total, 5, 0]);
        }
    }
}

#[test]
fn what_is_wrong_is_told() {
    let with = |fault: Fault| {
        let stage = Stage::new();
        stage.origin.always("/p", fault);
        part(&stage, 100, 1000).unwrap_err()
    };
    assert!(matches!(with(Fault::Status(404)), FetchError::NotFound { .. }));
    assert!(matches!(with(Fault::Status(503)), FetchError::Transient { .. }));
    assert!(matches!(with(Fault::Truncate(10)), FetchError::Transient { .. }));
    assert!(matches!(with(Fault::Hang), FetchError::Transient { .. }));
    assert!(matches!(with(Fault::WrongContentRange), FetchError::Unreachable { .. }));
    assert!(matches!(with(Fault::LyingContentRange), FetchError::Unreachable { .. }));
    assert!(matches!(with(Fault::RedirectLoop), FetchError::Unreachable { .. }));
}

#[test]
fn a_body_without_an_end_is_left_where_it_is() {
    let stage = Stage::new();
    stage.origin.always("/p", Fault::NoRange);
    stage.origin.always("/p", Fault::Endless);
    let found = part(&stage, 0, SIZE as u64 + 10).unwrap();
    assert_eq!(found.bytes.len(), SIZE + 10);
}

#[test]
fn sources_hand_the_question_on_to_the_network() {
    let stage = Stage::new();
    let url = "https://public.example/p";
    stage.origin.script("/p", [Fault::Status(503)]);
    let origin = hashget::fetch::HttpOrigin::new(hashget::fetch::OriginOptions::default());
    let options = RetryOptions {
        first_pause: std::time::Duration::from_millis(1),
        ..RetryOptions::default()
    };
    let rule = MirrorRule {
        prefix: "https://public.example/".to_owned(),
        use_urls: vec![stage.origin.url("/missing/"), stage.origin.url("/")],
    };
    let patient = Retry::new(Box::new(origin), options);
    let mirrors = Mirrors::new(vec![rule], Box::new(patient));
    let pool = DirPool::open(stage.dir.path()).unwrap();
    let source = Failover::new(vec![Box::new(pool), Box::new(mirrors)]);
    let recorder = Recorder::default();
    let monitor: &dyn Monitor = &recorder;
    let found = source.fetch_part(url, 10, 20, monitor).unwrap();
    assert_eq!(found.bytes, stage.content[10..30]);
    assert_eq!(recorder.recorded().downloaded_bytes, 20);
    let refused = Failover::new(vec![Box::new(Offline)]).fetch_part(url, 0, 1, &Silent);
    assert!(matches!(refused, Err(FetchError::Refused { .. })), "{refused:?}");
}
