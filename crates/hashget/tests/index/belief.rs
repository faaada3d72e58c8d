//! Whose word counts as a client's.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hashget::detectors::{Candidate, DetectError, Detector, Machine};
use hashget::index::detect;
use hashget::model::{Origin, RelPath};
use hashget::monitor::Silent;

/// Finds a package in each file that is called `record`, by the word of a client.
struct Records;

impl Detector for Records {
    fn name(&self) -> &str {
        "records"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        path.file_name() == b"record"
    }

    fn detect(
        &self,
        _machine: &Machine,
        _root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let url = format!("https://packages.example/{path}");
        let (origin, found_at) = (Origin::Client, path.clone());
        Ok(vec![Candidate { url, origin, found_at, ..Candidate::default() }])
    }
}

/// Whoever may write into a folder above a record can put a client's configuration there.
#[test]
fn a_record_below_a_folder_that_everybody_may_write_to_is_a_file_of_the_tree() {
    let tree = tempfile::tempdir().unwrap();
    let paths = ["open/own/record", "own/record", "record"];
    for path in paths {
        fs_err::create_dir_all(tree.path().join(path).parent().unwrap()).unwrap();
        fs_err::write(tree.path().join(path), "").unwrap();
    }
    let open = tree.path().join("open");
    fs_err::set_permissions(&open, std::fs::Permissions::from_mode(0o1777)).unwrap();
    let paths = paths.map(|path| RelPath::new(path).unwrap());
    let found = detect(tree.path(), &paths, &[&Records], &Machine::default(), 1, &Silent);
    let origins: Vec<_> = found.candidates.iter().map(|one| (one.origin, one.by_client)).collect();
    let (stranger, client) = ((Origin::Tree, false), (Origin::Client, true));
    assert_eq!(origins, [stranger, client, client]);
}
