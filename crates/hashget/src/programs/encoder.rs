//! Encoders: programs that compress what was put together, so that the file comes out that was packed. One line of the table each.
//!
//! Invariant: parameters come from manifests, and only those that are checked here become arguments. What a program writes is nothing
//! but bytes, which somebody else compares.

use std::fs::File;
use std::io::{self, Read, Seek as _};

use super::{Call, Parameters, ProgramError, RunProgram, Unpacked, Workshop, parameter};
use crate::codec::Codec;
use crate::model::{RelPath, Timestamp};
use crate::monitor::Monitor;

/// What a program compresses, and what it writes, in its folder.
const DECODED: &str = "decoded";
const ENCODED: &str = "encoded";

/// When what it compresses was changed: gzip takes 0 for a time that it cannot keep, and says so by its exit code.
const MTIME: i64 = 1_000_000_000;

/// Bytes of a gzip member's header without its name: all that gzip writes of one for a stream.
const GZIP_HEADER: usize = 10;

/// A program that compresses.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// Its name in manifests, and that of the program.
    pub(crate) name: &'static str,
    /// The package with the program.
    pub(crate) package: &'static str,
    codec: Codec,
    /// Bytes at the start of what it writes that are no part of the file.
    left_out: usize,
    arguments: fn(&Parameters) -> Result<Arguments, ProgramError>,
    guesses: fn(&[u8]) -> Vec<Parameters>,
}

/// How the program is called.
struct Arguments {
    arguments: Vec<String>,
    /// It opens the file itself, and learns how many bytes it has.
    opens: bool,
}

/// All of them, by name.
const ENCODERS: &[Encoder] = &[
    Encoder {
        name: "bzip2",
        package: "bzip2",
        codec: Codec::Bzip2,
        left_out: 0,
        arguments: level_arguments,
        guesses: bzip2_guesses,
    },
    Encoder {
        name: "gzip",
        package: "gzip",
        codec: Codec::Gzip,
        left_out: GZIP_HEADER,
        arguments: level_arguments,
        guesses: gzip_guesses,
    },
    Encoder {
        name: "xz",
        package: "xz-utils",
        codec: Codec::Xz,
        left_out: 0,
        arguments: xz_arguments,
        guesses: xz_guesses,
    },
    Encoder {
        name: "zstd",
        package: "zstd",
        codec: Codec::Zstd,
        left_out: 0,
        arguments: zstd_arguments,
        guesses: zstd_guesses,
    },
];

/// The encoder of this name, if there is one.
pub(crate) fn encoder(name: &str) -> Option<&'static Encoder> {
    ENCODERS.iter().find(|encoder| encoder.name == name)
}

/// How something was compressed that begins with `head`: the encoder, the bytes of its header that stand in the file as they are, and
/// the parameters that it may have had, the likeliest first.
pub(crate) fn guesses(head: &[u8]) -> Option<(&'static Encoder, usize, Vec<Parameters>)> {
    let codec = Codec::recognise(head);
    let encoder = ENCODERS.iter().find(|encoder| encoder.codec == codec)?;
    let header = if codec == Codec::Gzip { gzip_header(head)? } else { 0 };
    let guesses = (encoder.guesses)(head);
    (!guesses.is_empty()).then_some((encoder, header, guesses))
}

impl Encoder {
    /// What decodes what it writes.
    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// How the program is called.
    ///
    /// # Errors
    /// A parameter is missing or makes no sense.
    pub(crate) fn call(&self, parameters: &Parameters) -> Result<Call, ProgramError> {
        let Arguments { arguments, opens } = (self.arguments)(parameters)?;
        Ok(Call {
            program: format!("bin/{}", self.name),
            arguments,
            input_file: (!opens).then_some(DECODED),
            output_file: Some(ENCODED),
            ..Call::default()
        })
    }

    /// The file that comes out of a decoded form, of whose start `plain` bytes stay as they are.
    ///
    /// # Errors
    /// A parameter is missing or makes no sense; the program fails, or is stopped; or the disk fails.
    pub(crate) fn encode(
        &self,
        (parameters, plain): (&Parameters, u64),
        decoded: &mut dyn Read,
        (unpacked, runner): (&Unpacked, &dyn RunProgram),
        monitor: &dyn Monitor,
    ) -> Result<File, ProgramError> {
        let call = self.call(parameters)?;
        let mut encoded = tempfile::tempfile()?;
        io::copy(&mut decoded.take(plain), &mut encoded)?;
        let path = |name| RelPath::new(name).expect("one component");
        let workshop = Workshop::new(unpacked)?;
        workshop.add(&path(DECODED), Timestamp::from_seconds(MTIME), decoded)?;
        workshop.run(&call, runner, monitor)?;
        let (made, _) = workshop.made(&path(ENCODED))?.ok_or(ProgramError::Nothing)?;
        let mut made = io::BufReader::new(made);
        io::copy(&mut (&mut made).take(self.left_out as u64), &mut io::sink())?;
        io::copy(&mut made, &mut encoded)?;
        encoded.rewind()?;
        Ok(encoded)
    }
}

