//! A server that misbehaves, on a first fetch and on a resume: what comes of it, how many requests it
//! takes, and what is left on disk.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test tells by panicking")]

mod stage;

use std::path::Path;
use std::sync::{Arc, Mutex};

use hashget::fetch::{FetchError, Source as _, Wanted};
use hashget::model::Digest;
use hashget::monitor::{Event, Monitor, Progress, Silent};
use hashget_testkit::origin::{Fault, Origin};
use stage::Outcome::{Denied, Mismatch, NotFound, Refused, Right, Transient, Unreachable};
use stage::{SIZE, Stage, bytes};

#[test]
fn a_server_that_refuses_access_is_told_from_one_that_fails() {
    for (status, expected) in
        [(401, Denied), (402, Denied), (403, Denied), (451, Denied), (407, Unreachable)]
    {
        let stage = Stage::new();
        stage.origin.always("/p", Fault::Status(status));
        assert_eq!(stage.outcome(true), expected, "{status}");
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
        (Fault::Status(401), Denied, 1, None),
        (Fault::Status(403), Denied, 1, None),
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
        (Fault::Status(403), Denied, 1, None),
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

    // A part that is not the one that was asked for is not glued on.
    for lie in [Fault::WrongContentRange, Fault::LyingContentRange] {
        let stage = Stage::new();
        stage.origin.script("/p", [Fault::Truncate(100_000), lie]);
        assert_eq!(stage.outcome(false), Transient);
        assert_eq!(stage.fetch(false).unwrap().sha256, Digest::of(&stage.content));
    }

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

/// A server that takes no notice of `If-Range` may send the rest of another version.
#[test]
fn a_part_without_a_validator_is_joined_only_if_a_digest_proves_the_whole() {
    for (sure, requests) in [(true, 2), (false, 3)] {
        let stage = Stage::new();
        stage.origin.script("/p", [Fault::Truncate(100_000), Fault::NoEtag]);
        assert_eq!(stage.outcome(sure), Transient);
        assert_eq!(stage.outcome(sure), Right);
        let asked = stage.origin.requests();
        assert_eq!(asked.len(), requests, "{asked:?}");
        assert!(asked[1].range.is_some());
    }
}

#[test]
fn a_body_encoded_on_the_way_is_not_taken_for_the_file() {
    let stage = Stage::new();
    stage.origin.always("/p", Fault::Encoded);
    assert_eq!(stage.outcome(false), Unreachable);
    // Servers call files so that they send as they are.
    stage.origin.serve("/p.tar.gz", stage.content.clone());
    stage.origin.always("/p.tar.gz", Fault::Encoded);
    let wanted = Wanted { url: stage.origin.url("/p.tar.gz"), ..Wanted::default() };
    let fetched = stage.source.fetch(&wanted, &Silent).unwrap();
    assert_eq!(fetched.sha256, Digest::of(&stage.content));
}

#[test]
fn what_may_not_be_fetched_is_refused_without_a_request() {
    let stage = Stage::new();
    let with_password = stage.origin.url("/p").replace("http://", "http://me:secret@");
    for url in ["file:///etc/passwd", "ftp://example.org/p", "not a url", "", &with_password] {
        let wanted = Wanted { url: url.to_owned(), ..Wanted::default() };
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
    let wanted = Wanted { url: url.clone(), ..Wanted::default() };
    let error = Stage::new().source.fetch(&wanted, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Transient { .. }), "{error:?}");
    assert!(error.to_string().contains(&url), "{error}");
}

#[test]
fn a_server_that_does_not_speak_tls_is_an_error() {
    let stage = Stage::new();
    let url = stage.origin.url("/p").replace("http://", "https://");
    let wanted = Wanted { url: url.clone(), ..Wanted::default() };
    let error = stage.source.fetch(&wanted, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&url), "{error}");
}

#[test]
fn no_message_can_move_a_terminal() {
    let stage = Stage::new();
    stage.origin.serve("/%1B[31m", stage.content.clone());
    let url = stage.origin.url("/\u{1b}[31m");
    let wanted = Wanted { url, ..Wanted::default() };
    let fetched = stage.source.fetch(&wanted, &Silent).unwrap();
    assert_eq!(fetched.from, stage.origin.url("/%1B[31m"));
    for fault in [
        Fault::Garbage,
        Fault::RedirectTo("http://[\x1b[31m/".to_owned()),
        Fault::RedirectTo("x\x1b[31m://p".to_owned()),
    ] {
        stage.origin.script("/p", [fault]);
        let error = stage.fetch(true).unwrap_err().to_string();
        assert!(!error.contains('\x1b'), "{error:?}");
    }
}

/// Interrupts once bytes have come.
struct UntilFirstBytes(Mutex<Option<Arc<Progress>>>);

impl Monitor for UntilFirstBytes {
    fn event(&self, event: Event<'_>) {
        if let Event::Started(progress) = event {
            *self.0.lock().unwrap() = Some(Arc::clone(progress));
        }
    }

    fn interrupted(&self) -> bool {
        self.0.lock().unwrap().as_ref().is_some_and(|progress| progress.bytes() > 0)
    }
}

#[test]
fn an_interrupted_download_is_resumed_later() {
    let stage = Stage::new();
    stage.origin.script("/p", [Fault::Stall(200_000)]);
    let wanted = Wanted {
        url: stage.origin.url("/p"),
        sha256: Some(Digest::of(&stage.content)),
        ..Wanted::default()
    };
    let monitor = UntilFirstBytes(Mutex::default());
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
