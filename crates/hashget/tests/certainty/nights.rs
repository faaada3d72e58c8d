//! What a backup asks each night.

use hashget::hashdb::{
    Check, Checks, HashDb, HashDbError, HashDbWriter, Key, LocalHashDb, PackageId,
};
use hashget::model::{Digest, Member, PackageRecord};
use hashget::pack::PackOptions;
use hashget_testkit::origin::Fault;

use crate::machine::{Machine, options, package};

const FILES: [&str; 3] = ["lib/one", "lib/two", "lib/three"];

/// A machine whose HashDB has a package that nobody asked for at its URL.
fn supposed() -> (Machine, std::path::PathBuf) {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    machine.world.serve("/elsewhere", package(&FILES));
    machine.index("/elsewhere").unwrap();
    let (id, record) = machine.hashdb.list().unwrap().pop().unwrap();
    let members = machine.hashdb.members(id).unwrap();
    machine.hashdb.remove(id).unwrap();
    let supposed = PackageRecord { url: machine.world.url("/p"), ..record };
    machine.hashdb.put(&supposed, &members).unwrap();
    (machine, tree)
}

#[test]
fn what_nobody_asked_is_asked_once_and_then_relied_on() {
    let (machine, tree) = supposed();
    machine.world.serve("/p", package(&FILES));
    let before = machine.requests();
    let (archive, summary, _) = machine.pack(&tree, options());
    assert_eq!(summary.left_out_files, 3);
    assert_eq!(machine.asked_since(before), ["/p"]);
    assert!(machine.world.requests_of("/p")[0].range.is_some(), "only a part is asked for");
    assert!(machine.comes_back(&archive, &tree));
    for (days, questions) in [(0, 0), (15, 0), (6, 1), (1, 0), (40, 1)] {
        machine.days_pass(days);
        let before = machine.requests();
        assert_eq!(machine.pack(&tree, options()).1.left_out_files, 3);
        assert_eq!(machine.asked_since(before).len(), questions, "after {days} days");
    }
}

#[test]
fn silence_refusal_and_other_bytes_count_as_no() {
    for fault in
        [Fault::Status(404), Fault::Status(403), Fault::Drop, Fault::Short(90), Fault::Long(7)]
    {
        let (machine, tree) = supposed();
        machine.world.serve("/p", package(&FILES));
        machine.world.always("/p", fault.clone());
        let (archive, summary, _) = machine.pack(&tree, options());
        assert_eq!(summary.left_out_files, 0, "{fault:?}");
        assert!(machine.comes_back(&archive, &tree), "{fault:?}");
        let unasked = PackOptions { unasked: true, ask: false, ..options() };
        let relied = !matches!(fault, Fault::Drop);
        // An answer counts; silence does not.
        assert_eq!(machine.pack(&tree, unasked).1.left_out_files == 0, relied, "{fault:?}");
    }
}

#[test]
fn other_bytes_of_the_same_number_are_noticed() {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    machine.world.serve("/p", package(&FILES));
    machine.index("/p").unwrap();
    machine.days_pass(25);
    machine.world.always("/p", Fault::Other);
    let (archive, summary, _) = machine.pack(&tree, options());
    assert_eq!(summary.left_out_files, 0);
    assert!(machine.comes_back(&archive, &tree));
}

#[test]
fn a_portals_page_says_nothing_about_the_package() {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    machine.world.serve("/p", package(&FILES));
    machine.index("/p").unwrap();
    machine.days_pass(25);
    for page in
        ["<html>Sign in</html>".to_owned(), format!("<!DOCTYPE html>{}", "x".repeat(99_999))]
    {
        machine.world.serve("/p", page);
        // It was fetched once, and nothing says that it is gone.
        assert_eq!(machine.pack(&tree, options()).1.left_out_files, 3);
    }
    machine.world.serve("/p", package(&FILES));
    let before = machine.requests();
    machine.pack(&tree, options());
    assert_eq!(machine.asked_since(before).len(), 1, "it is still due");
}

#[test]
fn a_page_in_place_of_a_package_is_not_recorded() {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    machine.hint(&tree, "/p.tar.gz");
    machine.world.serve("/p.tar.gz", "<html>Sign in</html>");
    let (archive, summary, _) = machine.pack(&tree, options());
    assert_eq!((summary.left_out_files, summary.unreliable.len()), (0, 1));
    assert!(machine.record("/p.tar.gz").is_none() && machine.comes_back(&archive, &tree));
    machine.world.serve("/p.tar.gz", package(&FILES));
    assert_eq!(machine.pack(&tree, options()).1.left_out_files, 3);
}

