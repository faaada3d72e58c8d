//! What the programs of other people read of ours, and what we read of theirs: compressors, 7z, GNU tar's sparse files.
//!
//! Invariant: a program that is there must succeed; none is passed over.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use hashget::codec::{Codec, decoder, encoder};
use hashget::limits::Limits;
use hashget::model::Kind;
use hashget_testkit::packages::{TarBuilder, compress};

use crate::collect::{file_of, noise, read, read_error};
use crate::run;

/// Keeps what an encoder writes.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Text with long-range and short-range repetitions, and noise.
fn sample() -> Vec<u8> {
    let noise = noise(1 << 20);
    [&noise[..], &b"text ".repeat(100_000), &noise[..300_000]].concat()
}

/// The program unpacks what we pack with this codec and level.
fn unpacks_ours(program: &str, codec: Codec, level: Option<i32>) {
    let sample = sample();
    let output = Shared::default();
    let mut encoder = encoder(codec, Box::new(output.clone()), level, 2).unwrap();
    for part in sample.chunks(65536) {
        encoder.write_all(part).unwrap();
    }
    encoder.finish().unwrap();
    let packed = std::mem::take(&mut *output.0.lock().unwrap());
    let unpacked = through(program, &["-d", "-c"], &packed);
    assert!(unpacked == sample, "{program} unpacks something else");
}

/// We unpack what the program packs.
fn packs_for_us(program: &str, codec: Codec, arguments: &[&str]) {
    let sample = sample();
    let packed = through(program, arguments, &sample);
    assert_eq!(Codec::recognise(&packed), codec, "{program}");
    for threads in [1, 2] {
        let mut unpacked = Vec::new();
        decoder(codec, Box::new(&packed[..]), &Limits::default(), threads)
            .unwrap()
            .read_to_end(&mut unpacked)
            .unwrap();
        assert!(unpacked == sample, "{program} {arguments:?}");
    }
}

/// What the program writes to standard output if it reads this.
fn through(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::from(file_of(input)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {message}");
    output.stdout
}

pub(crate) fn gzip_both_ways() {
    unpacks_ours("gzip", Codec::Gzip, Some(9));
    packs_for_us("gzip", Codec::Gzip, &["-c"]);
}

pub(crate) fn zstd_both_ways() {
    unpacks_ours("zstd", Codec::Zstd, Some(3));
    unpacks_ours("zstd", Codec::Zstd, Some(22));
    packs_for_us("zstd", Codec::Zstd, &["-c", "-q", "--long=27"]);
}

pub(crate) fn xz_both_ways() {
    unpacks_ours("xz", Codec::Xz, Some(6));
    packs_for_us("xz", Codec::Xz, &["-c", "-T2", "--block-size=300KiB"]);
    packs_for_us("xz", Codec::Xz, &["-c", "--check=sha256", "--x86", "--lzma2"]);
}

pub(crate) fn bzip2_both_ways() {
    unpacks_ours("bzip2", Codec::Bzip2, Some(1));
    packs_for_us("bzip2", Codec::Bzip2, &["-c"]);
}

pub(crate) fn lz4_both_ways() {
    unpacks_ours("lz4", Codec::Lz4, None);
    packs_for_us("lz4", Codec::Lz4, &["-c", "-B4", "-BD", "-BX"]);
    packs_for_us("lz4", Codec::Lz4, &["-c", "-9"]);
}

pub(crate) fn we_read_what_compress_writes() {
    for widest in ["-b10", "-b13", "-b16"] {
        packs_for_us("compress", Codec::Compress, &["-c", "-f", widest]);
    }
    let tar = TarBuilder::new().file("a/b", &noise(100_000)).file("c", b"text").finish();
    let (format, collected) = read(&through("compress", &["-c", "-f"], &tar));
    assert_eq!((format, collected.paths()), ("tar", vec!["a/b".to_owned(), "c".to_owned()]));
    assert_eq!(collected.content("a/b"), noise(100_000));
}

/// A folder with files of several sizes, one of which has two names, and a link.
fn some_files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("d")).unwrap();
    std::fs::write(path("d/large"), noise(70_001)).unwrap();
    std::fs::write(path("empty"), b"").unwrap();
    std::fs::write(path("first name"), b"contents").unwrap();
    std::fs::hard_link(path("first name"), path("second name")).unwrap();
    std::os::unix::fs::symlink("d/large", path("link")).unwrap();
    folder
}

/// The members of an archive of [`some_files`], however hard links are stored.
#[track_caller]
fn assert_some_files(archive: &[u8], written_by: &str) {
    let (format, collected) = read(archive);
    assert_eq!((format, &collected.bad[..]), ("cpio", &[][..]), "{written_by}");
    assert_eq!(collected.content("d/large"), noise(70_001), "{written_by}");
    assert_eq!(collected.member("empty").kind, Kind::File { size: 0 });
    let target = (*b"d/large").into();
    assert_eq!(collected.member("link").kind, Kind::Symlink { target });
    let names = ["first name", "second name"].map(|name| collected.find(name.as_bytes()));
    let with_contents = names.iter().filter(|(_, content)| content == b"contents").count();
    let links = names.iter().filter(|(member, _)| matches!(member.kind, Kind::HardLink { .. }));
    assert_eq!(with_contents + links.count(), 2, "{written_by}");
    assert!(with_contents > 0, "{written_by}");
}

const SOME_NAMES: &[u8] = b"d\nd/large\nempty\nfirst name\nlink\nsecond name\n";

