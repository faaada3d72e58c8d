//! Any bytes as parity: read, looked for in a file, and healed from. What comes out is proven, or an error.
#![no_main]

use hashget_parity::Set;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(set) = Set::read(bytes, bytes.len() as u64) else { return };
    // The bytes themselves are a file as good as any.
    let Ok(scanned) = set.scan(bytes, bytes.len() as u64, 1, &|_| true) else { return };
    let Ok(output) = tempfile::tempfile() else { return };
    let healed = set.heal(bytes, &scanned, bytes, &output, 1, &|_| true);
    assert!(healed.is_err() || output.metadata().is_ok_and(|it| it.len() == set.layout().bytes()));
});
