//! Packages that are proven by other digests than SHA-256, and those of this machine.

use std::path::PathBuf;

use hashget::detectors::Candidate;
use hashget::fetch::FetchOptions;
use hashget::model::{Algorithm, Checksum, Digest, Evidence};

use crate::registry::Stage;

#[test]
fn another_digest_proves_files_on_this_machine_and_downloads() {
    let stage = Stage::new();
    stage.serve(0);
    let file = stage.folder.path().join("kept");
    fs_err::write(&file, &stage.package).unwrap();
    let mut hasher = Algorithm::Sha512.hasher();
    hasher.update(&stage.package);
    let right = hasher.finish();
    let wrong = Checksum::new(Algorithm::Sha512, &[7; 64]).unwrap();
    let candidate = |checksum: &Checksum, local_file: Option<PathBuf>| Candidate {
        origin: hashget::model::Origin::Client,
        url: stage.origin.url("/files/one.tar"),
        checksum: Some(checksum.clone()),
        local_file,
        ..Candidate::default()
    };
    let offline = |candidate| stage.index(vec![candidate], Evidence::Signed, true).0;
    assert_eq!(offline(candidate(&wrong, Some(file.clone()))).unreliable.len(), 1);
    let (indexed, recorder) = stage.index(vec![candidate(&wrong, None)], Evidence::Signed, false);
    assert_eq!((indexed.new, indexed.unreliable.len()), (0, 1));
    assert!(format!("{:?}", recorder.recorded().problems).contains("sha512:0707"));
    assert_eq!(offline(candidate(&right, Some(file))).new, 1);
    let record = stage.hashdb.list().pop().unwrap().1;
    assert_eq!((record.sha256, record.vouched), (Digest::of(&stage.package), false));
}

#[test]
fn a_package_of_this_machine_that_its_url_lacks_is_asked_for_elsewhere() {
    let stage = Stage::new();
    stage.serve(0);
    let file = stage.folder.path().join("kept");
    fs_err::write(&file, &stage.package).unwrap();
    let indexed = stage.candidate("one", false);
    let candidate = Candidate {
        url: stage.origin.url("/gone"),
        sha256: Some(Digest::of(&stage.package)),
        local_file: Some(file),
        otherwise: indexed.question.clone(),
        question: None,
        lists: Vec::new(),
        ..indexed
    };
    let (indexed, _) = stage.index(vec![candidate], Evidence::Signed, false);
    assert_eq!((indexed.new, indexed.failed.len()), (1, 0), "{:?}", indexed.unreliable);
    assert_eq!(stage.hashdb.list()[0].1.url, stage.origin.url("/files/one.tar"));
    let requests = stage.origin.requests_of("/files/one.tar");
    assert!(requests.iter().all(|request| request.range.is_some()), "{requests:?}");
}

#[test]
fn a_pool_has_a_package_by_another_digest() {
    for algorithm in [Algorithm::Sha512, Algorithm::Sha1] {
        let mut hasher = algorithm.hasher();
        hasher.update(&Stage::new().package);
        let checksum = hasher.finish();
        let hex = hex::encode(checksum.as_bytes());
        let cached = format!("{}/{}/{}/{}", algorithm.name(), &hex[..2], &hex[2..4], &hex[4..]);
        for (place, offline, is_found) in [
            // npm's cache, that cache's folder, a tarball as clients name it.
            (format!("_cacache/content-v2/{cached}"), false, true),
            (format!("content-v2/{cached}"), false, true),
            ("scope-one.tar".to_owned(), false, true),
            // Under any name only where nobody else can be asked.
            ("sha256/ab/anything".to_owned(), true, true),
            ("sha256/ab/anything".to_owned(), false, false),
        ] {
            let (stage, pool) = (Stage::new(), tempfile::tempdir().unwrap());
            stage.serve(0);
            let file = pool.path().join(&place);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(pool.path().join("other-one.tar"), "not the package").unwrap();
            let index = |content: &[u8], offline| {
                fs_err::write(&file, content).unwrap();
                let pools = vec![pool.path().to_str().unwrap().to_owned()];
                let options = FetchOptions { offline, pools, ..FetchOptions::default() };
                let candidate = Candidate {
                    origin: hashget::model::Origin::Client,
                    url: stage.origin.url("/files/one.tar"),
                    checksum: Some(checksum.clone()),
                    ..Candidate::default()
                };
                stage.index_from(vec![candidate], Evidence::Signed, options).0
            };
            assert_eq!(index(b"damaged", true).unreliable.len(), 1, "{place}");
            let indexed = index(&stage.package, offline);
            assert_eq!(indexed.new, 1, "{place}: {:?}", indexed.failed);
            let record = stage.hashdb.list().pop().unwrap().1;
            assert_eq!(record.sha256, Digest::of(&stage.package));
            assert_eq!(stage.asked("/files/one.tar"), usize::from(!is_found), "{place}");
        }
    }
}
