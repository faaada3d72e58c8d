//! Files that are made of pieces: file systems as their own programs make them, and the restorer.
//!
//! Invariant: what comes back is compared with what was there before.

use std::path::Path;
use std::process::Command;

use hashget::codec::Codec;
use hashget::pack::PackOptions;
use hashget_testkit::trees::{self, snapshot};

use crate::piece_images::{disk_image, files, noise, scene, tar_image, write_with_holes};
use crate::restorer::restore_well;
use crate::scene::{Part, lay_down, options};

fn run(program: &str, arguments: &[&Path]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with the files of the package, and one that only this machine has.
fn folder(at: &Path) {
    let files = files().into_iter().map(|(path, content)| Part::file(path, content));
    let own = [Part::folder("tool"), Part::file("own", noise("own", 300_001))];
    lay_down(at, &own.into_iter().chain(files).collect::<Vec<_>>());
}

/// The bytes of the files that are found whole in every image.
const LEAST: u64 = 900_000 + 40 * 4096 + 123_457;

pub(crate) fn an_ext4_file_system_comes_back() {
    let scene = scene();
    folder(&scene.path("inside"));
    let (image, plain) = (scene.tree().join("disk.ext4"), |text: &'static str| Path::new(text));
    let (inside, size) = (scene.path("inside"), plain("24M"));
    run("mkfs.ext4", &[plain("-q"), plain("-d"), &inside, &image, size]);
    let before = snapshot(&scene.tree());
    let (archive, packed) = scene.pack_well(&PackOptions { codec: Codec::Zstd, ..options() });
    assert!(packed.pieces.bytes >= LEAST, "{packed:?}");
    assert!(packed.archive_bytes < 500_000, "{packed:?}");
    scene.unpack_well(&archive, &before);
}

pub(crate) fn an_iso_image_comes_back() {
    let scene = scene();
    folder(&scene.path("inside"));
    let (image, plain) = (scene.tree().join("disk.iso"), |text: &'static str| Path::new(text));
    run("genisoimage", &[plain("-quiet"), plain("-R"), plain("-o"), &image, &scene.path("inside")]);
    let before = snapshot(&scene.tree());
    let (archive, packed) = scene.pack_well(&options());
    assert!(packed.pieces.bytes >= LEAST, "{packed:?}");
    scene.unpack_well(&archive, &before);
}

pub(crate) fn the_restorer_puts_pieces_together() {
    let scene = scene();
    trees::file(&scene.tree(), "images/disk.tar", tar_image());
    trees::file(&scene.tree(), "copy", crate::piece_images::file("tool/odd"));
    write_with_holes(&scene.tree().join("images/disk"), &disk_image());
    let before = snapshot(&scene.tree());
    for codec in [Codec::Gzip, Codec::Zstd] {
        let (archive, packed) = scene.pack_well(&PackOptions { codec, ..options() });
        assert_eq!(packed.pieces.files, 2);
        restore_well(&scene, &archive, &before);
    }
}
