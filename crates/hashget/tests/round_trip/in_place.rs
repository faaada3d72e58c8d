//! Restoring over any other tree gives the tree that was packed, if everything may be replaced and removed.

use std::path::Path;

use hashget::model::RelPath;
use hashget::monitor::Recorder;
use hashget::pack::PackOptions;
use hashget::restore::{Action, Overwrite, Planned, RestoreOptions};
use hashget_testkit::trees::{self, Node, Snapshot, snapshot};

use super::scene::{Part, Scene, assert_same, options, problems, tar};

/// Numbers that look random.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// Fills a folder. There are so few names that two such trees have most of them in common, as other things.
fn fill(folder: &Path, seeded: &mut Seeded, given: &[Part]) {
    fs_err::create_dir_all(folder).unwrap();
    let mut files = Vec::new();
    for _ in 0..14 {
        let depth = 1 + seeded.below(3);
        let names: Vec<String> =
            (0..depth).map(|_| ["a", "b", "c"][seeded.below(3)].to_owned()).collect();
        let (name, path) = (names.join("/"), folder.join(names.join("/")));
        let is_blocked = fs_err::symlink_metadata(&path).is_ok()
            || fs_err::create_dir_all(path.parent().unwrap()).is_err();
        if is_blocked {
            continue;
        }
        match seeded.below(8) {
            0 => drop(trees::folder(folder, &name)),
            1 => {
                drop(trees::symlink(folder, &name, ["a", "../b", "/etc"][seeded.below(3)]));
            }
            2 => drop(trees::fifo(folder, &name)),
            3 if !files.is_empty() => {
                let file: &std::path::PathBuf = &files[seeded.below(files.len())];
                trees::hard_link(folder, &name, file);
            }
            kind => {
                let part = &given[seeded.below(given.len())];
                let content = match &part.what {
                    super::scene::What::File(content) if kind < 7 => content.clone(),
                    _ => seeded.next().to_le_bytes().to_vec(),
                };
                let file = trees::file(folder, &name, content);
                trees::mode(&file, [0o644, 0o600, 0o400, 0o4755][seeded.below(4)]);
                trees::mtime(&file, 1_600_000_000 + i64::from(seeded.below(2) == 1), 7);
                files.push(file);
            }
        }
    }
    if seeded.below(3) == 0 {
        let closed = trees::folder(folder, "closed");
        trees::file(folder, "closed/x", "x");
        trees::mode(&closed, 0o500);
    }
}

/// Files that a package has.
fn given() -> Vec<Part> {
    let contents = (0..4_u8).map(|number| vec![number; 3000 + usize::from(number)]);
    contents.enumerate().map(|(at, content)| Part::file(&format!("p/{at}"), content)).collect()
}

#[test]
fn over_any_tree_comes_the_tree_that_was_packed() {
    for seed in 1..=40 {
        let mut seeded = Seeded(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let scene = Scene::new();
        let given = given();
        scene.index("p.tar", &tar(&given));
        fill(&scene.tree(), &mut seeded, &given);
        let expected = snapshot(&scene.tree());
        let (archive, _) = scene.pack_well(&PackOptions { ..options() });
        for overwrite in [Some(Overwrite::Always), Some(Overwrite::Changed), None] {
            let target = scene.target();
            fill(&target, &mut seeded, &given);
            let before = snapshot(&target);
            let recorder = Recorder::default();
            let options = RestoreOptions { overwrite, delete: true, ..RestoreOptions::default() };
            let planned = scene
                .restorer()
                .plan_unpack(&mut &*archive, &target, None, &options, &recorder)
                .unwrap();
            assert_same(&before, &snapshot(&target));
            let restored =
                scene.restorer().unpack(&mut &*archive, &target, &options, &recorder).unwrap();
            let moment = format!("seed {seed}, {overwrite:?}");
            assert_said(&planned, &before, &expected, &restored.removed, &moment);
            assert_eq!(problems(&recorder), "", "seed {seed}, {overwrite:?}");
            scene.judge(&target, &restored, &recorder, &expected);
        }
    }
}

/// A dry run said what was done: what was not right before, and, unless everything is replaced, nothing else.
#[track_caller]
fn assert_said(
    planned: &Planned,
    before: &Snapshot,
    expected: &Snapshot,
    removed: &[RelPath],
    moment: &str,
) {
    assert_eq!(planned.summary.proven, Some(true), "{moment}");
    let strays = planned.steps.iter().filter(|step| step.action == Action::Remove);
    let strays =
        strays.map(|step| &step.path).filter(|path| !expected.contains_key(path.as_bytes()));
    assert_eq!(strays.collect::<Vec<_>>(), removed.iter().collect::<Vec<_>>(), "{moment}");
    let said = |path: &[u8]| planned.steps.iter().any(|step| step.path.as_bytes() == path);
    // Names that a file has besides, outside of the tree, are no change of it.
    let alone = |node: &Node| Node { first_name: Vec::new(), ..node.clone() };
    for (path, node) in expected {
        let was = before.get(path);
        let is_right = was.is_some_and(|was| alone(was) == alone(node));
        assert!(is_right || said(path), "{moment}: nothing was said of {path:?}: {was:?}");
        let is_file = was.is_some_and(|was| was.kind != 'd');
        let is_exact = was == Some(node) && !(moment.contains("Always") && is_file);
        assert!(!is_exact || !said(path), "{moment}: {path:?} was right: {:?}", planned.steps);
    }
}
