//! Random packages and trees: whatever a recipe leaves out comes back, and nothing that does not follow is left out.

use proptest::prelude::*;

use crate::scene::{Part, options};
use crate::trees::{debian, list_of, parts};

/// What somebody did to the list.
#[derive(Debug, Clone)]
enum Edit {
    Nothing,
    Byte(usize, u8),
    Line(usize),
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        Just(Edit::Nothing),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        any::<usize>().prop_map(Edit::Line),
    ]
}

fn edited(list: &str, edit: &Edit) -> Vec<u8> {
    let mut bytes = list.as_bytes().to_vec();
    match edit {
        Edit::Nothing => {}
        Edit::Byte(at, byte) => {
            let at = at % bytes.len();
            bytes[at] = *byte;
        }
        Edit::Line(at) => {
            let lines: Vec<&str> = list.lines().collect();
            let at = at % lines.len();
            let left = lines.iter().enumerate().filter(|(index, _)| *index != at);
            bytes = left.flat_map(|(_, line)| format!("{line}\n").into_bytes()).collect();
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_list_is_left_out_exactly_if_it_follows(
        files in 1..60_usize,
        names in prop::collection::btree_set("[a-z~+,\" é]{1,12}", 0..20),
        edit in edits(),
    ) {
        let mut all = parts(files);
        all.extend(names.iter().filter(|name| !name.trim().is_empty()).map(|name| {
            Part::file(&format!("usr/{name}.d"), name.repeat(30))
        }));
        let list = list_of(&all);
        let found = edited(&list, &edit);
        let (scene, before) = debian(&all, "");
        let path = scene.tree().join("var/lib/dpkg/info/tool.list");
        fs_err::write(&path, &found).unwrap();
        let before = { drop(before); hashget_testkit::trees::snapshot(&scene.tree()) };
        let (archive, packed) = scene.pack_well(&options());
        let follows = found == list.as_bytes() && found.len() >= 512;
        prop_assert_eq!(packed.derived.contains_key("dpkg-list"), follows);
        scene.unpack_well(&archive, &before);
    }
}
