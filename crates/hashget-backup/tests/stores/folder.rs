//! Folders as stores.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, SystemTime};

use hashget::monitor::Silent;
use hashget_backup::store::{Compared, FolderStore, Store as _, StoreError};

use crate::conformance::{Can, check_store, names, read, send};

const CAN: Can = Can { random: true, compared: Compared::Checksum };

#[test]
fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    check_store(&FolderStore::new(folder.path()), CAN);
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_not_there_is_said_so_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(&folder.path().join("disk"));
    let missing = |error: StoreError| {
        assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    };
    missing(store.list(&Silent).unwrap_err());
    missing(send(&store, "a", b"x").unwrap_err());
    missing(read(&store, "a").unwrap_err());
    missing(store.remove("a", &Silent).unwrap_err());
    missing(store.clean(&Silent).unwrap_err());
    assert!(!folder.path().join("disk").exists());
}

#[test]
fn what_is_no_file_is_neither_listed_nor_replaced_nor_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs_err::create_dir(path("folder")).unwrap();
    fs_err::write(path(".hidden"), "x").unwrap();
    symlink("nowhere", path("link")).unwrap();
    let store = FolderStore::new(folder.path());
    assert!(names(&store).is_empty());
    for name in ["folder", "link"] {
        let error = send(&store, name, b"x").unwrap_err();
        assert!(matches!(error, StoreError::Taken { .. }), "{error}");
    }
    assert!(matches!(read(&store, "folder").unwrap_err(), StoreError::NotThere { .. }));
}

#[test]
fn a_backup_is_for_whom_it_belongs_to() {
    let folder = tempfile::tempdir().unwrap();
    send(&FolderStore::new(folder.path()), "a", b"x").unwrap();
    let mode = fs_err::metadata(folder.path().join("a")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn cleaning_removes_old_temporary_files_of_this_program_only() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, days: u64| {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    };
    make(".a.tar.zst.123.Abc1de.part", 2);
    for (name, days) in [
        (".b.tar.zst.123.Abc1de.part", 0),
        (".c.part", 2),
        ("d.tar.zst.part", 2),
        (".e.rsync.Abc1de", 2),
    ] {
        make(name, days);
    }
    let store = FolderStore::new(folder.path());
    assert_eq!(store.clean(&Silent).unwrap(), [".a.tar.zst.123.Abc1de.part"]);
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 4);
    assert!(store.clean(&Silent).unwrap().is_empty());
    // What has come by another send needs no day.
    make("b.tar.zst", 0);
    assert_eq!(store.clean(&Silent).unwrap(), [".b.tar.zst.123.Abc1de.part"]);
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 4);
}
