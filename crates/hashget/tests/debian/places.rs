//! Where packages come from: each kind of place, each kind of trouble with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use hashget::detectors::Machine;
use hashget::hashdb::{CheckOutcome, Checks as _};
use hashget::index::IndexError;
use hashget::model::{Digest, Evidence, PackageRecord, RelPath};
use hashget::monitor::{Event, Monitor, ProblemKind, Step};
use hashget::places::{Place, Standing};
use hashget_testkit::origin::Fault;

use crate::system::{Package, SEEN, STAMP, System, debian, question};

const SNAPSHOT: &str = "https://snapshot.debian.org";

/// The only package that is known.
fn record(system: &System) -> PackageRecord {
    let mut known = system.hashdb.list().unwrap();
    assert_eq!(known.len(), 1);
    known.pop().unwrap().1
}

fn vim() -> Package {
    Package::new("vim+x", "2:9.0~rc1+b1")
}

#[test]
fn the_archives_own_server_is_asked_before_the_snapshots() {
    let (system, vim) = (System::new(), vim());
    system.install(&vim);
    system.list(&[&vim], "Debian");
    system.mirror(&vim, &vim.deb());
    system.publish(&vim);
    let (indexed, _) = system.index(Evidence::Downloaded);
    assert_eq!((indexed.new, indexed.failed.len()), (1, 0));
    let asked = system.asked();
    // Then one question for all packages of the list, which the snapshots do not have here.
    assert!(asked[0].starts_with("/debian/pool/"), "{asked:?}");
    assert_eq!(asked[1..], [format!("/archive/debian/{STAMP}/dists/stable/InRelease")]);
    let record = record(&system);
    // Nobody vouches for this list: both places are asked before anything is left out. The mirror of this machine is
    // nobody else's.
    let archive =
        format!("{SNAPSHOT}/archive/debian/{STAMP}/pool/main/vim%2Bx_9.0~rc1%2Bb1_amd64.deb");
    assert_eq!(record.url, archive);
    assert_eq!(record.also, [format!("{SNAPSHOT}/file/{}", vim.sha1())]);
    assert_eq!(record.sha256, Digest::of(&vim.deb()));
    assert_eq!(record.signatures[0].to_string(), "deb:vim+x_2:9.0~rc1+b1_amd64");
    let (indexed, _) = system.index(Evidence::Downloaded);
    assert_eq!((indexed.known, indexed.new, system.asked().len()), (1, 0, 2));
}

#[test]
fn one_request_answers_for_all_packages_of_a_list() {
    let release = format!("/archive/debian/{STAMP}/dists/stable/InRelease");
    for is_same in [true, false] {
        let system = System::new();
        let packages = ["a", "b", "c"].map(|name| Package::new(name, "1.0"));
        for package in &packages {
            system.install(package);
            system.mirror(package, &package.deb());
        }
        system.list(&packages.each_ref(), "Debian");
        let lists = fs_err::read_dir(system.root().join("var/lib/apt/lists")).unwrap();
        let mut files = lists.map(|entry| entry.unwrap().path());
        let own = files.find(|path| path.to_str().unwrap().ends_with("InRelease")).unwrap();
        let mut served = fs_err::read(own).unwrap();
        if !is_same {
            served.push(b'\n');
        }
        system.origin.serve(&release, served);
        assert_eq!(system.index(Evidence::Downloaded).0.new, 3);
        let asked = system.asked();
        assert_eq!(asked.iter().filter(|path| **path == release).count(), 1, "{asked:?}");
        assert_eq!(asked.len(), 4, "nothing but the packages at their mirror: {asked:?}");
        for (_, record) in system.hashdb.list().unwrap() {
            let checks = system.hashdb.checks(&[record.sha256]).unwrap().remove(0);
            let is_asked = checks
                .iter()
                .any(|check| check.url == record.url && check.outcome == CheckOutcome::Present);
            assert_eq!(is_asked, is_same, "{record:?} {checks:?}");
        }
    }
}

#[test]
fn a_server_with_another_file_or_none_is_passed_over() {
    for other in [None, Some(b"another file".to_vec()), Some(Package::new("vim+x", "1").deb())] {
        let (system, vim) = (System::new(), vim());
        system.install(&vim);
        system.list(&[&vim], "Debian");
        if let Some(other) = &other {
            system.mirror(&vim, other);
        }
        system.publish(&vim);
        assert_eq!(system.index(Evidence::Downloaded).0.new, 1);
        let record = record(&system);
        let archive = format!("{SNAPSHOT}/archive/debian/{STAMP}/pool/main/");
        assert!(record.url.starts_with(&archive), "{}", record.url);
        assert_eq!(record.also[0], format!("{SNAPSHOT}/file/{}", vim.sha1()));
        assert!(!system.asked().contains(&format!("{}?fileinfo=1", question(&vim))));
    }
}

