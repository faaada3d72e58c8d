//! Measures a published HashDB of so many made-up keys: what publishing and looking up cost.
//!
//!     made_up_keys FOLDER KEYS
//!
//! Each package has 100 files. Prints one line of JSON. Run it by `bench/keys`, which also measures processor time and memory.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example that fails may panic")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hashget::hashdb::{HashDb as _, Key, member_list};
use hashget::model::{
    Digest, Evidence, Keeping, Kind, Member, MemberMetadata, Origin, PackageRecord, RelPath,
    Signature,
};
use hashget::monitor::Silent;
use hashget_published::client::{Manner, PublishedHashDb};
use hashget_published::publish::{Head, Packages, PublishOptions, Rank, publish};
use hashget_published::{Edition, Folder, Memory, PublishedError, PublishedRecord, SigningKey};

const FILES: u64 = 100;

/// Packages that are made up when they are asked for.
struct MadeUp {
    packages: u64,
}

fn content(package: u64, file: u64) -> Digest {
    Digest::of(format!("file {file} of package {package}").as_bytes())
}

fn record(package: u64) -> PublishedRecord {
    let record = PackageRecord {
        url: format!("https://packages.example/{package}.deb"),
        also: Vec::new(),
        sha256: Digest::of(format!("package {package}").as_bytes()),
        size: 100_000,
        format: "deb".to_owned(),
        signatures: vec![Signature {
            kind: "deb".to_owned(),
            value: format!("package{package}_1.0_amd64"),
        }],
        project: None,
        expires: None,
        indexed_at: 0,
        evidence: Evidence::Downloaded,
        vouched: false,
        recursive: false,
        passed_over: 0,
        origin: Origin::User,
        trees: Vec::new(),
        keeping: Keeping::Permanent,
        publisher: None,
    };
    PublishedRecord::unread(&record, Some("2026-11-30".to_owned()))
}

impl Packages for MadeUp {
    fn heads(&self) -> Result<Vec<Head>, PublishedError> {
        let head = |handle| Head { record: record(handle), is_read: false, handle };
        Ok((0..self.packages).map(head).collect())
    }

    fn list(&self, handle: u64) -> Result<Vec<u8>, PublishedError> {
        let member = |file| Member {
            path: RelPath::new(format!("data/usr/share/package{handle}/file{file}")).unwrap(),
            kind: Kind::File { size: 1000 },
            metadata: MemberMetadata { mode: Some(0o644), ..MemberMetadata::default() },
            sha256: Some(content(handle, file)),
            extents: None,
        };
        let members: Vec<Member> = (0..FILES).map(member).collect();
        Ok(member_list::encode(&members).unwrap())
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("FOLDER");
    let keys: u64 = arguments.next().and_then(|keys| keys.parse().ok()).expect("KEYS");
    let packages = MadeUp { packages: keys / FILES };
    std::fs::create_dir_all(&folder).unwrap();
    let key = SigningKey::generate("publisher.example/log").unwrap();
    let public = key.public().clone();
    let (signers, rank) = ([key], Rank::default());
    let options = PublishOptions {
        folder: Path::new(&folder),
        keys: &signers,
        rank: &rank,
        collection: None,
        whole: true,
        now: 0,
    };
    let started = Instant::now();
    let published = publish(&[&packages], &options, &Silent).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let files = Arc::new(Folder::new(&folder));
    let open = || {
        let files = Arc::clone(&files);
        Edition::open(files, std::slice::from_ref(&public), Memory::none(), 0, &Silent).unwrap()
    };
    let layer = &open().manifest.layers[0];
    let of_keys: u64 = layer.keys.iter().map(|table| table.size).sum();
    let filters: u64 = layer.keys.iter().filter_map(|table| table.filter).map(|one| one.size).sum();
    println!(
        "{{\"keys\": {}, \"packages\": {}, \"bytes\": {}, \"tables_of_keys\": {}, \"key_bytes\": {of_keys}, \"filter_bytes\": {filters}, \
         \"seconds\": {seconds:.1}}}",
        published.keys,
        published.packages,
        published.bytes,
        layer.keys.len()
    );
    let step = (keys / FILES / 1000).max(1);
    for (name, found) in [("hits", true), ("misses", false)] {
        let db = PublishedHashDb::new(open(), Manner::default(), 0, &Silent);
        let digest = |number: u64| match found {
            true => content(number * step % (keys / FILES), number % FILES),
            false => Digest::of(format!("nothing {number}").as_bytes()),
        };
        let asked: Vec<Key<'_>> = (0..1000).map(|number| Key::Content(digest(number))).collect();
        let before = db.asked();
        let started = Instant::now();
        let answers = db.find(&asked).unwrap();
        let seconds = started.elapsed().as_secs_f64();
        let after = db.asked();
        let count = answers.iter().filter(|ids| !ids.is_empty()).count();
        println!(
            "{{\"of\": \"{name}\", \"found\": {count}, \"requests\": {}, \"bytes\": {}, \"perhaps\": {}, \"seconds\": {seconds:.3}}}",
            after.requests - before.requests,
            after.bytes - before.bytes,
            after.digests_found
        );
    }
}
