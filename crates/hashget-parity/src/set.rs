//! Reading a parity file.
//!
//! Invariant: a set is complete and consistent, or an error. What a hostile file makes us read, hash or keep is bounded.

use crate::create::PROGRAM;
use crate::error::ParityError;
use crate::extra::MOST_EXTRA;
use crate::layout::{LARGEST, Layout};
use crate::packet::{
    CREATOR, EXTRA, FILE, HEADER, Header, MAGIC, MAIN, RECOVERY, RECOVERY_HEADER, SLICES,
    SUMMED_FROM, Sum, sum,
};
use crate::reading::ReadAt;
use crate::sums::{BlockSums, FileSums, md5_between};

/// Bytes of a packet that is no recovery block.
const LONGEST: u64 = 1 << 20;
/// Bytes of such packets that are kept.
const MOST_KEPT: u64 = 64 << 20;
/// Packets of a file.
const MOST_PACKETS: usize = 1 << 20;
/// Bytes that are searched for a packet at a time.
const SEARCHED: usize = 1 << 16;
/// Bytes of the name of a file.
const LONGEST_NAME: usize = 4096;

/// The parity of one file, as far as it can be read.
#[derive(Debug)]
pub struct Set {
    pub(crate) layout: Layout,
    pub(crate) sums: FileSums,
    /// Exponents of the recovery blocks that are there, ascending, and where they begin in the parity file.
    pub(crate) recoveries: Vec<(u16, u64)>,
    name: Vec<u8>,
    is_whole: bool,
}

impl Set {
    /// Reads the parity file of `size` bytes. What is damaged in it is passed over.
    ///
    /// # Errors
    /// It could not be read, is none, is of several files, or too little of it is left.
    pub fn read(parity: &(impl ReadAt + ?Sized), size: u64) -> Result<Self, ParityError> {
        let mut reader = Reader::new(parity, size);
        reader.packets()?;
        reader.set()
    }

    /// Sizes and numbers. Its recovery blocks are those that there should be.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Number of recovery blocks that can be used.
    pub fn recoveries_left(&self) -> usize {
        self.recoveries.len()
    }

    /// What the file was called.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Is nothing in the parity file damaged or missing, as far as it can be known?
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

/// A packet that is no recovery block.
struct Kept {
    set: Sum,
    kind: [u8; 16],
    body: Vec<u8>,
}

/// A recovery block.
struct Recovery {
    set: Sum,
    exponent: u32,
    position: u64,
    length: u64,
}

struct Reader<'p, P: ?Sized> {
    parity: &'p P,
    size: u64,
    kept: Vec<Kept>,
    recoveries: Vec<Recovery>,
    packets: usize,
    /// Bytes in packets that are whole.
    whole: u64,
    /// Bytes that were hashed in vain.
    wasted: u64,
}

impl<'p, P: ReadAt + ?Sized> Reader<'p, P> {
    fn new(parity: &'p P, size: u64) -> Self {
        let (kept, recoveries) = (Vec::new(), Vec::new());
        Self { parity, size, kept, recoveries, packets: 0, whole: 0, wasted: 0 }
    }

    /// Reads all packets.
    fn packets(&mut self) -> Result<(), ParityError> {
        let mut position = 0;
        while let Some(found) = self.find(position)? {
            position = match self.packet(found)? {
                Some(length) => {
                    self.whole += length;
                    self.packets += 1;
                    found + length
                }
                None => found + 1,
            };
            if self.packets > MOST_PACKETS || self.wasted > self.size.saturating_mul(4) {
                return Err(ParityError::unusable(
                    "it has too many packets, or too many that are damaged",
                ));
            }
        }
        Ok(())
    }