#[test]
fn without_a_list_one_question_tells_the_place() {
    let (system, vim) = (System::new(), vim());
    system.install(&vim);
    system.publish(&vim);
    assert_eq!(system.index(Evidence::Downloaded).0.new, 1);
    let asked = system.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0], format!("{}?fileinfo=1", question(&vim)));
    let record = record(&system);
    let url = format!("{SNAPSHOT}/archive/debian/{SEEN}/pool/main/vim%2Bx_9.0~rc1%2Bb1_amd64.deb");
    assert_eq!(record.url, url);
    assert_eq!(record.also, [format!("{SNAPSHOT}/file/{}", vim.sha1())]);
    let (indexed, _) = system.index(Evidence::Downloaded);
    assert_eq!((indexed.known, system.asked().len()), (1, 2));
}

#[test]
fn a_package_in_apts_cache_is_not_fetched_and_a_damaged_one_is() {
    for with_list in [true, false] {
        for damaged in [false, true] {
            let (system, vim) = (System::new(), vim());
            system.install(&vim);
            system.publish(&vim);
            if with_list {
                system.list(&[&vim], "Debian");
            }
            let mut deb = vim.deb();
            if damaged {
                deb[5000] ^= 1;
            }
            let file = "var/cache/apt/archives/vim+x_2%3a9.0~rc1+b1_amd64.deb";
            system.write(file, deb);
            assert_eq!(system.index(Evidence::Downloaded).0.new, 1);
            let record = record(&system);
            let checks = system.hashdb.checks(&[record.sha256]).unwrap().concat();
            let place = Standing::new(&checks, &record.url).place(false);
            // What lies in the cache is compared with what the URL has.
            assert_eq!(place, if damaged { Place::Fetched } else { Place::Asked }, "{checks:?}");
            assert!(record.url.starts_with(SNAPSHOT) && !record.vouched, "{record:?}");
            assert_eq!(record.sha256, Digest::of(&vim.deb()));
        }
    }
}

#[test]
fn what_has_no_permanent_url_is_named_and_the_others_go_on() {
    let (system, vim) = (System::new(), vim());
    let (own, foreign) = (Package::new("own", "1"), Package::new("foreign", "1"));
    let other = Package { architecture: "arm64", ..Package::new("other", "1") };
    for package in [&vim, &own, &foreign, &other] {
        system.install(package);
    }
    system.list(&[&foreign], "Somebody");
    system.publish(&vim);
    system.publish(&Package { architecture: "amd64", ..other.clone() });
    let (indexed, recorder) = system.index(Evidence::Downloaded);
    assert_eq!((indexed.new, indexed.failed.len()), (1, 0));
    assert_eq!(indexed.unreliable, ["foreign_1_amd64", "other_1_arm64", "own_1_amd64"]);
    assert!(!system.asked().iter().any(|path| path.contains("foreign")));
    assert!(recorder.recorded().problems.is_empty());
    assert_eq!(recorder.recorded().skipped.len(), 3);
}

#[test]
fn nonsense_fails_that_package_alone() {
    let (system, vim) = (System::new(), vim());
    let names = ["a", "b", "c", "d", "e"];
    let [html, liar, other, cut, broken] = names.map(|name| Package::new(name, "1"));
    for package in [&html, &liar, &other, &cut, &broken, &vim] {
        system.install(package);
        system.publish(package);
    }
    system.origin.serve(&question(&html), "<html>please wait</html>");
    // Says one SHA-1 and gives other bytes.
    system.answer(&liar, &liar.sha1(), &Package::new("b", "2").deb());
    // Gives a package that is right by its SHA-1, and another one.
    let stranger = Package::new("stranger", "1");
    system.answer(&other, &stranger.sha1(), &stranger.deb());
    let short = &cut.deb()[..3000];
    system.answer(&cut, &hex::encode(<sha1::Sha1 as sha1::Digest>::digest(short)), short);
    system.origin.always(&question(&broken), Fault::Status(503));
    let (indexed, recorder) = system.index(Evidence::Downloaded);
    assert_eq!((indexed.new, indexed.failed.len()), (1, 5), "{:?}", indexed.failed);
    let error = |name: &str| {
        let failed = indexed.failed.iter().find(|(url, _)| url.contains(&format!("/{name}/")));
        failed.map(|(_, error)| error).unwrap()
    };
    assert!(matches!(error("a"), IndexError::Lookup { .. }), "{:?}", error("a"));
    assert!(error("b").to_string().contains("sha1:"), "{:?}", error("b"));
    for name in ["c", "d"] {
        assert!(matches!(error(name), IndexError::Format { .. }), "{:?}", error(name));
    }
    assert!(error("e").to_string().contains("503"), "{:?}", error("e"));
    let kinds: Vec<ProblemKind> =
        recorder.recorded().problems.iter().map(|(kind, ..)| *kind).collect();
    let verification = kinds.iter().filter(|kind| **kind == ProblemKind::Verification).count();
    assert_eq!(verification, 4, "{kinds:?}");
    assert_eq!(record(&system).signatures[0].value, vim.signature());
}

