//! rpm's own database, with the headers of the installed packages.
//!
//! Invariant: nothing is written into the tree, not even beside the database; no more is read of a header
//! than the largest allowed size; SQLite only runs queries on rpm's own table, after checking that it is a
//! plain table.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::super::small_files;
use super::ndb::Ndb;
use crate::model::RelPath;
use crate::tree::TreeRoot;

/// Size limit of a header; larger ones are refused.
pub(super) const MAX_HEADER: u32 = 64 << 20;
/// Limit on the number of packages; a system with more is refused.
pub(super) const MOST_PACKAGES: u32 = 200_000;
/// Size limit for copying a database that is being written to.
const MAX_COPY: u64 = 4 << 30;

const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";
/// The position of the magic number in a Berkeley DB, and that of a hash table.
const BERKELEY: (usize, u32) = (12, 0x0006_1561);

/// An open database.
pub(super) enum Database {
    /// SQLite: Fedora since 33, EL since 9.
    Sqlite(Sqlite),
    /// rpm's own format: openSUSE.
    Ndb(Ndb),
}

/// The file is kept open, since the connection uses its descriptor.
pub(super) struct Sqlite {
    connection: Mutex<Connection>,
    _file: File,
    _copy: Option<tempfile::TempDir>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "Sqlite",
            Self::Ndb(_) => "Ndb",
        })
    }
}

impl Database {
    /// Opens the database at `path` below `tree`.
    pub(super) fn open(tree: &TreeRoot, path: &RelPath) -> Result<Self, String> {
        let file = small_files::open_below(tree, path).ok_or("it cannot be opened")?;
        let mut head = [0; 16];
        file.read_exact_at(&mut head, 0).map_err(|_| "it is too short to be a database of rpm")?;
        if head == SQLITE_MAGIC {
            return Sqlite::open(tree, path, file).map(Self::Sqlite);
        }
        if Ndb::recognises(&head) {
            return Ndb::open(file).map(Self::Ndb);
        }
        let number = [head[12], head[13], head[14], head[15]];
        debug_assert_eq!(BERKELEY.0 + number.len(), head.len());
        if [u32::from_le_bytes(number), u32::from_be_bytes(number)].contains(&BERKELEY.1) {
            let problem = "it is a Berkeley DB of rpm before 4.16, which is not read: \
                           \"rpmdb --rebuilddb\" of a later rpm writes it anew";
            return Err(problem.to_owned());
        }
        Err("it is no database of rpm (expected SQLite or ndb)".to_owned())
    }

    /// The keys of all headers.
    pub(super) fn keys(&self) -> Result<Vec<i64>, String> {
        match self {
            Self::Sqlite(database) => database.keys().map_err(|error| error.to_string()),
            Self::Ndb(database) => Ok(database.keys()),
        }
    }

    /// A header, as stored in the database.
    pub(super) fn header(&self, key: i64) -> Result<Vec<u8>, String> {
        match self {
            Self::Sqlite(database) => match database.header(key) {
                Ok(Some(header)) => Ok(header),
                Ok(None) => Err("it has no header, or one that is too large".to_owned()),
                Err(error) => Err(error.to_string()),
            },
            Self::Ndb(database) => database.header(key),
        }
    }
}

impl Sqlite {
    /// A database that is in use has its last changes in a file beside it. To read them, SQLite must write
    /// files, so a copy is opened. Any other database is opened in place, as immutable.
    fn open(tree: &TreeRoot, path: &RelPath, file: File) -> Result<Self, String> {
        let beside = RelPath::new([path.as_bytes(), b"-wal"].concat()).ok();
        let changes = beside.and_then(|beside| small_files::open_below(tree, &beside));
        let has_changes = |file: &File| file.metadata().is_ok_and(|metadata| metadata.len() > 0);
        let (connection, copy) = match changes.filter(has_changes) {
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
                let place = format!("file:/proc/self/fd/{}?immutable=1", file.as_raw_fd());
                (Connection::open_with_flags(place, flags), None)
            }
            Some(changes) => {
                let copy = copied(&file, &changes);
                let copy = copy.map_err(|error| format!("it cannot be copied: {error}"))?;
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
                let place = copy.path().join("rpmdb.sqlite");
                (Connection::open_with_flags(place, flags), Some(copy))
            }
        };
        let connection = connection.map_err(|error| error.to_string())?;
        let found = Self { connection: Mutex::new(connection), _file: file, _copy: copy };
        found.check()
    }

    /// Checks that the table is rpm's: a forged definition could make queries run forever.
    fn check(self) -> Result<Self, String> {
        let made: Option<String> = self
            .with(|connection| {
                let query =
                    "SELECT sql FROM sqlite_master WHERE name = 'Packages' AND type = 'table'";
                connection.query_row(query, [], |row| row.get(0)).optional()
            })
            .map_err(|error| error.to_string())?;
        let made = made.ok_or("it has no table Packages")?;
        let plain: String = made
            .chars()
            .filter(|letter| !letter.is_whitespace() && !"'\"`[]".contains(*letter))
            .map(|letter| letter.to_ascii_lowercase())
            .collect();
        let is_ours = plain.starts_with("createtablepackages(hnumintegerprimarykey")
            && plain.ends_with(",blobblobnotnull)");
        if is_ours { Ok(self) } else { Err("its table Packages is not rpm's".to_owned()) }
    }

    fn with<T>(&self, ask: impl FnOnce(&Connection) -> T) -> T {
        ask(&self.connection.lock().expect("nothing panics while it asks"))
    }

    fn keys(&self) -> rusqlite::Result<Vec<i64>> {
        self.with(|connection| {
            let query = "SELECT hnum FROM Packages ORDER BY hnum LIMIT ?1";
            let mut query = connection.prepare(query)?;
            query.query_map([MOST_PACKAGES], |row| row.get(0))?.collect()
        })
    }

    fn header(&self, key: i64) -> rusqlite::Result<Option<Vec<u8>>> {
        self.with(|connection| {
            let query = "SELECT blob FROM Packages WHERE hnum = ?1 AND length(blob) <= ?2";
            let mut query = connection.prepare_cached(query)?;
            query.query_row((key, MAX_HEADER), |row| row.get(0)).optional()
        })
    }
}

/// A database that came from somewhere else than a folder.
pub(super) struct Copied(tempfile::TempDir);

impl Copied {
    /// From the bytes of the database, and of its last changes.
    pub(super) fn new(database: &[u8], changes: Option<&[u8]>) -> io::Result<Self> {
        copied(database, changes.unwrap_or_default()).map(Self)
    }

    /// Opens it. It must not be gone before it is read.
    pub(super) fn open(&self) -> Result<Database, String> {
        let tree = TreeRoot::open(self.0.path()).map_err(|error| error.to_string())?;
        Database::open(&tree, &RelPath::new("rpmdb.sqlite").map_err(|error| error.to_string())?)
    }
}

/// Copies the database and its last changes into a temporary folder.
fn copied(database: impl io::Read, changes: impl io::Read) -> io::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let files: [(&str, &mut dyn io::Read); 2] =
        [("rpmdb.sqlite", &mut { database }), ("rpmdb.sqlite-wal", &mut { changes })];
    for (name, file) in files {
        let mut options = fs_err::OpenOptions::new();
        let mut copy = options.write(true).create_new(true).open(folder.path().join(name))?;
        let count = io::copy(&mut file.take(MAX_COPY), &mut copy)?;
        if count == MAX_COPY {
            let problem = format!("it has {MAX_COPY} bytes or more");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
    }
    Ok(folder)
}
