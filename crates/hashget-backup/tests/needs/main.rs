//! Tests with real servers, which not every machine has.
//!
//! Invariant: every test of these files is in the table, with all that it needs. What is missing makes it ignored, with
//! the reason (see `hashget_testkit::needs`). Servers listen on loopback only.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/clock.rs"]
mod clock;
#[path = "../conformance/store.rs"]
mod conformance;
mod s3;
mod sftp;
#[allow(dead_code, reason = "the suite of sinks is not for stores")]
#[path = "../../../hashget/tests/conformance/storage.rs"]
mod storage;

use std::process::ExitCode;

use hashget_testkit::needs::Need::{Mount, Tool};
use hashget_testkit::needs::{Test, run};
use hashget_testkit::tests_with_needs;

const TESTS: &[Test] = tests_with_needs![
    s3::seaweedfs_conforms: [Tool("weed")],
    sftp::a_connection_that_breaks_anywhere_is_made_again: [Tool("sftp-server")],
    sftp::a_full_disk_is_told_and_leaves_nothing: [Tool("sftp-server"), Mount],
    sftp::a_server_conforms: [Tool("sftp-server")],
    sftp::a_server_that_prints_something_else_is_told: [Tool("sftp-server")],
    sftp::an_earlier_send_is_continued_and_what_is_not_its_beginning_is_not: [Tool("sftp-server")],
    sftp::old_temporary_files_are_cleaned: [Tool("sftp-server")],
    sftp::what_is_missing_is_told: [Tool("sftp-server")],
    sftp::a_machine_behind_ssh_conforms: [Tool("sshd"), Tool("ssh"), Tool("ssh-keygen"), Tool("sftp-server")],
];

fn main() -> ExitCode {
    run(TESTS)
}