#[test]
fn a_list_that_its_release_file_does_not_name_is_not_believed() {
    let (system, vim) = (System::new(), vim());
    system.install(&vim);
    system.list(&[&vim], "Debian");
    let folder = system.root().join("var/lib/apt/lists");
    let list = fs_err::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let list = list.into_iter().find(|path| path.to_str().unwrap().ends_with("Packages")).unwrap();
    let text = fs_err::read_to_string(&list).unwrap();
    fs_err::write(&list, text.replace("Size: ", "Size: 1")).unwrap();
    let (candidates, notes) = system.candidates();
    assert_eq!((candidates[0].sha256, candidates[0].size), (None, None));
    // The snapshots have to be asked.
    let pages = candidates[0].question.as_ref().unwrap().pages().to_vec();
    assert_eq!(pages, [format!("{SNAPSHOT}{}?fileinfo=1", question(&vim))]);
    assert_eq!(candidates[0].url, pages[0]);
    assert!(notes[0].contains("not the list that the signed Release"), "{notes:?}");
}

/// Reading the lists takes longer than scanning a small system does.
#[test]
fn lists_are_asked_only_for_what_is_not_known_by_name() {
    let (system, vim) = (System::new(), vim());
    system.install(&vim);
    system.publish(&vim);
    let (indexed, _) = system.index(Evidence::Downloaded);
    assert_eq!(indexed.new, 1);
    system.list(&[&vim], "Debian");
    for entry in fs_err::read_dir(system.root().join("var/lib/apt/lists")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with("Packages") {
            fs_err::write(path, "not the list that was signed").unwrap();
        }
    }
    let (indexed, recorder) = system.index(Evidence::Downloaded);
    assert_eq!((indexed.known, recorder.recorded().problems.len()), (1, 0));
    for name in ["a", "b"] {
        let package = Package::new(name, "1");
        system.install(&package);
        system.publish(&package);
    }
    let (indexed, recorder) = system.index(Evidence::Downloaded);
    assert_eq!((indexed.known, indexed.new), (1, 2));
    // Told once, not for each package.
    let problems = recorder.recorded().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].2.contains("not the list that the signed Release"), "{problems:?}");
}

#[test]
fn compressed_lists_are_read_too() {
    for (codec, ending) in [("lz4", "lz4"), ("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")] {
        let (system, vim) = (System::new(), vim());
        system.install(&vim);
        system.list(&[&vim], "Debian");
        let folder = system.root().join("var/lib/apt/lists");
        for entry in fs_err::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.to_str().unwrap().ends_with("Packages") {
                let packed =
                    hashget_testkit::packages::compress(codec, &fs_err::read(&path).unwrap());
                fs_err::remove_file(&path).unwrap();
                fs_err::write(format!("{}.{ending}", path.display()), packed).unwrap();
            }
        }
        let (candidates, notes) = system.candidates();
        assert_eq!(notes, [""; 0]);
        assert_eq!(candidates[0].sha256, Some(Digest::of(&vim.deb())), "{codec}");
    }
}

#[test]
fn an_unknown_system_is_told_and_nothing_is_asked() {
    let (system, vim) = (System::new(), vim());
    system.install(&vim);
    system.write("usr/lib/os-release", "ID=somethingelse\nID_LIKE=debian\n");
    let (candidates, notes) = system.candidates();
    assert!(candidates.is_empty());
    assert!(notes.len() == 1 && notes[0].contains("\"somethingelse\""), "{notes:?}");
    system.write("usr/lib/os-release", "ID=\"ubuntu\"\n");
    let (candidates, notes) = system.candidates();
    assert_eq!(notes, [""; 0]);
    assert!(candidates[0].url.ends_with("+files/vim%2Bx_9.0~rc1%2Bb1_amd64.deb"));
}

