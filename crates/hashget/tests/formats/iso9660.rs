//! Images of ISO 9660: names of Rock Ridge and Joliet, folders that lie elsewhere, files in parts, and images that lie.

use hashget::formats::FormatError;
use hashget::limits::Limits;
use hashget::model::{Kind, MemberMetadata, Timestamp};
use hashget_testkit::packages::{
    IsoContent, IsoEntry, IsoFolder, block_of_area, both, iso_file, iso_folder, iso9660, posix,
    susp, susp_area, susp_start,
};

use crate::collect::{Collected, noise, read, read_error, read_with};

/// 2001-02-03 04:05:06, two hours east of Greenwich.
const RECORDED: Timestamp = Timestamp::from_seconds(981_165_906);

fn name(name: &[u8]) -> Vec<u8> {
    susp(b"NM", &[b"\0", name].concat())
}

fn target(components: &[(u8, &[u8])]) -> Vec<u8> {
    let part =
        |&(flags, text): &(u8, &[u8])| [&[flags, u8::try_from(text.len()).unwrap()], text].concat();
    susp(b"SL", &[vec![0], components.iter().flat_map(part).collect()].concat())
}

fn top(entries: Vec<IsoEntry<'_>>) -> IsoFolder<'_> {
    IsoFolder { fields: [susp_start(0), posix(0o040_755, (0, 0))].concat(), entries }
}

fn folder(entries: Vec<IsoEntry<'_>>) -> IsoFolder<'_> {
    IsoFolder { fields: posix(0o040_755, (0, 0)), entries }
}

/// Folders with an entry of every kind.
pub(crate) fn every_kind(content: &[u8]) -> Vec<IsoFolder<'_>> {
    let modified = susp(b"TF", b"\x03\x64\x01\x01\0\0\0\0\x65\x01\x01\0\0\0\0");
    let long = susp(b"TF", b"\x821969123123595950\0");
    let device = |high, low| susp(b"PN", &[both(high), both(low)].concat());
    vec![
        top(vec![
            iso_folder(b"DIR", 1, &[name(b"dir"), posix(0o040_750, (1, 2))]),
            iso_file(b"EMPTY.;1", b"", &[name(b"empty"), posix(0o100_600, (0, 0)), modified]),
            iso_file(b"PIPE.;1", b"", &[name(b"pipe"), posix(0o010_644, (0, 0))]),
            iso_file(b"SDA.;1", b"", &[name(b"sda"), posix(0o060_660, (0, 6)), device(0, 0x800)]),
            iso_file(b"NULL.;1", b"", &[name(b"null"), posix(0o020_666, (0, 0)), device(1, 3)]),
        ]),
        folder(vec![
            iso_file(b"TOOL.;1", content, &[name(b"Tool"), posix(0o104_755, (1000, 50)), long]),
            iso_file(
                b"LINK.;1",
                b"",
                &[
                    name(b"link"),
                    posix(0o120_777, (0, 0)),
                    target(&[(8, b""), (4, b""), (2, b""), (1, b"u"), (0, b"sr"), (0, b"lib")]),
                ],
            ),
            iso_file(b"CAFE.TXT;1", content, &[name(b"caf\xe9"), posix(0o100_644, (0, 0))]),
        ]),
    ]
}

#[test]
fn every_kind_of_entry_of_rock_ridge() {
    let content = noise(70_001);
    let (format, collected) = read(&iso9660(&every_kind(&content), &[], None));
    assert_eq!((format, &collected.bad[..]), ("iso9660", &[][..]));
    let order = ["dir", "dir/Tool", "dir/link", "dir/caf\\xe9", "empty", "pipe", "sda", "null"];
    assert_eq!(collected.paths(), order, "a folder is followed by what is in it");
    let member = |path| collected.member(path);
    let metadata = |mode, owner: (u32, u32), mtime| MemberMetadata {
        mode: Some(mode),
        uid: Some(owner.0),
        gid: Some(owner.1),
        mtime: Some(mtime),
        ..MemberMetadata::default()
    };
    assert_eq!(member("dir").kind, Kind::Directory);
    assert_eq!(member("dir").metadata, metadata(0o750, (1, 2), RECORDED));
    let half = Timestamp { seconds: -1, nanoseconds: 500_000_000 };
    assert_eq!(member("dir/Tool").metadata, metadata(0o4755, (1000, 50), half));
    assert_eq!(collected.content("dir/Tool"), content);
    assert_eq!(collected.find(b"dir/caf\xe9").1, content);
    let target = (*b"/.././usr/lib").into();
    assert_eq!(member("dir/link").kind, Kind::Symlink { target });
    let changed = Timestamp::from_seconds(978_307_200);
    assert_eq!(member("empty").metadata, metadata(0o600, (0, 0), changed));
    assert_eq!(member("empty").kind, Kind::File { size: 0 });
    assert_eq!(member("pipe").kind, Kind::Fifo);
    assert_eq!(member("sda").kind, Kind::BlockDevice { major: 8, minor: 0 });
    assert_eq!(member("null").kind, Kind::CharDevice { major: 1, minor: 3 });
}

#[test]
fn names_are_those_of_rock_ridge_else_of_joliet_else_plain() {
    let utf_16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    let (first, second) = (utf_16("Caf\u{e9} \u{1f980}.txt;1"), utf_16("Other"));
    let plain = |fields: Vec<u8>| IsoFolder {
        fields,
        entries: vec![
            iso_folder(b"OTHER", 1, &[]),
            iso_file(b"CAFE.TXT;1", b"1", &[]),
            iso_file(b"README.;1", b"2", &[]),
            iso_file(b"A.B;7", b"3", &[]),
        ],
    };
    let of_joliet = IsoFolder {
        entries: vec![iso_file(&first, b"1", &[]), iso_folder(&second, 1, &[])],
        ..IsoFolder::default()
    };
    let folders = |fields| vec![plain(fields), IsoFolder::default(), of_joliet.clone()];
    let names = ["OTHER", "CAFE.TXT", "README", "A.B;7"];
    let without = folders(Vec::new());
    let (_, collected) = read(&iso9660(&without, &[], None));
    assert_eq!(
        (collected.paths(), &collected.bad[..]),
        (names.map(String::from).to_vec(), &[][..])
    );
    let metadata = MemberMetadata { mtime: Some(RECORDED), ..MemberMetadata::default() };
    assert_eq!(collected.member("README").metadata, metadata);
    let (_, collected) = read(&iso9660(&without, &[], Some(2)));
    assert_eq!(collected.paths(), ["Caf\u{e9} \u{1f980}.txt", "Other"]);
    // Rock Ridge comes first, also if it does not name everything.
    let with = folders([susp_start(0), posix(0o040_755, (0, 0))].concat());
    assert_eq!(read(&iso9660(&with, &[], Some(2))).1.paths(), names);
    // Fields of the SUSP, and nothing of Rock Ridge in them.
    let other = folders([susp_start(0), susp(b"XX", b"")].concat());
    assert_eq!(read(&iso9660(&other, &[], Some(2))).1.paths().len(), 2);
    let not_utf_16 = IsoFolder {
        entries: vec![iso_file(b"\xd8\0\0a", b"", &[]), iso_file(b"\0ab", b"", &[])],
        ..IsoFolder::default()
    };
    let folders = [plain(Vec::new()), IsoFolder::default(), not_utf_16];
    let (_, collected) = read(&iso9660(&folders, &[], Some(2)));
    assert_bad(&collected, "UTF-16", 2);
}

#[test]
fn fields_follow_other_bytes_and_go_on_elsewhere() {
    let long = [b"n".repeat(200), b"o".repeat(55)];
    let parts = [
        susp(b"NM", &[b"\x01", &long[0][..]].concat()),
        susp(b"NM", &[b"\0", &long[1][..]].concat()),
    ];
    let link = [
        susp(b"SL", b"\x01\x00\x03usr\x01\x02li"),
        susp(b"SL", b"\x00\x00\x01b\x00\x01x"),
        posix(0o120_777, (0, 0)),
    ];
    let second = [parts[1].clone(), link.concat()].concat();
    let area =
        [vec![0; 100], parts[0].clone(), susp_area(1, 0, u32::try_from(second.len()).unwrap())];
    let area = area.concat();
    let length = u32::try_from(area.len() - 100).unwrap();
    let skipped = || vec![7; 14];
    let folders = [IsoFolder {
        // As on discs of the kind CD-ROM XA.
        fields: [skipped(), susp_start(14), posix(0o040_755, (0, 0))].concat(),
        entries: vec![
            iso_file(b"LINK.;1", b"", &[skipped(), susp_area(0, 100, length)]),
            iso_file(b"B.;1", b"b", &[skipped(), name(b"b"), susp(b"ST", b""), name(b"c")]),
        ],
    }];
    let (_, collected) = read(&iso9660(&folders, &[&area, &second], None));
    assert_eq!(collected.bad, []);
    let path = String::from_utf8(long.concat()).unwrap();
    assert_eq!(collected.paths(), [&path, "b"]);
    let target = (*b"usr/lib/x").into();
    assert_eq!(collected.member(&path).kind, Kind::Symlink { target });
}

/// `a/deep` lies in `rr_moved`, and so does what is called `more` there.
fn moved<'a>(child: u32, more: Vec<IsoEntry<'a>>) -> Vec<IsoFolder<'a>> {
    let stands_for = susp(b"CL", &both(child));
    let mode = || posix(0o040_711, (0, 0));
    let deep = iso_folder(b"DEEP", 3, &[name(b"deep"), susp(b"RE", b""), mode()]);
    vec![
        top(vec![
            iso_folder(b"A", 1, &[name(b"a"), posix(0o040_755, (0, 0))]),
            iso_folder(b"RR_MOVED", 2, &[name(b"rr_moved"), posix(0o040_755, (0, 0))]),
        ]),
        folder(vec![iso_file(b"DEEP.;1", b"", &[name(b"deep"), mode(), stands_for])]),
        folder([vec![deep], more].concat()),
        IsoFolder { fields: mode(), entries: vec![iso_file(b"F.;1", b"f", &[name(b"f")])] },
    ]
}

