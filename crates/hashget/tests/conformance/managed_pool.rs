//! What every pool does that hashget manages, through its trait.

use std::io::{Read as _, Write as _};

use hashget::error::ErrorClass;
use hashget::fetch::{Added, FetchError, ManagedPool, PoolError, Wanted, add_all};
use hashget::model::Digest;
use hashget::monitor::{Interrupted, Silent};

/// A pool that is empty, and how to damage what is in it.
pub(crate) struct Fixture<'a> {
    pub(crate) pool: &'a dyn ManagedPool,
    /// Changes a byte of the package with this digest, behind the pool's back.
    pub(crate) damage: &'a dyn Fn(&Digest),
    /// Can it remove?
    pub(crate) forgets: bool,
}

fn content(number: u8) -> Vec<u8> {
    (0..70_000_u32 + u32::from(number)).map(|at| (at % 251) as u8 ^ number).collect()
}

fn file(content: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

fn wanted(content: &[u8]) -> Wanted {
    let (sha256, size) = (Some(Digest::of(content)), Some(content.len() as u64));
    Wanted { url: "https://packages.example/p".to_owned(), sha256, size, ..Wanted::default() }
}

fn fetched(pool: &dyn ManagedPool, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut fetched = pool.fetch(&wanted(content), &Silent).unwrap();
    fetched.file.read_to_end(&mut bytes).unwrap();
    assert_eq!((fetched.sha256, fetched.size), (Digest::of(content), content.len() as u64));
    bytes
}

/// The whole suite.
pub(crate) fn check(fixture: &Fixture<'_>) {
    let Fixture { pool, forgets, .. } = *fixture;
    pool.create().unwrap();
    nothing_is_there_before_it_is_added(pool, forgets);
    what_is_added_is_there_and_what_does_not_match_is_not(pool);
    damage_is_seen_and_mended(fixture);
    several_are_added_at_once(pool);
    if forgets {
        what_is_removed_is_gone(pool);
    }
}

fn nothing_is_there_before_it_is_added(pool: &dyn ManagedPool, forgets: bool) {
    let sha256 = Digest::of(&content(1));
    assert!(pool.list(&Silent).unwrap().is_empty());
    assert!(!pool.has(&sha256, None, &Silent).unwrap());
    let error = pool.fetch(&wanted(&content(1)), &Silent).unwrap_err();
    assert!(matches!(error, FetchError::NotFound { .. }), "{error:?}");
    let unknown = Wanted { sha256: None, ..wanted(&content(1)) };
    let error = pool.fetch(&unknown, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::NotFound { .. }), "{error:?}");
    if forgets {
        assert!(!pool.remove(&sha256, &Silent).unwrap());
    }
    assert!(!pool.shown().is_empty());
}

fn what_is_added_is_there_and_what_does_not_match_is_not(pool: &dyn ManagedPool) {
    for number in [1, 2] {
        let bytes = content(number);
        let expected = (number == 2).then(|| Digest::of(&bytes));
        // Twice: the second time it is there already.
        for _ in 0..2 {
            let pooled = pool.add(&file(&bytes), expected, &Silent).unwrap();
            assert_eq!((pooled.sha256, pooled.size), (Digest::of(&bytes), bytes.len() as u64));
            assert_eq!(fetched(pool, &bytes), bytes);
        }
        assert!(pool.has(&Digest::of(&bytes), Some(bytes.len() as u64), &Silent).unwrap());
        assert!(!pool.has(&Digest::of(&bytes), Some(1), &Silent).unwrap());
    }
    let error = pool.add(&file(b"other"), Some(Digest::of(b"wanted")), &Silent).unwrap_err();
    assert!(matches!(error, PoolError::Different { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::WrongBytes);
    assert!(!pool.has(&Digest::of(b"other"), None, &Silent).unwrap());
    let listed = pool.list(&Silent).unwrap();
    let mut expected: Vec<_> =
        [1, 2].map(|number| (Digest::of(&content(number)), content(number).len() as u64)).into();
    expected.sort_unstable();
    let found: Vec<_> = listed.iter().map(|one| (one.sha256, one.size)).collect();
    assert_eq!(found, expected);
}

fn damage_is_seen_and_mended(Fixture { pool, damage, .. }: &Fixture<'_>) {
    let bytes = content(1);
    let sha256 = Digest::of(&bytes);
    let pooled = pool.list(&Silent).unwrap().into_iter().find(|one| one.sha256 == sha256).unwrap();
    assert_eq!(pool.damage(&pooled, &Silent).unwrap(), None);
    damage(&sha256);
    let told = pool.damage(&pooled, &Silent).unwrap().unwrap();
    assert!(told.contains("it is damaged"), "{told}");
    let error = pool.fetch(&wanted(&bytes), &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Mismatch { .. }), "{error:?}");
    pool.add(&file(&bytes), None, &Silent).unwrap();
    assert_eq!(pool.damage(&pooled, &Silent).unwrap(), None);
    assert_eq!(fetched(*pool, &bytes), bytes);
}

fn several_are_added_at_once(pool: &dyn ManagedPool) {
    struct Here;
    impl hashget::fetch::Source for Here {
        fn fetch(
            &self,
            wanted: &Wanted,
            _monitor: &dyn hashget::monitor::Monitor,
        ) -> Result<hashget::fetch::Fetched, FetchError> {
            let number =
                (1..=9).find(|number| Some(Digest::of(&content(*number))) == wanted.sha256);
            let bytes = content(number.unwrap());
            let (sha256, size) = (Digest::of(&bytes), bytes.len() as u64);
            let from = "here".to_owned();
            Ok(hashget::fetch::Fetched { file: file(&bytes), sha256, size, from })
        }
    }
    let packages: Vec<Wanted> = (1..=9).map(|number| wanted(&content(number))).collect();
    let known = std::sync::Mutex::new(0);
    add_all(pool, &Here, &packages, 4, &Silent, |_, added| {
        *known.lock().unwrap() += usize::from(added.unwrap() == Added::Known);
        Ok::<(), Interrupted>(())
    })
    .unwrap();
    assert_eq!(*known.lock().unwrap(), 2);
    assert_eq!(pool.list(&Silent).unwrap().len(), 9);
    for number in 1..=9 {
        assert_eq!(fetched(pool, &content(number)), content(number));
    }
}

fn what_is_removed_is_gone(pool: &dyn ManagedPool) {
    for number in 1..=9 {
        let sha256 = Digest::of(&content(number));
        assert!(pool.remove(&sha256, &Silent).unwrap());
        assert!(!pool.remove(&sha256, &Silent).unwrap());
        assert!(!pool.has(&sha256, None, &Silent).unwrap());
        assert_eq!(pool.list(&Silent).unwrap().len(), 9 - usize::from(number));
    }
}
