//! A small read-only file system (FUSE) with habits that tests cannot wait for: names that are listed twice, files whose
//! size is wrong, names that are listed and not found.
//!
//! The messages are those of the kernel's `include/uapi/linux/fuse.h`, version 7.31.
//!
//! Invariant: it is unmounted when the [`OddFolder`] is dropped.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// The time of all files: seconds since 1970.
pub const TIME: i64 = 1_700_000_000;

/// Bytes of the largest request.
const REQUEST_BYTES: usize = 1 << 17;
/// The number of the top folder.
const TOP: u64 = 1;

/// An entry of the file system.
#[derive(Debug, Clone)]
pub struct OddEntry {
    name: &'static str,
    folder: u64,
    /// Its contents; `None`: it is a folder.
    contents: Option<&'static [u8]>,
    inode: Option<u64>,
    size: Option<u64>,
    is_listed: u32,
    is_found: bool,
    has_attributes: bool,
    links: u32,
    time: i64,
}

/// A file in the top folder.
pub fn file(name: &'static str, contents: &'static [u8]) -> OddEntry {
    OddEntry {
        name,
        folder: TOP,
        contents: Some(contents),
        inode: None,
        size: None,
        is_listed: 1,
        is_found: true,
        has_attributes: true,
        links: 1,
        time: TIME,
    }
}

/// A folder in the top folder.
pub fn folder(name: &'static str) -> OddEntry {
    OddEntry { contents: None, links: 2, ..file(name, b"") }
}

impl OddEntry {
    /// It lies in the entry with this index (from 0 on).
    pub fn within(self, index: u64) -> Self {
        Self { folder: TOP + 1 + index, ..self }
    }

    /// The file system reports this size.
    pub fn of_size(self, size: u64) -> Self {
        Self { size: Some(size), ..self }
    }

    /// Its name is listed so many times.
    pub fn listed(self, times: u32) -> Self {
        Self { is_listed: times, ..self }
    }

    /// It is listed, and not found.
    pub fn not_found(self) -> Self {
        Self { is_found: false, ..self }
    }

    /// Its attributes cannot be listed.
    pub fn without_attributes(self) -> Self {
        Self { has_attributes: false, ..self }
    }

    /// It has this inode number, as if it were one of several names of a file, and was changed so many seconds later.
    pub fn of_inode(self, inode: u64, later: i64) -> Self {
        Self { inode: Some(inode), links: 2, time: TIME + later, ..self }
    }
}

/// A mounted file system.
pub struct OddFolder {
    at: PathBuf,
}

impl OddFolder {
    /// Mounts a file system with these entries on the folder `at`. `None` if that is not allowed: see
    /// [`Need::Fuse`](crate::needs::Need::Fuse).
    pub fn mount(at: &Path, entries: &[OddEntry]) -> Option<Self> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
        let number = device.as_raw_fd();
        let options =
            format!("fd={number},rootmode=40000,user_id=0,group_id=0,allow_other\0").into_bytes();
        let options = std::ffi::CStr::from_bytes_with_nul(&options).ok()?;
        mount("odd", at, "fuse", MountFlags::empty(), options).ok()?;
        let server = Server { device, entries: entries.to_vec() };
        std::thread::spawn(move || server.serve());
        Some(Self { at: at.to_owned() })
    }
}

impl Drop for OddFolder {
    fn drop(&mut self) {
        // The server ends with the file system.
        let _ = unmount(&self.at, UnmountFlags::DETACH);
    }
}

struct Server {
    device: File,
    entries: Vec<OddEntry>,
}

/// What the kernel asks for.
struct Request<'b> {
    operation: u32,
    node: u64,
    body: &'b [u8],
}

