//! Disks that are full: a little later each time, until everything fits.
//!
//! Invariant: before that, an error that says so, and nothing under a final name that is not whole.

use hashget::codec::Codec;
use hashget::fetch::{FetchOptions, Sources, standard_sources};
use hashget::hashdb::LocalHashDb;
use hashget::index::{Indexer, Request};
use hashget::model::{Digest, Evidence};
use hashget::monitor::{Recorder, Silent};
use hashget::pack::{Output, PackError, PackOptions};
use hashget::restore::{RestoreError, RestoreOptions};
use hashget_testkit::small_disk::SmallDisk;
use hashget_testkit::trees::{self, snapshot};

use crate::scene::{Part, Scene, lay_down, options, tar};

fn content(seed: u64) -> Vec<u8> {
    (0..200_u64)
        .flat_map(|number| {
            Digest::of(&[seed, number].map(u64::to_le_bytes).concat()).as_bytes().to_vec()
        })
        .collect()
}

fn parts() -> Vec<Part> {
    let files = (0..30).map(|number| Part::file(&format!("p/{number}"), content(number)));
    std::iter::once(Part::folder("p/")).chain(files).collect()
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.index("p.tar", &tar(&parts()));
    lay_down(&scene.tree(), &parts());
    for number in 50..80 {
        trees::file(&scene.tree(), format!("own/{number}"), content(number));
    }
    scene
}

/// Runs `work` on larger and larger disks until it succeeds, and returns how often it failed.
fn on_growing_disks(scene: &Scene, work: impl Fn(&std::path::Path) -> bool) -> u32 {
    let mut failed = 0;
    for pages in (2..).step_by(5) {
        let folder = scene.path("disk");
        fs_err::create_dir_all(&folder).unwrap();
        let disk = SmallDisk::mount(&folder, pages * 4096).unwrap();
        let done = work(&folder);
        drop(disk);
        if done {
            return failed;
        }
        failed += 1;
        assert!(failed < 500, "it never fits");
    }
    unreachable!("disks grow without end")
}

pub(crate) fn an_archive_that_does_not_fit_leaves_nothing_behind() {
    let scene = scene();
    let failed = on_growing_disks(&scene, |disk| {
        let file = disk.join("backup.tar");
        let options = PackOptions { codec: Codec::None, ..options() };
        match scene.packer().pack(&scene.tree(), Output::File(file.clone()), &options, &Silent) {
            Ok(_) => {
                let archive = fs_err::read(&file).unwrap();
                scene.unpack_well(&archive, &snapshot(&scene.tree()));
                true
            }
            Err(PackError::Write(_) | PackError::Output { .. }) => {
                assert_eq!(fs_err::read_dir(disk).unwrap().count(), 0);
                false
            }
            Err(other) => panic!("{other:?}"),
        }
    });
    assert!(failed > 5);
}

pub(crate) fn a_tree_that_does_not_fit_is_an_error_and_has_only_whole_files() {
    let scene = scene();
    let before = snapshot(&scene.tree());
    let (archive, _) = scene.pack_well(&options());
    let failed = on_growing_disks(&scene, |disk| {
        let (target, told) = (disk.join("target"), Recorder::default());
        let outcome =
            scene.restorer().unpack(&mut &*archive, &target, &RestoreOptions::default(), &told);
        let found = if target.exists() { snapshot(&target) } else { trees::Snapshot::new() };
        for (path, node) in found.iter().filter(|(_, node)| node.kind == 'f') {
            let whole = before.get(path).is_some_and(|before| before.digest == node.digest);
            let manifest = path == b".hashget-restore.json";
            assert!(whole || manifest, "{}", String::from_utf8_lossy(path));
        }
        match outcome {
            Ok(summary) => {
                assert_eq!(summary.proven, Some(true));
                true
            }
            Err(RestoreError::Disk { .. } | RestoreError::Target { .. }) => false,
            Err(other) => panic!("{other:?}"),
        }
    });
    assert!(failed > 5);
}

pub(crate) fn a_hashdb_and_a_cache_that_do_not_fit_stay_whole() {
    let scene = scene();
    let url = scene.origin.url("/p.tar");
    let package = tar(&parts());
    let failed = on_growing_disks(&scene, |disk| {
        let Ok(hashdb) = LocalHashDb::open(&disk.join("db")) else {
            return false;
        };
        let cache = disk.join("cache");
        let options = FetchOptions { cache_dir: Some(cache.clone()), ..FetchOptions::default() };
        let Sources { source, web } = standard_sources(&options).unwrap();
        let indexer = Indexer {
            hashdb: &hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &[],
            limits: &scene.limits,
            jobs: 1,
            evidence: Evidence::Downloaded,
        };
        let request = Request { url: url.clone(), ..Request::default() };
        let outcome = indexer.index(&request, &Silent);
        // What the cache has under a package's name is the package.
        for (path, node) in snapshot(disk).iter().filter(|(_, node)| node.kind == 'f') {
            if path.ends_with(Digest::of(&package).to_string().as_bytes()) {
                assert_eq!(node.digest, Some(*Digest::of(&package).as_bytes()));
            }
        }
        let packages = hashdb.list().unwrap().len();
        assert_eq!(packages, usize::from(outcome.is_ok()));
        outcome.is_ok()
    });
    assert!(failed > 5);
}
