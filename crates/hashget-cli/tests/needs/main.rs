//! Tests of the program that need another program, a right or a file system that not every machine has.
//!
//! Invariant: every test of these files is in the table, with all that it needs. What is missing makes it ignored, with
//! the reason (see `hashget_testkit::needs`).

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(clippy::print_stdout, reason = "what was counted, and what a parent waits for")]

mod full_disk;
mod nth_call;
mod prepare;
mod procfs;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use hashget_testkit::needs::Need::{Interception, Minutes, Mount, OwnProc, Tool};
use hashget_testkit::needs::{Test, run};
use hashget_testkit::tests_with_needs;

const TESTS: &[Test] = tests_with_needs![
    full_disk::a_full_disk_is_an_error_and_nothing_is_left_under_the_name: [Mount],
    nth_call::an_index_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::a_pack_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::an_unpack_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::a_restore_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::every_single_call_of_every_operation_fails_once: [Interception, Minutes],
    prepare::tar_there_and_back: [],
    prepare::rsync_there_and_back: [Tool("rsync")],
    prepare::borg_there_and_back: [Tool("borg")],
    prepare::restic_there_and_back: [Tool("restic")],
    prepare::what_cannot_be_prepared_is_told: [],
    procfs::a_system_without_procfs_is_told_and_gets_no_half_backup: [OwnProc],
];

fn main() -> ExitCode {
    run(TESTS)
}
