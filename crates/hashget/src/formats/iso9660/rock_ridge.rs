//! Attributes of an entry by Rock Ridge (RRIP), in the fields of the SUSP: names, modes, owners, links, devices, times, and
//! folders that lie elsewhere because listings may not nest deeper than eight levels.
//!
//! Invariant: the fields of an entry are read in at most [`AREAS`] places, each within one block.

use crate::model::Timestamp;

use super::image::{Image, Stretch};
use super::record::{DISAGREE, both_u32, long_time, short_time};
use super::{Trouble, damaged};

/// Number of places in which the fields of one entry may go on; as many as Linux follows.
const AREAS: usize = 32;
/// The longest target of a link in bytes.
const LONGEST_TARGET: usize = 1 << 16;
/// Bytes of a field before its data: two of a name, its length, its version.
const HEAD: usize = 4;
/// On discs of the kind CD-ROM XA, the fields of the top folder follow this many other bytes.
const XA: usize = 14;

const IS_DAMAGED: &str = "its attributes are damaged";

/// What the fields of an entry say.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Is there any field of Rock Ridge?
    pub(super) are_there: bool,
    /// Mode with its type, owner, group.
    pub(super) mode: Option<u32>,
    pub(super) owner: Option<(u32, u32)>,
    /// Major and minor number of a device.
    pub(super) device: Option<(u32, u32)>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    /// The block where the listing of the folder lies that belongs here.
    pub(super) child: Option<u32>,
    /// Is it a folder that belongs elsewhere?
    pub(super) is_relocated: bool,
    /// Are the contents compressed by zisofs?
    pub(super) is_packed: bool,
    name_goes_on: bool,
    target_is: Target,
}

/// What has been read of a link's target.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Up to the end of a component; the next one follows a slash.
    #[default]
    BetweenComponents,
    /// A part of a component, or the root; the next one follows directly.
    Open,
}

/// Where the fields of the top folder's entry for itself begin, and how many bytes of each other entry come before its fields.
/// `None` if an image has no such fields.
pub(super) fn begin(system_use: &[u8]) -> Option<(usize, usize)> {
    let skipped = |at: &usize| {
        let field = system_use.get(*at..)?.first_chunk::<7>()?;
        field.starts_with(b"SP\x07\x01\xbe\xef").then_some((*at, usize::from(field[6])))
    };
    [0, XA].iter().find_map(skipped)
}

/// The attributes of an entry whose fields begin with `fields`, in an image of these blocks.
pub(super) fn attributes(
    image: &mut Image<'_>,
    fields: &[u8],
    block_bytes: u64,
) -> Result<Attributes, Trouble> {
    let mut attributes = Attributes::default();
    let mut next = attributes.read(fields, block_bytes)?;
    for _ in 0..AREAS {
        let Some(stretch) = next else { return Ok(attributes) };
        let area = image.read(stretch, "an area of attributes")?;
        next = attributes.read(&area, block_bytes)?;
    }
    Err(damaged(format!("the attributes of an entry are in more than {AREAS} places")).into())
}