#[test]
fn folders_that_lie_elsewhere_are_where_they_belong() {
    let child = block_of_area(3);
    let (_, collected) = read(&iso9660(&moved(child, Vec::new()), &[], None));
    assert_eq!(
        (collected.paths(), &collected.bad[..]),
        (["a", "a/deep", "a/deep/f"].map(String::from).to_vec(), &[][..])
    );
    assert_eq!(collected.member("a/deep").metadata.mode, Some(0o711));
    // A folder of that name which has something else is one of those who made the image.
    let own = iso_file(b"OWN.;1", b"own", &[name(b"own")]);
    let (_, collected) = read(&iso9660(&moved(child, vec![own]), &[], None));
    assert_eq!(collected.paths(), ["a", "a/deep", "a/deep/f", "rr_moved", "rr_moved/own"]);
    // genisoimage can have Linux hide that folder.
    let mut folders = moved(child, Vec::new());
    folders[0].entries[1].fields.extend(susp(b"RE", b""));
    let (_, collected) = read(&iso9660(&folders, &[], None));
    assert_eq!((collected.members.len(), &collected.bad[..]), (3, &[][..]));
    // It belongs nowhere: a file stands for what is no folder.
    let (_, collected) = read(&iso9660(&moved(block_of_area(0), Vec::new()), &[b""], None));
    assert_eq!(collected.paths(), ["a"]);
    assert_bad(&collected, "there is none where it should be", 1);
    assert_bad(&collected, "nothing says where it belongs", 1);
    assert_damaged(&iso9660(&moved(16, Vec::new()), &[], None), "impossible length");
    // A folder in itself, and one in two places.
    for child in [block_of_area(1), block_of_area(0)] {
        assert_damaged(&iso9660(&moved(child, Vec::new()), &[], None), "another folder");
    }
}

