//! Names of unfinished downloads can be guessed: whoever may write in the cache's folder could put something there.
//!
//! Invariant: what somebody else put there is neither written to nor taken for a download.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::io::Read as _;
use std::os::unix::fs::symlink;

use hashget::fetch::{Cache, HttpOrigin, OriginOptions, Source as _, Wanted};
use hashget::model::Digest;
use hashget::monitor::Silent;
use hashget_testkit::origin::Origin;

#[test]
fn a_download_is_not_written_through_a_link_or_into_a_file_with_another_name() {
    let content = b"a package".repeat(1000);
    let origin = Origin::start();
    origin.serve("/p", content.clone());
    let url = origin.url("/p");
    let sha256 = Digest::of(&content);
    let part = format!("{}.part", Digest::of(url.as_bytes()));
    let names = [part.clone(), format!("{part}.json"), format!("{sha256}.lock")];
    for (name, by_link) in names.iter().flat_map(|name| [(name, true), (name, false)]) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("cache");
        let partial = Cache::partial_dir(&dir);
        fs_err::create_dir_all(&partial).unwrap();
        let victim = folder.path().join("victim");
        fs_err::write(&victim, "precious").unwrap();
        match by_link {
            true => symlink(&victim, partial.join(name)).unwrap(),
            false => fs_err::hard_link(&victim, partial.join(name)).unwrap(),
        }
        let options = OriginOptions {
            partial_dir: Some(partial),
            keep_name: true,
            ..OriginOptions::default()
        };
        let cache = Cache::new(dir, Box::new(HttpOrigin::new(options)));
        let wanted = Wanted {
            url: url.clone(),
            sha256: Some(sha256),
            size: Some(content.len() as u64),
            ..Wanted::default()
        };
        let mut fetched = Vec::new();
        cache.fetch(&wanted, &Silent).unwrap().file.read_to_end(&mut fetched).unwrap();
        assert!(fetched == content, "{name}");
        assert_eq!(fs_err::read_to_string(&victim).unwrap(), "precious", "{name}");
    }
}
