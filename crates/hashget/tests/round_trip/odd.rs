//! Odd packages and odd trees, one at a time: each was, or could be, a way to lose something.

use hashget::codec::Codec;
use hashget::monitor::Recorder;
use hashget::pack::PackOptions;
use hashget_testkit::packages::{TarBuilder, TarEntry, ZipEntry, zip};
use hashget_testkit::trees::{self, snapshot};

use crate::scene::{Part, Scene, What, finish_folders, lay_down, options, problems, tar};

fn text(seed: u8) -> Vec<u8> {
    (0..3000_u32)
        .map(|number| u8::try_from(number.wrapping_mul(97) >> 3 & 0xff).unwrap() ^ seed)
        .collect()
}

#[track_caller]
fn comes_back(scene: &Scene, left_out: u64) {
    let before = snapshot(&scene.tree());
    for min_size in [0, 3001] {
        let options = PackOptions { min_size, ..options() };
        let (archive, packed) = scene.pack_well(&options);
        if min_size == 0 {
            assert_eq!(packed.left_out_files, left_out, "{packed:?}");
        }
        scene.unpack_well(&archive, &before);
        scene.gnu_tar_and_restore_well(&archive, &before);
    }
}

/// Folders and files of which the package says neither mode nor time, given by several trees.
#[test]
fn a_zip_that_says_little_of_its_folders_comes_back() {
    let scene = Scene::new();
    let contents: Vec<Vec<u8>> = (0..8).map(text).collect();
    let mute = |name, content| ZipEntry {
        name,
        content,
        mode: None,
        local: (1980, 0, 0, 0, 0, 0),
        ..ZipEntry::default()
    };
    let names: [&[u8]; 4] = [b"a/one", b"a/two", b"b/three", b"b/four"];
    for (number, chunk) in contents.chunks(4).enumerate() {
        let mut entries = vec![
            ZipEntry { deflate: false, ..mute(b"a/", b"") },
            ZipEntry { deflate: false, ..mute(b"b/", b"") },
        ];
        let plain = |name, content| ZipEntry { name, content, ..ZipEntry::default() };
        for (index, (name, content)) in names.iter().zip(chunk).enumerate() {
            entries.push(if index % 2 == 0 { mute(name, content) } else { plain(name, content) });
        }
        scene.index(&format!("{number}.zip"), &zip(&entries));
    }
    let tree = scene.tree();
    for (index, content) in contents.iter().enumerate() {
        let mut name = names[index % 4].to_vec();
        name.extend(if index < 4 { &b""[..] } else { b"-more" });
        // The second package's files lie in the same folders, under other names; two keep theirs.
        let path = trees::file(&tree, if index == 5 { b"c/two".to_vec() } else { name }, content);
        trees::mode(&path, 0o640);
        trees::mtime(&path, 1_650_000_000 + i64::try_from(index).unwrap() * 1000, 500);
    }
    trees::file(&tree, "copy/a/one", &contents[4]);
    trees::file(&tree, "copy/a/two", &contents[5]);
    trees::file(&tree, "copy/b/three", &contents[6]);
    trees::file(&tree, "copy/b/four", &contents[7]);
    comes_back(&scene, 12);
}

#[test]
fn two_zips_in_one_folder_that_neither_describes_come_back() {
    let scene = Scene::new();
    let tree = scene.tree();
    for number in 0..2_u8 {
        let names: Vec<String> = (0..4).map(|index| format!("site/{number}-{index}")).collect();
        let contents: Vec<Vec<u8>> = (0..4).map(|index| text(number * 4 + index)).collect();
        let mut entries = vec![ZipEntry {
            name: b"site/",
            mode: None,
            local: (1980, 0, 0, 0, 0, 0),
            deflate: false,
            ..ZipEntry::default()
        }];
        for (name, content) in names.iter().zip(&contents) {
            entries.push(ZipEntry { name: name.as_bytes(), content, ..ZipEntry::default() });
            let path = trees::file(&tree, name, content);
            trees::mtime(&path, 1_700_000_000, 0);
        }
        scene.index(&format!("{number}.zip"), &zip(&entries));
    }
    trees::mode(&tree.join("site"), 0o2711);
    comes_back(&scene, 8);
}

