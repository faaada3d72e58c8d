//! A world at random: trees whose files name URLs, and servers that answer, refuse, lie, move or vanish.
//!
//! Invariant: bytes decide everything, so that a failure shrinks to few and small ones.

use hashget::pack::PackOptions;
use hashget_testkit::origin::Fault;
use proptest::prelude::*;

use crate::machine::{Machine, options, package};

/// The URLs of the world.
const PATHS: [&str; 4] = ["/a", "/b", "/latest", "/d"];

/// The files that trees and packages have.
const NAMES: [&str; 6] = ["x/1", "x/2", "y/3", "y/4", "5", "6"];

struct Choices<'b>(std::slice::Iter<'b, u8>);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % bound
    }

    fn names(&mut self) -> Vec<&'static str> {
        let bits = self.below(64);
        (0..NAMES.len()).filter(|bit| bits >> bit & 1 == 1).map(|bit| NAMES[bit]).collect()
    }
}

/// Every URL changes as it likes.
fn turn(machine: &Machine, choices: &mut Choices<'_>) {
    for path in PATHS {
        let fault = match choices.below(12) {
            0 => Some(Fault::Status(404)),
            1 => Some(Fault::Status(403)),
            2 => Some(Fault::Status(500)),
            3 => Some(Fault::Drop),
            4 => Some(Fault::Other),
            5 => Some(Fault::Long(3)),
            6 => Some(Fault::NoLength),
            7 => {
                machine.world.serve(path, package(&choices.names()));
                None
            }
            8 => {
                machine.world.serve(path, "<html>Please sign in</html>");
                None
            }
            9 => Some(Fault::NoRange),
            _ => None,
        };
        machine.world.heal(path);
        if let Some(fault) = fault {
            machine.world.always(path, fault);
        }
    }
}

fn live(bytes: &[u8]) {
    let mut choices = Choices(bytes.iter());
    let machine = Machine::new();
    for path in PATHS {
        machine.world.serve(path, package(&choices.names()));
    }
    let trees = ["one", "two"].map(|name| machine.tree(name, &["own"]));
    for night in 0..3 {
        for tree in &trees {
            for name in choices.names() {
                let path = tree.join(name);
                fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                fs_err::write(path, crate::machine::content(name)).unwrap();
            }
            if choices.below(2) == 0 {
                machine.hint(&tree.join("x"), PATHS[choices.below(PATHS.len())]);
            }
        }
        if choices.below(3) == 0 {
            // It may fail.
            drop(machine.index(PATHS[choices.below(PATHS.len())]));
        }
        turn(&machine, &mut choices);
        // Every answer is old enough to be asked again: this night's questions are the last ones.
        machine.days_pass(31);
        for tree in &trees {
            let options = PackOptions { max_fetch_ratio: f64::INFINITY, ..options() };
            let (archive, summary, problems) = machine.pack(tree, options);
            // What could not be asked was fetched before; it may be gone now.
            let is_silent = problems.contains("Unreachable") || any_silent(&machine);
            assert!(
                machine.comes_back(&archive, tree) || is_silent,
                "night {night}, {tree:?}: {summary:?} {problems}"
            );
        }
    }
}

/// Does some URL say nothing about its package now?
fn any_silent(machine: &Machine) -> bool {
    let last = |path: &&str| machine.world.requests_of(path).pop().map(|request| request.status);
    PATHS.iter().any(|path| matches!(last(path), Some(0 | 500)))
        || PATHS.iter().any(|path| machine.is_page(path))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_left_out_that_the_servers_did_not_give_when_asked(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        live(&bytes);
    }
}
