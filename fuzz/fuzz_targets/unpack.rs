//! Any bytes as an archive that is unpacked into an empty folder. Run it as a user without rights.
#![no_main]

use hashget::fetch::Offline;
use hashget::limits::Limits;
use hashget::monitor::Silent;
use hashget::restore::{RestoreOptions, Restorer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let limits = Limits { entries: 200, unpacked_bytes: 1 << 20, ..Limits::default() };
    let restorer =
        Restorer { source: &Offline, web: &Offline, limits: &limits, jobs: 1, accepting: None };
    let target = folder.path().join("target");
    let _ = restorer.unpack(&mut &*bytes, &target, &RestoreOptions::default(), &Silent);
    let beside: Vec<_> = std::fs::read_dir(folder.path())
        .expect("it is ours")
        .map(|entry| entry.expect("it can be read").file_name())
        .collect();
    assert!(beside.iter().all(|name| name == "target"), "{beside:?}");
});
