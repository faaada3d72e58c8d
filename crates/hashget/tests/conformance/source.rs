//! What every source must do. One call of [`check`] with a fixture runs it all.
//!
//! Invariant: the suite uses nothing but the trait, and looks at the folders that the source may write.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use hashget::fetch::{FetchError, Fetched, Source, Wanted};
use hashget::model::Digest;
use hashget::monitor::{Event, Monitor, Silent};

/// A source with something in it.
pub(crate) struct Fixture {
    pub(crate) source: Box<dyn Source>,
    /// A URL that it can give.
    pub(crate) url: String,
    /// The bytes at that URL.
    pub(crate) content: Vec<u8>,
    /// A URL that it does not have.
    pub(crate) missing: String,
    /// Does it give bytes whose digest nobody knows?
    pub(crate) without_digest: bool,
    /// Folders that it may write.
    pub(crate) folders: Vec<PathBuf>,
}

impl Fixture {
    fn wanted(&self) -> Wanted {
        Wanted {
            url: self.url.clone(),
            sha256: Some(Digest::of(&self.content)),
            size: Some(self.content.len() as u64),
            ..Wanted::default()
        }
    }

    fn assert_right(&self, mut fetched: Fetched) {
        assert_eq!(fetched.sha256, Digest::of(&self.content));
        assert_eq!(fetched.size, self.content.len() as u64);
        assert!(!fetched.from.is_empty());
        let mut bytes = Vec::new();
        fetched.file.read_to_end(&mut bytes).unwrap();
        assert!(bytes == self.content, "the file stands at its start and is the content");
    }
}

/// Asks to stop from the beginning.
struct Impatient;

impl Monitor for Impatient {
    fn event(&self, _event: Event<'_>) {}

    fn interrupted(&self) -> bool {
        true
    }
}

/// Runs the suite.
pub(crate) fn check(fixture: &Fixture) {
    interruption_is_heard(fixture);
    what_is_not_there_is_not_found(fixture);
    wrong_bytes_are_never_given(fixture);
    right_bytes_are_given(fixture);
    without_a_digest(fixture);
    wrong_bytes_are_never_given(fixture);
    many_threads_want_the_same(fixture);
    interruption_is_heard(fixture);
    for folder in &fixture.folders {
        assert_clean(folder);
    }
}

fn right_bytes_are_given(fixture: &Fixture) {
    let all = fixture.wanted();
    let no_size = Wanted { size: None, ..all.clone() };
    for wanted in [&all, &no_size, &all] {
        fixture.assert_right(fixture.source.fetch(wanted, &Silent).unwrap());
    }
    let by_another_url =
        Wanted { url: fixture.missing.clone(), also: vec![fixture.url.clone()], ..all };
    fixture.assert_right(fixture.source.fetch(&by_another_url, &Silent).unwrap());
}

fn without_a_digest(fixture: &Fixture) {
    let wanted = Wanted { sha256: None, ..fixture.wanted() };
    match fixture.source.fetch(&wanted, &Silent) {
        Ok(fetched) => {
            assert!(fixture.without_digest);
            fixture.assert_right(fetched);
        }
        Err(error) => {
            assert!(!fixture.without_digest, "{error}");
            assert!(matches!(error, FetchError::NotFound { .. }), "{error:?}");
        }
    }
    // A size proves nothing, but a wrong one disproves.
    let wrong_size = Wanted { size: Some(fixture.content.len() as u64 - 1), ..wanted };
    let error = fixture.source.fetch(&wrong_size, &Silent).unwrap_err();
    assert!(
        matches!(error, FetchError::NotFound { .. } | FetchError::Mismatch { .. }),
        "{error:?}"
    );
}

fn wrong_bytes_are_never_given(fixture: &Fixture) {
    let wanted = Wanted { sha256: Some(Digest::of(b"something else")), ..fixture.wanted() };
    match fixture.source.fetch(&wanted, &Silent).unwrap_err() {
        FetchError::NotFound { .. } => {}
        FetchError::Mismatch { file, expected, found, .. } => {
            assert!(expected.contains(&Digest::of(b"something else").to_string()), "{expected}");
            assert!(found.contains(&Digest::of(&fixture.content).to_string()), "{found}");
            // What came may still serve file by file.
            let mut bytes = Vec::new();
            file.expect("all of it came").read_to_end(&mut bytes).unwrap();
            assert!(bytes == fixture.content);
        }
        other => panic!("{other:?}"),
    }
}

fn what_is_not_there_is_not_found(fixture: &Fixture) {
    let sha256 = Some(Digest::of(b"nobody has it"));
    let wanted = Wanted { url: fixture.missing.clone(), sha256, ..Wanted::default() };
    match fixture.source.fetch(&wanted, &Silent).unwrap_err() {
        FetchError::NotFound { url, .. } => assert_eq!(url, fixture.missing),
        other => panic!("{other:?}"),
    }
}

fn interruption_is_heard(fixture: &Fixture) {
    let error = fixture.source.fetch(&fixture.wanted(), &Impatient).unwrap_err();
    assert!(matches!(error, FetchError::Interrupted(_)), "{error:?}");
}

fn many_threads_want_the_same(fixture: &Fixture) {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let fetched = fixture.source.fetch(&fixture.wanted(), &Silent).unwrap();
                fixture.assert_right(fetched);
            });
        }
    });
    // Nor does one who has the file in hand keep others from it.
    let first = fixture.source.fetch(&fixture.wanted(), &Silent).unwrap();
    fixture.assert_right(fixture.source.fetch(&fixture.wanted(), &Silent).unwrap());
    fixture.assert_right(first);
}

/// Every file below a folder, with its path from there.
pub(crate) fn files_below(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs_err::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), path));
            }
        }
    }
    files.sort();
    files
}

/// Nothing but proven files under final names, and nothing half-done.
pub(crate) fn assert_clean(folder: &Path) {
    for (name, path) in files_below(folder) {
        let digits = name.strip_prefix("sha256/").map(|rest| rest.replace('/', ""));
        let digest: Option<Digest> = digits.and_then(|digits| digits.parse().ok());
        let Some(digest) = digest else { panic!("{} should not be there", path.display()) };
        assert_eq!(digest, Digest::of(&fs_err::read(path).unwrap()), "{name}");
    }
}