#[test]
fn a_file_in_parts_is_one_file() {
    const GOES_ON: u8 = 0x80;
    let parts = [noise(4096), noise(5000)];
    let part = |at: usize, flags| IsoEntry { flags, ..iso_file(b"LARGE.;1", &parts[at], &[]) };
    let other = || iso_file(b"NEXT.;1", b"next", &[]);
    let image = |entries| iso9660(&[IsoFolder { entries, ..IsoFolder::default() }], &[], None);
    let (_, collected) = read(&image(vec![part(0, GOES_ON), part(1, 0), other()]));
    assert_eq!(collected.paths(), ["LARGE", "NEXT"]);
    assert_eq!(collected.content("LARGE"), parts.concat());
    // A part that cannot be read takes the others with it.
    let (_, collected) =
        read(&image(vec![part(0, GOES_ON), part(1, GOES_ON | 4), part(1, 0), other()]));
    assert_eq!(collected.paths(), ["NEXT"]);
    assert_bad(&collected, "belongs to the file of the same name", 1);
    // Parts may be empty, and may lie anywhere; a folder has none.
    let at = |block, size, flags| {
        let content = IsoContent::At(block, size);
        IsoEntry { name: b"PARTS.;1", flags, content, fields: Vec::new() }
    };
    let entries = vec![
        at(0, 0, GOES_ON),
        at(0, 2048, GOES_ON),
        at(16, 2048, GOES_ON),
        at(17, 0, GOES_ON),
        at(17, 9, GOES_ON),
        at(16, 7, 0),
    ];
    let whole = image(entries);
    let (_, collected) = read(&whole);
    let expected = [&whole[..2048], &whole[0x8000..0x8000 + 2057], &whole[0x8000..0x8007]];
    assert!(collected.content("PARTS") == expected.concat());
    let (_, collected) = read(&image(vec![at(18, 2048, GOES_ON | 2), at(18, 2048, 2), other()]));
    assert_eq!(collected.paths(), ["NEXT"]);
    assert_bad(&collected, "in several parts", 1);
    assert_damaged(&image(vec![part(0, GOES_ON), other()]), "there is no more of it");
    assert_damaged(&image(vec![part(0, GOES_ON)]), "there is no more of it");
}

