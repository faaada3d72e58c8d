//! Files that get their name once they are complete: on full disks, with failing calls, and killed.
//!
//! Invariant: the name refers to the old contents or to all of the new ones, and nothing else is left behind.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hashget::pending_file::PendingFile;
use hashget_testkit::nth_call::{Failing, Kind, Supervisor};
use hashget_testkit::small_disk::SmallDisk;

/// The folder in which [`a_process_that_replaces_a_file`] works.
pub(crate) const FOLDER: &str = "HASHGET_TEST_FOLDER";
/// Whether it waits to be killed before it commits.
const WAIT: &str = "HASHGET_TEST_WAIT";

const OLD: &[u8] = b"old";

fn new() -> Vec<u8> {
    (0..20_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn replace(path: &Path, before_commit: impl FnOnce()) -> std::io::Result<()> {
    let mut pending = PendingFile::create(path, 0o666)?;
    pending.write_all(&new())?;
    before_commit();
    pending.commit(path)
}

/// Is the file in `folder` the new one? It is alone there, and either the old one or the new one.
fn is_replaced(folder: &Path, what: &str) -> bool {
    let names: Vec<PathBuf> =
        fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, [folder.join("file")], "{what}");
    let contents = fs_err::read(folder.join("file")).unwrap();
    assert!(contents == OLD || contents == new(), "{what}: {} bytes", contents.len());
    contents != OLD
}

pub(crate) fn a_full_disk_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut failures = 0;
    for pages in 2.. {
        let disk = SmallDisk::mount(folder.path(), pages * 4096).unwrap();
        fs_err::write(folder.path().join("file"), OLD).unwrap();
        let outcome = replace(&folder.path().join("file"), || ());
        assert_eq!(is_replaced(folder.path(), "full"), outcome.is_ok());
        drop(disk);
        match outcome {
            Ok(()) => break,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::StorageFull),
        }
        failures += 1;
    }
    assert!(failures > 5, "{failures}");
}

/// Runs in processes of its own.
pub(crate) fn a_process_that_replaces_a_file() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let wait = || {
        if std::env::var_os(WAIT).is_some() {
            println!("\nwaiting");
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
    };
    replace(&folder.join("file"), wait).unwrap();
}

fn as_a_process(mut command: Command, folder: &Path) -> Command {
    let test = "pending_file::a_process_that_replaces_a_file";
    command.args(["--exact", test, "--nocapture"]).env(FOLDER, folder);
    command.env_remove(WAIT);
    command
}

pub(crate) fn the_nth_call_that_fails_leaves_the_old_file_or_the_new_one() {
    const EIO: i32 = 5;
    let supervisor = Supervisor::build().unwrap();
    let program = std::env::current_exe().unwrap();
    for kind in [Kind::Write, Kind::Sync, Kind::Name] {
        for nth in 1.. {
            let folder = tempfile::tempdir().unwrap();
            fs_err::write(folder.path().join("file"), OLD).unwrap();
            let failing = Failing { kind, nth, error: EIO };
            let command = supervisor.command(failing, folder.path(), &program);
            let ended = supervisor.run(&mut as_a_process(command, folder.path()));
            let said = String::from_utf8_lossy(&ended.output.stdout);
            let what = format!("{kind:?} {nth}: {:?}: {said}", ended.failed);
            let replaced = is_replaced(folder.path(), &what);
            assert!(replaced || !ended.output.status.success(), "{what}");
            if ended.failed.is_none() {
                assert!(nth > 1 && replaced, "{what}");
                break;
            }
        }
    }
}

pub(crate) fn a_killed_process_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("file"), OLD).unwrap();
    let mut command = as_a_process(Command::new(std::env::current_exe().unwrap()), folder.path());
    let mut child = command.env(WAIT, "1").stdout(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    assert!(said.lines().any(|line| line.unwrap() == "waiting"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!is_replaced(folder.path(), "killed"));
}
