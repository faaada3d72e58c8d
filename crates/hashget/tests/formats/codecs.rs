//! Codecs: round trips, repetition, limits, truncation.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use hashget::codec::{Codec, LimitExceeded, decoder, encoder};
use hashget::limits::Limits;
use hashget_testkit::packages::compress;

use crate::collect::noise;

/// Takes what an encoder writes.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encode(codec: Codec, bytes: &[u8], level: Option<i32>, threads: usize, chunk: usize) -> Vec<u8> {
    let output = Shared::default();
    let mut encoder = encoder(codec, Box::new(output.clone()), level, threads).unwrap();
    for part in bytes.chunks(chunk) {
        encoder.write_all(part).unwrap();
    }
    encoder.finish().unwrap();
    output.0.take()
}

fn decode(codec: Codec, bytes: &[u8], limits: &Limits, threads: usize) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    decoder(codec, Box::new(bytes), limits, threads)?.read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

fn codec_of(name: &str) -> Codec {
    Codec::WRITTEN.into_iter().find(|codec| codec.name() == name).unwrap()
}

/// Text with long-range and short-range repetitions, and noise.
fn sample() -> Vec<u8> {
    let noise = noise(1 << 20);
    [&noise[..], &b"text ".repeat(100_000), &noise[..300_000]].concat()
}

#[test]
fn what_goes_in_comes_out() {
    let sample = sample();
    for codec in Codec::WRITTEN {
        for bytes in [&sample[..], b"x", b""] {
            let packed = encode(codec, bytes, None, 2, 10_000);
            let name = codec.name();
            assert_eq!(
                Codec::recognise(&packed),
                if bytes.is_empty() && codec == Codec::None { Codec::None } else { codec },
                "{name}"
            );
            for threads in [1, 2] {
                let unpacked = decode(codec, &packed, &Limits::default(), threads).unwrap();
                assert!(unpacked == bytes, "{name}");
            }
        }
    }
}

#[test]
fn output_depends_on_input_and_level_alone() {
    let sample = sample();
    // More than one job of zstd.
    let large = sample.repeat(12);
    for (codec, level) in [
        (Codec::Gzip, None),
        (Codec::Zstd, None),
        (Codec::Xz, Some(0)),
        (Codec::Bzip2, None),
        (Codec::Lz4, None),
    ] {
        let sample = if codec == Codec::Zstd { &large } else { &sample };
        let once = encode(codec, sample, level, 1, 4096);
        for (threads, chunk) in [(1, 100_000), (3, 777), (8, usize::MAX)] {
            let again = encode(codec, sample, level, threads, chunk);
            assert!(once == again, "{} with {threads} threads", codec.name());
        }
    }
}

#[test]
fn streams_one_after_the_other_are_one() {
    for name in ["gzip", "zstd", "xz", "bzip2", "lz4"] {
        let parts = [compress(name, b"one "), compress(name, b"two "), compress(name, b"three")];
        let unpacked = decode(codec_of(name), &parts.concat(), &Limits::default(), 2).unwrap();
        assert_eq!(unpacked, b"one two three", "{name}");
    }
}

#[test]
fn padding_and_skippable_frames_are_skipped() {
    let skippable = b"\x5a\x2a\x4d\x18\x03\0\0\0abc";
    let cases = [
        ("gzip", [&compress("gzip", b"x")[..], &[0; 1000]].concat()),
        ("xz", [&compress("xz", b"x")[..], &[0; 8], &compress("xz", b"")].concat()),
        ("zstd", [skippable, &compress("zstd", b"x")[..], skippable].concat()),
        ("lz4", [skippable, &compress("lz4", b"x")[..], skippable].concat()),
    ];
    for (name, packed) in cases {
        assert_eq!(Codec::recognise(&packed), codec_of(name));
        for threads in [1, 2] {
            let unpacked = decode(codec_of(name), &packed, &Limits::default(), threads);
            assert_eq!(unpacked.unwrap(), b"x", "{name}");
        }
    }
    let odd = [&compress("xz", b"x")[..], &[0; 3]].concat();
    assert!(decode(Codec::Xz, &odd, &Limits::default(), 1).is_err());
}

#[test]
fn zeros_may_follow_the_end_and_nothing_else() {
    for name in ["gzip", "zstd", "xz", "bzip2", "lz4"] {
        let two = [compress(name, b"one "), compress(name, b"two")].concat();
        for zeros in [4, 512, 300_000] {
            for threads in [1, 2] {
                let packed = [&two[..], &vec![0; zeros]].concat();
                let unpacked = decode(codec_of(name), &packed, &Limits::default(), threads);
                assert_eq!(unpacked.unwrap(), b"one two", "{name}, {zeros} zeros");
            }
        }
        for other in [
            &b"other bytes, as there were before"[..],
            b"\0\0\0\0and after zeros, too",
            &noise(5000),
        ] {
            let packed = [&two[..], other].concat();
            let error = decode(codec_of(name), &packed, &Limits::default(), 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}");
            let expected = format!("other bytes follow the end of the {name} data");
            assert_eq!(error.to_string(), expected);
        }
    }
}

