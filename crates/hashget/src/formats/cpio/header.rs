//! Headers of the entries of a cpio archive, in all the forms that programs write.
//!
//! Invariant: a header that is returned has a number in every field; nothing else is assumed of it.

/// Size of the first bytes that tell the form.
pub(super) const MAGIC: usize = 6;
/// Size of the smallest header, the binary one, in bytes.
pub(super) const SMALLEST: usize = 26;

/// The form of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Thirteen numbers of eight hexadecimal digits ("newc"); with a sum of the contents ("crc") if `summed`.
    New { summed: bool },
    /// Numbers of six and eleven octal digits (POSIX, "odc").
    Octal,
    /// Numbers of two bytes, the first one the magic number.
    Binary { is_big_endian: bool },
    /// An index into an rpm's list of files, in eight hexadecimal digits.
    Listed,
}

impl Form {
    /// The form of the header that begins with these bytes.
    pub(super) fn recognise(start: &[u8; MAGIC]) -> Option<Self> {
        match start {
            b"070701" => Some(Self::New { summed: false }),
            b"070702" => Some(Self::New { summed: true }),
            b"070707" => Some(Self::Octal),
            b"07070X" => Some(Self::Listed),
            [0xc7, 0x71, ..] => Some(Self::Binary { is_big_endian: false }),
            [0x71, 0xc7, ..] => Some(Self::Binary { is_big_endian: true }),
            _ => None,
        }
    }

    /// The size of the header in bytes, without the name.
    pub(super) fn size(self) -> usize {
        match self {
            Self::New { .. } => MAGIC + 13 * 8,
            Self::Octal => 76,
            Self::Binary { .. } => SMALLEST,
            Self::Listed => MAGIC + 8,
        }
    }

    /// Names (with the header) and contents are padded to a multiple of so many bytes.
    pub(super) fn alignment(self) -> u64 {
        match self {
            Self::New { .. } | Self::Listed => 4,
            Self::Octal => 1,
            Self::Binary { .. } => 2,
        }
    }
}

/// The numbers in a header.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fields {
    /// Device and inode of the file, for hard links.
    pub(super) device: (u64, u64),
    pub(super) inode: u64,
    /// With type bits.
    pub(super) mode: u64,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) links: u64,
    /// Major and minor number of a device node.
    pub(super) node: (u64, u64),
    pub(super) mtime: u64,
    pub(super) name_length: u64,
    pub(super) size: u64,
    /// The sum of the bytes of the contents.
    pub(super) sum: u64,
}

impl Fields {
    /// The numbers in `header`, which has the size of this form; the bytes that are no number, if there are such.
    pub(super) fn parse(form: Form, header: &[u8]) -> Result<Self, &[u8]> {
        let mut numbers = Numbers { rest: header.get(MAGIC..).unwrap_or_default() };
        let (device, node, sum, numbers_of_all) = match form {
            Form::Binary { is_big_endian } => return Ok(Self::of_words(header, is_big_endian)),
            Form::Listed => {
                let [inode] = numbers.take(8, 16)?;
                return Ok(Self { inode, ..Self::default() });
            }
            Form::New { .. } => {
                let [inode, mode, uid, gid, links, mtime, size] = numbers.take(8, 16)?;
                let [device_major, device_minor, major, minor, name_length, sum] =
                    numbers.take(8, 16)?;
                let all = [inode, mode, uid, gid, links, mtime, name_length, size];
                ((device_major, device_minor), (major, minor), sum, all)
            }
            Form::Octal => {
                let [device, inode, mode, uid, gid, links, node] = numbers.take(6, 8)?;
                let [mtime] = numbers.take(11, 8)?;
                let [name_length] = numbers.take(6, 8)?;
                let [size] = numbers.take(11, 8)?;
                let all = [inode, mode, uid, gid, links, mtime, name_length, size];
                ((0, device), (node >> 8, node & 0xff), 0, all)
            }
        };
        let [inode, mode, uid, gid, links, mtime, name_length, size] = numbers_of_all;
        Ok(Self { device, inode, mode, uid, gid, links, node, mtime, name_length, size, sum })
    }

    /// The numbers of a binary header. Those of 32 bits have their upper half first, whatever the order of bytes.
    fn of_words(header: &[u8], is_big_endian: bool) -> Self {
        let word = |index: usize| {
            let bytes = header.get(index * 2..).and_then(<[u8]>::first_chunk);
            let bytes = bytes.copied().unwrap_or_default();
            u64::from(if is_big_endian {
                u16::from_be_bytes(bytes)
            } else {
                u16::from_le_bytes(bytes)
            })
        };
        let double = |index| word(index) << 16 | word(index + 1);
        Self {
            device: (0, word(1)),
            inode: word(2),
            mode: word(3),
            uid: word(4),
            gid: word(5),
            links: word(6),
            node: (word(7) >> 8, word(7) & 0xff),
            mtime: double(8),
            name_length: word(10),
            size: double(11),
            sum: 0,
        }
    }
}

/// Numbers in digits, one after the other.
struct Numbers<'h> {
    rest: &'h [u8],
}

impl<'h> Numbers<'h> {
    /// The next numbers, of `width` digits each; the bytes of one that is none.
    fn take<const COUNT: usize>(
        &mut self,
        width: usize,
        radix: u32,
    ) -> Result<[u64; COUNT], &'h [u8]> {
        let mut numbers = [0; COUNT];
        for number in &mut numbers {
            let (digits, rest) = self.rest.split_at(width.min(self.rest.len()));
            self.rest = rest;
            let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
            let text = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(is_digit));
            let parsed = text.and_then(|text| u64::from_str_radix(text, radix).ok());
            *number = parsed.ok_or(digits)?;
        }
        Ok(numbers)
    }
}
