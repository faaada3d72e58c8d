//! Making parity.
//!
//! Invariant: the same file, name and layout give the same bytes.

use std::fs::File;

use crate::combine::{Combination, for_each};
use crate::error::ParityError;
use crate::field::{constants, raised};
use crate::layout::{Layout, Part};
use crate::packet::{
    CREATOR, FILE, HEADER, Header, MAIN, RECOVERY, RECOVERY_HEADER, SLICES, SUMMED_FROM, Sum,
    packet, sum,
};
use crate::reading::{Proceed, ReadAt, read_padded, write_at};
use crate::sums::{FileSums, md5_between};

/// Begins the name of the program in a set that this crate made; the number of recovery blocks follows.
pub(crate) const PROGRAM: &str = "hashget; recovery blocks: ";

/// What is said of a file before its recovery blocks.
pub(crate) struct Description {
    pub(crate) set: Sum,
    pub(crate) packets: Vec<u8>,
}

impl Description {
    pub(crate) fn new(name: &[u8], layout: &Layout, sums: &FileSums) -> Self {
        let length = layout.bytes().to_le_bytes();
        let id = sum(&[&sums.head, &length, name]);
        let main = [&layout.block_bytes().to_le_bytes()[..], &1_u32.to_le_bytes(), &id].concat();
        let set = sum(&[&main]);
        let slices: Vec<u8> = sums
            .blocks
            .iter()
            .flat_map(|sums| sums.md5.into_iter().chain(sums.crc32.to_le_bytes()))
            .collect();
        let program = format!("{PROGRAM}{}", layout.recoveries());
        let packets = [
            packet(set, MAIN, &[&main]),
            packet(set, FILE, &[&id, &sums.md5, &sums.head, &length, name]),
            packet(set, SLICES, &[&id, &slices]),
            packet(set, CREATOR, &[program.as_bytes()]),
        ];
        Self { set, packets: packets.concat() }
    }
}

/// Writes parity for `file`, which is called `name`, to `parity`, which is empty; its size in bytes. `proceed` is told of the
/// file's bytes three times.
///
/// # Errors
/// The file could not be read, or the parity not be written.
pub fn create(
    file: &(impl ReadAt + ?Sized),
    name: &[u8],
    layout: &Layout,
    parity: &File,
    threads: usize,
    proceed: &Proceed<'_>,
) -> Result<u64, ParityError> {
    let sums = FileSums::of(file, layout, threads, proceed)?;
    let description = Description::new(name, layout, &sums);
    let (parts, size) = layout.parts(description.packets.len() as u64);
    let recoveries: Vec<u64> = parts
        .iter()
        .filter(|(_, part)| matches!(part, Part::Recovery(_)))
        .map(|(position, _)| *position)
        .collect();
    let constants = constants(layout.blocks());
    let combination = Combination {
        inputs: layout.blocks(),
        outputs: layout.recoveries(),
        block_bytes: layout.block_bytes(),
        factor: &|recovery, block| {
            raised(constants[block], u16::try_from(recovery).unwrap_or(u16::MAX))
        },
        read: &|block, first, buffer| {
            read_padded(file, buffer, layout.start_of(block) + first).map_err(ParityError::Read)
        },
        write: &|recovery, first, bytes| {
            let position = recoveries[recovery] + RECOVERY_HEADER + first;
            write_at(parity, bytes, position).map_err(ParityError::Write)
        },
        proceed,
    };
    combination.compute(threads)?;
    for_each(threads, parts.len() as u64, |number| {
        let (position, part) = parts[usize::try_from(number).unwrap_or(0)];
        let written = match part {
            Part::Description => write_at(parity, &description.packets, position),
            Part::Recovery(exponent) => {
                let exponent = u32::from(exponent).to_le_bytes();
                write_at(parity, &exponent, position + HEADER).map_err(ParityError::Write)?;
                let header = recovery_header(parity, position, description.set, layout)?;
                write_at(parity, &header, position)
            }
        };
        written.map_err(ParityError::Write)
    })?;
    Ok(size)
}

/// What comes before a recovery block; the block and its exponent are written already.
fn recovery_header(
    parity: &File,
    position: u64,
    set: Sum,
    layout: &Layout,
) -> Result<[u8; 64], ParityError> {
    let length = RECOVERY_HEADER + layout.block_bytes();
    let mut header = Header { length, sum: [0; 16], set, kind: *RECOVERY };
    write_at(parity, &header.bytes(), position).map_err(ParityError::Write)?;
    header.sum = md5_between(parity, position + SUMMED_FROM, length - SUMMED_FROM)?;
    Ok(header.bytes())
}
