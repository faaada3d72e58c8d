//! A tree that changes all the time while others read it, on a thread that keeps account of what each file ever had in it.
//!
//! Invariant: the digest of contents is noted before a system call makes them visible, and a call changes contents within one
//! page, or their length, or takes whole pages away: what a reader sees between two calls was noted. One set of files
//! changes at every moment, and another one so seldom that its files are at rest for minutes.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, RenameFlags, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::mount::{MountFlags, UnmountFlags};
use sha2::{Digest as _, Sha256};

/// Size of a page in bytes, or a part of it: what is written at once lies in one.
const PAGE: usize = 4096;
/// The modes that files and folders have, at any time.
pub const MODES: [u32; 5] = [0o600, 0o640, 0o644, 0o755, 0o2755];
/// Owners and groups of files, besides root.
pub const OWNERS: [u32; 3] = [1, 1000, 65_534];
/// The attribute that files have at times; [`is_attribute`] recognises its values.
pub const ATTRIBUTE: &str = "user.turmoil";
/// Names of files that change all the time, in four folders.
const HOT: u64 = 60;
/// Names of files that seldom change, in eight folders.
const COLD: u64 = 400;
/// One of so many changes is one of a file that seldom changes.
const SELDOM: u64 = 300;

type Contents = Arc<Mutex<HashSet<[u8; 32]>>>;

/// A tree in turmoil, until it is dropped.
pub struct Turmoil {
    stop: Arc<AtomicBool>,
    changes: Arc<AtomicU64>,
    contents: Contents,
    thread: Option<JoinHandle<()>>,
}

impl Turmoil {
    /// Begins to change the tree in the folder `tree`. What is in it already counts as known. Mounts come and go if the right
    /// to mount is there.
    pub fn start(tree: &Path, seed: u64) -> Self {
        let contents = Contents::default();
        let (stop, changes) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut changer = Changer {
            tree: tree.to_owned(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            contents: Arc::clone(&contents),
            versions: 0,
        };
        changer.note_all(tree).expect("the tree can be read");
        changer.begin().expect("the first files can be made");
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&changes));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Most errors are a name that is not there now, or is already.
                drop(changer.change());
                counted.fetch_add(1, Ordering::Relaxed);
                if changer.below(4) == 0 {
                    std::thread::sleep(Duration::from_micros(300));
                }
            }
            changer.unmount();
        });
        Self { stop, changes, contents, thread: Some(thread) }
    }

    /// Did any file ever have contents with this SHA-256?
    pub fn existed(&self, sha256: &[u8; 32]) -> bool {
        self.contents.lock().expect("noting does not panic").contains(sha256)
    }

    /// Number of changes until now.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}

impl Drop for Turmoil {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics only if a test fails anyway.
            drop(thread.join());
        }
    }
}

/// Is this a value that [`ATTRIBUTE`] had? It consists of one text, several times.
pub fn is_attribute(value: &[u8]) -> bool {
    let mut parts = value.split_inclusive(|&byte| byte == b';');
    let first = parts.next();
    first.is_some_and(|first| first.ends_with(b";")) && parts.all(|part| Some(part) == first)
}

struct Changer {
    tree: PathBuf,
    random: u64,
    contents: Contents,
    versions: u64,
}

