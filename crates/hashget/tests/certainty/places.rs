//! Who named a URL, and what it answered.

use hashget::hashdb::{Check, CheckOutcome, Checks as _};
use hashget::index::Request;
use hashget::model::Origin as NamedBy;
use hashget::pack::{PackOptions, Reason};
use hashget_testkit::origin::Fault;

use crate::machine::{Machine, options, package};

const FILES: [&str; 3] = ["lib/one", "lib/two", "lib/three"];

#[test]
fn a_hint_counts_for_its_own_tree_only() {
    let machine = Machine::new();
    machine.world.serve("/evil", package(&FILES));
    let attackers = machine.tree("attacker", &["own"]);
    machine.hint(&attackers, "/evil");
    machine.pack(&attackers, options());
    assert_eq!(machine.record("/evil").unwrap().origin, NamedBy::Tree);
    let victims = machine.tree("victim", &FILES);
    let (archive, summary, _) = machine.pack(&victims, options());
    assert_eq!((summary.left_out_files, summary.packages.len()), (0, 0));
    assert_eq!(summary.reasons[&Reason::PlaceNotProven].files, 3);
    machine.world.always("/evil", Fault::Status(404));
    assert!(machine.comes_back(&archive, &victims));
    // In the tree that names it, it counts.
    machine.world.heal("/evil");
    machine.hint(&victims, "/evil");
    let (archive, summary, _) = machine.pack(&victims, options());
    assert_eq!(summary.left_out_files, 3);
    assert!(machine.comes_back(&archive, &victims));
}

#[test]
fn what_the_user_named_comes_before_what_a_file_named_whatever_the_size() {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    machine.hint(&tree, "/small");
    machine.world.serve("/small", package(&FILES));
    machine.world.serve("/large", package(&[&FILES[..], &["a", "b", "c", "d"]].concat()));
    machine.index("/large").unwrap();
    let (archive, summary, _) = machine.pack(&tree, options());
    let urls: Vec<&str> = summary.packages.iter().map(|package| &*package.url).collect();
    assert_eq!(urls, [machine.world.url("/large")]);
    machine.world.always("/small", Fault::Status(410));
    assert!(machine.comes_back(&archive, &tree));
}

#[test]
fn a_file_of_a_tree_replaces_no_better_record() {
    let machine = Machine::new();
    machine.world.serve("/p", package(&FILES));
    machine.index("/p").unwrap();
    let good = machine.record("/p").unwrap();
    machine.world.serve("/p", package(&["other"]));
    let tree = machine.tree("tree", &["other"]);
    let hint = format!(
        "{{\"url\": \"{}\", \"sha256\": \"{}\"}}",
        good.url,
        hashget::model::Digest::of(&package(&["other"]))
    );
    fs_err::write(tree.join("hashget-hint.json"), hint).unwrap();
    machine.pack(&tree, options());
    assert_eq!(machine.record("/p").unwrap().sha256, good.sha256);
}

#[test]
fn a_package_that_was_found_lost_is_not_relied_on_until_it_is_found_again() {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    machine.world.serve("/p", package(&FILES));
    machine.index("/p").unwrap();
    machine.world.always("/p", Fault::Status(404));
    machine.days_pass(25);
    let (archive, summary, problems) = machine.pack(&tree, options());
    assert_eq!(summary.left_out_files, 0, "{problems}");
    assert!(problems.contains("does not have it any more"), "{problems}");
    assert!(machine.comes_back(&archive, &tree));
    // It is believed for a while, and asked again then.
    machine.world.heal("/p");
    let before = machine.requests();
    assert_eq!(machine.pack(&tree, options()).1.left_out_files, 0);
    assert_eq!(machine.asked_since(before), Vec::<String>::new());
    machine.index("/p").unwrap();
    assert_eq!(machine.pack(&tree, options()).1.left_out_files, 3);
}

#[test]
fn of_two_answers_of_one_second_the_later_one_counts() {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    machine.world.serve("/p", package(&FILES));
    machine.index("/p").unwrap();
    let record = machine.record("/p").unwrap();
    for _ in 0..3 {
        for outcome in [CheckOutcome::Gone, CheckOutcome::Differs] {
            machine
                .hashdb
                .put_check(&Check::now(record.sha256, &record.url, false, outcome))
                .unwrap();
            assert_eq!(machine.pack(&tree, options()).1.left_out_files, 0);
        }
        machine.index("/p").unwrap();
        assert_eq!(machine.pack(&tree, options()).1.left_out_files, 3);
    }
}

#[test]
fn a_url_that_gave_two_things_is_never_relied_on_again() {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    machine.world.serve("/latest", package(&["old"]));
    machine.index("/latest").unwrap();
    machine.world.serve("/latest", package(&FILES));
    let again = Request { url: machine.world.url("/latest"), again: true, ..Request::default() };
    for _ in 0..2 {
        machine.index_with(&again).unwrap();
        assert_eq!(machine.pack(&tree, options()).1.left_out_files, 0);
    }
    // Not even if nobody asks.
    assert_eq!(machine.pack(&tree, PackOptions { unasked: true, ..options() }).1.left_out_files, 0);
}

#[test]
fn a_host_that_is_not_public_is_not_relied_on() {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    machine.world.serve("/private/p", package(&FILES));
    machine.index("/private/p").unwrap();
    assert_eq!(machine.pack(&tree, options()).1.left_out_files, 3);
    let url = machine.world.url("/private/");
    let host = url.trim_start_matches("http:");
    fs_err::write(tree.join(".npmrc"), format!("{host}:_authToken=TOKEN\n")).unwrap();
    let (archive, summary, _) = machine.pack(&tree, options());
    assert_eq!(summary.left_out_files, 0);
    assert!(machine.comes_back(&archive, &tree));
}

#[test]
fn bytes_that_the_user_vouches_for_are_relied_on_without_a_question() {
    let machine = Machine::new();
    let tree = machine.tree("tree", &FILES);
    let file = tree.parent().unwrap().join("package.tar");
    fs_err::write(&file, package(&FILES)).unwrap();
    let url = machine.world.url("/p");
    machine.index_with(&Request { url, file: Some(file), ..Request::default() }).unwrap();
    let (_, summary, _) = machine.pack(&tree, options());
    assert_eq!((summary.left_out_files, machine.requests()), (3, 0));
}
