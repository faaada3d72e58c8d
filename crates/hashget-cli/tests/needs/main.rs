//! Tests of the program that need another program, a right or a file system that not every machine has.
//!
//! Invariant: every test of these files is in the table, with all that it needs. What is missing makes it ignored, with
//! the reason (see `hashget_testkit::needs`).

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(clippy::print_stdout, reason = "what was counted, and what a parent waits for")]

mod age;
mod beside;
mod by_hand;
mod extremes;
mod file_systems;
mod flags;
mod full_disk;
mod hashdb;
mod leases;
#[path = "../support/losing.rs"]
mod losing;
mod mount;
mod nth_call;
mod odd_folders;
mod other_disks;
mod par2;
mod prepare;
mod procfs;
mod programs;
mod rpm_verify;
mod sbom;
mod shared_bucket;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/system.rs"]
mod system;
mod turmoil;
mod users;

use std::process::ExitCode;

use hashget_testkit::needs::Need::{
    Attributes, Flags, Fuse, Holes, Image, Interception, Landlock, Minutes, Mount, OwnProc,
    OwnRoot, Root, Tool, UserNamespace,
};
use hashget_testkit::needs::{Test, run};
use hashget_testkit::tests_with_needs;

const TESTS: &[Test] = tests_with_needs![
    programs::a_confined_program_makes_what_the_tree_has: [Landlock, Tool("cc")],
    programs::a_program_with_a_root_of_its_own_does_not_leave_it: [Landlock, OwnRoot, Tool("cc")],
    programs::another_user_gives_a_program_a_root_of_its_own: [Landlock, Root, UserNamespace, Tool("cc")],
    programs::what_is_not_asked_for_or_not_right_is_archived: [Landlock, Tool("cc")],
    programs::programs_that_misbehave_cost_what_they_should_make: [Landlock, Tool("cc")],
    programs::a_manifest_runs_no_other_program: [Landlock, Tool("cc")],
    programs::the_real_gzip_compresses_what_was_put_together: [Landlock, Tool("gzip")],
    programs::who_runs_no_programs_names_what_they_make: [Landlock, Tool("cc"), Tool("python3"), Tool("zstd")],
    age::whoever_is_asked_for_a_passphrase_can_stop: [Tool("setsid")],
    age::age_opens_what_we_encrypt_and_we_what_it_does: [Tool("age"), Tool("ssh-keygen"), Tool("zstd")],
    beside::supplements_are_read_without_hashget: [Tool("python3"), Tool("zstd")],
    beside::what_a_supplement_says_that_nobody_knows_is_passed_over: [Tool("python3"), Tool("zstd")],
    beside::a_damaged_manifest_is_read_by_its_copy_without_hashget: [Tool("python3"), Tool("zstd")],
    by_hand::a_night_of_a_chain_comes_back_without_hashget: [Tool("curl"), Tool("jq"), Tool("zstd")],
    extremes::files_of_any_size_come_back_and_so_do_sums_beyond_64_bits: [Mount],
    extremes::times_at_both_ends_come_back: [Mount],
    extremes::megabytes_of_attributes_come_back: [Image, Tool("mkfs.xfs")],
    file_systems::packages_are_searched_for_where_the_user_wants: [Mount],
    file_systems::those_of_this_machine_are_packed_and_the_kernels_are_not: [Mount],
    file_systems::what_a_program_supplies_is_not_packed_and_the_backup_is_incomplete: [Fuse],
    flags::what_is_not_to_be_dumped_is_excluded_on_request: [Attributes, Tool("chattr")],
    flags::flags_are_set_when_all_else_is_done: [Attributes, Flags],
    flags::flags_come_back_by_tar_and_restore: [Attributes, Flags],
    flags::flags_that_cannot_be_set_are_named: [Attributes, Flags, Mount],
    flags::flags_do_not_keep_the_next_run_from_going_on: [Attributes, Flags],
    flags::what_is_protected_in_place_is_not_replaced_and_named: [Attributes, Flags],
    full_disk::a_full_disk_is_an_error_and_nothing_is_left_under_the_name: [Mount],
    full_disk::on_a_full_disk_what_was_to_be_replaced_or_removed_is_intact: [Mount],
    full_disk::without_room_for_a_package_nothing_is_said_of_it: [Mount],
    full_disk::a_job_whose_destination_is_full_fails_and_loses_no_older_archive: [Mount],
    full_disk::an_archive_whose_parity_does_not_fit_is_whole_and_said_to_have_none: [Mount],
    hashdb::on_a_read_only_disk_it_can_be_read: [Mount],
    hashdb::on_a_full_disk_it_can_be_read_and_what_it_cannot_keep_is_archived: [Mount],
    leases::a_file_is_packed_when_another_program_gives_up_its_lease: [Tool("python3")],
    mount::the_mounted_tree_is_the_one_that_was_packed: [Attributes, Fuse, Holes],
    mount::an_archive_at_a_url_is_read_by_its_parts: [Fuse],
    mount::attributes_that_no_entry_has_are_not_supported: [Attributes, Fuse],
    mount::nothing_can_be_changed_and_numbers_stay: [Fuse],
    mount::while_one_waits_for_a_server_others_read: [Fuse],
    mount::a_package_that_is_gone_is_an_error_of_its_files_alone: [Fuse],
    mount::unmounted_while_in_use_it_serves_to_the_end: [Fuse],
    mount::an_interrupt_unmounts_even_what_is_in_use: [Fuse],
    mount::a_folder_of_archives_has_a_folder_for_each: [Fuse],
    mount::a_bucket_of_archives_is_read_when_it_is_entered: [Fuse],
    mount::archives_of_every_version_are_shown: [Fuse],
    mount::other_users_are_let_in_with_the_rights_of_the_archive: [Fuse, Root, Tool("setpriv")],
    nth_call::an_index_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::a_pack_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::an_unpack_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::a_restore_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::a_pack_with_an_earlier_archive_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::a_pack_with_parity_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::a_restore_in_place_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::a_rehearsal_whose_nth_call_fails_says_so: [Interception],
    nth_call::a_repair_whose_nth_call_fails_can_be_made_again: [Interception],
    nth_call::a_pack_does_without_statx: [Interception],
    nth_call::every_single_call_of_every_operation_fails_once: [Interception, Minutes],
    other_disks::what_a_file_system_does_not_keep_is_named_and_not_proven: [Attributes, Mount],
    other_disks::what_is_not_to_be_restored_is_said_and_no_failure: [Attributes, Mount],
    other_disks::what_is_mounted_in_a_stray_folder_stays: [Mount],
    other_disks::what_lies_on_mounts_below_the_target_is_synced: [Interception, Mount],
    other_disks::what_cannot_be_a_hard_link_is_a_file_of_its_own_and_named: [Mount],
    other_disks::metadata_that_a_file_system_refuses_costs_no_contents: [Interception, Attributes],
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
    shared_bucket::a_publisher_in_seaweedfs_is_read: [Tool("weed")],
    rpm_verify::changed_tells_what_rpm_does_and_what_its_database_hides: [Root, Tool("rpm"), Tool("rpmbuild")],
    sbom::cyclonedx_is_valid_by_its_schemas: [Tool("cyclonedx-py"), Tool("python3")],
    sbom::spdx_is_valid_by_its_own_tools: [Tool("pyspdxtools")],
    snapshots::a_job_reads_a_snapshot_of_btrfs_and_removes_it: [Image, Root, Tool("btrfs"), Tool("mkfs.btrfs")],
    snapshots::unchanged_files_of_a_snapshot_are_not_read_again: [Image, Minutes, Root, Tool("btrfs"), Tool("mkfs.btrfs")],
    snapshots::a_logical_volume_is_snapshotted_mounted_and_given_back: [],
    snapshots::what_cannot_have_a_snapshot_is_an_error_before_anything_is_packed: [],
    turmoil::every_archive_of_a_tree_in_turmoil_comes_back_on_ext4: [Image, Root, Tool("mkfs.ext4")],
    turmoil::every_archive_of_a_tree_in_turmoil_comes_back_on_xfs: [Image, Root, Tool("mkfs.xfs")],
    turmoil::every_archive_of_a_tree_in_turmoil_comes_back_on_btrfs: [Image, Root, Tool("mkfs.btrfs")],
    users::a_user_rehearses_and_restores_in_place_without_other_owners: [Root],
    users::what_belongs_to_others_in_place_stays_and_is_named: [Root],
];

fn main() -> ExitCode {
    run(TESTS)
}
