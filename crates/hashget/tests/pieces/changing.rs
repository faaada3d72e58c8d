//! Images that change between the scan and the moment at which their rests are written.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;

use hashget::codec::Codec;
use hashget::monitor::{Event, Monitor, ProblemKind, Recorder, Step};
use hashget::pack::PackOptions;
use hashget_testkit::trees::{self, snapshot};

use crate::images::{disk_image, noise, scene, tar_image, write_with_holes};
use crate::scene::{assert_same, gnu_tar, options, problems, serious};

type Change = Box<dyn FnOnce() + Send>;

/// Changes the tree when writing begins.
struct Changing(Recorder, Mutex<Option<Change>>);

impl Monitor for Changing {
    fn event(&self, event: Event<'_>) {
        if let Event::Started(progress) = &event
            && progress.step == Step::Write
            && let Some(change) = self.1.lock().unwrap().take()
        {
            change();
        }
        self.0.event(event);
    }

    fn interrupted(&self) -> bool {
        false
    }
}

/// Packs two images, of which the first is changed; what comes back is the tree as it is then.
#[track_caller]
fn comes_back_as_it_was_read(change: impl Fn(&Path) + Send + Clone + 'static) {
    for codec in [Codec::None, Codec::Zstd] {
        let scene = scene();
        let image = trees::file(&scene.tree(), "a-disk", tar_image());
        trees::file(&scene.tree(), "b-disk", disk_image());
        trees::file(&scene.tree(), "note", "a file beside it");
        let change = {
            let change = change.clone();
            move || change(&image)
        };
        let monitor = Changing(Recorder::default(), Mutex::new(Some(Box::new(change))));
        let (archive, _) = scene.pack(&PackOptions { codec, ..options() }, &monitor).unwrap();
        let now = snapshot(&scene.tree());
        let (target, restored, told) = scene.unpack(&archive);
        assert_eq!((problems(&told), restored.proven), (String::new(), Some(true)));
        let (mut now, mut found) = (now, snapshot(&target));
        // The change has moved the folder's time.
        now.retain(|_, node| node.kind != 'd');
        found.retain(|_, node| node.kind != 'd');
        assert_same(&now, &found);
        scene.rehearse_well(&archive, &restored);
        if codec == Codec::None {
            let target = scene.target();
            gnu_tar(&archive, &target);
            let recorder = Recorder::default();
            let restored = scene.restorer().restore(&target, &Default::default(), &recorder);
            assert_eq!(
                (problems(&recorder), restored.unwrap().proven),
                (String::new(), Some(true))
            );
            assert!(!target.join(".hashget-rest").exists());
        }
    }
}

#[test]
fn one_that_is_written_to_is_archived_as_it_is() {
    comes_back_as_it_was_read(|image| {
        let mut bytes = tar_image();
        bytes[100_000..100_010].fill(7);
        fs_err::write(image, bytes).unwrap();
    });
}

#[test]
fn one_that_grows_or_shrinks_is_archived_as_it_is() {
    comes_back_as_it_was_read(|image| fs_err::write(image, noise("other", 2_000_000)).unwrap());
    comes_back_as_it_was_read(|image| fs_err::write(image, noise("other", 20)).unwrap());
}

#[test]
fn one_that_gets_other_metadata_is_made_of_pieces_still() {
    comes_back_as_it_was_read(|image| trees::mode(image, 0o600));
}

#[test]
fn what_is_written_into_holes_decides() {
    for byte in [0, 7] {
        let scene = scene();
        let image = scene.tree().join("disk");
        write_with_holes(&image, &disk_image());
        let hole = disk_image().chunks(4096).rposition(|block| block == [0; 4096]).unwrap() * 4096;
        let change: Change = Box::new(move || {
            let file = std::fs::File::options().write(true).open(&image).unwrap();
            let time = file.metadata().unwrap().modified().unwrap();
            file.write_all_at(&[byte; 4096], hole as u64).unwrap();
            file.set_modified(time).unwrap();
        });
        let monitor = Changing(Recorder::default(), Mutex::new(Some(change)));
        let (archive, packed) = scene.pack(&options(), &monitor).unwrap();
        assert_eq!(packed.pieces.files, 1);
        let needs_all = archive.len() > 1_000_000;
        assert_eq!(needs_all, byte != 0, "{} bytes", archive.len());
        let now = fs_err::read(scene.tree().join("disk")).unwrap();
        let (target, restored, told) = scene.unpack(&archive);
        assert_eq!((problems(&told), restored.proven), (String::new(), Some(true)));
        assert!(fs_err::read(target.join("disk")).unwrap() == now);
    }
}

#[test]
fn one_that_is_gone_is_named() {
    let scene = scene();
    let image = trees::file(&scene.tree(), "a-disk", tar_image());
    trees::file(&scene.tree(), "b-disk", disk_image());
    let change: Change = Box::new(move || fs_err::remove_file(image).unwrap());
    let monitor = Changing(Recorder::default(), Mutex::new(Some(change)));
    let (archive, _) = scene.pack(&options(), &monitor).unwrap();
    assert_eq!(serious(&monitor.0), [(ProblemKind::Incomplete, "a-disk".to_owned())]);
    let (target, restored, told) = scene.unpack(&archive);
    assert_eq!((problems(&told), restored.proven), (String::new(), Some(true)));
    assert_eq!(fs_err::read(target.join("b-disk")).unwrap(), disk_image());
    assert!(!target.join("a-disk").exists());
}
