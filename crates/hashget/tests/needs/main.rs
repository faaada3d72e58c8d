//! Tests that need a program, a right or a file system that not every machine has.
//!
//! Invariant: every test of these files is in the table, with all that it needs. What is missing makes it ignored, with
//! the reason (see `hashget_testkit::needs`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was counted, and what a parent waits for")]

mod arch_real;
mod by_hand;
mod change_times;
#[path = "../formats/collect.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod collect;
#[path = "../debian/system.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod debian_system;
#[path = "../derived/trees.rs"]
mod derived;
mod foreign_files;
mod full_disk;
mod gnu_tar;
mod growing_disk;
#[path = "../conformance/hashdb.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod hashdb_suite;
mod images;
mod iso9660;
mod nasty;
mod other_programs;
mod pending_file;
#[path = "../pieces/images.rs"]
mod piece_images;
mod pieces;
mod random;
mod restorer;
mod rpm_real;
#[path = "../round_trip/scene.rs"]
mod scene;
mod shared_blocks;
mod signed_lists;
#[path = "../conformance/source.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod source_suite;
#[path = "../conformance/storage.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod storage_suite;
#[path = "../restore/support.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod support;
#[path = "../systems/system.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod system;
mod this_system;
mod unprivileged;
mod user;

use std::process::{Command, ExitCode};

use hashget_testkit::needs::Need::{
    Attributes, Dpkg, Holes, Image, Interception, Mount, Root, RpmNdb, StartedWith, Tool, User,
};
use hashget_testkit::needs::{Test, run as run_tests};
use hashget_testkit::tests_with_needs;

