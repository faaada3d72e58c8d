//! Alpine packages. Version 2: a tar of signatures, one of control files and one of data, each compressed separately and
//! concatenated. Version 3 is no tar.
//!
//! Invariant: members are `signature/...`, `control/...` and `data/...`, of version 3 only `data/...`; a package of version 2
//! without control files or without data is damaged.

mod adb;
mod blocks;
mod version_3;

use std::io::{self, BufRead as _, BufReader, Read};

use super::content::Head;
use super::{Format, FormatError, Input, Visitor, tar};
use crate::codec::{self, Codec};
use crate::limits::Limits;

const FORMAT: &str = "apk";
/// Signatures are `.SIGN.METHOD.KEY`.
const SIGNATURE: &[u8] = b".SIGN.";
const CONTROL: &[u8] = b".PKGINFO";
/// Only in Alpine's `.PKGINFO`: Arch packages begin with a file of that name, too.
const DATA_HASH: &[u8] = b"\ndatahash = ";
/// Number of first decompressed bytes by which a package is recognised.
const FIRST_BYTES: usize = 16 << 10;
/// The start of version 3, once decompressed: the container's magic number and the schema in it.
const VERSION_3: &[u8] = b"ADB.pckg";

/// The format.
pub(super) struct Apk;

impl Format for Apk {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".apk"]
    }

    fn recognises(&self, head: &[u8]) -> bool {
        is_version_3(head) || is_version_2(head)
    }

    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        let mut input = BufReader::with_capacity(1 << 16, input.into_reader());
        if input.fill_buf().map_err(reading)?.starts_with(b"ADB") {
            return version_3::read(Box::new(input), limits, visitor);
        }
        let mut has_control = false;
        while !has_control {
            if input.fill_buf().map_err(reading)?.is_empty() {
                return Err(damaged("it has no control files"));
            }
            let part = Head::read(codec::gzip_member(&mut input, limits), FIRST_BYTES);
            let part = part.map_err(reading)?;
            let first = tar::first_name(&part.bytes).unwrap_or_default();
            has_control = first == CONTROL;
            let prefix: &[u8] = match has_control {
                true => b"control/",
                false if first.starts_with(SIGNATURE) => b"signature/",
                false => return Err(damaged("a part is neither signature nor control files")),
            };
            let part = Box::new(part.into_reader());
            tar::visit_all(FORMAT, part, limits, prefix, visitor)?;
        }
        if input.fill_buf().map_err(reading)?.is_empty() {
            return Err(damaged("it has no data"));
        }
        tar::visit_all(FORMAT, Box::new(input), limits, b"data/", visitor)
            .map_err(|error| error.in_part("data"))
    }
}

fn is_version_2(head: &[u8]) -> bool {
    if Codec::recognise(head) != Codec::Gzip {
        return false;
    }
    let unpacked = codec::first_bytes(Codec::Gzip, head, FIRST_BYTES);
    let mut rest = Some(&unpacked[..]);
    let mut is_signed = false;
    while let Some(name) = rest.and_then(tar::first_name) {
        if name == CONTROL {
            let has_hash =
                |bytes: &[u8]| bytes.windows(DATA_HASH.len()).any(|window| window == DATA_HASH);
            return is_signed || rest.is_some_and(has_hash);
        }
        if !name.starts_with(SIGNATURE) {
            return false;
        }
        is_signed = true;
        rest = rest.and_then(tar::second_header);
    }
    false
}

fn is_version_3(head: &[u8]) -> bool {
    let mut first = [0; VERSION_3.len()];
    let outcome = match head {
        [b'A', b'D', b'B', b'.', ..] => (&mut &*head).read_exact(&mut first),
        [b'A', b'D', b'B', b'd', packed @ ..] | [b'A', b'D', b'B', b'c', 1, _, packed @ ..] => {
            flate2::bufread::DeflateDecoder::new(packed).read_exact(&mut first)
        }
        [b'A', b'D', b'B', b'c', 2, _, packed @ ..] => {
            let unpacked = codec::first_bytes(Codec::Zstd, packed, first.len());
            (&mut &unpacked[..]).read_exact(&mut first)
        }
        _ => return false,
    };
    outcome.is_ok() && first == VERSION_3
}

fn damaged(problem: &str) -> FormatError {
    FormatError::Damaged { format: FORMAT, problem: problem.into() }
}

fn reading(error: io::Error) -> FormatError {
    FormatError::reading(FORMAT, error)
}