#[test]
fn what_cannot_be_a_member_is_named() {
    let mode = || posix(0o100_644, (0, 0));
    let file = |fields: &[Vec<u8>]| iso_file(b"X.;1", b"content", fields);
    let wrong = |at: usize| {
        let mut number = mode();
        number[at] ^= 1;
        number
    };
    for (entry, reason) in [
        (file(&[susp(b"ZF", b"pz\x04\x0f\0\0\0\0\0\0\0\0"), mode()]), "zisofs"),
        (file(&[posix(0o140_755, (0, 0))]), "socket"),
        (file(&[posix(0o150_755, (0, 0))]), "no known type"),
        (file(&[posix(0o020_755, (0, 0))]), "without a number"),
        (file(&[posix(0o120_755, (0, 0))]), "without a target"),
        (file(&[posix(0o120_755, (0, 0)), target(&[(0, b"a\0b")])]), "NUL byte"),
        (file(&[posix(0o120_755, (0, 0)), target(&[(16, b"")])]), "another volume"),
        (file(&[posix(0o120_755, (0, 0)), susp(b"SL", b"\0\0\x09usr")]), "damaged"),
        (file(&[posix(0o040_755, (0, 0))]), "do not agree"),
        (iso_folder(b"X", 1, &[mode()]), "do not agree"),
        (file(&[wrong(4)]), "byte orders"),
        (file(&[wrong(35)]), "byte orders"),
        (file(&[susp(b"PX", &both(0o100_644))]), "byte orders"),
        (file(&[b"NM\x20\x01\0name".to_vec()]), "damaged"),
        (file(&[name(b"..")]), "itself or of the one above"),
        (file(&[susp(b"NM", b"\x02")]), "itself or of the one above"),
        (file(&[name(b"../etc/passwd")]), "slash"),
        (file(&[name(b"a\0b")]), "NUL byte"),
        (file(&[name(b"")]), "name is empty"),
        (file(&[susp_area(0, 2040, 9)]), "end of a block"),
        (file(&[susp(b"RE", b""), mode()]), "is no folder"),
        (iso_folder(b"X", 1, &[susp(b"CL", &both(20))]), "stands for another one"),
        (IsoEntry { flags: 4, ..file(&[]) }, "of the same name"),
        (IsoEntry { flags: 2, ..file(&[mode()]) }, "do not agree"),
    ] {
        let others = [iso_file(b"A.;1", b"a", &[]), iso_file(b"Z.;1", b"z", &[])];
        let [first, last] = others;
        let folders = [top(vec![first, entry, last]), IsoFolder::default()];
        let (_, collected) = read(&iso9660(&folders, &[b"NM"], None));
        assert_eq!(collected.paths(), ["A", "Z"], "{reason}");
        assert_bad(&collected, reason, 1);
    }
    // The place of a file, and gaps in it.
    for (at, reason) in
        [(2, "byte orders"), (12, "byte orders"), (26, "interleaved"), (27, "interleaved")]
    {
        let mut image = iso9660(&[top(vec![iso_file(b"QQQ.;1", b"x", &[])])], &[], None);
        let entry = image.windows(6).position(|bytes| bytes == b"QQQ.;1").unwrap() - 33;
        image[entry + at] ^= 1;
        let (_, collected) = read(&image);
        assert_eq!(collected.paths().len(), 0);
        assert_bad(&collected, reason, 1);
    }
}

