//! Any bytes as a package of any format, including packages within packages. An image of ISO 9660 comes without its first 32 KiB,
//! which have nothing.
#![no_main]

use std::io::{self, Read, Write as _};

use hashget::formats::{Input, Visitor, VisitorError, read_package};
use hashget::limits::Limits;
use hashget::model::{Kind, Member};
use libfuzzer_sys::fuzz_target;

struct Reading;

impl Visitor for Reading {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        let count = io::copy(content, &mut io::sink())?;
        if let Kind::File { size } = member.kind {
            assert_eq!(count, size, "contents are whole or an error");
        } else {
            assert_eq!(count, 0);
        }
        Ok(())
    }
}

fn limits() -> Limits {
    Limits {
        entries: 2000,
        unpacked_bytes: 16 << 20,
        header_bytes: 1 << 16,
        window_bytes: 16 << 20,
        ..Limits::default()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let is_image = bytes.get(1..6) == Some(b"CD001");
    let bytes = &*if is_image { [&[0; 0x8000][..], bytes].concat() } else { bytes.to_vec() };
    let _ = read_package(Input::Stream(&mut &*bytes), &|_| true, &limits(), &mut Reading);
    let mut file = tempfile::tempfile_in("/dev/shm").expect("a file in memory");
    file.write_all(bytes).expect("there is room");
    let _ = read_package(Input::File(&file), &|_| true, &limits(), &mut Reading);
});
