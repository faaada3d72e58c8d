//! Tests of the program that need another program, a right or a file system that not every machine has.
//!
//! Invariant: every test of these files is in the table, with all that it needs. What is missing makes it ignored, with
//! the reason (see `hashget_testkit::needs`).

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(clippy::print_stdout, reason = "what was counted, and what a parent waits for")]

mod file_systems;
mod flags;
mod full_disk;
mod hashdb;
mod mount;
mod nth_call;
mod odd_folders;
mod other_disks;
mod par2;
mod prepare;
mod procfs;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use hashget_testkit::needs::Need::{
    Attributes, Fuse, Holes, Interception, Minutes, Mount, OwnProc, Root, Tool,
};
use hashget_testkit::needs::{Test, run};
use hashget_testkit::tests_with_needs;

const TESTS: &[Test] = tests_with_needs![
    file_systems::packages_are_searched_for_where_the_user_wants: [Mount],
    file_systems::those_of_this_machine_are_packed_and_the_kernels_are_not: [Mount],
    file_systems::what_a_program_supplies_is_not_packed_and_the_backup_is_incomplete: [Fuse],
    flags::what_is_not_to_be_dumped_is_excluded_on_request: [Attributes, Tool("chattr")],
    full_disk::a_full_disk_is_an_error_and_nothing_is_left_under_the_name: [Mount],
    full_disk::on_a_full_disk_what_was_to_be_replaced_or_removed_is_intact: [Mount],
    full_disk::an_archive_whose_parity_does_not_fit_is_whole_and_said_to_have_none: [Mount],
    hashdb::on_a_read_only_disk_it_can_be_read: [Mount],
    hashdb::on_a_full_disk_it_can_be_read_and_what_it_cannot_keep_is_archived: [Mount],
    mount::the_mounted_tree_is_the_one_that_was_packed: [Attributes, Fuse, Holes],
    mount::nothing_can_be_changed_and_numbers_stay: [Fuse],
    mount::while_one_waits_for_a_server_others_read: [Fuse],
    mount::a_package_that_is_gone_is_an_error_of_its_files_alone: [Fuse],
    mount::unmounted_while_in_use_it_serves_to_the_end: [Fuse],
    mount::an_interrupt_unmounts_even_what_is_in_use: [Fuse],
    mount::a_folder_of_archives_has_a_folder_for_each: [Fuse],
    mount::archives_of_every_version_are_shown: [Fuse],
    mount::other_users_are_let_in_with_the_rights_of_the_archive: [Fuse, Root, Tool("setpriv")],
    nth_call::an_index_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::a_pack_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::an_unpack_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::a_restore_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::every_single_call_of_every_operation_fails_once: [Interception, Minutes],
    other_disks::what_a_file_system_does_not_keep_is_named_and_not_proven: [Attributes, Mount],
    other_disks::what_is_not_to_be_restored_is_said_and_no_failure: [Attributes, Mount],
    other_disks::what_is_mounted_in_a_stray_folder_stays: [Mount],
    other_disks::what_lies_on_mounts_below_the_target_is_synced: [Interception, Mount],
    other_disks::a_list_that_does_not_fit_leaves_the_old_one_and_no_manifest: [Mount],
    odd_folders::a_name_that_is_listed_twice_is_one_entry: [Fuse],
    odd_folders::contents_are_read_to_their_end_whatever_the_size_says: [Fuse],
    odd_folders::what_is_listed_and_not_found_is_missing: [Fuse],
    odd_folders::a_folder_whose_attributes_cannot_be_read_is_kept_with_all_in_it: [Fuse],
    odd_folders::files_that_share_an_inode_number_by_mistake_stay_apart: [Fuse],
    par2::par2_verifies_and_repairs_with_what_we_made: [Tool("par2")],
    par2::we_repair_with_what_par2_made: [Tool("par2")],
    par2::par2_accepts_the_frozen_parity: [Tool("par2")],
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