const TESTS: &[Test] = tests_with_needs![
    arch_real::what_pacman_installed_is_understood:
        [Root, Tool("bsdtar"), Tool("fakeroot"), Tool("makepkg"), Tool("pacman"), Tool("repo-add"), Tool("setpriv"), Tool("zstd")],
    by_hand::the_script_restores_what_we_restore:
        [Root, Tool("curl"), Tool("dpkg-deb"), Tool("jq"), Tool("unzip")],
    change_times::ext4_sets_the_ctime_at_every_change: [Image, Tool("mkfs.ext4")],
    change_times::xfs_sets_the_ctime_at_every_change: [Image, Tool("mkfs.xfs")],
    change_times::btrfs_sets_the_ctime_at_every_change: [Image, Tool("mkfs.btrfs")],
    foreign_files::a_file_that_another_user_may_still_write_to_is_made_anew: [Root],
    foreign_files::what_a_plain_tar_of_a_user_left_is_made_anew: [Root],
    full_disk::a_download_is_an_error_that_leaves_its_room_free: [Mount],
    full_disk::an_archive_is_aborted_and_has_no_name: [Mount],
    full_disk::a_hashdb_fails_the_put_and_nothing_else: [Mount],
    full_disk::a_restore_stops_with_a_clear_error_and_nothing_half_written: [Mount],
    gnu_tar::every_format_of_gnu_tar: [],
    gnu_tar::compressed_by_gzip: [],
    gnu_tar::compressed_by_xz: [Tool("xz")],
    gnu_tar::compressed_by_zstd: [Tool("zstd")],
    gnu_tar::compressed_by_bzip2: [Tool("bzip2")],
    gnu_tar::compressed_by_lz4: [Tool("lz4")],
    gnu_tar::extended_attributes_of_gnu_tar: [Attributes],
    gnu_tar::incremental_and_labelled_archives_of_gnu_tar: [],
    gnu_tar::packages_of_dpkg_deb: [Tool("dpkg-deb")],
    gnu_tar::archives_of_the_zip_program: [Tool("zip")],
    growing_disk::an_archive_that_does_not_fit_leaves_nothing_behind: [Mount],
    growing_disk::a_tree_that_does_not_fit_is_an_error_and_has_only_whole_files: [Mount],
    growing_disk::a_hashdb_and_a_cache_that_do_not_fit_stay_whole: [Mount],
    iso9660::devices_and_pipes_in_images: [Root, Tool("genisoimage"), Tool("xorriso")],
    iso9660::devices_that_images_give_come_back_by_the_restorer:
        [Root, Tool("genisoimage"), Tool("python3"), Tool("xorriso")],
    iso9660::images_of_genisoimage_are_read_as_bsdtar_does: [Tool("bsdtar"), Tool("genisoimage")],
    iso9660::images_of_xorriso_are_read_as_bsdtar_does: [Tool("bsdtar"), Tool("xorriso")],
    nasty::the_nasty_tree_comes_back_whatever_hashes_are_kept_and_however_it_is_compressed: [],
    nasty::the_nasty_tree_comes_back_by_gnu_tar_and_restore: [Tool("zstd")],
    nasty::a_folder_of_the_manifests_name_comes_back: [],
    nasty::the_nasty_tree_comes_back_on_a_file_system_in_memory: [Mount],
    nasty::a_version_one_archive_comes_back_too: [],
    nasty::a_plain_tar_has_everything_that_is_not_left_out: [],
    nasty::bsdtar_unpacks_the_frames: [Tool("bsdtar")],
    nasty::python_reads_the_frames: [Tool("python3"), Tool("zstd")],
    other_programs::gzip_both_ways: [],
    other_programs::zstd_both_ways: [Tool("zstd")],
    other_programs::xz_both_ways: [Tool("xz")],
    other_programs::bzip2_both_ways: [Tool("bzip2")],
    other_programs::lz4_both_ways: [Tool("lz4")],
    other_programs::we_read_what_compress_writes: [Tool("compress")],
    other_programs::we_read_what_cpio_writes: [Tool("cpio")],
    other_programs::we_read_what_bsdtar_writes_as_cpio: [Tool("bsdtar")],
    other_programs::we_read_what_ar_writes: [Tool("ar")],
    other_programs::we_read_what_7z_writes: [Tool("7z")],
    other_programs::we_read_every_method_of_zips_of_7z: [Tool("7z")],
    other_programs::every_sparse_format_of_gnu_tar: [Holes],
    pending_file::a_full_disk_leaves_the_old_file: [Mount],
    pending_file::a_process_that_replaces_a_file: [StartedWith(pending_file::FOLDER)],
    pending_file::the_nth_call_that_fails_leaves_the_old_file_or_the_new_one: [Interception],
    pending_file::a_killed_process_leaves_the_old_file: [],
    pieces::an_ext4_file_system_comes_back: [Tool("mkfs.ext4")],
    pieces::an_iso_image_comes_back: [Tool("genisoimage")],
    pieces::the_restorer_puts_pieces_together: [Tool("python3"), Tool("zstd")],
    random::explain_says_of_random_trees_what_pack_does: [],
    random::random_trees_with_random_packages_come_back: [],
    random::random_trees_with_random_packages_come_back_by_gnu_tar: [Root, Tool("xz"), Tool("zstd")],
    random::random_trees_with_random_packages_come_back_by_the_restorer: [Tool("python3"), Tool("zstd")],
    restorer::derived_files_come_back: [Tool("python3")],
    restorer::frozen_archives_come_back: [Tool("python3"), Tool("zstd")],
    restorer::the_nasty_tree_comes_back: [Tool("python3"), Tool("zstd")],
    restorer::packages_of_every_format_are_read: [Tool("python3"), Tool("bsdtar"), Tool("lz4"), Tool("zstd")],
    restorer::what_is_wrong_with_a_package_is_named_and_all_else_comes_back: [Tool("python3")],
    restorer::of_a_package_that_changed_the_files_with_a_digest_are_taken: [Tool("python3")],
    restorer::hostile_archives_change_nothing_outside_of_the_target: [Tool("python3")],
    restorer::of_an_image_whose_listings_overlap_nothing_is_taken: [Tool("python3")],
    restorer::nothing_that_was_there_is_replaced: [Tool("python3")],
    restorer::a_user_gets_all_but_what_only_root_may_set: [Root, Tool("python3"), Tool("setpriv")],
    rpm_real::what_rpm_installed_with_sqlite_is_understood:
        [Root, Tool("rpm"), Tool("rpmbuild"), Tool("createrepo_c")],
    rpm_real::what_rpm_installed_with_ndb_is_understood:
        [Root, Tool("rpm"), Tool("rpmbuild"), Tool("createrepo_c"), RpmNdb],
    shared_blocks::nights_on_xfs_take_the_room_of_what_changed: [Image, Tool("mkfs.xfs")],
    shared_blocks::nights_on_btrfs_take_the_room_of_what_changed: [Image, Tool("mkfs.btrfs")],
    signed_lists::gpgv_makes_the_owner_of_an_archive_key_vouch: [Tool("gpg"), Tool("gpg-agent"), Tool("gpgv")],
    signed_lists::sqv_makes_the_owner_of_an_archive_key_vouch: [Tool("gpg"), Tool("gpg-agent"), Tool("sqv")],
    signed_lists::a_signature_beside_the_file_and_an_armored_keyring_are_enough:
        [Tool("gpg"), Tool("gpg-agent"), Tool("gpgv")],
    signed_lists::nobody_vouches_for_what_no_archive_key_signed: [Tool("gpg"), Tool("gpg-agent"), Tool("gpgv")],
    signed_lists::what_cannot_be_verified_is_said_once_and_vouched_for_by_nobody: [Tool("gpg"), Tool("gpg-agent"), Tool("gpgv")],
    signed_lists::a_system_in_the_tree_does_not_hide_what_anothers_list_vouches_for:
        [Tool("gpg"), Tool("gpg-agent"), Tool("gpgv")],
    signed_lists::a_list_of_the_tree_does_not_hide_what_this_machines_list_vouches_for:
        [Tool("gpg"), Tool("gpg-agent"), Tool("gpgv")],
    this_system::this_machines_own_packages_are_all_understood: [Dpkg],
    this_system::the_origin_that_a_browser_wrote_is_the_url: [Attributes],
    this_system::origins_that_cannot_last_are_left_alone: [Attributes],
    unprivileged::everything_but_owners_and_devices_comes_back: [User],
    unprivileged::owners_that_were_asked_for_and_cannot_be_given_are_a_loss: [User],
    user::a_user_packs_and_restores_a_nasty_tree: [User],
    user::what_a_user_may_not_read_is_named_and_the_rest_is_packed: [User],
    user::what_lies_in_a_folder_that_may_only_be_listed_is_named: [User],
    user::a_user_restores_a_nasty_tree_of_roots: [Root, User],
    user::a_plain_tar_of_roots_in_a_users_hands_has_all_contents: [],
];

fn main() -> ExitCode {
    run_tests(TESTS)
}

/// Runs a program to its end. It must succeed; what it says otherwise fails the test.
#[track_caller]
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}