#[test]
fn names_of_kilobytes_and_paths_of_many_are_no_members() {
    let part = susp(b"NM", &[b"\x01", &b"x".repeat(240)[..]].concat());
    let area = [part.repeat(5), name(b"end")].concat();
    let length = u32::try_from(area.len()).unwrap();
    let folders = [top(vec![iso_file(b"A.;1", b"", &[susp_area(0, 0, length)])])];
    let (_, collected) = read(&iso9660(&folders, &[&area], None));
    assert_bad(&collected, "longer than 1024 bytes", 1);
    // Folders in each other: 70 times 1000 bytes.
    let area = [part.repeat(4), name(&b"x".repeat(40))].concat();
    let length = u32::try_from(area.len()).unwrap();
    let inner = |number| iso_folder(b"A", number, &[susp_area(0, 0, length)]);
    let folders: Vec<IsoFolder<'_>> =
        (0..70).map(|at| top(vec![inner(at + 1)])).chain([top(vec![])]).collect();
    let (_, collected) = read(&iso9660(&folders, &[&area], None));
    assert_eq!(collected.members.len(), 65);
    assert_bad(&collected, "longer than 64 KiB", 1);
}

#[test]
fn images_that_lie_are_damaged() {
    let content = noise(3000);
    let whole = iso9660(&every_kind(&content), &[], None);
    // The last file has 3000 bytes in two blocks.
    for length in (0x8007..whole.len() - 1096).step_by(511) {
        assert_damaged(&whole[..length], "");
    }
    let of = |content| {
        let entry = IsoEntry { name: b"X.;1", flags: 0, content, fields: Vec::new() };
        iso9660(&[top(vec![entry])], &[b""], None)
    };
    assert_damaged(&of(IsoContent::At(22, 1)), "X lies outside of the image");
    assert_damaged(&of(IsoContent::At(16, u32::MAX)), "X lies outside of the image");
    assert_damaged(&of(IsoContent::At(u32::MAX, 1)), "X lies outside of the image");
    // What is empty lies nowhere.
    assert_eq!(read(&of(IsoContent::At(u32::MAX, 0))).1.paths(), ["X"]);
    let folder_at = |block, size| {
        let content = IsoContent::At(block, size);
        let entry = IsoEntry { name: b"X", flags: 2, content, fields: Vec::new() };
        iso9660(&[top(vec![entry])], &[&b"\x22".repeat(40), &b"\x07\0".repeat(99)], None)
    };
    assert_damaged(&folder_at(21, 2048), "X lists what another folder");
    assert_damaged(&folder_at(99, 2048), "X lies outside");
    assert_damaged(&folder_at(20, u32::MAX), "X lies outside");
    assert_damaged(&folder_at(19, 2048), "shorter than its name");
    assert_damaged(&folder_at(20, 2048), "impossible length");
    assert_damaged(&folder_at(19, 30), "impossible length");
    assert_eq!(read(&folder_at(99, 0)).1.paths(), ["X"]);
    for (at, problem) in
        [(0x8000, "no descriptor"), (0x8000 + 128, "size"), (0x8000 + 158, "top folder")]
    {
        let mut image = whole.clone();
        image[at] = 9;
        assert_damaged(&image, problem);
    }
}

