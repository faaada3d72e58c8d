//! Tests of the server that need another program or a right.
//!
//! Invariant: every test of these files is in the table, with all that it needs. What is missing makes it ignored, with
//! the reason (see `hashget_testkit::needs`).

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod browser;
mod full_disk;
mod many;
mod page;
mod proxy;
mod python;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use hashget_testkit::needs::Need::{ManyFiles, Mount, Tool};
use hashget_testkit::needs::{Test, run};
use hashget_testkit::tests_with_needs;

const TESTS: &[Test] = tests_with_needs![
    full_disk::on_a_full_disk_nothing_is_accepted_and_everything_is_still_read: [Mount],
    many::ten_thousand_slow_clients_do_not_keep_others_from_being_served: [ManyFiles],
    page::people_search_by_name_and_by_keyboard: [Tool("chromedriver"), Tool("chromium")],
    page::a_chosen_file_is_found_and_not_uploaded: [Tool("chromedriver"), Tool("chromium")],
    page::names_of_packages_are_text: [Tool("chromedriver"), Tool("chromium")],
    page::it_fits_and_can_be_read_at_every_width_light_and_dark: [Tool("chromedriver"), Tool("chromium")],
    page::where_a_token_is_needed_it_is_asked_for: [Tool("chromedriver"), Tool("chromium")],
    proxy::caddy_tells_whose_requests_they_are: [Tool("caddy")],
    python::the_python_tool_submits_indexes_packs_and_gets: [Tool("dpkg-deb"), Tool("hashget-admin")],
];

fn main() -> ExitCode {
    run(TESTS)
}
