//! A HashDB with packages, and what is published of it.

use std::path::PathBuf;
use std::sync::Arc;

use hashget::hashdb::{
    Check, CheckOutcome, Checks as _, HashDbWriter as _, LocalHashDb, member_list,
};
use hashget::model::{
    Digest, Evidence, Keeping, Kind, Member, MemberMetadata, Origin, PackageRecord, RelPath,
    Signature,
};
use hashget::monitor::Silent;
use hashget::places::Private;
use hashget_published::client::{Manner, PublishedHashDb};
use hashget_published::publish::{
    FromHashDb, Head, Packages, PublishOptions, Published, Rank, publish,
};
use hashget_published::{
    Edition, Files, Folder, Memory, PublishedError, PublishedRecord, SigningKey,
};

/// The time at which everything happens, in seconds since 1970 UTC.
pub(crate) const NOW: i64 = 1_790_000_000;

/// A HashDB of this machine, and the folder that it is published to.
pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) hashdb: LocalHashDb,
    pub(crate) key: SigningKey,
}

/// A package of so many files; `name` makes everything of it different from any other's.
pub(crate) fn package(name: &str, files: usize) -> (PackageRecord, Vec<Member>) {
    let record = PackageRecord {
        url: format!("https://packages.example/{name}.deb"),
        also: vec![format!("https://mirror.example/{name}.deb")],
        sha256: Digest::of(name.as_bytes()),
        size: 1000 + files as u64,
        format: "deb".to_owned(),
        signatures: vec![Signature { kind: "deb".to_owned(), value: format!("{name}_1.0_amd64") }],
        project: Some("mine".to_owned()),
        expires: None,
        indexed_at: NOW,
        evidence: Evidence::Downloaded,
        vouched: false,
        recursive: false,
        passed_over: 0,
        origin: Origin::User,
        trees: Vec::new(),
        keeping: Keeping::Permanent,
        publisher: None,
    };
    let members = (0..files).map(|number| {
        let bytes = content(name, number);
        Member {
            path: RelPath::new(format!("data/usr/share/{name}/{number}")).unwrap(),
            kind: Kind::File { size: bytes.len() as u64 },
            metadata: MemberMetadata { mode: Some(0o644), ..MemberMetadata::default() },
            sha256: Some(Digest::of(&bytes)),
            extents: None,
        }
    });
    (record, members.collect())
}

/// The bytes of one file of [`package`].
pub(crate) fn content(name: &str, number: usize) -> Vec<u8> {
    format!("{name} has a file {number}").into_bytes()
}

/// The signature of [`package`].
pub(crate) fn signature(name: &str) -> Signature {
    Signature { kind: "deb".to_owned(), value: format!("{name}_1.0_amd64") }
}

/// So many packages that no HashDB has.
struct Many(usize);

impl Packages for Many {
    fn heads(&self) -> Result<Vec<Head>, PublishedError> {
        let head = |number: usize| {
            let (record, _) = package(&format!("p{number}"), number % 10);
            let day = jiff::Timestamp::from_second(NOW).unwrap().strftime("%Y-%m-%d").to_string();
            let record = PublishedRecord::unread(&record, Some(day));
            Head { record, is_read: false, handle: number as u64 }
        };
        Ok((0..self.0).map(head).collect())
    }

    fn list(&self, handle: u64) -> Result<Vec<u8>, PublishedError> {
        let (_, members) = package(&format!("p{handle}"), usize::try_from(handle % 10).unwrap());
        Ok(member_list::encode(&members).unwrap())
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hashdb = LocalHashDb::open(&folder.path().join("db")).unwrap();
        let key = SigningKey::generate("publisher.example/log").unwrap();
        Self { folder, hashdb, key }
    }

    /// One that has published so many packages of up to nine files.
    pub(crate) fn with(packages: usize) -> Self {
        let scene = Self::new();
        for number in 0..packages {
            scene.index(&format!("p{number}"), number % 10);
        }
        scene.publish().unwrap();
        scene
    }

    /// The same, for more packages than are recorded quickly.
    pub(crate) fn with_many(packages: usize) -> Self {
        let scene = Self::new();
        scene.publish_all(&[&Many(packages)], NOW, false).unwrap();
        scene
    }

    /// Records a package that its URL gave.
    pub(crate) fn index(&self, name: &str, files: usize) {
        let (record, members) = package(name, files);
        self.record(&record, &members);
    }

    /// The same for this package.
    pub(crate) fn record(&self, record: &PackageRecord, members: &[Member]) {
        let check = Check::now(record.sha256, &record.url, true, CheckOutcome::Present);
        self.hashdb.put_check(&Check { seen_at: Some(NOW), checked_at: NOW, ..check }).unwrap();
        self.hashdb.put(record, members).unwrap();
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.folder.path().join("published")
    }

    pub(crate) fn publish(&self) -> Result<Published, PublishedError> {
        self.publish_at(NOW, false)
    }

    pub(crate) fn publish_at(&self, now: i64, whole: bool) -> Result<Published, PublishedError> {
        self.publish_all(
            &[&FromHashDb::new(&self.hashdb, &Private::default(), false).unwrap()],
            now,
            whole,
        )
    }

    fn publish_all(
        &self,
        packages: &[&dyn Packages],
        now: i64,
        whole: bool,
    ) -> Result<Published, PublishedError> {
        std::fs::create_dir_all(self.output()).unwrap();
        let keys = [SigningKey::parse(&self.key.to_text()).unwrap()];
        let (output, rank) = (self.output(), Rank::default());
        let options = PublishOptions {
            folder: &output,
            keys: &keys,
            rank: &rank,
            collection: None,
            whole,
            now,
        };
        publish(packages, &options, &Silent)
    }

    pub(crate) fn files(&self) -> Arc<dyn Files> {
        Arc::new(Folder::new(self.output()))
    }

    /// What is remembered of the publisher.
    pub(crate) fn memory(&self) -> Memory {
        Memory::new(self.folder.path().join("remembered"), Some(self.folder.path().join("cache")))
    }

    pub(crate) fn open(&self, memory: Memory) -> Result<Edition, PublishedError> {
        self.open_from(self.files(), memory)
    }

    pub(crate) fn open_from(
        &self,
        files: Arc<dyn Files>,
        memory: Memory,
    ) -> Result<Edition, PublishedError> {
        Edition::open(files, &[self.key.public().clone()], memory, NOW, &Silent)
    }

    /// The published packages as a HashDB.
    pub(crate) fn hashdb(&self, manner: Manner) -> PublishedHashDb<'static> {
        PublishedHashDb::new(self.open(Memory::none()).unwrap(), manner, NOW, &Silent)
    }
}
