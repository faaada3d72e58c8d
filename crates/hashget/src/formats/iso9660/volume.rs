//! The descriptors of an image: how large its blocks are, where its top folder lies, and which of its names count.
//!
//! Invariant: the first descriptor of a kind counts, and at most [`MOST`] descriptors are read.

use super::image::{Image, Listing, SECTOR, Stretch};
use super::record::{Record, both_u16};
use super::rock_ridge::{self, Attributes};
use super::{DESCRIPTORS, STANDARD, Trouble, damaged, names};
use crate::formats::FormatError;

/// Number of descriptors that are read.
const MOST: usize = 64;
const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;
const LAST: u8 = 255;
/// The three levels of Joliet.
const JOLIET: [&[u8]; 3] = [b"%/@", b"%/C", b"%/E"];
/// Where the entry of the top folder is.
const TOP: usize = 156;

/// Which names of an image count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Those of Rock Ridge; its fields follow this many other bytes.
    RockRidge(usize),
    Joliet,
    Plain,
}

/// An image, as its descriptors have it.
#[derive(Debug)]
pub(super) struct Volume {
    /// Bytes of a block.
    pub(super) block_bytes: u64,
    /// The listing of the top folder.
    pub(super) top: Stretch,
    pub(super) names: Names,
}

impl Volume {
    /// Reads the descriptors. Rock Ridge comes before Joliet, and that before plain names.
    pub(super) fn read(image: &mut Image<'_>) -> Result<Self, FormatError> {
        let (mut primary, mut joliet) = (None, None);
        for number in 0..MOST {
            let start = (DESCRIPTORS + number * SECTOR) as u64;
            let stretch = Stretch { start, length: SECTOR as u64 };
            let descriptor = image.read(stretch, "a descriptor of the volume")?;
            let is_joliet = || JOLIET.iter().any(|level| descriptor[88..].starts_with(level));
            match descriptor[0] {
                _ if !descriptor[1..].starts_with(STANDARD) => break,
                LAST => break,
                PRIMARY if primary.is_none() => primary = Some(descriptor),
                SUPPLEMENTARY if joliet.is_none() && is_joliet() => joliet = Some(descriptor),
                _ => {}
            }
        }
        let primary = primary.ok_or_else(|| damaged("it has no descriptor of its volume"))?;
        let mut volume = Self::described(&primary)?;
        if let Some(skipped) = volume.rock_ridge(image)? {
            volume.names = Names::RockRidge(skipped);
        } else if let Some(joliet) = joliet {
            volume = Self { names: Names::Joliet, ..Self::described(&joliet)? };
        }
        Ok(volume)
    }

    /// The attributes of an entry; none, unless the image has Rock Ridge.
    pub(super) fn attributes(
        &self,
        image: &mut Image<'_>,
        record: &Record<'_>,
    ) -> Result<Attributes, Trouble> {
        let Names::RockRidge(skipped) = self.names else { return Ok(Attributes::default()) };
        let fields = record.system_use.get(skipped..).unwrap_or_default();
        rock_ridge::attributes(image, fields, self.block_bytes)
    }

    /// The name of an entry without Rock Ridge; as it is stored, if it is none.
    pub(super) fn plain_name(&self, record: &Record<'_>) -> Vec<u8> {
        match self.names {
            Names::Joliet => names::joliet(record.name).unwrap_or_else(|_| record.name.to_vec()),
            Names::RockRidge(_) | Names::Plain => names::plain(record.name).to_vec(),
        }
    }

    fn described(descriptor: &[u8]) -> Result<Self, FormatError> {
        let block_bytes =
            both_u16(descriptor, 128).filter(|bytes| [512, 1024, 2048].contains(bytes));
        let block_bytes = block_bytes.ok_or_else(|| damaged("its blocks have no possible size"))?;
        let block_bytes = u64::from(block_bytes);
        let top = Record::parse(descriptor.get(TOP..).unwrap_or_default())?.stretch(block_bytes);
        let top = top.map_err(|reason| damaged(format!("the top folder: {reason}")))?;
        Ok(Self { block_bytes, top, names: Names::Plain })
    }

    /// How many bytes come before the fields of Rock Ridge, if there are any. The entry of the top folder for itself says so.
    fn rock_ridge(&self, image: &mut Image<'_>) -> Result<Option<usize>, FormatError> {
        image.check(self.top, "the top folder")?;
        let itself = image.next_entry(&mut Listing::new(self.top))?;
        let itself = itself.as_deref().map(Record::parse).transpose()?.filter(Record::is_itself);
        let Some(itself) = itself else { return Ok(None) };
        let Some((at, skipped)) = rock_ridge::begin(itself.system_use) else { return Ok(None) };
        match rock_ridge::attributes(image, &itself.system_use[at..], self.block_bytes) {
            Ok(attributes) => Ok(attributes.are_there.then_some(skipped)),
            // Those of the other entries count.
            Err(Trouble::Entry(_)) => Ok(Some(skipped)),
            Err(Trouble::Image(error)) => Err(error),
        }
    }
}
