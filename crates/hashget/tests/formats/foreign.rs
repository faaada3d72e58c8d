//! What peers read: zips of every method, zips behind other bytes, single compressed files, lzip and lzma.
//!
//! Invariant: the bytes were written by other programs; what is damaged or larger than a limit says so.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hashget::codec::Codec;
use hashget::formats::{FILE, FormatError, recognise};
use hashget::limits::Limits;
use hashget::model::Kind;
use hashget_testkit::packages::{COMPRESSIONS, TarBuilder, ZipEntry, compress, zip};

use crate::collect::{noise, read, read_error, read_with};
use crate::frozen_packages::{COMPRESS, LZIP, LZMA, SEVEN_ZIP, TAR_LZIP, ZIPS};

fn bytes(text: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(text).unwrap()
}

fn text() -> Vec<u8> {
    (0..40).flat_map(|n| format!("line {n} of the member\n").into_bytes()).collect()
}

#[test]
fn zips_of_every_method_are_read() {
    for (name, packed) in ZIPS {
        let (format, collected) = read(&bytes(packed));
        assert_eq!(format, "zip", "{name}");
        assert_eq!(collected.bad, [], "{name}");
        assert_eq!(collected.content("text"), text(), "{name}");
    }
    let (format, collected) = read(&bytes(SEVEN_ZIP));
    assert_eq!((format, collected.content("text")), ("7z", &text()[..]));
}

#[test]
fn a_changed_byte_of_any_method_is_damage() {
    for (name, packed) in ZIPS {
        let packed = bytes(packed);
        for at in 60..100 {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x10;
            let (collected, outcome) = read_with(&damaged, false, &Limits::default());
            let is_wrong = outcome.is_ok() && collected.content("text") != text();
            assert!(!is_wrong, "{name}: byte {at}");
        }
    }
}

#[test]
fn dictionaries_have_a_limit_whatever_holds_them() {
    let limits = Limits { window_bytes: 1 << 20, ..Limits::default() };
    let by_python = ZIPS.iter().find(|(name, _)| *name == "py-lzma").unwrap();
    for packed in [bytes(by_python.1), bytes(LZIP), bytes(LZMA), compress("xz", &noise(9000))] {
        let (error, _) = read_error(&packed, &limits);
        assert!(matches!(error, FormatError::Limit { limit: 1_048_576, .. }), "{error}");
    }
}

#[test]
fn a_window_above_the_limit_is_said_and_not_taken_for_no_package() {
    let tar = TarBuilder::new().file("a", b"1").finish();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(30).unwrap();
    encoder.long_distance_matching(true).unwrap();
    std::io::Write::write_all(&mut encoder, &tar).unwrap();
    let packed = encoder.finish().unwrap();
    let (error, _) = read_error(&packed, &Limits::default());
    let said = error.to_string();
    assert!(said.contains("zstd window") && said.contains("268435456"), "{said}");
    let raised = Limits { window_bytes: 1 << 30, ..Limits::default() };
    assert_eq!(read_with(&packed, false, &raised).1.unwrap(), "tar");
}

#[test]
fn a_zip_behind_other_bytes_is_a_zip() {
    let plain = zip(&[
        ZipEntry { name: b"__main__.py", content: b"print(1)", ..ZipEntry::default() },
        ZipEntry { name: b"lib/a", content: &noise(500), ..ZipEntry::default() },
    ]);
    let program = [b"\x7fELF".to_vec(), noise(200_000), b"PK\x03\x04 inside".to_vec()].concat();
    let windows = [b"MZ\x90".to_vec(), noise(1_500_000)].concat();
    for before in
        [&b"#!/usr/bin/env python3\n"[..], &program, &windows, b"Cr24\x03\0\0\0\x04\0\0\0abcd"]
    {
        let (format, collected) = read(&[before, &plain].concat());
        assert_eq!(format, "zip");
        assert_eq!(collected.content("__main__.py"), b"print(1)");
        // As a member of another package, too.
        let outer = TarBuilder::new().file("app", &[before, &plain].concat()).finish();
        let (collected, outcome) = read_with(&outer, true, &Limits::default());
        assert_eq!(outcome.unwrap(), "tar");
        assert_eq!(collected.paths(), ["app", "app!/__main__.py", "app!/lib/a"]);
    }
    // Whatever the bytes are: only within other packages they must be those of a program.
    for before in [&[0; 4096][..], b"\x05X*\x12", b"text\n"] {
        let whole = [before, &plain].concat();
        for behind in [&b""[..], b"other bytes", b"PK\x05\x06 and not the end of one"] {
            let (format, collected) = read(&[&whole[..], behind].concat());
            assert_eq!((format, collected.content("lib/a")), ("zip", &noise(500)[..]));
        }
        let outer = TarBuilder::new().file("app", &whole).finish();
        assert_eq!(read_with(&outer, true, &Limits::default()).0.paths(), ["app"]);
    }
    assert_eq!(read(&program).0, FILE, "a program that knows zips is none");
    assert_eq!(read(&[&program[..], &plain[..plain.len() - 3]].concat()).0, FILE);
}

