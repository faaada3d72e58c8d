//! A server that misbehaves, on a first fetch and on a resume: what comes of it, how many requests it
//! takes, and what is left on disk.

use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use hashget::fetch::{
    Clock, FetchError, Fetched, HttpOrigin, OriginOptions, Retry, RetryOptions, Source, TimeOuts,
    Wanted,
};
use hashget::limits::Limits;
use hashget::model::Digest;
use hashget::monitor::{Event, Monitor, Recorder, Silent};
use hashget_testkit::origin::{Fault, Origin};

const SIZE: usize = 300_000;

/// What a fetch comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Right,
    NotFound,
    /// Other bytes, and so many of them are handed over.
    Mismatch(Option<usize>),
    Transient,
    Unreachable,
    Refused,
}
use Outcome::{Mismatch, NotFound, Refused, Right, Transient, Unreachable};

fn bytes(count: usize) -> Vec<u8> {
    let numbers = (0u64..).flat_map(|number| Digest::of(&number.to_le_bytes()).as_bytes().to_vec());
    numbers.take(count).collect()
}

/// Time-outs that let a test end soon.
fn short() -> TimeOuts {
    TimeOuts {
        answer: Duration::from_millis(500),
        stall: Duration::from_millis(500),
        slow_window: Duration::from_millis(400),
        slow_bytes: 1000,
        ..TimeOuts::default()
    }
}

struct Stage {
    origin: Origin,
    dir: tempfile::TempDir,
    content: Vec<u8>,
    source: HttpOrigin,
}

impl Stage {
    fn new() -> Self {
        let (origin, content, dir) = (Origin::start(), bytes(SIZE), tempfile::tempdir().unwrap());
        origin.serve("/p", content.clone());
        let source = HttpOrigin::new(OriginOptions {
            partial_dir: Some(dir.path().to_owned()),
            time_outs: short(),
            limits: Limits { download_bytes: 400_000, ..Limits::default() },
            ..OriginOptions::default()
        });
        Self { origin, dir, content, source }
    }

    /// Fetches, sure of everything or of nothing.
    fn fetch(&self, sure: bool) -> Result<Fetched, FetchError> {
        let wanted = Wanted {
            url: self.origin.url("/p"),
            also: Vec::new(),
            sha256: sure.then(|| Digest::of(&self.content)),
            size: sure.then_some(SIZE as u64),
        };
        self.source.fetch(&wanted, &Silent)
    }