pub(crate) fn we_read_what_cpio_writes() {
    let folder = some_files();
    for form in ["newc", "crc", "odc", "bin"] {
        let output = Command::new("cpio")
            .args(["--quiet", "-o", "-H", form])
            .current_dir(folder.path())
            .stdin(Stdio::from(file_of(SOME_NAMES)))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{form}: {said}");
        assert_some_files(&output.stdout, form);
        let packed = compress("zstd", &output.stdout);
        assert_some_files(&packed, form);
    }
}

pub(crate) fn we_read_what_bsdtar_writes_as_cpio() {
    let folder = some_files();
    for form in ["newc", "odc"] {
        let archive = folder.path().join("archive");
        run(Command::new("bsdtar")
            .args(["-cf", "archive", "--format", form])
            .args(["d", "empty", "first name", "link", "second name"])
            .current_dir(folder.path()));
        assert_some_files(&std::fs::read(&archive).unwrap(), form);
    }
}

pub(crate) fn we_read_what_ar_writes() {
    let folder = some_files();
    let long = "a name that is longer than sixteen bytes.o";
    std::fs::write(folder.path().join(long), b"long").unwrap();
    let add = |options: &str, archive: &str| {
        run(Command::new("ar")
            .args([options, archive, "d/large", "empty", long])
            .current_dir(folder.path()));
        std::fs::read(folder.path().join(archive)).unwrap()
    };
    let (format, collected) = read(&add("rcs", "lib.a"));
    assert_eq!(format, "ar");
    assert_eq!(collected.paths(), ["large", "empty", long]);
    assert_eq!(collected.content("large"), noise(70_001));
    assert_eq!(collected.content(long), b"long");
    let (error, _) = read_error(&add("rcsT", "thin.a"), &Limits::default());
    assert!(error.to_string().contains("thin archive"), "{error}");
}

pub(crate) fn we_read_what_7z_writes() {
    let folder = tempfile::tempdir().unwrap();
    let text = [noise(200_000), b"text ".repeat(50_000)].concat();
    for (name, content) in [("a", &text[..]), ("b", b"small"), ("empty", b""), ("c", &text[9..])] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    for (at, options) in [
        &["-m0=lzma2"][..],
        &["-m0=lzma", "-ms=off"],
        &["-m0=ppmd"],
        &["-m0=bzip2"],
        &["-m0=copy"],
        &["-m0=bcj", "-m1=lzma2"],
        &["-m0=lzma2", "-mhc=off"],
        &["-m0=delta:4", "-m1=lzma"],
        &["-m0=deflate"],
    ]
    .into_iter()
    .enumerate()
    {
        let archive = folder.path().join(format!("{at}.7z"));
        let status = Command::new("7z")
            .arg("a")
            .args(options)
            .arg(&archive)
            .args(["a", "b", "empty", "c"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{options:?}");
        let (format, collected) = read(&std::fs::read(archive).unwrap());
        assert_eq!((format, collected.members.len()), ("7z", 4), "{options:?}");
        assert!(collected.content("a") == text && collected.content("c") == &text[9..]);
        assert_eq!(collected.content("b"), b"small");
    }
}

pub(crate) fn we_read_every_method_of_zips_of_7z() {
    let folder = tempfile::tempdir().unwrap();
    let text = [noise(200_000), b"text ".repeat(50_000)].concat();
    std::fs::write(folder.path().join("a"), &text).unwrap();
    std::fs::write(folder.path().join("b"), b"small").unwrap();
    for method in ["Copy", "Deflate", "Deflate64", "BZip2", "LZMA", "XZ", "PPMd"] {
        let archive = folder.path().join(format!("{method}.zip"));
        let mut program = Command::new("7z");
        program.args(["a", "-tzip", &format!("-mm={method}")]).arg(&archive).args(["a", "b"]);
        run(program.current_dir(folder.path()));
        let (format, collected) = read(&std::fs::read(archive).unwrap());
        assert_eq!((format, &collected.bad[..]), ("zip", &[][..]), "{method}");
        assert!(collected.content("a") == text, "{method}");
        assert_eq!(collected.content("b"), b"small", "{method}");
    }
}

pub(crate) fn every_sparse_format_of_gnu_tar() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse file");
    let file = File::create(&path).unwrap();
    // Enough extents for several extension blocks of the old format; a hole at the end.
    for index in 0..60_u64 {
        file.write_all_at(&noise(5000), index * (1 << 17)).unwrap();
    }
    file.set_len(9 << 20).unwrap();
    file.sync_all().unwrap();
    let all_hole = File::create(folder.path().join("hole")).unwrap();
    all_hole.set_len(1 << 20).unwrap();
    let expected = std::fs::read(&path).unwrap();
    for (format, version) in [("gnu", "0.0"), ("pax", "0.0"), ("pax", "0.1"), ("pax", "1.0")] {
        let output = Command::new("tar")
            .arg(format!("--format={format}"))
            .arg(format!("--sparse-version={version}"))
            .args(["--sparse", "-c", "-C"])
            .arg(folder.path())
            .arg(".")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.len() < 2 << 20, "stored sparse");
        let (_, collected) = read(&compress("zstd", &output.stdout));
        let member = collected.member("sparse file");
        assert_eq!(member.kind, Kind::File { size: 9 << 20 }, "{format} {version}");
        assert!(collected.content("sparse file") == expected, "{format} {version}");
        let extents = member.extents.as_ref().unwrap();
        assert_eq!(extents.len(), 60, "{format} {version}");
        assert!(extents.iter().all(|extent| extent.offset % (1 << 17) == 0));
        assert_eq!(member.mtime().seconds, path.metadata().unwrap().mtime());
        let hole = collected.member("hole");
        assert_eq!(hole.kind, Kind::File { size: 1 << 20 });
        assert_eq!(hole.extents.as_deref(), Some(&[][..]));
    }
}