#[test]
fn hard_links_across_packages_and_first_names_come_back() {
    let scene = Scene::new();
    let tree = scene.tree();
    let parts = |top: &str| {
        vec![
            Part::folder(&format!("{top}/")),
            Part::file(&format!("{top}/m"), text(1)),
            Part::new(&format!("{top}/n"), What::HardLink(format!("{top}/m").into_bytes()), 0o644),
            Part::file(&format!("{top}/o"), text(2)),
            Part::file(&format!("{top}/p"), text(3)),
        ]
    };
    for top in ["x", "y"] {
        scene.index(&format!("{top}.tar"), &tar(&parts(top)));
        lay_down(&tree, &parts(top));
    }
    // One group over both packages, and a name before all.
    fs_err::remove_file(tree.join("y/m")).unwrap();
    fs_err::remove_file(tree.join("y/n")).unwrap();
    trees::hard_link(&tree, "y/m", &tree.join("x/m"));
    trees::hard_link(&tree, "y/n", &tree.join("x/m"));
    trees::hard_link(&tree, "a", &tree.join("x/m"));
    trees::hard_link(&tree, "a-second", &tree.join("y/o"));
    // What the package gives as a link is a file of its own here.
    fs_err::remove_file(tree.join("x/n")).unwrap();
    trees::file(&tree, "x/n", text(1));
    finish_folders(&tree, &[parts("x"), parts("y")].concat());
    let before = snapshot(&tree);
    let (archive, packed) = scene.pack_well(&options());
    assert!(packed.left_out_files >= 5, "{packed:?}");
    scene.unpack_well(&archive, &before);
    scene.gnu_tar_and_restore_well(&archive, &before);
}

#[test]
fn hard_links_to_excepted_and_to_later_members_come_back() {
    let scene = Scene::new();
    let parts = vec![
        Part::folder("d/"),
        Part::file("d/target", text(1)),
        Part::new("d/link", What::HardLink(b"d/target".to_vec()), 0o644),
        Part::new("d/link2", What::HardLink(b"d/target".to_vec()), 0o644),
        Part::file("d/other", text(2)),
        Part::file("d/third", text(3)),
    ];
    let mut later = parts.clone();
    later.swap(1, 3);
    scene.index("parts.tar", &tar(&parts));
    scene.index("later.tar", &tar(&later));
    let tree = scene.tree();
    lay_down(&tree, &parts);
    // The first name went; the further ones are still one file.
    fs_err::remove_file(tree.join("d/target")).unwrap();
    let before = snapshot(&tree);
    let (archive, _) = scene.pack_well(&options());
    scene.unpack_well(&archive, &before);
    scene.gnu_tar_and_restore_well(&archive, &before);
}

#[test]
fn members_that_come_twice_come_back_as_they_are_in_the_tree() {
    let scene = Scene::new();
    let parts = vec![
        Part::folder("d/"),
        Part::file("d/twice", text(1)),
        Part::file("d/a", text(2)),
        Part::file("d/b", text(3)),
        Part::file("d/twice", text(4)),
        Part::folder("d/"),
        Part::file("./d//c", text(5)),
        Part::new("d/c/", What::Folder, 0o700),
    ];
    scene.index("twice.tar", &tar(&parts));
    for content in [text(1), text(4)] {
        let tree = scene.tree();
        trees::file(&tree, "d/twice", content);
        trees::file(&tree, "d/a", text(2));
        trees::file(&tree, "d/b", text(3));
        trees::file(&tree, "d/c", text(5));
        let before = snapshot(&tree);
        let (archive, packed) = scene.pack_well(&options());
        assert!(packed.left_out_files >= 2, "{packed:?}");
        scene.unpack_well(&archive, &before);
    }
}

#[test]
fn folders_that_two_packages_describe_come_back_as_they_are() {
    let scene = Scene::new();
    let mut all = Vec::new();
    for (number, mode) in [(0, 0o755), (1, 0o700), (2, 0o1777)] {
        let parts = vec![
            Part { mtime: number, ..Part::new("etc/", What::Folder, mode) },
            Part { mtime: number, ..Part::new("etc/deeper/", What::Folder, mode) },
            Part::file(&format!("etc/{number}"), text(u8::try_from(number).unwrap())),
            Part::file(&format!("etc/deeper/{number}"), text(u8::try_from(number).unwrap() + 10)),
        ];
        scene.index(&format!("{number}.tar"), &tar(&parts));
        all.extend(parts);
    }
    lay_down(&scene.tree(), &all);
    trees::mode(&scene.tree().join("etc"), 0o751);
    comes_back(&scene, 6);
}

#[test]
fn a_package_with_a_folder_of_the_manifests_name_does_not_get_in_the_way() {
    let scene = Scene::new();
    let parts = vec![
        Part::folder(".hashget-restore.json/"),
        Part::file(".hashget-restore.json/one", text(1)),
        Part::file(".hashget-restore.json/two", text(2)),
        Part::file("three", text(3)),
        Part::file("four", text(4)),
    ];
    scene.index("parts.tar", &tar(&parts));
    lay_down(&scene.tree(), &parts);
    let before = snapshot(&scene.tree());
    let (archive, packed) = scene.pack_well(&options());
    assert_eq!(packed.left_out_files, 2, "{packed:?}");
    scene.unpack_well(&archive, &before);
    scene.gnu_tar_and_restore_well(&archive, &before);
}

