//! Every source passes the conformance suite; and what each of them does beyond it.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test tells by panicking")]

#[path = "conformance/source.rs"]
mod conformance;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use conformance::{Fixture, assert_clean, check, files_below};
use hashget::fetch::{
    Accepted, Cache, DirPool, Failover, FetchError, FetchOptions, FileSource, HostLimits,
    HttpOrigin, HttpPool, MirrorRule, Mirrors, Offline, OriginOptions, Politeness, Reach, Retry,
    RetryOptions, Source, SystemClock, Wanted, public_url, standard_sources,
};
use hashget::model::Digest;
use hashget::monitor::{Recorder, Silent};
use hashget_testkit::origin::{Fault, Origin};

/// Bytes that look like nothing else.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |state: &mut u64| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()[0]
    };
    (0..count).map(|_| next(&mut state)).collect()
}

fn wanted(url: String, content: &[u8]) -> Wanted {
    let (sha256, size) = (Some(Digest::of(content)), Some(content.len() as u64));
    Wanted { url, sha256, size, ..Wanted::default() }
}

fn pool_path(content: &[u8]) -> String {
    let hex = Digest::of(content).to_string();
    format!("sha256/{}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..6], &hex[6..])
}

fn origin_source(partial_dir: &Path) -> HttpOrigin {
    let partial_dir = Some(partial_dir.to_owned());
    HttpOrigin::new(OriginOptions { partial_dir, ..OriginOptions::default() })
}

/// A cache in `dir` before an origin, as they are put together for use.
fn cached_origin(dir: &Path) -> Cache {
    let options = OriginOptions {
        partial_dir: Some(Cache::partial_dir(dir)),
        keep_name: true,
        ..OriginOptions::default()
    };
    Cache::new(dir.to_owned(), Box::new(HttpOrigin::new(options)))
}

fn read(mut fetched: hashget::fetch::Fetched) -> Vec<u8> {
    let mut content = Vec::new();
    fetched.file.read_to_end(&mut content).unwrap();
    content
}

/// A server with one package, a folder, and what the suite wants to know.
struct Stage {
    origin: Origin,
    dir: tempfile::TempDir,
    content: Vec<u8>,
}

impl Stage {
    fn new() -> Self {
        let (origin, content) = (Origin::start(), bytes(300_000));
        origin.serve("/a/package.tar", content.clone());
        Self { origin, dir: tempfile::tempdir().unwrap(), content }
    }

    fn url(&self) -> String {
        self.origin.url("/a/package.tar")
    }

    fn fixture(&self, source: impl Source + 'static) -> Fixture {
        Fixture {
            source: Box::new(source),
            url: self.url(),
            content: self.content.clone(),
            missing: self.origin.url("/a/missing.tar"),
            without_digest: true,
            folders: vec![self.dir.path().to_owned()],
        }
    }
}

#[test]
fn accepted_files_conform() {
    let stage = Stage::new();
    let found = tempfile::tempdir().unwrap();
    fs_err::create_dir(found.path().join("folder")).unwrap();
    fs_err::write(found.path().join("folder/any name"), &stage.content).unwrap();
    let mut other = stage.content.clone();
    other[0] ^= 1;
    fs_err::write(found.path().join("folder/another"), &other).unwrap();
    let accepted = Accepted::new(&[found.path().to_owned()], &Silent).unwrap();
    check(&Fixture { without_digest: false, ..stage.fixture(accepted) });
}

#[test]
fn an_accepted_file_that_cannot_be_read_is_named_once_and_others_are_taken() {
    let found = tempfile::tempdir().unwrap();
    let (gone, there) = (found.path().join("gone"), found.path().join("there"));
    fs_err::write(&gone, "content").unwrap();
    fs_err::write(&there, "content").unwrap();
    let accepted = Accepted::new(&[found.path().to_owned()], &Silent).unwrap();
    fs_err::remove_file(&gone).unwrap();
    let problems = Recorder::default();
    let sha256 = Digest::of(b"content");
    for _ in 0..2 {
        let mut content = String::new();
        let file = accepted.file(sha256, 7, &problems).unwrap();
        file.unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
    }
    assert!(accepted.file(sha256, 8, &problems).unwrap().is_none());
    let named = problems.recorded().problems;
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(named[0].1.ends_with("gone") && named[0].2.contains("cannot be read"), "{named:?}");
    let taken = accepted.taken();
    assert_eq!((taken.files, taken.packages), (1, 0));
    assert_eq!((taken.left[0].all, &taken.left[0].files), (2, &vec![gone]));
}

#[test]
fn the_origin_conforms() {
    let stage = Stage::new();
    check(&stage.fixture(origin_source(stage.dir.path())));
}

#[test]
fn the_origin_without_a_folder_conforms() {
    let stage = Stage::new();
    check(&stage.fixture(HttpOrigin::new(OriginOptions::default())));
}

#[test]
fn the_cache_conforms() {
    let stage = Stage::new();
    check(&stage.fixture(cached_origin(stage.dir.path())));
}

#[test]
fn the_cache_conforms_before_a_source_that_leaves_no_names() {
    let stage = Stage::new();
    let plain = origin_source(&stage.dir.path().join("elsewhere"));
    check(&stage.fixture(Cache::new(stage.dir.path().to_owned(), Box::new(plain))));
}

#[test]
fn retry_conforms() {
    let stage = Stage::new();
    let origin = origin_source(stage.dir.path());
    check(&stage.fixture(Retry::new(origin, RetryOptions::default())));
}

#[test]
fn mirrors_conform() {
    let stage = Stage::new();
    let rule = MirrorRule {
        prefix: "https://public.example/".to_owned(),
        use_urls: vec![stage.origin.url("/nothing/"), stage.origin.url("/a/")],
    };
    let origin = origin_source(stage.dir.path());
    let mut fixture = stage.fixture(Mirrors::new(vec![rule], origin).unwrap());
    fixture.url = "https://public.example/package.tar".to_owned();
    check(&fixture);
}

#[test]
fn a_folder_of_packages_conforms() {
    let stage = Stage::new();
    let pool = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(pool.path().join("any/depth")).unwrap();
    fs_err::write(pool.path().join("any/depth/any name"), &stage.content).unwrap();
    fs_err::write(pool.path().join("package.tar"), b"another one of that name").unwrap();
    let mut fixture = stage.fixture(DirPool::open(pool.path()).unwrap());
    fixture.without_digest = false;
    check(&fixture);
    assert_eq!(stage.origin.requests(), []);
}

#[test]
fn an_http_pool_conforms() {
    let stage = Stage::new();
    let path = format!("/pool/{}", pool_path(&stage.content));
    stage.origin.serve(&path, stage.content.clone());
    let inner = Arc::new(origin_source(stage.dir.path()));
    let mut fixture = stage.fixture(HttpPool::new(&stage.origin.url("/pool/"), inner));
    fixture.without_digest = false;
    check(&fixture);
}

#[test]
fn failover_conforms() {
    let stage = Stage::new();
    let pool = tempfile::tempdir().unwrap();
    check(&stage.fixture(Failover::new(vec![
        Box::new(DirPool::open(pool.path()).unwrap()),
        Box::new(origin_source(stage.dir.path())),
    ])));
}

#[test]
fn the_standard_arrangement_conforms() {
    let stage = Stage::new();
    let pool = tempfile::tempdir().unwrap();
    let options = FetchOptions {
        cache_dir: Some(stage.dir.path().to_owned()),
        pools: vec![stage.origin.url("/pool"), pool.path().to_str().unwrap().to_owned()],
        ..FetchOptions::default()
    };
    let source = standard_sources(&options).unwrap().source;
    let fixture = stage.fixture(Failover::new(vec![source]));
    check(&fixture);
}

#[test]
fn what_is_cached_needs_no_second_download() {
    let stage = Stage::new();
    let cache = cached_origin(stage.dir.path());
    let monitor = Recorder::default();
    for digest_known in [false, true, true] {
        let mut wanted = wanted(stage.url(), &stage.content);
        wanted.sha256 = wanted.sha256.filter(|_| digest_known);
        assert!(read(cache.fetch(&wanted, &monitor).unwrap()) == stage.content);
    }
    assert_eq!(stage.origin.requests().len(), 1);
    assert_eq!(monitor.recorded().downloads, 1);
    assert_eq!(monitor.recorded().downloaded_bytes, 300_000);
    let files = files_below(stage.dir.path());
    let expected = Cache::path(stage.dir.path(), &Digest::of(&stage.content));
    assert_eq!(files.into_iter().map(|(_, path)| path).collect::<Vec<_>>(), [expected]);
}

#[test]
fn eight_threads_and_a_cache_make_one_download() {
    let stage = Stage::new();
    stage.origin.always("/a/package.tar", Fault::None);
    let caches = [cached_origin(stage.dir.path()), cached_origin(stage.dir.path())];
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (stage, cache) = (&stage, &caches[number % 2]);
            scope.spawn(move || {
                let fetched = cache.fetch(&wanted(stage.url(), &stage.content), &Silent).unwrap();
                assert!(read(fetched) == stage.content);
            });
        }
    });
    assert_eq!(stage.origin.requests().len(), 1);
    assert_clean(stage.dir.path());
}