impl Server {
    fn serve(mut self) {
        let mut buffer = vec![0; REQUEST_BYTES];
        loop {
            let length = match self.device.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A request was withdrawn.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => return,
            };
            let (head, body) = buffer[..length].split_at(40);
            let unique = number(&head[8..16]);
            let operation = u32::try_from(number(&head[4..8])).expect("four bytes");
            let request = Request { operation, node: number(&head[16..24]), body };
            // FORGET, INTERRUPT and BATCH_FORGET have no answer.
            if matches!(operation, 2 | 36 | 42) {
                continue;
            }
            let (error, data) = match self.answer(&request) {
                Ok(data) => (0, data),
                Err(error) => (-error.raw_os_error(), Vec::new()),
            };
            let mut answer = Message::default();
            answer.u32(u32::try_from(16 + data.len()).expect("short"));
            answer.bytes(&error.to_le_bytes());
            answer.u64(unique);
            answer.bytes(&data);
            // The one who asked may have gone.
            let _ = self.device.write(&answer.0);
        }
    }

    fn answer(&self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let Request { operation, node, body } = *request;
        let mut answer = Message::default();
        match operation {
            // LOOKUP
            1 => {
                let name = body.strip_suffix(b"\0").unwrap_or(body);
                let here =
                    |entry: &&OddEntry| entry.folder == node && entry.name.as_bytes() == name;
                let index =
                    self.entries.iter().position(|entry| here(&entry)).ok_or(Errno::NOENT)?;
                if !self.entries[index].is_found {
                    return Err(Errno::NOENT);
                }
                let child = TOP + 1 + index as u64;
                answer.u64s([child, 0, 0, 0]).u32(0).u32(0);
                self.attributes(child, &mut answer);
            }
            // GETATTR
            3 => {
                answer.u64(0).u32(0).u32(0);
                self.attributes(node, &mut answer);
            }
            // OPEN (with direct I/O, so that the size does not matter) and OPENDIR
            14 => drop(answer.u64(0).u32(1).u32(0)),
            27 => drop(answer.u64(0).u32(0).u32(0)),
            // READ
            15 => {
                let contents =
                    self.entry(node).and_then(|entry| entry.contents).unwrap_or_default();
                let (offset, size) = (number(&body[8..16]), number(&body[16..20]));
                let at = |position: u64| {
                    usize::try_from(position).unwrap_or(usize::MAX).min(contents.len())
                };
                answer.bytes(&contents[at(offset)..at(offset + size)]);
            }
            // STATFS
            17 => {
                answer.u64s([0; 5]).u32(4096).u32(255).u32(4096).u32(0).bytes(&[0; 24]);
            }
            // RELEASE, FLUSH, RELEASEDIR
            18 | 25 | 29 => {}
            // GETXATTR, LISTXATTR
            22 | 23 => {
                let is_fine = self.entry(node).is_none_or(|entry| entry.has_attributes);
                return Err(if is_fine { Errno::OPNOTSUPP } else { Errno::IO });
            }
            // INIT
            26 => {
                answer.u32(7).u32(31).u32(1 << 16).u32(0);
                answer.bytes(&16_u16.to_le_bytes()).bytes(&12_u16.to_le_bytes());
                answer.u32(1 << 16).u32(1).bytes(&[0; 36]);
            }
            // READDIR
            28 => self.list(node, number(&body[8..16]), number(&body[16..20]), &mut answer),
            _ => return Err(Errno::NOSYS),
        }
        Ok(answer.0)
    }

    fn entry(&self, node: u64) -> Option<&OddEntry> {
        self.entries.get(usize::try_from(node.checked_sub(TOP + 1)?).ok()?)
    }

    fn attributes(&self, node: u64, answer: &mut Message) {
        let top = folder("");
        let entry = self.entry(node).unwrap_or(&top);
        let size = entry.size.unwrap_or(entry.contents.map_or(4096, |text| text.len() as u64));
        let time = entry.time.cast_unsigned();
        answer.u64s([entry.inode.unwrap_or(node), size, size.div_ceil(512), time, time, time]);
        answer.u32(0).u32(0).u32(0).u32(mode(entry)).u32(entry.links);
        answer.u32(0).u32(0).u32(0).u32(4096).u32(0);
    }

    fn list(&self, node: u64, offset: u64, size: u64, answer: &mut Message) {
        let children = (TOP + 1..).zip(&self.entries).filter(|(_, entry)| entry.folder == node);
        let listed = children.flat_map(|child| (0..child.1.is_listed).map(move |_| child));
        for (next, (child, entry)) in (1..).zip(listed).skip(usize::try_from(offset).unwrap_or(0)) {
            let mut record = Message::default();
            record.u64(entry.inode.unwrap_or(child)).u64(next);
            record.u32(u32::try_from(entry.name.len()).expect("short")).u32(mode(entry) >> 12);
            record.bytes(entry.name.as_bytes());
            record.0.resize(record.0.len().next_multiple_of(8), 0);
            if (answer.0.len() + record.0.len()) as u64 > size {
                return;
            }
            answer.bytes(&record.0);
        }
    }
}

fn mode(entry: &OddEntry) -> u32 {
    if entry.contents.is_some() { 0o100_644 } else { 0o40_755 }
}

/// A little-endian number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u32(&mut self, number: u32) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    fn u64s<const N: usize>(&mut self, numbers: [u64; N]) -> &mut Self {
        for number in numbers {
            self.u64(number);
        }
        self
    }
}
