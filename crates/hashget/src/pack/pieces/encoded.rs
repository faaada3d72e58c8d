//! Compressed files that may be made of pieces: what they look like when they are decompressed, and which program compresses them so
//! again.
//!
//! Invariant: a file counts only if a program made all of its bytes here, out of what was decompressed here.

use std::fs::File;
use std::io::{self, BufReader, Read};

use super::scan::{Found, scan};
use super::table::Table;
use super::{Candidate, Watched};
use crate::codec;
use crate::formats::end_of_plain_archives;
use crate::limits::Limits;
use crate::model::manifest::{Encoded, MOST_DECODED_BYTES};
use crate::model::{Digest, Entry, HashingReader, Kind};
use crate::monitor::{Monitor, ProblemKind};
use crate::pack::PackError;
use crate::pack::program_memory::{Question, Remembered};
use crate::pack::program_packages::Program;
use crate::pack::programs::{Failed, Search, disk};
use crate::programs::{Encoder, Parameters, ProgramError, ProgramRun, encoder, guesses};
use crate::tree::{ReadFrom, Scan};
use crate::wording::one_line;

/// The header of what was compressed lies in so many bytes.
const HEAD_BYTES: usize = 64 << 10;

/// What is compressed begins within so many bytes of a file.
const MOST_PLAIN_BYTES: u64 = 256 << 20;

/// After so many bytes of what is compressed without a known block, the rest is not decompressed.
const PATIENCE: u64 = 64 << 20;

/// The decoded form of a compressed file.
pub(super) struct Decoded {
    encoding: Encoding,
    sha256: Digest,
}

/// How a file may have been compressed.
pub(in crate::pack) struct Encoding {
    encoder: &'static Encoder,
    /// Where what was compressed begins.
    start: u64,
    /// Bytes at the start of the file that the program does not write.
    plain: u64,
    guesses: Vec<Parameters>,
}

impl Encoding {
    /// How an open file may have been compressed; `None` if it is not, or by nothing that is known.
    ///
    /// # Errors
    /// It cannot be read.
    pub(in crate::pack) fn of(file: &File) -> io::Result<Option<Self>> {
        let beginning = ReadFrom { file, offset: 0 }.take(MOST_PLAIN_BYTES);
        let mut beginning = BufReader::new(beginning);
        let Some(start) = end_of_plain_archives(&mut beginning) else { return Ok(None) };
        let mut head = Vec::new();
        let rest = ReadFrom { file, offset: start };
        rest.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok(guesses(&head).map(|(encoder, header, guesses)| {
            let plain = start + header as u64;
            Self { encoder, start, plain, guesses }
        }))
    }

    /// The decoded form of the file.
    ///
    /// # Errors
    /// The decoder cannot begin.
    pub(in crate::pack) fn decoded<'f>(
        &self,
        file: &'f File,
        limits: &Limits,
    ) -> io::Result<Box<dyn Read + 'f>> {
        let plain = ReadFrom { file, offset: 0 }.take(self.plain);
        let compressed = Box::new(ReadFrom { file, offset: self.start });
        let codec = self.encoder.codec();
        let decoder = codec::decoder(codec, compressed, limits, limits.threads)?;
        Ok(Box::new(plain.chain(decoder)))
    }
}

/// Looks into what is compressed in an open file.
pub(super) fn decode(
    candidate: &mut Candidate,
    (file, encoding): (&File, Encoding),
    table: &Table,
    (limits, monitor): (&Limits, &dyn Monitor),
) -> io::Result<()> {
    let data = Watched { data: encoding.decoded(file, limits)?, monitor, progress: None };
    let mut data = HashingReader::new(data.take(MOST_DECODED_BYTES + 1));
    let plain = encoding.plain;
    let mut before = (&mut data).take(plain);
    let mut runs = scan(&mut before, table, u64::MAX)?;
    io::copy(&mut before, &mut io::sink())?;
    // What was compressed begins anew: members lie in it at multiples of something, counted from its own start.
    let compressed = scan(&mut data, table, PATIENCE)?;
    if compressed.is_empty() {
        return Ok(());
    }
    runs.extend(compressed.into_iter().map(|run| Found { at: run.at + plain, ..run }));
    io::copy(&mut data, &mut io::sink())?;
    let (sha256, size) = data.finish();
    if size <= MOST_DECODED_BYTES {
        (candidate.data, candidate.runs) = (size, runs);
        candidate.decoded = Some(Decoded { encoding, sha256 });
    }
    Ok(())
}

