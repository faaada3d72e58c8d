//! Any bytes as an uncompressed tar archive.
#![no_main]

use std::io;

use hashget::formats::tar::TarReader;
use hashget::limits::Limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { entries: 2000, unpacked_bytes: 16 << 20, ..Limits::default() };
    let mut tar = TarReader::new(bytes, &limits);
    let mut read = 0;
    while let Ok(Some(mut entry)) = tar.next() {
        match io::copy(&mut entry, &mut io::sink()) {
            Ok(count) => read += count,
            Err(_) => break,
        }
        assert!(read <= limits.unpacked_bytes);
    }
});