impl Changer {
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 8) % bound
    }

    fn length(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("it is below a usize")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.tree.join(name)
    }

    /// Any name of a file.
    fn name(&mut self) -> PathBuf {
        let name = if self.below(SELDOM) == 0 {
            format!("cold{}/{}", self.below(8), self.below(COLD))
        } else {
            format!("hot{}/{}", self.below(4), self.below(HOT))
        };
        self.path(&name)
    }

    fn folder(&mut self) -> PathBuf {
        let name = format!("hot{}", self.below(6));
        self.path(&name)
    }

    fn note(&self, contents: &[u8]) {
        let sha256 = Sha256::digest(contents).into();
        self.contents.lock().expect("noting does not panic").insert(sha256);
    }

    fn note_all(&self, folder: &Path) -> io::Result<()> {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.note_all(&entry.path())?;
            } else if entry.file_type()?.is_file() {
                self.note(&fs_err::read(entry.path())?);
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        fs_err::create_dir_all(self.path("mounted"))?;
        for folder in 0..8 {
            fs_err::create_dir_all(self.path(&format!("cold{folder}")))?;
            for number in (folder..COLD).step_by(8) {
                self.write(&self.path(&format!("cold{folder}/{number}")))?;
            }
        }
        (0..4).try_for_each(|folder| fs_err::create_dir_all(self.path(&format!("hot{folder}"))))
    }

    /// Other contents than anything had before.
    fn version(&mut self) -> Vec<u8> {
        self.versions += 1;
        let length = if self.below(20) == 0 { 60_000 } else { 6000 };
        let (line, length) = (format!("version {}\n", self.versions), self.length(length));
        line.bytes().cycle().take(length).collect()
    }

    /// Makes the file at `path`, or replaces its contents, page by page.
    fn write(&mut self, path: &Path) -> io::Result<()> {
        let contents = self.version();
        self.note(b"");
        let file = open(path, OpenOptions::new().write(true).create(true).truncate(true))?;
        for (number, page) in contents.chunks(PAGE).enumerate() {
            self.note(&contents[..number * PAGE + page.len()]);
            file.write_all_at(page, (number * PAGE) as u64)?;
        }
        Ok(())
    }

    fn change(&mut self) -> io::Result<()> {
        let (path, other) = (self.name(), self.name());
        match self.below(100) {
            0..15 => self.write(&path),
            15..25 => self.replace(&path, &other),
            25..35 => fs_err::hard_link(&path, &other),
            35..45 => fs_err::remove_file(&path),
            45..58 => fs_err::rename(&path, &other),
            58..60 => exchange(&path, &other),
            60..66 => self.patch(&path),
            66..70 => self.set_length(&path),
            70..75 => self.punch(&path),
            75..77 => self.make_sparse(&path),
            77..89 => self.change_metadata(&path),
            89..91 => fs_err::os::unix::fs::symlink(&other, &path),
            91 => Ok(rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0)?),
            92..95 => fs_err::rename(self.folder(), self.folder()),
            95..97 => self.change_folders(),
            97 => self.mount(),
            98 => {
                self.unmount();
                Ok(())
            }
            _ => self.change_metadata_of_folder(),
        }
    }

    /// Writes a new file and gives it the name `path`, as editors and package managers do.
    fn replace(&mut self, path: &Path, aside: &Path) -> io::Result<()> {
        let aside = aside.with_extension("new");
        self.write(&aside)?;
        fs_err::rename(aside, path)
    }

    /// Changes some bytes within one page. At times the time of modification is set back.
    fn patch(&mut self, path: &Path) -> io::Result<()> {
        let (file, mut contents) = read(path)?;
        let at = self.length(contents.len().max(1));
        let end = contents.len().min(at / PAGE * PAGE + PAGE).min(at + 100);
        contents[at..end].iter_mut().for_each(|byte| *byte ^= 1);
        let modified = file.metadata()?.modified()?;
        self.note(&contents);
        file.write_all_at(&contents[at..end], at as u64)?;
        if self.below(3) == 0 {
            file.set_modified(modified)?;
        }
        Ok(())
    }

    fn set_length(&mut self, path: &Path) -> io::Result<()> {
        let (file, mut contents) = read(path)?;
        let length = self.length(contents.len() + 5000);
        contents.resize(length, 0);
        self.note(&contents);
        file.set_len(length as u64)
    }

    /// Makes a hole of a page.
    fn punch(&mut self, path: &Path) -> io::Result<()> {
        let (file, mut contents) = read(path)?;
        let start = self.length(contents.len() / PAGE + 1) * PAGE;
        let end = contents.len().min(start + PAGE);
        contents[start..end].fill(0);
        self.note(&contents);
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&file, how, start as u64, PAGE as u64)?)
    }

    /// A file with a hole before, or around, some text.
    fn make_sparse(&mut self, path: &Path) -> io::Result<()> {
        let (length, at) = (100_000 + self.length(100_000), 50_000 + self.length(50_000));
        self.versions += 1;
        let text = format!("in a hole {}", self.versions);
        let at = at.min(at / PAGE * PAGE + PAGE - text.len());
        let mut contents = vec![0; length];
        self.note(b"");
        self.note(&contents);
        contents[at..at + text.len()].copy_from_slice(text.as_bytes());
        self.note(&contents);
        let file = open(path, OpenOptions::new().write(true).create(true).truncate(true))?;
        file.set_len(length as u64)?;
        file.write_all_at(text.as_bytes(), at as u64)
    }

    fn change_metadata(&mut self, path: &Path) -> io::Result<()> {
        if !path.symlink_metadata()?.is_file() {
            return Ok(());
        }
        match self.below(5) {
            0 => self.set_mode(path),
            1 => {
                let owner = OWNERS[self.length(OWNERS.len())];
                let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
                let follow = AtFlags::SYMLINK_NOFOLLOW;
                Ok(rustix::fs::chownat(CWD, path, Some(uid), Some(gid), follow)?)
            }
            2 => self.set_attribute(path),
            3 => Ok(rustix::fs::lremovexattr(path, attribute().as_c_str())?),
            _ => {
                let seconds = i64::try_from(self.below(2_000_000_000)).expect("it is small");
                let time = Timespec { tv_sec: seconds, tv_nsec: 7 };
                let times = Timestamps { last_access: time, last_modification: time };
                Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
            }
        }
    }

    fn set_mode(&mut self, path: &Path) -> io::Result<()> {
        let mode = Mode::from_raw_mode(MODES[self.length(MODES.len())]);
        Ok(rustix::fs::chmodat(CWD, path, mode, AtFlags::empty())?)
    }

    fn set_attribute(&mut self, path: &Path) -> io::Result<()> {
        let (number, times) = (self.next(), 1 + self.length(100));
        let value = format!("{number:016x};").repeat(times);
        let flags = XattrFlags::empty();
        Ok(rustix::fs::lsetxattr(path, attribute().as_c_str(), value.as_bytes(), flags)?)
    }

    fn change_metadata_of_folder(&mut self) -> io::Result<()> {
        let folder = self.folder();
        if self.below(2) == 0 { self.set_mode(&folder) } else { self.set_attribute(&folder) }
    }

    /// Makes a folder with a file somewhere, or removes one with all in it.
    fn change_folders(&mut self) -> io::Result<()> {
        let below = format!("deep{}", self.below(3));
        let folder = self.folder().join(below);
        if self.below(2) == 0 {
            fs_err::create_dir_all(folder.join("er"))?;
            let file = folder.join(format!("er/{}", self.below(5)));
            return self.write(&file);
        }
        fs_err::remove_dir_all(folder)
    }

    fn mount(&mut self) -> io::Result<()> {
        let at = self.path("mounted");
        if self.below(8) > 0 {
            let name = format!("{}", self.below(9));
            return self.write(&at.join(name));
        }
        rustix::mount::mount("tmpfs", &at, "tmpfs", MountFlags::empty(), c"size=1m")?;
        self.write(&at.join("in-memory"))
    }

    /// Whatever is mounted in the tree goes.
    fn unmount(&self) {
        while rustix::mount::unmount(self.path("mounted"), UnmountFlags::DETACH).is_ok() {}
    }
}

fn attribute() -> CString {
    CString::new(ATTRIBUTE).expect("it has no NUL")
}

/// Opens what may be a pipe or a symbolic link by now: neither waits, nor follows.
fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).expect("flags are small");
    let file = options.clone().mode(0o644).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("no regular file")) }
}

fn exchange(path: &Path, other: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(CWD, path, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Opens a regular file and reads what is in it now.
fn read(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let file = open(path, OpenOptions::new().read(true).write(true))?;
    let length = usize::try_from(file.metadata()?.len()).expect("files are small");
    let mut contents = vec![0; length];
    file.read_exact_at(&mut contents, 0)?;
    Ok((file, contents))
}
