//! Restoring over any other tree gives the tree that was packed, if everything may be replaced and removed.

use std::path::Path;

use hashget::monitor::Recorder;
use hashget::pack::PackOptions;
use hashget::restore::{Overwrite, RestoreOptions};
use hashget_testkit::trees::{self, snapshot};

use super::scene::{Part, Scene, options, problems, tar};

/// Numbers that look random.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Fills a folder. There are so few names that two such trees have most of them in common, as other things.
fn fill(folder: &Path, seeded: &mut Seeded, given: &[Part]) {
    fs_err::create_dir_all(folder).unwrap();
    let mut files = Vec::new();
    for _ in 0..14 {
        let depth = 1 + seeded.below(3);
        let names: Vec<String> =
            (0..depth).map(|_| ["a", "b", "c"][seeded.below(3) as usize].to_owned()).collect();
        let (name, path) = (names.join("/"), folder.join(names.join("/")));
        let is_blocked = fs_err::symlink_metadata(&path).is_ok()
            || fs_err::create_dir_all(path.parent().unwrap()).is_err();
        if is_blocked {
            continue;
        }
        match seeded.below(8) {
            0 => drop(trees::folder(folder, &name)),
            1 => {
                drop(trees::symlink(folder, &name, ["a", "../b", "/etc"][seeded.below(3) as usize]))
            }
            2 => drop(trees::fifo(folder, &name)),
            3 if !files.is_empty() => {
                let file: &std::path::PathBuf = &files[seeded.below(files.len() as u64) as usize];
                trees::hard_link(folder, &name, file);
            }
            kind => {
                let part = &given[seeded.below(given.len() as u64) as usize];
                let content = match &part.what {
                    super::scene::What::File(content) if kind < 7 => content.clone(),
                    _ => seeded.below(1 << 40).to_le_bytes().to_vec(),
                };
                let file = trees::file(folder, &name, content);
                trees::mode(&file, [0o644, 0o600, 0o400, 0o4755][seeded.below(4) as usize]);
                trees::mtime(&file, 1_600_000_000 + seeded.below(2) as i64, 7);
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
            let recorder = Recorder::default();
            let options = RestoreOptions { overwrite, delete: true, ..RestoreOptions::default() };
            let restored =
                scene.restorer().unpack(&mut &*archive, &target, &options, &recorder).unwrap();
            assert_eq!(problems(&recorder), "", "seed {seed}, {overwrite:?}");
            scene.judge(&target, &restored, &recorder, &expected);
        }
    }
}
