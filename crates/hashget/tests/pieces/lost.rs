//! What is not there any more costs the files that need it, which are named; everything else comes back, and another restore
//! completes it.

use hashget::monitor::{ProblemKind, Recorder};
use hashget::restore::RestoreOptions;
use hashget_testkit::origin::Fault;
use hashget_testkit::trees::{self, snapshot};

use crate::images::{scene, tar_image};
use crate::scene::{assert_same, gnu_tar, options, serious};

#[test]
fn a_lost_package_costs_its_image_and_comes_back_later() {
    let scene = scene();
    trees::file(&scene.tree(), "images/disk", tar_image());
    trees::file(&scene.tree(), "note", "a file beside it");
    let before = snapshot(&scene.tree());
    let (archive, _) = scene.pack_well(&options());
    scene.origin.always("/tool-1.0.tar", Fault::Status(404));
    for by_tar in [false, true] {
        let target = match by_tar {
            true => {
                let target = scene.target();
                gnu_tar(&archive, &target);
                target
            }
            false => scene.unpack(&archive).0,
        };
        let recorder = Recorder::default();
        let restored =
            scene.restorer().restore(&target, &RestoreOptions::default(), &recorder).unwrap();
        let missing: Vec<_> = restored.missing.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(missing, ["images/disk"]);
        let why = &restored.missing[0].1;
        assert!(why.starts_with("it is made of pieces, and not all came from "), "{why}");
        assert_eq!((restored.proven, restored.missing_from_archive), (None, 0));
        let worst = serious(&recorder);
        assert!(worst.iter().any(|(kind, _)| *kind == ProblemKind::Unreachable), "{worst:?}");
        assert!(target.join("note").exists() && !target.join("images/disk").exists());
        assert!(target.join(".hashget-rest/0").exists());
        scene.origin.heal("/tool-1.0.tar");
        let recorder = Recorder::default();
        let restored =
            scene.restorer().restore(&target, &RestoreOptions::default(), &recorder).unwrap();
        scene.judge(&target, &restored, &recorder, &before);
        scene.origin.always("/tool-1.0.tar", Fault::Status(404));
    }
}

#[test]
fn what_others_keep_beside_the_rests_stays() {
    let scene = scene();
    trees::file(&scene.tree(), "images/disk", tar_image());
    let (archive, _) = scene.pack_well(&options());
    let target = scene.target();
    gnu_tar(&archive, &target);
    trees::file(&target, ".hashget-rest/notes", "precious");
    trees::file(&target, ".hashget-rest/more/0", "precious, too");
    let restored =
        scene.restorer().restore(&target, &RestoreOptions::default(), &Recorder::default());
    assert_eq!(restored.unwrap().proven, Some(true));
    assert!(!target.join(".hashget-rest/0").exists());
    for name in ["notes", "more/0"] {
        let kept = fs_err::read_to_string(target.join(".hashget-rest").join(name)).unwrap();
        assert!(kept.starts_with("precious"), "{name}");
    }
    assert!(!target.join(".hashget-restore.json").exists());
}

#[test]
fn what_is_in_its_place_already_needs_no_package() {
    let scene = scene();
    trees::file(&scene.tree(), "images/disk", tar_image());
    trees::file(&scene.tree(), "note", "a file beside it");
    let before = snapshot(&scene.tree());
    let (archive, _) = scene.pack_well(&options());
    let target = scene.target();
    gnu_tar(&archive, &target);
    fs_err::write(target.join("images/disk"), tar_image()).unwrap();
    scene.origin.always("/tool-1.0.tar", Fault::Status(404));
    let recorder = Recorder::default();
    let restored =
        scene.restorer().restore(&target, &RestoreOptions::default(), &recorder).unwrap();
    assert_eq!(restored.proven, Some(true));
    assert_same(&before, &snapshot(&target));
}