#[test]
fn a_damaged_cache_entry_is_told_dropped_and_fetched_again() {
    let stage = Stage::new();
    let cache = cached_origin(stage.dir.path());
    let wanted = wanted(stage.url(), &stage.content);
    let entry = Cache::path(stage.dir.path(), &Digest::of(&stage.content));
    // What a power cut can leave of a file that was not yet on the disk is among it: nothing, a part, zeros.
    for damage in [&b""[..], b"short", &bytes(299_999), &vec![0; 300_000]] {
        fs_err::create_dir_all(entry.parent().unwrap()).unwrap();
        fs_err::write(&entry, damage).unwrap();
        let monitor = Recorder::default();
        assert!(read(cache.fetch(&wanted, &monitor).unwrap()) == stage.content);
        let problems = monitor.recorded().problems;
        assert!(problems[0].2.contains("damaged"), "{problems:?}");
        assert!(fs_err::read(&entry).unwrap() == stage.content);
        assert_clean(stage.dir.path());
    }
}

#[test]
fn a_file_from_the_cache_outlives_its_entry() {
    let stage = Stage::new();
    let cache = cached_origin(stage.dir.path());
    let wanted = wanted(stage.url(), &stage.content);
    drop(cache.fetch(&wanted, &Silent).unwrap());
    let fetched = cache.fetch(&wanted, &Silent).unwrap();
    fs_err::remove_dir_all(stage.dir.path().join("sha256")).unwrap();
    assert!(read(fetched) == stage.content);
}