/// The parameters of one guess.
fn these<const N: usize>(parameters: [(&str, &str); N]) -> Parameters {
    parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn levels(levels: &[&str]) -> Vec<Parameters> {
    levels.iter().map(|level| these([("level", level)])).collect()
}

/// The option for a level from 1 (of xz 0) to `most`.
fn level(parameters: &Parameters, least: u8, most: u8) -> Result<String, ProgramError> {
    let text = parameter(parameters, "level")?;
    let level = text.parse().ok().filter(|level| (least..=most).contains(level));
    // Only one way to write a number is one.
    let level = level.filter(|level| level.to_string() == text);
    level.map(|level| format!("-{level}")).ok_or(ProgramError::Parameter {
        parameter: "level",
        problem: "is no level of its program",
    })
}

/// A parameter that is `yes` or missing.
fn is_yes(parameters: &Parameters, name: &'static str) -> Result<bool, ProgramError> {
    match parameters.get(name).map(String::as_str) {
        None => Ok(false),
        Some("yes") => Ok(true),
        Some(_) => Err(ProgramError::Parameter { parameter: name, problem: "is not yes" }),
    }
}

/// A level is all that it needs to know.
fn level_arguments(parameters: &Parameters) -> Result<Arguments, ProgramError> {
    Ok(Arguments { arguments: vec!["-c".to_owned(), level(parameters, 1, 9)?], opens: false })
}

fn bzip2_guesses(head: &[u8]) -> Vec<Parameters> {
    let level = head.get(3).map(|digit| char::from(*digit).to_string());
    level.map(|level| levels(&[&level])).unwrap_or_default()
}

/// gzip says in its header whether it compressed as well, or as fast as it could (RFC 1952, XFL).
fn gzip_guesses(head: &[u8]) -> Vec<Parameters> {
    match head.get(8) {
        Some(2) => levels(&["9"]),
        Some(4) => levels(&["1"]),
        _ => levels(&["6"]),
    }
}

/// Bytes of the header of a gzip member that may have a name, and nothing else (RFC 1952).
fn gzip_header(head: &[u8]) -> Option<usize> {
    const NAME: u8 = 8;
    match head.get(3)? {
        0 => Some(GZIP_HEADER),
        &NAME => {
            let end = head.get(GZIP_HEADER..)?.iter().position(|&byte| byte == 0)?;
            Some(GZIP_HEADER + end + 1)
        }
        _ => None,
    }
}

/// Names of the checks of xz, and their numbers in its header (the .xz file format, 2.1.1.2).
const XZ_CHECKS: [(&str, u8); 4] = [("none", 0), ("crc32", 1), ("crc64", 4), ("sha256", 10)];

fn xz_arguments(parameters: &Parameters) -> Result<Arguments, ProgramError> {
    let text = parameter(parameters, "level")?;
    let plain = text.strip_suffix('e').unwrap_or(text);
    let extreme = if plain.len() < text.len() { "e" } else { "" };
    let level = level(&these([("level", plain)]), 0, 9)?;
    let check = parameter(parameters, "check")?;
    if !XZ_CHECKS.iter().any(|(name, _)| *name == check) {
        let problem = "is no check of its program";
        return Err(ProgramError::Parameter { parameter: "check", problem });
    }
    // In blocks, the number of threads changes nothing.
    let threads = if is_yes(parameters, "blocks")? { "-T2" } else { "-T1" };
    let arguments =
        ["-c", "-z", &format!("{level}{extreme}"), &format!("--check={check}"), threads];
    Ok(Arguments { arguments: arguments.map(str::to_owned).to_vec(), opens: false })
}

/// The header names the check and the dictionary, and with threads the sizes of the first block (the .xz file format, 3.1).
fn xz_guesses(head: &[u8]) -> Vec<Parameters> {
    const SIZES: u8 = 0xc0;
    let Some((flags, rest)) = head.get(13..).and_then(<[u8]>::split_first) else {
        return Vec::new();
    };
    let check = XZ_CHECKS.iter().find(|(_, number)| head.get(7) == Some(number));
    let Some((check, _)) = check else { return Vec::new() };
    // Both sizes, of variable length, stand before the filters.
    let is_last = |byte: &u8| byte & 0x80 == 0;
    let mut filters = rest;
    for _ in 0..(flags & SIZES).count_ones() {
        let Some(end) = filters.iter().position(is_last) else { return Vec::new() };
        filters = &filters[end + 1..];
    }
    // One filter alone: LZMA2, with one byte for its dictionary.
    let (0, Some([0x21, 1, dictionary])) = (flags & 3, filters.first_chunk()) else {
        return Vec::new();
    };
    let levels: &[&str] = match dictionary {
        12 => &["0"],
        16 => &["1"],
        18 => &["2"],
        20 => &["4", "3"],
        22 => &["6", "6e"],
        24 => &["7"],
        26 => &["8"],
        28 => &["9", "9e"],
        _ => &[],
    };
    let guess = |level: &&str| {
        let mut guess = these([("level", level), ("check", check)]);
        if flags & SIZES == SIZES {
            guess.insert("blocks".to_owned(), "yes".to_owned());
        }
        guess
    };
    levels.iter().map(guess).collect()
}

fn zstd_arguments(parameters: &Parameters) -> Result<Arguments, ProgramError> {
    let level = level(parameters, 1, 22)?;
    let opens = is_yes(parameters, "size")?;
    // The number of threads changes nothing; with more of them, it needs more memory.
    let mut arguments = ["-q", "-c", "-T2", "--ultra", &level].map(str::to_owned).to_vec();
    arguments.extend(opens.then(|| DECODED.to_owned()));
    Ok(Arguments { arguments, opens })
}

/// The frame's header has the size of a file, and the window, from which levels follow (RFC 8878, 3.1.1.1).
fn zstd_guesses(head: &[u8]) -> Vec<Parameters> {
    let Some([descriptor, window]) = head.get(4..).and_then(<[u8]>::first_chunk) else {
        return Vec::new();
    };
    let is_single = descriptor & 0x20 != 0;
    let levels: &[&str] = match window >> 3 {
        // Everything is in one segment: the window says nothing.
        _ if is_single => &["3", "19"],
        9 => &["1"],
        10 => &["2"],
        11 => &["3", "6"],
        12 => &["9", "15"],
        13 => &["19"],
        15 => &["20"],
        16 => &["21"],
        17 => &["22"],
        _ => &[],
    };
    let guess = |level: &&str| {
        let mut guess = these([("level", level)]);
        if is_single || descriptor >> 6 != 0 {
            guess.insert("size".to_owned(), "yes".to_owned());
        }
        guess
    };
    levels.iter().map(guess).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(head: &[u8]) -> Vec<Vec<String>> {
        let (encoder, _, guesses) = guesses(head).unwrap();
        let arguments = |one: &Parameters| (encoder.arguments)(one).unwrap().arguments;
        guesses.iter().map(arguments).collect()
    }

    #[test]
    fn encoders_are_sorted_by_name() {
        assert!(ENCODERS.is_sorted_by(|a, b| a.name < b.name));
        assert!(encoder("zstd").is_some() && encoder("tea").is_none());
    }

    #[test]
    fn headers_narrow_parameters_down() {
        let of_file = [0x28, 0xb5, 0x2f, 0xfd, 0x84, 0x60, 0, 0x66, 0xcc, 7];
        assert_eq!(guessed(&of_file)[0], ["-q", "-c", "-T2", "--ultra", "-9", DECODED]);
        let of_stream = [0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0, 0, 0, 0];
        assert_eq!(guessed(&of_stream)[0], ["-q", "-c", "-T2", "--ultra", "-3"]);
        let mut gzip = vec![0x1f, 0x8b, 8, 8, 1, 2, 3, 4, 2, 3];
        gzip.extend(b"name\0rest");
        assert_eq!(guessed(&gzip), [["-c", "-9"]]);
        assert_eq!(guesses(&gzip).unwrap().1, 15);
        gzip[3] = 4;
        assert!(guesses(&gzip).is_none(), "it has a field that nobody knows");
        let mut xz = vec![0xfd, b'7', b'z', b'X', b'Z', 0, 0, 1, 1, 2, 3, 4, 3];
        xz.extend([0xc0, 0x80, 0x80, 1, 0x80, 1, 0x21, 1, 22]);
        assert_eq!(guessed(&xz)[0], ["-c", "-z", "-6", "--check=crc32", "-T2"]);
        xz.splice(13.., [0, 0x21, 1, 28]);
        assert_eq!(guessed(&xz)[1], ["-c", "-z", "-9e", "--check=crc32", "-T1"]);
        assert_eq!(guessed(b"BZh9\x31\x41\x59\x26\x53\x59"), [["-c", "-9"]]);
        assert!(guesses(b"no compressed data at all").is_none());
        for length in 0..xz.len() {
            let _ = guesses(&xz[..length]);
        }
    }

    #[test]
    fn parameters_that_make_no_sense_are_no_arguments() {
        for (name, parameters) in [
            ("zstd", these([])),
            ("zstd", these([("level", "23")])),
            ("zstd", these([("level", "03")])),
            ("zstd", these([("level", "-rm")])),
            ("zstd", these([("level", "3"), ("size", "no")])),
            ("gzip", these([("level", "0")])),
            ("bzip2", these([("level", "10")])),
            ("xz", these([("level", "6")])),
            ("xz", these([("level", "6ee"), ("check", "crc64")])),
            ("xz", these([("level", "6"), ("check", "crc64 -k")])),
        ] {
            let arguments = (encoder(name).unwrap().arguments)(&parameters);
            let error = arguments.err().map(|error| error.to_string());
            assert!(error.is_some_and(|error| error.contains("parameter")), "{parameters:?}");
        }
    }
}