#[test]
fn what_ends_too_early_is_an_error() {
    let text = [noise(2000), vec![b'.'; 2000]].concat();
    for name in ["gzip", "zstd", "xz", "bzip2", "lz4"] {
        let packed = compress(name, &text);
        for length in 1..packed.len() {
            for threads in [1, 2] {
                let outcome =
                    decode(codec_of(name), &packed[..length], &Limits::default(), threads);
                assert!(outcome.is_err(), "{name} cut at {length} of {}", packed.len());
            }
        }
        let error = decode(codec_of(name), &packed[..packed.len() - 1], &Limits::default(), 1);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{name}");
    }
}

#[test]
fn what_follows_the_end_is_an_error() {
    for name in ["gzip", "zstd", "xz", "bzip2", "lz4"] {
        let packed = [&compress(name, b"text")[..], b"something else"].concat();
        let error = decode(codec_of(name), &packed, &Limits::default(), 1).unwrap_err();
        assert!(
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof),
            "{name}: {error:?}"
        );
    }
}

#[test]
fn changed_bytes_are_noticed() {
    let text = noise(3000);
    for name in ["gzip", "xz", "bzip2"] {
        let mut packed = compress(name, &text);
        let middle = packed.len() / 2;
        packed[middle] ^= 0x10;
        let error = decode(codec_of(name), &packed, &Limits::default(), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}: {error:?}");
    }
}

#[test]
fn bombs_stop_at_the_ratio() {
    let limits = Limits { ratio: 20, ..Limits::default() };
    for name in ["gzip", "zstd", "xz", "bzip2", "lz4"] {
        // Many streams one after the other unpack as one.
        let packed = compress(name, &[0; 1 << 20]).repeat(66);
        let mut reader = decoder(codec_of(name), Box::new(&packed[..]), &limits, 1).unwrap();
        let mut unpacked = 0;
        let error = loop {
            match reader.read(&mut [0; 65536]) {
                Ok(0) => panic!("{name}: the end without an error"),
                Ok(count) => unpacked += count as u64,
                Err(error) => break error,
            }
        };
        let exceeded = LimitExceeded::in_io(&error).unwrap_or_else(|| panic!("{name}: {error:?}"));
        assert_eq!(exceeded.limit, 20);
        assert!(unpacked < Limits::RATIO_FLOOR + (1 << 20), "{name}: {unpacked}");
        assert!(reader.read(&mut [0; 10]).is_ok_and(|count| count == 0), "nothing comes after it");
    }
}

#[test]
fn unpacked_bytes_are_limited() {
    let limits = Limits { unpacked_bytes: 1000, ..Limits::default() };
    for name in ["none", "gzip", "zstd", "xz", "bzip2", "lz4"] {
        assert!(decode(codec_of(name), &compress(name, &[1; 1000]), &limits, 1).is_ok(), "{name}");
        let error = decode(codec_of(name), &compress(name, &[1; 1001]), &limits, 1).unwrap_err();
        assert_eq!(LimitExceeded::in_io(&error).unwrap().limit, 1000, "{name}");
    }
}

#[test]
fn windows_are_limited() {
    // A zstd frame whose header asks for a window of 2 GiB, and one of 1 EiB.
    for descriptor in [0xa8, 0xf8] {
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, descriptor, 0x01, 0, 0];
        let error = decode(Codec::Zstd, &frame, &Limits::default(), 1).unwrap_err();
        assert!(LimitExceeded::in_io(&error).is_some(), "{error:?}");
    }
    let limits = Limits { window_bytes: 1 << 20, ..Limits::default() };
    let packed = encode(Codec::Xz, &noise(10_000), Some(6), 1, 4096);
    for threads in [1, 2] {
        let error = decode(Codec::Xz, &packed, &limits, threads).unwrap_err();
        assert_eq!(LimitExceeded::in_io(&error).unwrap().limit, 1 << 20);
    }
}

#[test]
fn errors_of_the_input_come_through() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    for name in ["none", "gzip", "zstd", "xz", "bzip2", "lz4"] {
        let packed = compress(name, &noise(1000));
        let input = io::Cursor::new(packed[..100].to_vec()).chain(Broken);
        let mut reader = decoder(codec_of(name), Box::new(input), &Limits::default(), 2).unwrap();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{name}: {error:?}");
    }
}

#[test]
fn levels_that_do_not_exist_are_refused() {
    for (codec, level) in [
        (Codec::Gzip, 10),
        (Codec::Zstd, 23),
        (Codec::Zstd, 0),
        (Codec::Xz, -1),
        (Codec::Bzip2, 0),
        (Codec::Lz4, 1),
        (Codec::None, 1),
    ] {
        let outcome = encoder(codec, Box::new(io::sink()), Some(level), 1);
        let error = outcome.err().expect("a refusal");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&level.to_string()));
    }
}

#[test]
fn flushing_in_between_is_allowed() {
    for codec in Codec::WRITTEN {
        let output = Shared::default();
        let mut encoder = encoder(codec, Box::new(output.clone()), None, 2).unwrap();
        encoder.write_all(b"one").unwrap();
        encoder.flush().unwrap_or_else(|error| panic!("{}: {error}", codec.name()));
        encoder.write_all(b" two").unwrap();
        encoder.finish().unwrap();
        let unpacked = decode(codec, &output.0.take(), &Limits::default(), 1).unwrap();
        assert_eq!(unpacked, b"one two", "{}", codec.name());
    }
}