#[test]
fn downloads_that_were_given_up_long_ago_are_swept() {
    let (origin, content, dir) = (Origin::start(), bytes(1000), tempfile::tempdir().unwrap());
    origin.serve("/p", content.clone());
    let partial = Cache::partial_dir(dir.path());
    fs_err::create_dir_all(&partial).unwrap();
    let weeks_ago = std::time::SystemTime::now() - Duration::from_secs(15 * 24 * 60 * 60);
    let put = |name: &str, old: bool| {
        let file = fs_err::File::create(partial.join(name)).unwrap().into_parts().0;
        if old {
            file.set_modified(weeks_ago).unwrap();
        }
        file
    };
    for name in ["a.part", "a.part.json", "b.part.json", "c.lock", "copy-d", "other"] {
        put(name, true);
    }
    for name in ["e.part", "f.lock", "copy-g"] {
        put(name, false);
    }
    // Somebody works on this one, slowly.
    let busy = put("h.part", true);
    busy.lock().unwrap();
    put("h.part.json", true);
    cached_origin(dir.path()).fetch(&wanted(origin.url("/p"), &content), &Silent).unwrap();
    let left: Vec<String> = files_below(&partial).into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["copy-g", "e.part", "f.lock", "h.part", "h.part.json", "other"]);
}

#[test]
fn a_cache_that_cannot_be_written_is_no_cache() {
    let stage = Stage::new();
    // A file where the folder should be: nobody can write below it.
    let blocked = stage.dir.path().join("blocked");
    fs_err::write(&blocked, b"").unwrap();
    let cache = cached_origin(&blocked.join("cache"));
    let monitor = Recorder::default();
    for _ in 0..2 {
        let fetched = cache.fetch(&wanted(stage.url(), &stage.content), &monitor).unwrap();
        assert!(read(fetched) == stage.content);
    }
    assert_eq!(stage.origin.requests().len(), 2);
    let notes = monitor.recorded().problems;
    let told = notes.iter().filter(|note| note.2.contains("nothing is kept")).count();
    assert_eq!(told, 1, "{notes:?}");
}

#[test]
fn a_pool_finds_a_package_wherever_it_lies() {
    let content = bytes(5000);
    let hex = Digest::of(&content).to_string();
    let places = [
        pool_path(&content),
        format!("sha256/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]),
        format!("{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]),
        "p.tar".to_owned(),
        "deep/down/\u{e9} name".to_owned(),
    ];
    for place in places {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("same size"), bytes(10_000).split_off(5000)).unwrap();
        let path = dir.path().join(&place);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, &content).unwrap();
        let pool = DirPool::open(dir.path()).unwrap();
        for size_known in [true, false] {
            let mut wanted = wanted("https://example.org/p.tar".to_owned(), &content);
            wanted.size = wanted.size.filter(|_| size_known);
            let fetched = pool.fetch(&wanted, &Silent).unwrap();
            assert_eq!(fetched.from, path.to_str().unwrap());
            assert!(read(fetched) == content, "{place}");
        }
    }
}

