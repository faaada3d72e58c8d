//! The n-th system call of a kind fails, for n = 1, 2, 3, ..., while the real program indexes, packs, unpacks, restores, verifies
//! and repairs.
//!
//! Invariant: after each of them nothing has a final name that is not whole, the HashDB is sound, an
//! error was told with what it was about (or nothing is missing), and the same command again gives
//! exactly what it would have given.

use hashget_testkit::nth_call::{Failing, Kind, Supervisor};

use self::scene::Scene;

mod scene;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const ENOSYS: i32 = 38;
const ECONNRESET: i32 = 104;

/// One fault, and the same again without it. False once there are no such calls any more.
fn with_fault(supervisor: &Supervisor, scene: &Scene, name: &str, failing: Failing) -> bool {
    scene.forget(name);
    let ended = scene.run(supervisor, name, failing);
    let Some(failed) = ended.failed else {
        assert!(ended.output.status.success(), "{name} {failing:?}");
        return false;
    };
    let said = String::from_utf8(ended.output.stderr).unwrap();
    let code = ended.output.status.code().unwrap();
    let what = format!("{name} {failing:?} {failed}: ended with {code}: {said}");
    scene.assert_whole(&what);
    judge(scene, name, failing, code, &said, &what);
    // One entry of the tree that cannot be read is one entry that is missing.
    let of_an_entry = failed.rsplit_once("/tree/").is_some_and(|(_, path)| path != ".");
    if name.starts_with("pack") && of_an_entry && matches!(failing.kind, Kind::Look | Kind::Read) {
        assert!(matches!(code, 0 | 3), "{what}");
    }
    // Where all is restored, there is no manifest any more to restore by.
    if name == "restore" && !scene.machine.path("back/.hashget-restore.json").exists() {
        scene.assert_restored_but_for_the_top(&what);
    } else {
        scene.machine.hashget(&strs(&scene.operation(name).arguments)).expect(0);
        scene.assert_done(name, &format!("after {what}"));
    }
    scene.assert_no_litter(&failed, &what);
    true
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// The exit code fits the fault, and the message the exit code.
fn judge(scene: &Scene, name: &str, failing: Failing, code: i32, said: &str, what: &str) {
    // A connection that breaks off is tried again. Of the disk: something failed, or one file of several
    // is missing; what was not needed is told at most.
    let allowed: &[i32] = match (failing.kind, name) {
        (Kind::Receive, _) => &[0],
        // A package that could not be looked at is one that could not be checked.
        (_, "verify") => &[0, 1, 3, 5],
        _ => &[0, 1, 3],
    };
    // A backup is made whatever is wrong with the HashDB.
    let without_hashdb = name.starts_with("pack") && code == 5 && said.contains("HashDB");
    assert!(allowed.contains(&code) || without_hashdb, "{what}");
    if without_hashdb {
        let names = ["a.tar", "a.tar.zst"];
        assert!(names.iter().any(|name| scene.machine.path(name).exists()), "{what}");
    }
    if code == 0 {
        scene.assert_done(name, what);
    } else {
        assert!(!said.contains("Proven: the folder"), "{what}");
        scene.assert_archive(name, false, what);
        let names =
            ["db", "cache", "a.tar", "tree", "back", "reference.tar", "p.tar.gz", "earlier"];
        assert!(names.iter().any(|name| said.contains(name)), "it names nothing: {what}");
    }
}

/// Runs an operation with each fault; how many there were.
fn all_faults(name: &str, every: bool) {
    let supervisor = Supervisor::build().unwrap();
    let scene = Scene::new();
    let mut counts = Vec::new();
    for kind in Kind::ALL {
        let (mut nth, mut faults) = (1, 0);
        loop {
            let error = match kind {
                Kind::Receive => ECONNRESET,
                Kind::Write | Kind::Name if nth % 2 == 0 => ENOSPC,
                _ => EIO,
            };
            if !with_fault(&supervisor, &scene, name, Failing { kind, nth, error }) {
                break;
            }
            faults += 1;
            nth = if every || nth < 10 { nth + 1 } else { nth + nth / 4 };
        }
        counts.push(format!("{kind:?} {faults} of {}", nth - 1));
    }
    println!("{name}: {}", counts.join(", "));
}

pub(crate) fn an_index_whose_nth_call_fails_can_be_made_again() {
    all_faults("index", false);
}

pub(crate) fn a_pack_whose_nth_call_fails_can_be_made_again() {
    all_faults("pack", false);
}

pub(crate) fn an_unpack_whose_nth_call_fails_can_be_made_again() {
    all_faults("unpack", false);
}

pub(crate) fn a_restore_whose_nth_call_fails_can_be_made_again() {
    all_faults("restore", false);
}

pub(crate) fn a_pack_with_an_earlier_archive_whose_nth_call_fails_can_be_made_again() {
    all_faults("pack --reuse", false);
}

pub(crate) fn a_pack_with_parity_whose_nth_call_fails_can_be_made_again() {
    all_faults("pack --parity", false);
}

pub(crate) fn a_restore_in_place_whose_nth_call_fails_can_be_made_again() {
    all_faults("unpack in place", false);
}

pub(crate) fn a_rehearsal_whose_nth_call_fails_says_so() {
    all_faults("verify", false);
}

pub(crate) fn a_repair_whose_nth_call_fails_can_be_made_again() {
    all_faults("repair", false);
}

/// A kernel, or a sandbox, that does not know the call by which names of the tree are looked at.
pub(crate) fn a_pack_does_without_statx() {
    let supervisor = Supervisor::build().unwrap();
    let scene = Scene::new();
    let mut refused = 0;
    for nth in 1.. {
        scene.forget("pack");
        let failing = Failing { kind: Kind::Look, nth, error: ENOSYS };
        let ended = scene.run(&supervisor, "pack", failing);
        let Some(failed) = ended.failed else { break };
        let is_of_an_entry = failed.rsplit_once("/tree/").is_some_and(|(_, path)| path != ".");
        if failed.starts_with("statx") && is_of_an_entry {
            let said = String::from_utf8(ended.output.stderr).unwrap();
            assert!(ended.output.status.success(), "{failed}: {said}");
            scene.assert_done("pack", &failed);
            refused += 1;
        }
    }
    assert!(refused > 5, "{refused} calls were refused");
}

pub(crate) fn every_single_call_of_every_operation_fails_once() {
    let packing = ["index", "pack", "pack --reuse", "pack --parity"];
    let others = ["unpack", "unpack in place", "restore", "verify", "repair"];
    for name in packing.into_iter().chain(others) {
        all_faults(name, true);
    }
}
