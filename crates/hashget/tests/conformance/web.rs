//! What every [`Web`] does, whatever it is made of.
//!
//! Invariant: an implementation is tested by this suite and by nothing that this suite says already.

use hashget::fetch::{ByteRange, FetchError, Reach, Web};
use hashget::monitor::{Event, Monitor, Recorder, Silent};

/// A web, and what lies in it.
pub(crate) struct Fixture<'w> {
    pub(crate) web: &'w dyn Web,
    /// Where `content` lies.
    pub(crate) url: String,
    pub(crate) content: Vec<u8>,
    /// Where nothing lies.
    pub(crate) missing: String,
    /// Does whoever has the content send the range alone?
    pub(crate) ranges: bool,
}

/// Asks to stop from the beginning.
struct Impatient;

impl Monitor for Impatient {
    fn event(&self, _event: Event<'_>) {}

    fn interrupted(&self) -> bool {
        true
    }
}

impl Fixture<'_> {
    fn range(&self, first: u64, count: u64) -> ByteRange {
        self.web.fetch_range(&self.url, Reach::Anywhere, first, count, &Silent).unwrap()
    }

    fn page(&self, most: u64) -> Vec<u8> {
        self.web
            .fetch_page(&self.url, Reach::Anywhere, "text/html, */*;q=0.1", most, &Silent)
            .unwrap()
    }
}

/// Runs the suite. The content has at least 200 bytes.
pub(crate) fn check(fixture: &Fixture<'_>) {
    exactly_the_wanted_bytes(fixture);
    fewer_at_the_end(fixture);
    pages_up_to_their_limit(fixture);
    what_is_not_there_is_not_found(fixture);
    an_interruption_is_noticed(fixture);
    downloads_are_counted(fixture);
    many_threads_ask_at_once(fixture);
}

fn exactly_the_wanted_bytes(fixture: &Fixture<'_>) {
    let size = fixture.content.len();
    for (first, count) in [(0, 1), (0, size), (72, 60), (size - 5, 5), (size / 2, 1)] {
        let found = fixture.range(first as u64, count as u64);
        assert!(found.bytes == fixture.content[first..first + count], "{first} {count}");
        assert_eq!(found.total, Some(size as u64));
        assert_eq!(found.alone, fixture.ranges, "{first} {count}");
    }
    assert_eq!(fixture.range(0, 0).bytes, b"");
}

fn fewer_at_the_end(fixture: &Fixture<'_>) {
    let size = fixture.content.len();
    assert_eq!(fixture.range(size as u64 - 5, 100).bytes, fixture.content[size - 5..]);
    assert_eq!(fixture.range(size as u64, 1).bytes, b"");
    assert_eq!(fixture.range(size as u64 + 5, 100).bytes, b"");
    assert_eq!(fixture.range(u64::MAX, u64::MAX).bytes, b"");
}

fn pages_up_to_their_limit(fixture: &Fixture<'_>) {
    let size = fixture.content.len();
    assert!(fixture.page(u64::MAX) == fixture.content);
    assert!(fixture.page(size as u64) == fixture.content);
    assert!(fixture.page(100) == fixture.content[..100]);
}

fn what_is_not_there_is_not_found(fixture: &Fixture<'_>) {
    let range =
        fixture.web.fetch_range(&fixture.missing, Reach::Anywhere, 0, 1, &Silent).unwrap_err();
    let page =
        fixture.web.fetch_page(&fixture.missing, Reach::Anywhere, "*/*", 100, &Silent).unwrap_err();
    for error in [range, page] {
        assert!(matches!(error, FetchError::NotFound { .. }), "{error:?}");
    }
}

fn an_interruption_is_noticed(fixture: &Fixture<'_>) {
    let range =
        fixture.web.fetch_range(&fixture.url, Reach::Anywhere, 0, 1, &Impatient).unwrap_err();
    let page =
        fixture.web.fetch_page(&fixture.url, Reach::Anywhere, "*/*", 100, &Impatient).unwrap_err();
    for error in [range, page] {
        assert!(matches!(error, FetchError::Interrupted(_)), "{error:?}");
    }
}

fn downloads_are_counted(fixture: &Fixture<'_>) {
    let recorder = Recorder::default();
    fixture.web.fetch_range(&fixture.url, Reach::Anywhere, 0, 20, &recorder).unwrap();
    assert!(recorder.recorded().downloaded_bytes >= 20);
    assert_eq!(recorder.recorded().problems, []);
}

fn many_threads_ask_at_once(fixture: &Fixture<'_>) {
    std::thread::scope(|scope| {
        for first in 0..8 {
            scope.spawn(move || {
                let found = fixture.range(first * 10, 10);
                let first = usize::try_from(first).unwrap() * 10;
                assert_eq!(found.bytes, fixture.content[first..first + 10]);
            });
        }
    });
}