#[test]
fn a_pool_trusts_neither_a_name_nor_what_it_saw_before() {
    let (content, dir) = (bytes(5000), tempfile::tempdir().unwrap());
    let wanted = wanted("https://example.org/p.tar".to_owned(), &content);
    let canonical = dir.path().join(pool_path(&content));
    fs_err::create_dir_all(canonical.parent().unwrap()).unwrap();
    fs_err::write(&canonical, b"not what its name says").unwrap();
    fs_err::write(dir.path().join("p.tar"), &content).unwrap();
    std::os::unix::fs::symlink("/", dir.path().join("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("dangling")).unwrap();
    let pool = DirPool::open(dir.path()).unwrap();
    assert!(read(pool.fetch(&wanted, &Silent).unwrap()) == content);
    // Same name and size, other bytes.
    fs_err::write(dir.path().join("p.tar"), vec![0; 5000]).unwrap();
    let error = pool.fetch(&wanted, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::NotFound { .. }), "{error:?}");
    assert!(DirPool::open(&dir.path().join("p.tar")).is_err());
    assert!(DirPool::open(&dir.path().join("none")).is_err());
}

#[test]
fn the_next_source_is_tried_on_wrong_bytes_and_the_first_is_named() {
    let stage = Stage::new();
    stage.origin.serve("/bad/package.tar", bytes(1000));
    stage.origin.script("/refused/package.tar", [Fault::Status(403)]);
    let rule = MirrorRule {
        prefix: "https://public.example/".to_owned(),
        use_urls: ["/refused/", "/bad/", "/none/", "/a/"]
            .map(|place| stage.origin.url(place))
            .into(),
    };
    let rules = vec![rule];
    let mirrors = Mirrors::new(rules.clone(), origin_source(stage.dir.path())).unwrap();
    let url = "https://public.example/package.tar".to_owned();
    let monitor = Recorder::default();
    let fetched = mirrors.fetch(&wanted(url.clone(), &stage.content), &monitor).unwrap();
    assert_eq!(fetched.from, stage.url());
    assert!(read(fetched) == stage.content);
    let problems = monitor.recorded().problems;
    assert!(
        problems.iter().any(|(_, object, text)| object.contains("/bad/package.tar")
            && text.contains("gave other bytes")),
        "{problems:?}"
    );
    assert_eq!(public_url(&rules, &stage.url()), url);

    // Nobody has it right: what came is still given, for its files.
    stage.origin.serve("/a/package.tar", bytes(2000));
    let error = mirrors.fetch(&wanted(url, &stage.content), &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Mismatch { file: Some(_), .. }), "{error:?}");
    assert_clean(stage.dir.path());
}

#[test]
fn a_mirror_by_digest_is_asked_for_packages_whose_digest_is_known() {
    let stage = Stage::new();
    let by_digest = format!("/{}", pool_path(&stage.content));
    stage.origin.serve(&by_digest, stage.content.clone());
    let rule = |use_urls: &[String]| MirrorRule {
        prefix: "https://public.example/".to_owned(),
        use_urls: use_urls.to_vec(),
    };
    let template = stage.origin.url("/sha256/{sha256:0:2}/{sha256:2:4}/{sha256:4:6}/{sha256:6:64}");
    let sources = |use_urls: &[String]| {
        let mirrors = vec![rule(use_urls)];
        standard_sources(&FetchOptions { mirrors, ..FetchOptions::default() })
    };
    let public = "https://public.example/package.tar".to_owned();
    let alone = sources(std::slice::from_ref(&template)).unwrap();
    let fetched = alone.source.fetch(&wanted(public.clone(), &stage.content), &Silent).unwrap();
    assert_eq!(fetched.from, stage.origin.url(&by_digest));
    assert_eq!(read(fetched), stage.content);
    // Without a digest there is nothing to ask for, and whoever answers small questions must know the URL.
    let unknown = Wanted { url: public.clone(), ..Wanted::default() };
    let errors = [
        alone.source.fetch(&unknown, &Silent).unwrap_err(),
        alone.web.fetch_range(&public, Reach::Anywhere, 0, 10, &Silent).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("by their SHA-256 alone"), "{error}");
        assert!(error.is_refused(), "{error:?}");
    }
    let both = sources(&[template, stage.origin.url("/a/")]).unwrap();
    assert_eq!(both.source.fetch(&unknown, &Silent).unwrap().from, stage.url());
    let range = both.web.fetch_range(&public, Reach::Anywhere, 0, 10, &Silent).unwrap();
    assert_eq!(range.bytes, stage.content[..10]);
    let error = sources(&[stage.origin.url("/{sha256:60:70}")]).err().unwrap().to_string();
    assert!(error.contains("\"sha256:60:70\" in braces names no digits"), "{error}");
}