#[test]
fn sparse_and_dense_are_told_apart() {
    let scene = Scene::new();
    let mut zeros = vec![0; 1 << 20];
    zeros[500_000..500_004].copy_from_slice(b"data");
    let package = TarBuilder::new()
        .sparse("sparse", 1 << 20, &[(500_000, b"data")])
        .entry(&TarEntry { name: b"dense", content: &zeros, ..TarEntry::default() });
    scene.index("package.tar", &package.finish());
    let tree = scene.tree();
    trees::sparse(&tree, "sparse", 1 << 20, &[(500_000, b"data")]);
    trees::file(&tree, "dense", &zeros);
    trees::file(&tree, "given-as-sparse", &zeros);
    let before = snapshot(&tree);
    let (archive, _) = scene.pack_well(&options());
    scene.unpack_well(&archive, &before);
    scene.gnu_tar_and_restore_well(&archive, &before);
}

#[test]
fn what_is_excluded_is_not_there_and_what_is_skipped_is_archived() {
    let scene = Scene::new();
    let parts: Vec<Part> = [Part::folder("keep/"), Part::folder("keep/cache/")]
        .into_iter()
        .chain((0..6).map(|number| Part::file(&format!("keep/{number}"), text(number))))
        .chain((6..9).map(|number| Part::file(&format!("keep/cache/{number}"), text(number))))
        .collect();
    scene.index("parts.tar", &tar(&parts));
    lay_down(&scene.tree(), &parts);
    let mut before = snapshot(&scene.tree());
    let options = PackOptions {
        exclude: vec!["./keep/cache/*".into(), "*/5".into()],
        skip: vec!["keep/[01]".into()],
        ..options()
    };
    before.retain(|path, _| !path.starts_with(b"keep/cache/") && path != b"keep/5");
    let (archive, packed) = scene.pack_well(&options);
    assert_eq!((packed.left_out_files, packed.archived_files), (3, 2), "{packed:?}");
    scene.unpack_well(&archive, &before);
}

/// The archive is written into the tree that it is made of, again and again.
#[test]
fn an_archive_within_its_own_tree_is_no_part_of_it() {
    let scene = Scene::new();
    trees::file(&scene.tree(), "file", "content");
    let file = scene.tree().join("backup.tar.gz");
    let options = PackOptions { codec: Codec::Gzip, ..options() };
    for _ in 0..3 {
        let recorder = Recorder::default();
        let output = hashget::pack::Output::File(file.clone());
        scene.packer().pack(&scene.tree(), output, &options, &recorder).unwrap();
        assert_eq!(problems(&recorder), "");
        let archive = fs_err::read(&file).unwrap();
        let (target, restored, told) = scene.unpack(&archive);
        assert_eq!((problems(&told).as_str(), restored.proven), ("", Some(true)));
        let found = snapshot(&target);
        assert_eq!(found.keys().collect::<Vec<_>>(), [&b""[..], b"file"]);
    }
}

/// Of files and, for root, of folders.
#[test]
fn every_mode_comes_back() {
    let scene = Scene::new();
    for bits in (0..=0o7777).filter(|bits| trees::is_root() || bits & 0o400 != 0) {
        trees::mode(&trees::file(&scene.tree(), format!("files/{bits:04o}"), "m"), bits);
        if trees::is_root() {
            trees::mode(&trees::folder(&scene.tree(), format!("folders/{bits:04o}")), bits);
        }
    }
    comes_back(&scene, 0);
}

/// As many as a mail folder has, or a cache.
#[test]
fn a_folder_of_fifty_thousand_files_comes_back() {
    let scene = Scene::new();
    let folder = trees::folder(&scene.tree(), "many");
    for number in 0..50_000_u32 {
        let content = if number % 4 == 0 { number.to_string() } else { String::new() };
        fs_err::write(folder.join(format!("{number:05}")), content).unwrap();
    }
    let before = snapshot(&scene.tree());
    let (archive, packed) = scene.pack_well(&PackOptions { codec: Codec::Zstd, ..options() });
    assert_eq!(packed.files, 50_000);
    scene.unpack_well(&archive, &before);
}

/// Limits are for packages, which come from strangers.
#[test]
fn a_tree_has_more_entries_and_bytes_than_a_package_may() {
    let mut scene = Scene::new();
    for number in 0..60_u32 {
        trees::file(&scene.tree(), format!("{number:02}"), number.to_string().repeat(100));
    }
    (scene.limits.entries, scene.limits.unpacked_bytes) = (10, 1000);
    let before = snapshot(&scene.tree());
    let (archive, packed) = scene.pack_well(&PackOptions { codec: Codec::Zstd, ..options() });
    assert_eq!(packed.files, 60);
    scene.unpack_well(&archive, &before);
}