impl Attributes {
    /// Reads the fields in one place, and says where they go on.
    fn read(&mut self, mut area: &[u8], block: u64) -> Result<Option<Stretch>, &'static str> {
        let mut next = None;
        // Fewer bytes, and what is not called by two capitals, pad the area.
        while let Some(&[first, second, length, _]) = area.first_chunk::<HEAD>() {
            let length = usize::from(length);
            if !first.is_ascii_uppercase() || !second.is_ascii_uppercase() || length < HEAD {
                break;
            }
            let field = area.get(HEAD..length).ok_or(IS_DAMAGED)?;
            match &[first, second] {
                b"ST" => break,
                b"CE" => next = Some(continuation(field, block)?),
                name => self.add(name, field)?,
            }
            area = &area[length..];
        }
        Ok(next)
    }

    fn add(&mut self, name: &[u8; 2], field: &[u8]) -> Result<(), &'static str> {
        let number = |at| both_u32(field, at).ok_or(DISAGREE);
        match name {
            b"PX" => {
                self.mode = Some(number(0)?);
                self.owner = Some((number(16)?, number(24)?));
            }
            b"PN" => self.device = Some(device(number(0)?, number(8)?)),
            b"TF" => self.mtime = modified(field).or(self.mtime),
            b"NM" => self.add_name(field)?,
            b"SL" => self.add_target(field)?,
            b"CL" => self.child = Some(number(0)?),
            b"RE" => self.is_relocated = true,
            b"ZF" => self.is_packed = true,
            b"RR" => {}
            _ => return Ok(()),
        }
        self.are_there |= name != b"ZF";
        Ok(())
    }

    fn add_name(&mut self, field: &[u8]) -> Result<(), &'static str> {
        const GOES_ON: u8 = 1;
        const ITSELF: u8 = 2;
        const ABOVE: u8 = 4;
        let (&flags, part) = field.split_first().ok_or(IS_DAMAGED)?;
        let part = match flags {
            0 | GOES_ON => part,
            ITSELF => b".",
            ABOVE => b"..",
            _ => return Ok(()),
        };
        let before = self.name.take().filter(|_| self.name_goes_on).unwrap_or_default();
        self.name = Some([&before, part].concat());
        self.name_goes_on = flags == GOES_ON;
        Ok(())
    }

    fn add_target(&mut self, field: &[u8]) -> Result<(), &'static str> {
        const GOES_ON: u8 = 1;
        let mut components = field.get(1..).ok_or(IS_DAMAGED)?;
        let mut target = self.target.take().unwrap_or_default();
        while let Some((&[flags, length], rest)) = components.split_first_chunk::<2>() {
            let (part, rest) = rest.split_at_checked(usize::from(length)).ok_or(IS_DAMAGED)?;
            if self.target_is == Target::BetweenComponents && !target.is_empty() {
                target.push(b'/');
            }
            match flags {
                0 | GOES_ON => target.extend_from_slice(part),
                2 => target.extend_from_slice(b"."),
                4 => target.extend_from_slice(b".."),
                8 => target.push(b'/'),
                _ => return Err("its target is on another volume or machine"),
            }
            let is_open = flags == GOES_ON || flags == 8;
            self.target_is = if is_open { Target::Open } else { Target::BetweenComponents };
            components = rest;
        }
        if target.len() > LONGEST_TARGET {
            return Err("its target is longer than 64 KiB");
        }
        self.target = Some(target);
        Ok(())
    }
}

/// Where fields go on: block, offset in it, length.
fn continuation(field: &[u8], block_bytes: u64) -> Result<Stretch, &'static str> {
    let number = |at| both_u32(field, at).map(u64::from).ok_or(DISAGREE);
    let (block, offset, length) = (number(0)?, number(8)?, number(16)?);
    if offset + length > block_bytes {
        return Err("its attributes go on across the end of a block");
    }
    Ok(Stretch { start: block * block_bytes + offset, length })
}

/// A device's numbers. Systems whose numbers of devices have 32 bits store them as one number, with nothing above it.
fn device(high: u32, low: u32) -> (u32, u32) {
    match high {
        0 => ((low >> 8) & 0xfff, (low & 0xff) | ((low >> 12) & 0xf_ff00)),
        high => (high, low),
    }
}

/// The time of the last change of the contents, if `field` has it.
fn modified(field: &[u8]) -> Option<Timestamp> {
    const CREATED: u8 = 1;
    const MODIFIED: u8 = 2;
    const IS_LONG: u8 = 0x80;
    let (&flags, times) = field.split_first()?;
    if flags & MODIFIED == 0 {
        return None;
    }
    let is_second = flags & CREATED != 0;
    if flags & IS_LONG != 0 {
        return times.get(if is_second { 17 } else { 0 }..).and_then(long_time);
    }
    times.get(if is_second { 7 } else { 0 }..).and_then(short_time)
}
