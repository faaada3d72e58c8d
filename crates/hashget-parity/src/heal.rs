//! Healing a file.
//!
//! Invariant: what is written has the checksum of the file that the parity was made for, or it is an error.

use std::fs::File;

use crate::combine::{Combination, for_each};
use crate::error::ParityError;
use crate::field::{add_products, constants, raised};
use crate::matrix::{Solution, solve};
use crate::reading::{Proceed, ReadAt, read_padded, write_at};
use crate::scan::Scanned;
use crate::set::Set;
use crate::sums::{md5_of, read_through};

/// Factors that are kept: for each lost block, one of each block.
const MOST_FACTORS: usize = 32 << 20;

impl Set {
    /// Can the blocks that were not found be computed?
    ///
    /// # Errors
    /// No: [`ParityError::TooDamaged`] or [`ParityError::TooMuchMemory`].
    pub fn check_healable(&self, scanned: &Scanned) -> Result<(), ParityError> {
        let (missing, blocks) = (scanned.missing().len(), self.layout.blocks());
        let recoveries = self.recoveries.len();
        if missing > recoveries {
            return Err(ParityError::TooDamaged { missing, blocks, recoveries });
        }
        match missing.checked_mul(blocks) {
            Some(factors) if factors <= MOST_FACTORS => Ok(()),
            _ => Err(ParityError::TooMuchMemory { missing, blocks }),
        }
    }

    /// Writes the file as it was to `output`, which is empty: from what was found of it in `file`, and from the recovery blocks
    /// of `parity`, which this set was read from. `proceed` is told of the file's bytes three times.
    ///
    /// # Errors
    /// Too much is missing; something could not be read or written; or what came out has not the right checksum: then nothing
    /// of `output` is to be used.
    pub fn heal(
        &self,
        file: &(impl ReadAt + ?Sized),
        scanned: &Scanned,
        parity: &(impl ReadAt + ?Sized),
        output: &File,
        threads: usize,
        proceed: &Proceed<'_>,
    ) -> Result<(), ParityError> {
        self.check_healable(scanned)?;
        self.copy(file, scanned, output, threads, proceed)?;
        self.compute(file, scanned, parity, output, threads, proceed)?;
        match md5_of(output, self.layout.bytes(), proceed)? == Some(self.sums.md5) {
            true => Ok(()),
            false => Err(ParityError::NotProven),
        }
    }

    /// Copies the blocks that were found to their places.
    fn copy(
        &self,
        file: &(impl ReadAt + ?Sized),
        scanned: &Scanned,
        output: &File,
        threads: usize,
        proceed: &Proceed<'_>,
    ) -> Result<(), ParityError> {
        for_each(threads, self.layout.blocks() as u64, |number| {
            let block = usize::try_from(number).unwrap_or(usize::MAX);
            let Some(from) = scanned.found[block] else { return Ok(()) };
            let (mut to, mut written) = (self.layout.start_of(block), Ok(()));
            read_through(file, from, self.layout.length_of(block), proceed, |bytes| {
                if written.is_ok() {
                    written = write_at(output, bytes, to);
                }
                to += bytes.len() as u64;
            })?;
            written.map_err(ParityError::Write)
        })
    }

    /// Computes the other blocks.
    fn compute(
        &self,
        file: &(impl ReadAt + ?Sized),
        scanned: &Scanned,
        parity: &(impl ReadAt + ?Sized),
        output: &File,
        threads: usize,
        proceed: &Proceed<'_>,
    ) -> Result<(), ParityError> {
        let (layout, missing) = (&self.layout, scanned.missing());
        if missing.is_empty() {
            return Ok(());
        }
        let places = scanned.found.iter().enumerate();
        let present: Vec<(usize, u64)> =
            places.filter_map(|(block, place)| Some((block, (*place)?))).collect();
        let Factors { equations, of_present, of_recoveries } =
            self.factors(&missing, &present, proceed)?;
        // Blocks that are there come first, and then the recovery blocks.
        let recovery = |input: usize| input.checked_sub(present.len());
        let combination = Combination {
            inputs: present.len() + equations.len(),
            outputs: missing.len(),
            block_bytes: layout.block_bytes(),
            factor: &|output, input| match recovery(input) {
                None => of_present[output][input],
                Some(recovery) => of_recoveries[output][recovery],
            },
            read: &|input, first, buffer| match recovery(input) {
                None => {
                    let (block, place) = present[input];
                    // Behind the last block may be something else now.
                    let (own, padding) = buffer.split_at_mut(self.own(block, first, buffer.len()));
                    padding.fill(0);
                    read_padded(file, own, place + first).map_err(ParityError::Read)
                }
                Some(recovery) => {
                    let (_, place) = self.recoveries[equations[recovery]];
                    read_padded(parity, buffer, place + first).map_err(ParityError::ReadParity)
                }
            },
            write: &|lost, first, bytes| {
                let block = missing[lost];
                let own = &bytes[..self.own(block, first, bytes.len())];
                let position = layout.start_of(block) + first;
                write_at(output, own, position).map_err(ParityError::Write)
            },
            proceed,
        };
        combination.compute(threads)
    }

    /// How many of `length` bytes of a block, from its byte `first` on, are bytes of the file.
    fn own(&self, block: usize, first: u64, length: usize) -> usize {
        let left = self.layout.length_of(block).saturating_sub(first);
        usize::try_from(left).unwrap_or(usize::MAX).min(length)
    }

    /// The factors that the missing blocks are computed with.
    fn factors(
        &self,
        missing: &[usize],
        present: &[(usize, u64)],
        proceed: &Proceed<'_>,
    ) -> Result<Factors, ParityError> {
        let constants = constants(self.layout.blocks());
        let factor =
            |block: usize, recovery: usize| raised(constants[block], self.recoveries[recovery].0);
        let equation = |recovery| missing.iter().map(|&block| factor(block, recovery)).collect();
        let solution = solve(missing.len(), self.recoveries.len(), equation, || proceed(0));
        let Some(Solution { equations, factors: of_recoveries }) = solution else {
            let (missing, blocks) = (missing.len(), self.layout.blocks());
            let recoveries = self.recoveries.len();
            return Err(match proceed(0) {
                true => ParityError::TooDamaged { missing, blocks, recoveries },
                false => ParityError::Stopped,
            });
        };
        let mut of_present = vec![vec![0; present.len()]; missing.len()];
        for (column, &recovery) in equations.iter().enumerate() {
            let row: Vec<u16> = present.iter().map(|&(block, _)| factor(block, recovery)).collect();
            for (sums, factors) in of_present.iter_mut().zip(&of_recoveries) {
                add_products(factors[column], &row, sums);
            }
            if !proceed(0) {
                return Err(ParityError::Stopped);
            }
        }
        Ok(Factors { equations, of_present, of_recoveries })
    }
}

/// The factors of each missing block.
struct Factors {
    /// Which recovery blocks are used.
    equations: Vec<usize>,
    /// Of the blocks that are there.
    of_present: Vec<Vec<u16>>,
    /// Of the recovery blocks that are used.
    of_recoveries: Vec<Vec<u16>>,
}