/// Asks to stop once so many packages have been read.
struct StopAfter(usize, AtomicUsize);

impl Monitor for StopAfter {
    fn event(&self, event: Event<'_>) {
        if matches!(event, Event::Finished(progress) if progress.step == Step::Read) {
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn interrupted(&self) -> bool {
        self.1.load(Ordering::SeqCst) >= self.0
    }
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let system = System::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let package = Package::new(name, "1");
        system.install(&package);
        system.publish(&package);
    }
    let stop = StopAfter(3, AtomicUsize::new(0));
    let error = system.index_with(Evidence::Downloaded, &stop).unwrap_err();
    assert!(matches!(error, IndexError::Interrupted(_)), "{error:?}");
    let known = system.hashdb.list().unwrap().len();
    assert!((2..6).contains(&known), "{known}");
    let (indexed, _) = system.index(Evidence::Downloaded);
    assert_eq!((indexed.known, indexed.new), (known, 6 - known));
}

#[test]
fn images_without_dpkg_and_systems_within_a_tree_are_recognised() {
    let (system, vim) = (System::new(), vim());
    system.write("var/lib/dpkg/status.d/vim", vim.control());
    system.write("var/lib/dpkg/status.d/vim.md5sums", vim.md5sums());
    let path = RelPath::new("root/var/lib/dpkg/status.d").unwrap();
    assert!(debian().interested_in(&path));
    let found = debian().detect(&Machine::default(), &system.path(""), &path, &mut |_| {}).unwrap();
    assert_eq!(found[0].signature.as_ref().unwrap().value, vim.signature());
    assert_eq!(found[0].lists[0].root(), fs_err::canonicalize(system.root()).unwrap());
    for path in ["var/lib/dpkg/status-old", "xvar/lib/dpkg/status", "status"] {
        assert!(!debian().interested_in(&RelPath::new(path).unwrap()), "{path}");
    }
}

#[test]
fn without_a_network_it_gives_up_soon() {
    let system = System::new();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    for name in names {
        let package = Package::new(name, "1");
        system.install(&package);
        system.origin.always(&question(&package), Fault::Drop);
    }
    let (indexed, recorder) = system.index(Evidence::Downloaded);
    assert_eq!((indexed.new, indexed.failed.len()), (0, names.len()));
    // Three are on their way at once (two jobs and one more): two others may have begun.
    assert!((5..=7).contains(&system.asked().len()), "{:?}", system.asked());
    let problems = recorder.recorded().problems;
    assert!(problems.last().unwrap().1.ends_with("more packages"), "{problems:?}");
}

#[test]
fn a_deb_that_was_indexed_by_hand_is_known_by_its_name() {
    let (system, vim) = (System::new(), vim());
    system.install(&vim);
    system.origin.serve("/by/hand.deb", vim.deb());
    let limits = hashget::limits::Limits::default();
    let hashget::fetch::Sources { source, web } = system.sources();
    let indexer = hashget::index::Indexer {
        hashdb: &system.hashdb,
        source: &*source,
        web: &*web,
        shared: None,
        mirrors: &[],
        limits: &limits,
        jobs: 1,
        evidence: Evidence::Downloaded,
    };
    let request =
        hashget::index::Request { url: system.origin.url("/by/hand.deb"), ..Default::default() };
    indexer.index(&request, &hashget::monitor::Silent).unwrap();
    assert_eq!(record(&system).signatures[0].value, vim.signature());
    let (indexed, _) = system.index(Evidence::Downloaded);
    assert_eq!((indexed.known, system.asked().len()), (1, 1));
}

#[test]
fn a_file_that_is_too_large_is_reported_and_ignored() {
    let (system, package) = (System::new(), Package::new("tool", "1.0"));
    system.install(&package);
    system.list(&[&package], "Debian");
    system.write("etc/os-release", "ID=other\n".repeat(10_000));
    let large = fs_err::File::create(system.root().join("etc/apt/sources.list")).unwrap();
    large.set_len(1 << 30).unwrap();
    let (candidates, notes) = system.candidates();
    assert_eq!(candidates.len(), 1);
    let found = |name: &str| {
        notes.iter().any(|note| note.contains(name) && note.contains("too many to be one"))
    };
    assert!(found("etc/os-release") && found("etc/apt/sources.list"), "{notes:?}");
}