#[test]
fn a_compressed_file_is_a_package_of_one_file() {
    for codec in COMPRESSIONS.iter().filter(|codec| **codec != "none") {
        let packed = compress(codec, &text());
        let (format, collected) = read(&packed);
        assert_eq!(
            (format, collected.paths()),
            ("compressed", vec!["contents".to_owned()]),
            "{codec}"
        );
        assert_eq!(collected.content("contents"), text());
        assert_eq!(collected.member("contents").kind, Kind::File { size: text().len() as u64 });
        let (error, _) = read_error(&packed[..packed.len() - 2], &Limits::default());
        assert!(
            matches!(error, FormatError::Damaged { format: "compressed", .. }),
            "{codec}: {error}"
        );
        let (error, _) =
            read_error(&[&packed[..], b"garbage behind it"].concat(), &Limits::default());
        assert!(error.to_string().contains("other bytes follow"), "{codec}: {error}");
    }
    let tar = compress("gzip", &TarBuilder::new().file("a", b"1").finish());
    assert_eq!(read(&tar).0, "tar");
}

#[test]
fn lzip_and_lzma_are_read() {
    assert_eq!(Codec::recognise(&bytes(LZIP)), Codec::Lzip);
    assert_eq!(Codec::recognise(&bytes(LZMA)), Codec::Lzma);
    let (format, collected) = read(&bytes(LZIP));
    assert_eq!(format, "compressed");
    assert_eq!(collected.content("contents"), [&text()[..], b"more"].concat());
    assert_eq!(read(&bytes(LZMA)).1.content("contents"), text());
    let (format, collected) = read(&bytes(TAR_LZIP));
    assert_eq!(
        (format, collected.paths()),
        ("tar", vec!["dir/text".to_owned(), "dir/more".to_owned()])
    );
    for whole in [bytes(LZIP), bytes(LZMA), bytes(TAR_LZIP)] {
        let (error, _) = read_error(&whole[..whole.len() - 1], &Limits::default());
        assert!(matches!(error, FormatError::Damaged { .. }), "{error}");
    }
    // Other properties and the smallest dictionaries: of 7-Zip, and of the program lzmash.
    let lzma = bytes(LZMA);
    let other = |properties: u8, dictionary: u32| {
        let mut head = [&[properties][..], &dictionary.to_le_bytes(), &lzma[5..]].concat();
        head.truncate(64);
        Codec::recognise(&head)
    };
    for (properties, dictionary) in
        [(0x5d, 1 << 12), (0x5e, 1 << 23), (0x5d, 3 << 19), (0, 1 << 16)]
    {
        assert_eq!(other(properties, dictionary), Codec::Lzma, "{properties} {dictionary}");
    }
    for (properties, dictionary) in [(225, 1 << 23), (0x5d, 1 << 11), (0x5d, 5 << 19), (8, 1 << 16)]
    {
        assert_eq!(other(properties, dictionary), Codec::None, "{properties} {dictionary}");
    }
    for other in [&b"]\0\0\0\0 is text"[..], b"LZIP is text", &[0x5d; 64], &[0; 64]] {
        assert!(recognise(other).is_none());
    }
}

#[test]
fn what_the_program_compress_wrote_is_read() {
    let squares = (0..160).flat_map(|n| format!("{n} squared is {}\n", n * n).into_bytes());
    let expected: Vec<u8> = text().into_iter().chain(squares).collect();
    let packed = bytes(COMPRESS);
    assert_eq!(Codec::recognise(&packed), Codec::Compress);
    let (format, collected) = read(&packed);
    assert_eq!((format, collected.content("contents")), ("compressed", &expected[..]));
    // A changed byte is damage, or what then comes out; it never stops the reader.
    for at in 3..packed.len() {
        let mut changed = packed.clone();
        changed[at] ^= 0x55;
        let _ = read_with(&changed, false, &Limits::default());
    }
    let limits = Limits { unpacked_bytes: 100, ..Limits::default() };
    assert!(matches!(read_error(&packed, &limits).0, FormatError::Limit { .. }));
    assert!(recognise(&[0x1f, 0x9d, 0x90]).is_none(), "nothing comes out of it");
}

#[test]
fn a_folder_of_dos_needs_no_slash() {
    let entry = |name, content| ZipEntry {
        name,
        content,
        mode: None,
        dos_attributes: 0x10,
        ..ZipEntry::default()
    };
    let with_mode = ZipEntry { mode: Some(0o100_644), ..entry(b"file of Unix", b"") };
    let (_, collected) = read(&zip(&[entry(b"folder", b""), entry(b"file", b"1"), with_mode]));
    assert_eq!(collected.member("folder").kind, Kind::Directory);
    assert_eq!(collected.content("file"), b"1");
    assert_eq!(collected.member("file of Unix").kind, Kind::File { size: 0 });
}

#[test]
fn a_pipe_with_contents_is_a_file() {
    let pipe =
        |content| ZipEntry { name: b"p", content, mode: Some(0o010_644), ..ZipEntry::default() };
    assert_eq!(read(&zip(&[pipe(b"")])).1.member("p").kind, Kind::Fifo);
    assert_eq!(read(&zip(&[pipe(b"what came out")])).1.content("p"), b"what came out");
}