/// Folders whose listings begin at successive blocks and all run to the end: each is in the image, and together they are many times
/// as long as it.
#[test]
fn listings_that_overlap_are_no_longer_together_than_the_image() {
    let areas = vec![&b""[..]; 40];
    let last = block_of_area(areas.len());
    let image = |count: u32| {
        let to_the_end = |block: u32| IsoContent::At(block, (last - block) * 2048);
        let entry = |number: u32| {
            let content = to_the_end(block_of_area(0) + number);
            IsoEntry { name: b"X", flags: 2, content, fields: Vec::new() }
        };
        let entries = (0..count).map(entry).collect();
        iso9660(&[IsoFolder { fields: Vec::new(), entries }], &areas, None)
    };
    // 40 blocks of a listing, of the 60 that the image has.
    assert_eq!(image(1).len(), 60 * 2048);
    assert_eq!(read(&image(1)).1.paths(), ["X"]);
    let (error, collected) = read_error(&image(40), &Limits::default());
    assert!(matches!(error, FormatError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("longer than the image"), "{error}");
    assert_eq!(collected.members.len(), 1, "40 and 39 blocks are more than 60");
}

#[test]
fn fields_in_a_circle_end() {
    let area = [susp_area(1, 0, 28), susp_area(0, 0, 28)];
    let folders = [top(vec![iso_file(b"X.;1", b"x", &[susp_area(0, 0, 28)])])];
    let image = iso9660(&folders, &[&area[0], &area[1]], None);
    assert_damaged(&image, "in more than 32 places");
    let far = susp(b"CE", &[both(5_000_000), both(0), both(28)].concat());
    let folders = [top(vec![iso_file(b"X.;1", b"x", &[far])])];
    assert_damaged(&iso9660(&folders, &[], None), "attributes lies outside");
}

/// What a program has written into an image is what can be changed to harm: the rest of it is zeros.
#[test]
fn any_byte_may_be_any_other() {
    let content = b"content".repeat(9);
    let folders = [every_kind(&content), moved(block_of_area(4), Vec::new())];
    let limits = Limits { entries: 100, unpacked_bytes: 1 << 16, ..Limits::default() };
    for folders in folders {
        let whole = iso9660(&folders, &[], None);
        let written = (0x8000..whole.len()).filter(|&at| whole[at] != 0);
        for at in written {
            for value in [0, 1, 2, 0x22, 0x80, 0xff] {
                let mut image = whole.clone();
                image[at] = value;
                let (collected, _) = read_with(&image, false, &limits);
                assert!(collected.members.len() <= 100, "{at} is {value}");
            }
        }
    }
}

#[test]
fn the_limits_hold() {
    let large = IsoContent::At(16, 5 * 2048);
    let entries: Vec<IsoEntry<'_>> = (0..100)
        .map(|_| IsoEntry { name: b"X.;1", flags: 0, content: large, fields: Vec::new() })
        .collect();
    let image = iso9660(&[IsoFolder { entries, ..IsoFolder::default() }], &[], None);
    for limits in [
        Limits { entries: 50, ..Limits::default() },
        Limits { unpacked_bytes: 300_000, ..Limits::default() },
    ] {
        let (error, collected) = read_error(&image, &limits);
        assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
        assert!(collected.members.len() <= 50);
    }
    // A part of a file counts, too, even if it is empty.
    let part = |flags| IsoEntry { flags, ..iso_file(b"X.;1", b"", &[]) };
    let entries = (0..99).map(|_| part(0x80)).chain([part(0)]).collect();
    let image = iso9660(&[IsoFolder { entries, ..IsoFolder::default() }], &[], None);
    let (error, _) = read_error(&image, &Limits { entries: 99, ..Limits::default() });
    assert!(matches!(error, FormatError::Limit { limit: 99, .. }), "{error:?}");
    let (collected, outcome) =
        read_with(&image, false, &Limits { entries: 100, ..Limits::default() });
    assert_eq!((outcome.unwrap(), collected.paths().len()), ("iso9660", 1));
    // What cannot be a member counts, too.
    let socket = || iso_file(b"X.;1", b"", &[posix(0o140_755, (0, 0))]);
    let image = iso9660(&[top((0..100).map(|_| socket()).collect())], &[], None);
    let (error, _) = read_error(&image, &Limits { entries: 50, ..Limits::default() });
    assert!(matches!(error, FormatError::Limit { limit: 50, .. }), "{error:?}");
    let part = || IsoEntry { flags: 0x80, ..iso_file(b"X.;1", b"", &[]) };
    let image = iso9660(&[top((0..100).map(|_| part()).collect())], &[], None);
    let (error, _) = read_error(&image, &Limits { entries: 50, ..Limits::default() });
    assert!(matches!(error, FormatError::Limit { limit: 50, .. }), "{error:?}");
}

#[track_caller]
fn assert_bad(collected: &Collected, reason: &str, count: usize) {
    let found = collected.bad.iter().filter(|(_, found)| found.contains(reason)).count();
    assert_eq!(found, count, "{reason}: {:?}", collected.bad);
}

#[track_caller]
fn assert_damaged(image: &[u8], problem: &str) {
    let (_, outcome) = read_with(image, false, &Limits::default());
    match outcome {
        Err(error @ FormatError::Damaged { format: "iso9660", .. }) => {
            assert!(error.to_string().contains(problem), "{problem}: {error}");
        }
        other => panic!("{problem}: {other:?}"),
    }
}