    /// Fetches and judges. With `sure` the bytes are compared.
    fn outcome(&self, sure: bool) -> Outcome {
        match self.fetch(sure) {
            Ok(mut fetched) => {
                let mut came = Vec::new();
                fetched.file.read_to_end(&mut came).unwrap();
                assert_eq!(fetched.sha256, Digest::of(&came));
                assert!(!sure || came == self.content);
                Right
            }
            Err(FetchError::NotFound { .. }) => NotFound,
            Err(FetchError::Mismatch { file, .. }) => Mismatch(file.map(|mut file| {
                let mut came = Vec::new();
                file.read_to_end(&mut came).unwrap()
            })),
            Err(FetchError::Transient { .. }) => Transient,
            Err(FetchError::Unreachable { .. }) => Unreachable,
            Err(FetchError::Refused { .. }) => Refused,
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Bytes of the partial download, if there is one; it always comes with its note.
    fn left(&self) -> Option<u64> {
        let mut names: Vec<_> = fs_err::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        match names.as_slice() {
            [] => None,
            [part, note] => {
                assert!(part.ends_with(".part") && *note == format!("{part}.json"), "{names:?}");
                Some(fs_err::metadata(Path::new(part)).unwrap().len())
            }
            _ => panic!("{names:?}"),
        }
    }
}

#[test]
fn on_a_first_fetch() {
    let elsewhere = Origin::start();
    elsewhere.serve("/moved", bytes(SIZE));
    let moved = Fault::RedirectTo(elsewhere.url("/moved"));
    let table = [
        (Fault::None, Right, 1, None),
        (Fault::Status(404), NotFound, 1, None),
        (Fault::Status(410), NotFound, 1, None),
        (Fault::Status(400), Unreachable, 1, None),
        (Fault::Status(401), Unreachable, 1, None),
        (Fault::Status(403), Unreachable, 1, None),
        (Fault::Status(204), Unreachable, 1, None),
        (Fault::Status(206), Unreachable, 1, None),
        (Fault::Status(304), Unreachable, 1, None),
        (Fault::Status(302), Unreachable, 1, None),
        (Fault::Status(416), Unreachable, 1, None),
        (Fault::Status(501), Unreachable, 1, None),
        (Fault::Status(429), Transient, 1, None),
        (Fault::Status(500), Transient, 1, None),
        (Fault::Status(502), Transient, 1, None),
        (Fault::Status(503), Transient, 1, None),
        (Fault::Status(504), Transient, 1, None),
        (Fault::RetryAfter(429, 9), Transient, 1, None),
        (Fault::Truncate(100_000), Transient, 1, Some(100_000)),
        (Fault::Truncate(0), Transient, 1, None),
        (Fault::Short(1000), Mismatch(Some(1000)), 1, None),
        (Fault::Short(0), Mismatch(None), 1, None),
        (Fault::Long(10), Mismatch(Some(SIZE + 10)), 1, None),
        (Fault::Long(200_000), Mismatch(None), 1, None),
        (Fault::Corrupt(5), Mismatch(Some(SIZE)), 1, None),
        (Fault::Other, Mismatch(Some(SIZE)), 1, None),
        (moved, Right, 1, None),
        (Fault::RedirectTo("/p?again".to_owned()), Right, 2, None),
        (Fault::RedirectTo("file:///etc/hostname".to_owned()), Refused, 1, None),
        (Fault::RedirectTo("ftp://example.org/p".to_owned()), Refused, 1, None),
        (Fault::RedirectTo("http://user:secret@example.org/p".to_owned()), Refused, 1, None),
        (Fault::RedirectTo("http://[bad/".to_owned()), Refused, 1, None),
        (Fault::RedirectLoop, Unreachable, 1, None),
        (Fault::Hang, Transient, 1, None),
        (Fault::Stall(100_000), Transient, 1, Some(100_000)),
        (Fault::Drop, Transient, 1, None),
        (Fault::Garbage, Transient, 1, None),
        (Fault::NoEtag, Right, 1, None),
        (Fault::OnlyLastModified, Right, 1, None),
        (Fault::NoRange, Right, 1, None),
        (Fault::NoLength, Right, 1, None),
        (Fault::Chunked, Right, 1, None),
        (Fault::Encoded, Right, 1, None),
        (Fault::ClaimLength(SIZE as u64 + 50), Transient, 1, Some(SIZE as u64)),
        (Fault::ClaimLength(1 << 50), Mismatch(None), 1, None),
        (Fault::ClaimLength(1000), Mismatch(Some(1000)), 1, None),
    ];
    for (fault, outcome, requests, left) in table {
        let stage = Stage::new();
        stage.origin.script("/p", [fault.clone()]);
        assert_eq!(stage.outcome(true), outcome, "{fault:?}");
        assert_eq!(stage.origin.requests().len(), requests, "{fault:?}");
        assert_eq!(stage.left(), left, "{fault:?}");
        // Whatever happened, the next fetch is right.
        assert_eq!(stage.outcome(true), Right, "after {fault:?}");
        assert_eq!(stage.left(), None, "after {fault:?}");
    }
}

#[test]
fn on_a_resume() {
    // Besides the first request, which breaks off after 100,000 bytes.
    let table = [
        (Fault::None, Right, 1, None),
        (Fault::NoRange, Right, 1, None),
        (Fault::NoLength, Right, 1, None),
        (Fault::Chunked, Right, 1, None),
        (Fault::NoEtag, Right, 1, None),
        (Fault::ChangeEtagMidway, Right, 2, None),
        (Fault::WrongContentRange, Right, 2, None),
        (Fault::LyingContentRange, Right, 2, None),
        (Fault::Status(416), Right, 2, None),
        (Fault::Other, Right, 2, None),
        (Fault::Corrupt(200_000), Right, 2, None),
        // The total is not what it was: other content.
        (Fault::Short(200_000), Right, 2, None),
        (Fault::Long(10), Right, 2, None),
        (Fault::ClaimLength(100), Right, 2, None),
        (Fault::Truncate(50_000), Transient, 1, Some(150_000)),
        (Fault::Stall(50_000), Transient, 1, Some(150_000)),
        (Fault::Drop, Transient, 1, Some(100_000)),
        (Fault::Hang, Transient, 1, Some(100_000)),
        (Fault::Garbage, Transient, 1, Some(100_000)),
        (Fault::Status(503), Transient, 1, Some(100_000)),
        (Fault::Status(404), NotFound, 1, None),
        (Fault::Status(403), Unreachable, 1, None),
        (Fault::RedirectTo("/p?again".to_owned()), Right, 2, None),
        (Fault::RedirectLoop, Unreachable, 1, None),
    ];
    for (fault, outcome, requests, left) in table {
        let stage = Stage::new();
        stage.origin.script("/p", [Fault::Truncate(100_000), fault.clone()]);
        assert_eq!(stage.outcome(true), Transient);
        assert_eq!(stage.outcome(true), outcome, "{fault:?}");
        assert_eq!(stage.origin.requests().len(), 1 + requests, "{fault:?}");
        assert_eq!(stage.left(), left, "{fault:?}");
        let second = stage.origin.requests()[1].clone();
        assert_eq!(second.range.as_deref(), Some("bytes=100000-"), "{fault:?}");
        assert_eq!(second.if_range.as_deref(), Some("\"first\""), "{fault:?}");
        assert_eq!(stage.outcome(true), Right, "after {fault:?}");
    }
}

#[test]
fn only_the_rest_is_downloaded() {
    let stage = Stage::new();
    stage.origin.script("/p", [Fault::Truncate(100_000), Fault::Truncate(150_000)]);
    for outcome in [Transient, Transient, Right] {
        assert_eq!(stage.outcome(true), outcome);
    }
    let sent: Vec<u64> = stage.origin.requests().iter().map(|request| request.bytes).collect();
    assert_eq!(sent, [100_000, 150_000, 50_000]);
}

#[test]
fn a_whole_partial_download_needs_no_request() {
    let stage = Stage::new();
    // All bytes came, but the announced ones did not: nobody could know that it was whole.
    stage.origin.script("/p", [Fault::ClaimLength(SIZE as u64 + 1)]);
    assert_eq!(stage.outcome(true), Transient);
    assert_eq!(stage.outcome(true), Right);
    let requests = stage.origin.requests();
    assert_eq!((requests.len(), requests[1].status, requests[1].bytes), (2, 416, 0));
}

#[test]
fn bytes_that_stay_wrong_are_handed_over_without_a_name() {
    let stage = Stage::new();
    stage.origin.script("/p", [Fault::Truncate(100_000)]);
    assert_eq!(stage.outcome(true), Transient);
    stage.origin.always("/p", Fault::Corrupt(200_000));
    assert_eq!(stage.outcome(true), Mismatch(Some(SIZE)));
    // The resumed one, and once more from the beginning.
    let ranges: Vec<_> = stage.origin.requests().iter().map(|r| r.range.is_some()).collect();
    assert_eq!(ranges, [false, true, false]);
    assert_eq!(stage.left(), None);
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let stage = Stage::new();
    stage.origin.always("/p", Fault::NoRange);
    stage.origin.script("/p", [Fault::Truncate(100_000)]);
    assert_eq!(stage.outcome(true), Transient);
    assert_eq!(stage.outcome(true), Right);
    assert_eq!(stage.origin.requests()[1].bytes, SIZE as u64);
}

#[test]
fn without_a_digest_only_what_the_server_vouches_for_is_resumed() {
    let stage = Stage::new();
    // A strong tag: resumed.
    stage.origin.script("/p", [Fault::Truncate(100_000)]);
    assert_eq!(stage.outcome(false), Transient);
    assert_eq!(stage.fetch(false).unwrap().sha256, Digest::of(&stage.content));
    assert_eq!(stage.origin.requests()[1].bytes, 200_000);

    // Only a date: resumed, by the date.
    let stage = Stage::new();
    stage.origin.always("/p", Fault::OnlyLastModified);
    stage.origin.script("/p", [Fault::Truncate(100_000)]);
    assert_eq!(stage.outcome(false), Transient);
    assert_eq!(stage.fetch(false).unwrap().sha256, Digest::of(&stage.content));
    assert!(stage.origin.requests()[1].if_range.as_deref().unwrap().ends_with("GMT"));

    // Nothing to go by: from the beginning.
    let stage = Stage::new();
    stage.origin.always("/p", Fault::NoEtag);
    stage.origin.script("/p", [Fault::Truncate(100_000)]);
    assert_eq!(stage.outcome(false), Transient);
    assert_eq!(stage.fetch(false).unwrap().sha256, Digest::of(&stage.content));
    assert_eq!(stage.origin.requests()[1].range, None);

    // Another version meanwhile, of a server that ignores If-Range: that version, and no mixture.
    let stage = Stage::new();
    stage.origin.script("/p", [Fault::Truncate(100_000)]);
    assert_eq!(stage.outcome(false), Transient);
    stage.origin.always("/p", Fault::ChangeEtagMidway);
    let new: Vec<u8> = stage.content.iter().map(|byte| byte.wrapping_add(1)).collect();
    assert_eq!(stage.fetch(false).unwrap().sha256, Digest::of(&new));
}

#[test]
fn an_endless_body_ends_at_the_limit() {
    let stage = Stage::new();
    stage.origin.always("/p", Fault::Endless);
    // A little more than the size is let in: changed bytes may still serve file by file.
    let Mismatch(Some(came)) = stage.outcome(true) else { panic!("expected other bytes") };
    assert!((SIZE..SIZE * 9 / 8 + 65_537).contains(&came), "{came}");
    assert_eq!(stage.left(), None);
    let error = stage.fetch(false).unwrap_err();
    assert!(matches!(error, FetchError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("400000 bytes"), "{error}");
    assert_eq!(stage.left(), None);
    // One that says beforehand that it is too long is not even begun.
    let stage = Stage::new();
    stage.origin.always("/p", Fault::ClaimLength(400_001));
    assert_eq!(stage.outcome(false), Refused);
}

#[test]
fn redirects_end() {
    let stage = Stage::new();
    stage.origin.always("/p", Fault::RedirectForEver);
    assert_eq!(stage.outcome(true), Unreachable);
    assert_eq!(stage.origin.requests().len(), 11);
}

#[test]
fn a_body_that_drips_is_given_up_and_its_bytes_kept() {
    let stage = Stage::new();
    stage.origin.script("/p", [Fault::Slow]);
    let error = stage.fetch(true).unwrap_err();
    assert!(error.to_string().contains("too slow"), "{error}");
    assert!(stage.left().is_some_and(|bytes| bytes > 0));
    assert_eq!(stage.outcome(true), Right);
}

#[test]
fn a_body_encoded_on_the_way_is_not_taken_for_the_file() {
    let stage = Stage::new();
    stage.origin.always("/p", Fault::Encoded);
    assert_eq!(stage.outcome(false), Unreachable);
    // Servers call files so that they send as they are.
    stage.origin.serve("/p.tar.gz", stage.content.clone());
    stage.origin.always("/p.tar.gz", Fault::Encoded);
    let wanted =
        Wanted { url: stage.origin.url("/p.tar.gz"), also: vec![], sha256: None, size: None };
    let fetched = stage.source.fetch(&wanted, &Silent).unwrap();
    assert_eq!(fetched.sha256, Digest::of(&stage.content));
}

#[test]
fn what_may_not_be_fetched_is_refused_without_a_request() {
    let stage = Stage::new();
    let with_password = stage.origin.url("/p").replace("http://", "http://me:secret@");
    for url in ["file:///etc/passwd", "ftp://example.org/p", "not a url", "", &with_password] {
        let wanted = Wanted { url: url.to_owned(), also: vec![], sha256: None, size: None };
        let error = stage.source.fetch(&wanted, &Silent).unwrap_err();
        assert!(matches!(error, FetchError::Refused { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("secret"), "{error:?}");
    }
    assert_eq!(stage.origin.requests(), []);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let origin = Origin::start();
    let url = origin.url("/p");
    drop(origin);
    let wanted = Wanted { url: url.clone(), also: vec![], sha256: None, size: None };
    let error = Stage::new().source.fetch(&wanted, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Transient { .. }), "{error:?}");
    assert!(error.to_string().contains(&url), "{error}");
}

/// Interrupts once something has happened.
struct UntilFirstBytes(Mutex<bool>);

impl Monitor for UntilFirstBytes {
    fn event(&self, event: Event<'_>) {
        if matches!(event, Event::Advanced { .. }) {
            *self.0.lock().unwrap() = true;
        }
    }

    fn interrupted(&self) -> bool {
        *self.0.lock().unwrap()
    }
}

#[test]
fn an_interrupted_download_is_resumed_later() {
    let stage = Stage::new();
    stage.origin.script("/p", [Fault::Stall(200_000)]);
    let wanted = Wanted {
        url: stage.origin.url("/p"),
        also: vec![],
        sha256: Some(Digest::of(&stage.content)),
        size: None,
    };
    let monitor = UntilFirstBytes(Mutex::new(false));
    let error = stage.source.fetch(&wanted, &monitor).unwrap_err();
    assert!(matches!(error, FetchError::Interrupted(_)), "{error:?}");
    let kept = stage.left().expect("what came is kept");
    assert!(kept > 0);
    assert_eq!(stage.outcome(true), Right);
    assert_eq!(stage.origin.requests()[1].bytes, SIZE as u64 - kept);
}

#[test]
fn a_spoiled_note_or_partial_download_costs_a_download_and_no_more() {
    let spoil: [fn(&Path, &Path); 5] = [
        |_, note| fs_err::write(note, b"{not json").unwrap(),
        |_, note| fs_err::remove_file(note).unwrap(),
        |_, note| fs_err::write(note, br#"{"url":"http://other.example/"}"#).unwrap(),
        |part, _| fs_err::write(part, bytes(SIZE + 1)).unwrap(),
        |part, _| fs_err::write(part, vec![0; SIZE]).unwrap(),
    ];
    for spoil in spoil {
        let stage = Stage::new();
        stage.origin.script("/p", [Fault::Truncate(100_000)]);
        assert_eq!(stage.outcome(true), Transient);
        let mut names: Vec<_> = fs_err::read_dir(stage.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        spoil(&names[0], &names[1]);
        assert_eq!(stage.outcome(true), Right);
        assert_eq!(stage.origin.requests().last().unwrap().range, None);
        assert_eq!(stage.left(), None);
    }
}

/// A clock that moves only when somebody waits, and writes down for how long.
#[derive(Default)]
struct Waits {
    slept: Mutex<Duration>,
}

impl Clock for Waits {
    fn now(&self) -> Duration {
        *self.slept.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        *self.slept.lock().unwrap() += time;
    }
}

/// A server, a patient client, and how long it waited.
fn patient(faults: Vec<Fault>) -> (Origin, Result<Fetched, FetchError>, Duration, Recorder) {
    let stage = Stage::new();
    stage.origin.script("/p", faults);
    let wanted = Wanted {
        url: stage.origin.url("/p"),
        also: vec![],
        sha256: Some(Digest::of(&stage.content)),
        size: Some(SIZE as u64),
    };
    let clock = Arc::new(Waits::default());
    let source: Box<dyn Source> = Box::new(stage.source);
    let retry = Retry::with_clock(source, RetryOptions::default(), Arc::<Waits>::clone(&clock));
    let monitor = Recorder::default();
    let result = retry.fetch(&wanted, &monitor);
    let slept = *clock.slept.lock().unwrap();
    (stage.origin, result, slept, monitor)
}

#[test]
fn what_may_pass_is_tried_again_later_and_later() {
    let seconds = Duration::from_secs_f64;
    let in_two_minutes = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
    let table = [
        (vec![], 0.0, 0.0),
        (vec![Fault::Status(500)], 0.25, 0.5),
        (
            vec![Fault::Drop, Fault::Status(502), Fault::Truncate(1000)],
            0.25 + 0.5 + 1.0,
            0.5 + 1.0 + 2.0,
        ),
        (vec![Fault::RetryAfter(503, 7), Fault::RetryAfter(429, 3)], 10.0, 10.0),
        (vec![Fault::RetryAfter(503, 0)], 0.0, 0.0),
        // A server may ask for more than anybody waits.
        (vec![Fault::RetryAfter(503, u64::MAX)], 120.0, 120.0),
        (vec![Fault::RetryAfterText(503, in_two_minutes)], 60.0, 90.0),
        (vec![Fault::RetryAfterText(503, "Sun, 06 Nov 1994 08:49:37 GMT".to_owned())], 0.0, 0.0),
        (vec![Fault::RetryAfterText(503, "soon".to_owned())], 0.25, 0.5),
    ];
    for (faults, least, most) in table {
        let count = faults.len();
        let (origin, result, slept, monitor) = patient(faults.clone());
        result.unwrap();
        assert_eq!(origin.requests().len(), count + 1, "{faults:?}");
        assert!(seconds(least) <= slept && slept <= seconds(most), "{faults:?}: {slept:?}");
        assert_eq!(monitor.recorded().problems.len(), count, "each pause is told");
    }
}

#[test]
fn what_does_not_pass_is_not_tried_again() {
    for fault in [
        Fault::Status(403),
        Fault::Status(404),
        Fault::Status(410),
        Fault::Other,
        Fault::RedirectLoop,
        Fault::RedirectTo("file:///".to_owned()),
    ] {
        let (origin, result, slept, _) = patient(vec![fault.clone()]);
        assert!(result.is_err(), "{fault:?}");
        assert_eq!(origin.requests().len(), 1, "{fault:?}");
        assert_eq!(slept, Duration::ZERO, "{fault:?}");
    }
}

#[test]
fn five_tries_without_progress_are_enough() {
    let (origin, result, slept, _) = patient(vec![Fault::Status(503); 20]);
    let error = result.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("tried 5 times"), "{error}");
    assert_eq!(origin.requests().len(), 5);
    assert!(slept >= Duration::from_secs_f64(0.25 + 0.5 + 1.0 + 2.0), "{slept:?}");
}

#[test]
fn a_long_download_may_break_off_often_as_long_as_it_moves_on() {
    let content = bytes(10 << 20);
    let stage = Stage::new();
    stage.origin.serve("/p", content.clone());
    stage.origin.always("/p", Fault::Truncate(1 << 20));
    let wanted = Wanted {
        url: stage.origin.url("/p"),
        also: vec![],
        sha256: Some(Digest::of(&content)),
        size: Some(10 << 20),
    };
    let retry = |source: HttpOrigin| {
        Retry::with_clock(Box::new(source), RetryOptions::default(), Arc::new(Waits::default()))
    };
    retry(stage.source).fetch(&wanted, &Silent).unwrap();
    assert_eq!(stage.origin.requests().len(), 10);

    // Where each try begins again there is no moving on.
    stage.origin.always("/p", Fault::NoRange);
    let source = HttpOrigin::new(OriginOptions {
        partial_dir: Some(stage.dir.path().to_owned()),
        ..OriginOptions::default()
    });
    let error = retry(source).fetch(&wanted, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(stage.origin.requests().len() <= 10 + 6);
}

/// A clock on which somebody loses patience after a second.
struct OneSecond<'a>(&'a Waits);

impl Monitor for OneSecond<'_> {
    fn event(&self, _event: Event<'_>) {}

    fn interrupted(&self) -> bool {
        self.0.now() >= Duration::from_secs(1)
    }
}

#[test]
fn waiting_can_be_interrupted() {
    let stage = Stage::new();
    stage.origin.script("/p", [Fault::RetryAfter(503, 100)]);
    let wanted = Wanted { url: stage.origin.url("/p"), also: vec![], sha256: None, size: None };
    let clock = Arc::new(Waits::default());
    let retry = Retry::with_clock(
        Box::new(stage.source),
        RetryOptions::default(),
        Arc::<Waits>::clone(&clock),
    );
    let error = retry.fetch(&wanted, &OneSecond(&clock)).unwrap_err();
    assert!(matches!(error, FetchError::Interrupted(_)), "{error:?}");
    assert!(clock.now() <= Duration::from_millis(1200), "{:?}", clock.now());
}