/// The decoded form of a file that is made of pieces so, which is open.
///
/// # Errors
/// It cannot be read, or is not compressed any more.
pub(in crate::pack) fn decoded_again<'f>(
    file: &'f File,
    encoded: &Encoded,
) -> io::Result<Box<dyn Read + 'f>> {
    let changed = || io::Error::other("it is not compressed as it was");
    let encoding = Encoding::of(file)?.filter(|now| now.plain == encoded.plain);
    encoding.ok_or_else(changed)?.decoded(file, &Limits::default())
}

impl Search<'_, '_> {
    /// Those of the candidates that are not compressed, or come out of a program as they are in the tree.
    pub(super) fn encode(
        &mut self,
        scan: &Scan,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Candidate>, PackError> {
        let mut right = Vec::new();
        for candidate in candidates {
            self.monitor.check_interrupted()?;
            let Some(Decoded { encoding, sha256 }) = &candidate.decoded else {
                right.push(candidate);
                continue;
            };
            let entry = &scan.entries[candidate.entry];
            match self.how(scan, entry, encoding) {
                Ok(None) => {}
                Ok(Some((parameters, tool))) => {
                    let encoded = Encoded {
                        recipe: encoding.encoder.name.to_owned(),
                        tool,
                        parameters,
                        plain: encoding.plain,
                        size: candidate.data,
                        sha256: *sha256,
                    };
                    right.push(Candidate { encoded: Some(encoded), ..candidate });
                }
                Err(Failed::Pack(error)) => return Err(error),
                Err(Failed::Program(error)) => {
                    let (name, error) = (encoding.encoder.name, one_line(&error));
                    let why = format!("archived: {name} does not make it again: {error}");
                    self.monitor.problem(ProblemKind::Note, &entry.path, why);
                }
            }
        }
        Ok(right)
    }

    /// The program that was found for a file that is compressed so.
    pub(super) fn encoder_of(&self, encoded: &Encoded) -> Option<&Program> {
        self.known(&[encoder(&encoded.recipe)?.package.to_owned()])
    }

    /// The parameters with which a program makes a file, and its packages; `None` if there are none.
    fn how(
        &mut self,
        scan: &Scan,
        entry: &Entry,
        encoding: &Encoding,
    ) -> Result<Option<(Parameters, Vec<Digest>)>, Failed> {
        let names = [encoding.encoder.package.to_owned()];
        self.look_for(&names)?;
        let program = self.known(&names).filter(|program| self.is_worth(program, entry.size()));
        let Some(program) = program else { return Ok(None) };
        for guess in &encoding.guesses {
            if self.makes(scan, (entry, encoding), program, guess)? {
                return Ok(Some((guess.clone(), program.digests())));
            }
        }
        Ok(None)
    }

    /// Does a program with these parameters make a file as it is in the tree? What it made before is remembered.
    fn makes(
        &self,
        scan: &Scan,
        (entry, encoding): (&Entry, &Encoding),
        program: &Program,
        parameters: &Parameters,
    ) -> Result<bool, Failed> {
        let (encoder, parameters) = (encoding.encoder, parameters.clone());
        let run = ProgramRun { recipe: encoder.name, parameters, outputs: Vec::new() };
        let (outputs, inputs) = (vec![entry], Vec::new());
        let (tool, call) =
            (program.digests(), &encoder.call(&run.parameters).map_err(Failed::Program)?);
        let key = Question { run: &run, call, tool, outputs, inputs }.key();
        if let Some(answer) = self.memory.borrow_mut().answer(key.as_deref()) {
            return Ok(!answer.is_empty());
        }
        let file = scan.root.open_file(&entry.path).map_err(disk)?;
        let mut decoded = encoding.decoded(&file, self.packer.limits).map_err(disk)?;
        let unpacked = program.unpacked(self.packer.limits).map_err(Failed::Program)?;
        let (how, runner) = ((&run.parameters, encoding.plain), &*self.programs.runner);
        let made = match encoder.encode(how, &mut decoded, (unpacked, runner), self.monitor) {
            Ok(made) => made,
            Err(ProgramError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(error) => return Err(Failed::Program(error)),
        };
        let is_right = is_file(made, entry).map_err(disk)?;
        let made = is_right.then(|| Remembered { path: entry.path.clone(), patch: None });
        self.memory.borrow_mut().add(key, made.into_iter().collect());
        Ok(is_right)
    }
}

/// Is what was made the file with this entry?
fn is_file(made: File, entry: &Entry) -> io::Result<bool> {
    let mut made = HashingReader::new(made);
    io::copy(&mut made, &mut io::sink())?;
    let (sha256, size) = made.finish();
    Ok(entry.kind == (Kind::File { size }) && entry.sha256 == Some(sha256))
}