#[test]
fn offline_nothing_is_asked() {
    let stage = Stage::new();
    let options = |offline| FetchOptions {
        cache_dir: Some(stage.dir.path().to_owned()),
        pools: vec![stage.origin.url("/pool")],
        offline,
        ..FetchOptions::default()
    };
    let wanted = wanted(stage.url(), &stage.content);
    let offline = standard_sources(&options(true)).unwrap().source;
    let error = offline.fetch(&wanted, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("offline"), "{error}");
    assert_eq!(stage.origin.requests(), []);
    drop(standard_sources(&options(false)).unwrap().source.fetch(&wanted, &Silent).unwrap());
    let before = stage.origin.requests().len();
    // What is in the cache is there offline too.
    assert!(read(offline.fetch(&wanted, &Silent).unwrap()) == stage.content);
    assert_eq!(stage.origin.requests().len(), before);
    assert!(Offline.fetch(&wanted, &Silent).is_err());
}

#[test]
fn options_that_cannot_be_used_are_named() {
    let rule = |prefix: &str, places: &[&str]| MirrorRule {
        prefix: prefix.to_owned(),
        use_urls: places.iter().map(|&place| place.to_owned()).collect(),
    };
    for (options, word) in [
        (
            FetchOptions { pools: vec!["/no/such/pool".into()], ..FetchOptions::default() },
            "/no/such/pool",
        ),
        (
            FetchOptions {
                mirrors: vec![rule("https://p.example/", &[])],
                ..FetchOptions::default()
            },
            "p.example",
        ),
        (
            FetchOptions {
                mirrors: vec![rule("", &["http://m.example/"])],
                ..FetchOptions::default()
            },
            "prefix",
        ),
        (
            FetchOptions {
                mirrors: vec![rule("https://p.example/", &["/local"])],
                ..FetchOptions::default()
            },
            "/local",
        ),
    ] {
        let error = standard_sources(&options).err().expect("refused").to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_host_gets_no_more_connections_than_it_bears() {
    let stage = Stage::new();
    let host = stage.origin.url("").trim_start_matches("http://").to_owned();
    let limits = HostLimits { connections: 2, requests_per_second: None };
    for number in 0..12 {
        stage.origin.serve(&format!("/{number}"), bytes(200_000));
    }
    let hosts = BTreeMap::from([(host, limits)]);
    let politeness = Arc::new(Politeness::new(hosts, Arc::new(SystemClock::default())));
    let source = HttpOrigin::new(OriginOptions { politeness, ..OriginOptions::default() });
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (source, stage) = (&source, &stage);
            scope.spawn(move || {
                let url = stage.origin.url(&format!("/{number}"));
                source.fetch(&wanted(url, &bytes(200_000)), &Silent).unwrap();
            });
        }
    });
    assert!(stage.origin.most_at_once() <= 2, "{}", stage.origin.most_at_once());
}

/// A clock that moves only when somebody waits.
#[derive(Default)]
struct Patience {
    slept: std::sync::Mutex<Duration>,
}

impl hashget::fetch::Clock for Patience {
    fn now(&self) -> Duration {
        *self.slept.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        *self.slept.lock().unwrap() += time;
    }
}

#[test]
fn requests_are_spread_over_the_seconds() {
    let limits = |rate| HostLimits { connections: 100, requests_per_second: Some(rate) };
    let hosts = BTreeMap::from([
        ("Slow.Example".to_owned(), limits(2.0)),
        ("[::1]".to_owned(), limits(1.0)),
        ("odd.example".to_owned(), limits(0.0)),
    ]);
    let clock = Arc::new(Patience::default());
    let politeness = Arc::new(Politeness::new(hosts, Arc::<Patience>::clone(&clock)));
    let slept_by = |host: &str, requests: usize| {
        let before = *clock.slept.lock().unwrap();
        for _ in 0..requests {
            politeness.enter(host, &Silent).unwrap();
        }
        (*clock.slept.lock().unwrap() - before).as_millis()
    };
    assert_eq!(slept_by("slow.example", 5), 2000);
    // Another port is the same host's business, but counted by itself.
    assert_eq!(slept_by("slow.example:8080", 3), 1000);
    assert_eq!(slept_by("[::1]", 3), 2000);
    assert_eq!(slept_by("other.example", 50), 0);
    assert_eq!(slept_by("odd.example", 3), 0);
}