#[test]
fn a_page_in_place_of_a_package_whose_digest_is_known_is_no_answer() {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    let sha256 = Digest::of(&package(&FILES));
    let hint =
        format!("{{\"url\": \"{}\", \"sha256\": \"{sha256}\"}}", machine.world.url("/p.tar.gz"));
    fs_err::write(tree.join("hashget-hint.json"), hint).unwrap();
    for page in ["<html>Sign in</html>", "<!-- portal -->\n<!DOCTYPE html><p>Sign in"] {
        machine.world.serve("/p.tar.gz", page);
        let (_, summary, problems) = machine.pack(&tree, options());
        assert_eq!((summary.left_out_files, summary.unreliable.len()), (0, 0));
        assert!(problems.contains("Unreachable") && problems.contains("a page came"), "{problems}");
    }
    // It is not believed to be lost.
    machine.world.serve("/p.tar.gz", package(&FILES));
    assert_eq!(machine.pack(&tree, options()).1.left_out_files, 3);
}

#[test]
fn without_a_network_only_what_was_asked_lately_is_relied_on() {
    let (machine, tree) = supposed();
    let offline = || PackOptions { ask: false, ..options() };
    assert_eq!(machine.pack(&tree, offline()).1.left_out_files, 0);
    let (archive, summary, _) = machine.pack(&tree, PackOptions { unasked: true, ..offline() });
    assert_eq!((summary.left_out_files, summary.unasked()), (3, 1));
    let manifest = fs_err::read(&archive).unwrap();
    let says_so = manifest
        .windows(15)
        .any(|part| part == b"\"unasked\": true" || part.starts_with(b"\"unasked\":true"));
    assert!(says_so);
    machine.world.serve("/p", package(&FILES));
    machine.pack(&tree, options());
    assert_eq!(machine.pack(&tree, offline()).1.left_out_files, 3);
    machine.days_pass(31);
    assert_eq!(machine.pack(&tree, offline()).1.left_out_files, 0, "the answer is too old");
}

#[test]
fn another_place_of_the_same_bytes_is_kept_as_an_alternative() {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    for path in ["/one", "/two"] {
        machine.world.serve(path, package(&FILES));
        machine.index(path).unwrap();
    }
    assert_eq!(machine.hashdb.find_one(Key::Url(&machine.world.url("/two"))).unwrap().len(), 1);
    let (archive, summary, _) = machine.pack(&tree, options());
    assert_eq!(summary.packages.len(), 1);
    for lost in ["/one", "/two"] {
        machine.world.always(lost, Fault::Status(404));
        assert!(machine.comes_back(&archive, &tree), "{lost}");
        machine.world.heal(lost);
    }
}

/// A HashDB in which nothing can be changed: of another user, or on a full disk.
struct Unchangeable<'h> {
    inner: &'h LocalHashDb,
    says_so: bool,
}

impl Unchangeable<'_> {
    fn full<T>(&self) -> Result<T, HashDbError> {
        let (location, problem) = ("the HashDB".to_owned(), "the disk is full".to_owned());
        Err(HashDbError::Failed { location, problem })
    }
}

impl HashDb for Unchangeable<'_> {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        self.inner.find(keys)
    }

    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError> {
        self.inner.records(packages)
    }

    fn each_member(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError> {
        self.inner.each_member(package, visit)
    }
}

impl Checks for Unchangeable<'_> {
    fn put_check(&self, _: &Check) -> Result<(), HashDbError> {
        self.full()
    }

    fn checks(&self, packages: &[Digest]) -> Result<Vec<Vec<Check>>, HashDbError> {
        self.inner.checks(packages)
    }
}

impl HashDbWriter for Unchangeable<'_> {
    fn is_writable(&self) -> bool {
        !self.says_so
    }

    fn put(&self, _: &PackageRecord, _: &[Member]) -> Result<PackageId, HashDbError> {
        self.full()
    }

    fn amend(
        &self,
        _: PackageId,
        _: &dyn Fn(&mut PackageRecord),
    ) -> Result<Option<PackageRecord>, HashDbError> {
        self.full()
    }

    fn remove(&self, _: PackageId) -> Result<bool, HashDbError> {
        self.full()
    }
}

#[test]
fn an_answer_that_cannot_be_kept_counts_tonight() {
    for says_so in [true, false] {
        let (machine, tree) = supposed();
        machine.world.serve("/p", package(&FILES));
        let hashdb = Unchangeable { inner: &machine.hashdb, says_so };
        let options = || PackOptions { index: false, ..options() };
        let (archive, summary, problems) = machine.pack_with(&hashdb, &tree, options());
        assert_eq!(summary.left_out_files, 3, "{problems}");
        // Whoever knows that nothing can be kept need not be told.
        assert_eq!(problems.contains("asked again by the next run"), !says_so, "{problems}");
        assert!(machine.comes_back(&archive, &tree));
        let before = machine.requests();
        machine.pack_with(&hashdb, &tree, options());
        assert_eq!(machine.asked_since(before).len(), 1);
    }
}