    /// Where the next packet may begin.
    fn find(&self, mut position: u64) -> Result<Option<u64>, ParityError> {
        let mut buffer = vec![0; SEARCHED];
        loop {
            let count = self.read_at(&mut buffer, position)?;
            let found = buffer[..count].windows(MAGIC.len()).position(|window| window == MAGIC);
            if let Some(at) = found {
                return Ok(Some(position + at as u64));
            }
            if count < buffer.len() {
                return Ok(None);
            }
            position += (count - MAGIC.len() + 1) as u64;
        }
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, ParityError> {
        self.parity.read_at(buffer, position).map_err(ParityError::ReadParity)
    }

    /// Reads the packet that begins there, if it is whole; its length.
    fn packet(&mut self, position: u64) -> Result<Option<u64>, ParityError> {
        let mut bytes = [0; 64];
        if self.read_at(&mut bytes, position)? < bytes.len() {
            return Ok(None);
        }
        let Some(header) = Header::parse(&bytes) else { return Ok(None) };
        let is_recovery = header.kind == *RECOVERY;
        let longest = match &header.kind {
            RECOVERY => RECOVERY_HEADER + LARGEST,
            EXTRA => HEADER + MOST_EXTRA + LONGEST,
            _ => LONGEST,
        };
        if header.length > longest || header.length > self.size - position {
            return Ok(None);
        }
        let summed = header.length - SUMMED_FROM;
        if md5_between(self.parity, position + SUMMED_FROM, summed)? != header.sum {
            self.wasted += summed;
            return Ok(None);
        }
        let set = header.set;
        if header.kind == *EXTRA {
            // It says nothing of recovery.
        } else if !is_recovery {
            let mut body = vec![0; usize::try_from(header.length - HEADER).unwrap_or(0)];
            self.read_at(&mut body, position + HEADER)?;
            self.keep(Kept { set, kind: header.kind, body })?;
        } else if let Some(length) = header.length.checked_sub(RECOVERY_HEADER) {
            let mut exponent = [0; 4];
            self.read_at(&mut exponent, position + HEADER)?;
            let (exponent, position) = (u32::from_le_bytes(exponent), position + RECOVERY_HEADER);
            self.recoveries.push(Recovery { set, exponent, position, length });
        }
        Ok(Some(header.length))
    }

    /// Keeps a packet that there is no copy of yet.
    fn keep(&mut self, packet: Kept) -> Result<(), ParityError> {
        let is_used = [MAIN, FILE, SLICES, CREATOR].contains(&&packet.kind);
        let key = |kept: &Kept| (kept.set, kept.kind, kept.body.first_chunk::<16>().copied());
        let is_same = |kept: &Kept| key(kept) == key(&packet);
        if !is_used || self.kept.iter().any(is_same) {
            return Ok(());
        }
        let bytes: u64 = self.kept.iter().map(|kept| kept.body.len() as u64).sum();
        if bytes > MOST_KEPT || self.kept.len() > 1000 {
            return Err(ParityError::unusable("it is of too many sets"));
        }
        self.kept.push(packet);
        Ok(())
    }

    /// The first set that is described completely.
    fn set(self) -> Result<Set, ParityError> {
        let mut problem = match self.packets {
            0 => ParityError::unusable("there is no packet of a Parity Volume Set (PAR2) in it"),
            _ => ParityError::unusable("what describes the file is damaged in it"),
        };
        for main in self.kept.iter().filter(|packet| packet.kind == *MAIN) {
            match self.set_of(main) {
                Ok(Some(set)) => return Ok(set),
                Ok(None) => {}
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    /// The set that this main packet begins; `None` if it is not described completely.
    fn set_of(&self, main: &Kept) -> Result<Option<Set>, ParityError> {
        let of = |kind: &[u8; 16], start: &[u8]| {
            let bodies = self.kept.iter().filter(|it| it.set == main.set && it.kind == *kind);
            bodies.map(|packet| &packet.body[..]).find(|body| body.starts_with(start))
        };
        let wrong = || ParityError::unusable("its packets contradict each other");
        let (block_bytes, rest) = main.body.split_first_chunk().ok_or_else(wrong)?;
        let (files, ids) = rest.split_first_chunk().ok_or_else(wrong)?;
        let files = u32::from_le_bytes(*files);
        if sum(&[&main.body]) != main.set {
            return Err(wrong());
        }
        if files != 1 {
            let problem = format!("it is for {files} files, not for one: use the program par2");
            return Err(ParityError::unusable(problem));
        }
        let id: &Sum = ids.first_chunk().ok_or_else(wrong)?;
        let (Some(file), Some(slices)) = (of(FILE, id), of(SLICES, id)) else { return Ok(None) };
        let (file, name) = parsed_file(file).ok_or_else(wrong)?;
        let blocks = parsed_slices(slices).ok_or_else(wrong)?;
        let block_bytes = u64::from_le_bytes(*block_bytes);
        let recoveries = self.recoveries_of(&main.set, block_bytes);
        let said = of(CREATOR, &[]).and_then(said_recoveries);
        let range = recoveries.first().zip(recoveries.last());
        let number = said
            .or(range.map(|((first, _), (last, _))| u64::from(last - first) + 1))
            .unwrap_or_default();
        let layout = Layout::of_blocks(file.bytes, block_bytes, number).map_err(|_| wrong())?;
        if layout.blocks() != blocks.len() {
            return Err(wrong());
        }
        let is_whole = self.whole == self.size && recoveries.len() == layout.recoveries();
        let sums = FileSums { md5: file.md5, head: file.head, blocks };
        Ok(Some(Set { layout, sums, recoveries, name, is_whole }))
    }

    /// The recovery blocks of a set, by their exponents.
    fn recoveries_of(&self, set: &Sum, block_bytes: u64) -> Vec<(u16, u64)> {
        let mut recoveries: Vec<(u16, u64)> = self
            .recoveries
            .iter()
            .filter(|one| one.set == *set && one.length == block_bytes)
            .filter_map(|one| Some((u16::try_from(one.exponent).ok()?, one.position)))
            .collect();
        recoveries.sort_unstable();
        recoveries.dedup_by_key(|(exponent, _)| *exponent);
        recoveries
    }
}

/// What a packet says of a file.
struct FilePacket {
    md5: Sum,
    head: Sum,
    bytes: u64,
}

fn parsed_file(body: &[u8]) -> Option<(FilePacket, Vec<u8>)> {
    let (_, rest) = body.split_first_chunk::<16>()?;
    let (md5, rest) = rest.split_first_chunk()?;
    let (head, rest) = rest.split_first_chunk()?;
    let (bytes, name) = rest.split_first_chunk()?;
    let end = name.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let name = name[..end].to_vec();
    let file = FilePacket { md5: *md5, head: *head, bytes: u64::from_le_bytes(*bytes) };
    (name.len() <= LONGEST_NAME).then_some((file, name))
}

fn parsed_slices(body: &[u8]) -> Option<Vec<BlockSums>> {
    let (_, rest) = body.split_first_chunk::<16>()?;
    let (rows, rest) = rest.as_chunks::<20>();
    let row = |row: &[u8; 20]| {
        let (md5, crc32) = row.split_first_chunk()?;
        Some(BlockSums { md5: *md5, crc32: u32::from_le_bytes(*crc32.first_chunk()?) })
    };
    let rows: Option<Vec<BlockSums>> = rows.iter().map(row).collect();
    if rest.is_empty() { rows } else { None }
}

/// The number of recovery blocks that there should be, if we made the set.
fn said_recoveries(creator: &[u8]) -> Option<u64> {
    let text = str::from_utf8(creator).ok()?.trim_end_matches('\0');
    let number: u64 = text.strip_prefix(PROGRAM)?.parse().ok()?;
    (number <= u64::from(u16::MAX)).then_some(number)
}
