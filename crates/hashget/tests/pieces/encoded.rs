//! Compressed files that are made of pieces, with a program that is scripted here.
//!
//! Invariant: the scripted program compresses as its arguments say, by libraries that know nothing of what is tried.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hashget::archive::{PackageMembers, Selection, StoredEntries, missing_files, relied_on};
use hashget::derived::Derive;
use hashget::fetch::Offline;
use hashget::model::manifest::AnyManifest;
use hashget::model::{Digest, Evidence};
use hashget::monitor::{Monitor, Recorder};
use hashget::pack::PackOptions;
use hashget::programs::{ProgramCall, ProgramError, ProgramInput, Programs, RunProgram};
use hashget::restore::Part;
use hashget_testkit::origin::Fault;
use hashget_testkit::packages::{CpioEntry, CpioForm, cpio};
use hashget_testkit::trees::{self, Snapshot, snapshot};
use serde_json::{Value, json};

use crate::images::{cpio_image, manifest_of, noise, scene};
use crate::scene::{Scene, gnu_tar, options, problems};
use crate::with_programs::{loader_package, packing, program_package, restoring, unpack};

const FILE: &str = "boot/initrd";

/// Compresses, as a program of that name does with these arguments.
#[derive(Debug, Default)]
struct Scripted {
    calls: AtomicU32,
    /// What it writes behind everything.
    more: Vec<u8>,
}

impl RunProgram for Scripted {
    fn run(&self, call: &ProgramCall<'_>, _: &dyn Monitor) -> Result<(), ProgramError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let arguments: Vec<&str> = call.arguments.iter().filter_map(|one| one.to_str()).collect();
        let level = arguments.iter().find_map(|one| one.strip_prefix('-')?.parse().ok());
        let (level, opens) = (level.unwrap(), arguments.last() == Some(&"decoded"));
        let from = match &call.input {
            ProgramInput::File(path) => path.clone(),
            ProgramInput::Bytes(bytes) => {
                assert!(opens && bytes.is_empty());
                call.work.join("decoded")
            }
        };
        let decoded = fs_err::read(from).unwrap();
        let name = arguments.iter().find(|one| one.contains("/bin/")).unwrap();
        let mut encoded = match name.rsplit('/').next() {
            Some("zstd") => zstd_file(&decoded, level, opens),
            Some("gzip") => gzip_file(&decoded, level.unsigned_abs(), ""),
            _ => panic!("{name} is no program that is scripted"),
        };
        encoded.extend(&self.more);
        fs_err::write(call.output.as_ref().unwrap(), encoded).unwrap();
        Ok(())
    }
}

fn zstd_file(decoded: &[u8], level: i32, has_size: bool) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.set_pledged_src_size(has_size.then_some(decoded.len() as u64)).unwrap();
    encoder.write_all(decoded).unwrap();
    encoder.finish().unwrap()
}

fn gzip_file(decoded: &[u8], level: u32, name: &str) -> Vec<u8> {
    let header = match name {
        "" => flate2::GzBuilder::new(),
        name => flate2::GzBuilder::new().filename(name).mtime(1_600_000_000),
    };
    let mut encoder = header.write(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(decoded).unwrap();
    encoder.finish().unwrap()
}

/// The packages of the programs.
fn program_packages() -> [(String, Vec<u8>); 3] {
    let zstd = program_package("zstd", "usr/bin/zstd");
    [zstd, program_package("gzip", "bin/gzip"), loader_package()]
}

/// A machine with this file and another one, that knows the programs.
fn machine(bytes: &[u8]) -> (Scene, Snapshot) {
    let scene = scene();
    program_packages().iter().for_each(|(name, bytes)| scene.index(name, bytes));
    trees::file(&scene.tree(), FILE, bytes);
    trees::file(&scene.tree(), "note", "a file beside it");
    let before = snapshot(&scene.tree());
    (scene, before)
}

fn scripted(scene: &Scene, more: &[u8]) -> (Programs, Arc<Scripted>) {
    let runner = Arc::new(Scripted { more: more.to_vec(), ..Scripted::default() });
    (Programs { runner: runner.clone(), archives: vec![scene.origin.url("/")] }, runner)
}

#[test]
fn what_is_compressed_comes_back_compressed() {
    let decoded = cpio_image();
    let microcode = CpioEntry {
        name: b"microcode",
        content: &noise("microcode", 5000),
        mode: 0o100_644,
        ..CpioEntry::default()
    };
    let mut early = cpio(CpioForm::New, &[microcode]);
    early.resize(early.len().next_multiple_of(1024), 0);
    let after_early = [&early[..], &zstd_file(&decoded, 3, true)].concat();
    let cases = [
        ("zstd", zstd_file(&decoded, 3, true)),
        ("zstd", zstd_file(&decoded, 3, false)),
        ("zstd", after_early),
        ("gzip", gzip_file(&decoded, 9, "")),
        ("gzip", gzip_file(&decoded, 6, "initrd of today.cpio")),
    ];
    for (number, (recipe, file)) in cases.into_iter().enumerate() {
        let (scene, before) = machine(&file);
        let (programs, runner) = scripted(&scene, b"");
        let (archive, packed) = scene.pack_well(&packing(&programs));
        assert_eq!(packed.pieces.files, 1, "{number}");
        assert!(packed.archived_bytes < 300_000 && archive.len() < 400_000, "{packed:?}");
        assert_eq!(packed.archived_bytes + packed.left_out_bytes, packed.bytes);
        let manifest = manifest_of(&archive);
        assert_eq!(manifest.needs.names().collect::<Vec<_>>(), ["encoded", "pieces"]);
        let (file, encoded) = manifest.pieces().unwrap().encoded_files().next().unwrap();
        assert_eq!((file.path.to_string(), &*encoded.recipe), (FILE.to_owned(), recipe));
        assert_eq!(runner.calls.load(Ordering::Relaxed), 1, "the header says how");

        let (target, restored, recorder) = unpack(&scene, &archive, &restoring(Some(&programs)));
        scene.judge(&target, &restored, &recorder, &before);
        scene.rehearse_with(&archive, &restored, Derive::All, Some(programs.clone()));

        let (target, restored, recorder) = unpack(&scene, &archive, &restoring(None));
        let missing: Vec<_> = restored.missing.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!((missing, restored.proven), (vec![FILE.to_owned()], None));
        assert!(problems(&recorder).contains("compressed by a program, not made"));
        assert!(target.join(".hashget-rest/0").exists() && !target.join(FILE).exists());
        let (options, recorder) = (restoring(Some(&programs)), Recorder::default());
        let restored = scene.restorer().restore(&target, &options, &recorder).unwrap();
        scene.judge(&target, &restored, &recorder, &before);
        assert!(!target.join(".hashget-rest").exists());
    }
}

#[test]
fn what_no_program_makes_again_is_archived() {
    let decoded = cpio_image();
    let (scene, before) = machine(&zstd_file(&decoded, 3, true));
    // Without programs nothing is looked into; another version writes other bytes.
    let (other, runner) = scripted(&scene, b"more");
    for options in [options(), packing(&other)] {
        let (archive, packed) = scene.pack_well(&options);
        assert_eq!(packed.pieces.files, 0);
        scene.unpack_well(&archive, &before);
    }
    assert_eq!(runner.calls.load(Ordering::Relaxed), 2, "as often as there are likely levels");

    // Damaged, or not known to any package.
    let mut cut = zstd_file(&decoded, 3, true);
    cut.truncate(cut.len() - 100);
    for bytes in [cut, zstd_file(&noise("own", 1_500_000), 3, true)] {
        let (scene, before) = machine(&bytes);
        let (programs, runner) = scripted(&scene, b"");
        let (archive, packed) = scene.pack_well(&packing(&programs));
        assert_eq!((packed.pieces.files, runner.calls.load(Ordering::Relaxed)), (0, 0));
        scene.unpack_well(&archive, &before);
    }
}

#[test]
fn a_program_that_is_also_elsewhere_is_not_relied_on() {
    let (scene, before) = machine(&zstd_file(&cpio_image(), 3, true));
    for (name, bytes) in program_packages() {
        scene.index(&format!("archive/{name}"), &bytes);
    }
    // A restore would refuse it if the manifest named it by its other URL.
    let (mut programs, _) = scripted(&scene, b"");
    programs.archives = vec![scene.origin.url("/archive/")];
    let (archive, packed) = scene.pack_well(&packing(&programs));
    assert_eq!(packed.pieces.files, 0);
    scene.unpack_well(&archive, &before);
}

#[test]
fn what_a_program_made_is_remembered() {
    let (scene, before) = machine(&zstd_file(&cpio_image(), 3, true));
    let (programs, runner) = scripted(&scene, b"");
    let scan_cache = Some(scene.path("scan"));
    let packing = PackOptions { scan_cache, ..packing(&programs) };
    let (first, _) = scene.pack_well(&packing);
    let (again, _) = scene.pack_well(&packing);
    assert_eq!((runner.calls.load(Ordering::Relaxed), first == again), (1, true));
    let (target, restored, recorder) = unpack(&scene, &again, &restoring(Some(&programs)));
    scene.judge(&target, &restored, &recorder, &before);
}

#[test]
fn another_program_and_a_lost_package_cost_the_file() {
    let (scene, before) = machine(&zstd_file(&cpio_image(), 3, true));
    let (programs, _) = scripted(&scene, b"");
    let (archive, _) = scene.pack_well(&packing(&programs));
    let (other, _) = scripted(&scene, b"more");
    let (_, restored, recorder) = unpack(&scene, &archive, &restoring(Some(&other)));
    assert_eq!(restored.missing.len(), 1);
    assert!(problems(&recorder).contains("its program makes something else"));

    let program = if cfg!(target_arch = "aarch64") { "zstd_1_arm64" } else { "zstd_1_amd64" };
    for lost in ["tool-1.0.tar", &format!("{program}.deb")] {
        scene.origin.always(&format!("/{lost}"), Fault::Status(404));
        let (target, restored, _) = unpack(&scene, &archive, &restoring(Some(&programs)));
        assert_eq!(restored.missing.len(), 1, "{lost}");
        assert!(target.join("note").exists() && target.join(".hashget-rest/0").exists());
        scene.origin.heal(&format!("/{lost}"));
        let (options, recorder) = (restoring(Some(&programs)), Recorder::default());
        let restored = scene.restorer().restore(&target, &options, &recorder).unwrap();
        scene.judge(&target, &restored, &recorder, &before);
    }
}

#[test]
fn the_file_counts_for_every_package_that_it_needs() {
    let (scene, _) = machine(&zstd_file(&cpio_image(), 3, true));
    let (programs, _) = scripted(&scene, b"");
    let (archive, packed) = scene.pack_well(&packing(&programs));
    let manifest = AnyManifest::V2(Box::new(manifest_of(&archive)));
    let members = PackageMembers {
        hashdb: &scene.hashdb,
        supplements: None,
        source: &Offline,
        least: Evidence::Signed,
        must_have: false,
        digests: true,
        limits: &scene.limits,
    };
    let relied = relied_on(&manifest, &members).unwrap();
    assert_eq!(relied, packed.relied_on);
    for (lost, one) in relied.iter().enumerate() {
        let stored = StoredEntries::default();
        let missing = missing_files(&manifest, &stored, &[lost], &members, &Recorder::default());
        let missing = missing.unwrap().files;
        let paths: Vec<String> = missing.iter().map(|file| file.path.to_string()).collect();
        assert_eq!(paths, [FILE], "{}", one.package.url);
    }
    let together: Vec<_> = relied.iter().filter(|one| !one.together.is_empty()).collect();
    assert_eq!((together.len(), together[0].together[0].with.len()), (1, 2));
    assert!(together[0].package.url.contains("/zstd_1"));
    assert_eq!((together[0].bytes, relied.len()), (packed.pieces.bytes, 3));
}

#[test]
fn a_part_has_it_too() {
    let (scene, _) = machine(&zstd_file(&cpio_image(), 3, true));
    let (programs, _) = scripted(&scene, b"");
    let (archive, _) = scene.pack_well(&packing(&programs));
    let selection = &Selection::new(&[FILE.to_owned()], &[]).unwrap();
    for strip_components in [0, 1] {
        let part = Part { selection, strip_components, members: None };
        let (target, recorder) = (scene.target(), Recorder::default());
        let options = restoring(Some(&programs));
        scene.restorer().unpack_part(&mut &*archive, &target, &part, &options, &recorder).unwrap();
        assert_eq!(problems(&recorder), "");
        let name = if strip_components == 1 { "initrd" } else { FILE };
        let read = |path: PathBuf| Digest::of(&fs_err::read(path).unwrap());
        assert_eq!(read(target.join(name)), read(scene.tree().join(FILE)));
    }
}

#[test]
fn what_other_restorers_leave_is_completed() {
    let (scene, before) = machine(&zstd_file(&cpio_image(), 3, true));
    let (programs, _) = scripted(&scene, b"");
    let (archive, _) = scene.pack_well(&packing(&programs));
    let target = scene.target();
    gnu_tar(&archive, &target);
    let (options, recorder) = (restoring(Some(&programs)), Recorder::default());
    let restored = scene.restorer().restore(&target, &options, &recorder).unwrap();
    scene.judge(&target, &restored, &recorder, &before);
}

#[test]
fn manifests_that_make_no_sense_are_refused_or_cost_the_file() {
    let (scene, _) = machine(&zstd_file(&cpio_image(), 3, true));
    let (programs, runner) = scripted(&scene, b"");
    let (archive, _) = scene.pack_well(&packing(&programs));
    let whole: Value = serde_json::from_slice(&manifest_of(&archive).to_json()).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut manifest = whole.clone();
        change(&mut manifest);
        manifest.to_string().into_bytes()
    };
    type Change<'c> = &'c dyn Fn(&mut Value);
    let refused: [(&str, Change<'_>); 7] = [
        ("pieces.encoded", &|all| all["pieces"]["encoded"] = json!([null, null])),
        ("expected at most", &|all| all["pieces"]["encoded"][0]["size"] = json!(1_u64 << 31)),
        ("it leaves the", &|all| all["pieces"]["encoded"][0]["size"] = json!(1000)),
        ("plain is", &|all| all["pieces"]["encoded"][0]["plain"] = json!(1_u64 << 29)),
        ("tool has no package", &|all| all["pieces"]["encoded"][0]["tool"] = json!([])),
        ("is not a SHA-256", &|all| all["pieces"]["encoded"][0]["sha256"] = json!("00")),
        ("without needing encoded", &|all| {
            _ = all["needs"].as_object_mut().unwrap().remove("encoded");
        }),
    ];
    for (expected, change) in refused {
        let error = AnyManifest::parse(&changed(change)).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected:?} is not in: {error}");
    }
    let calls = runner.calls.load(Ordering::Relaxed);
    let own = Digest::of(b"the archive's own").to_string();
    let costly: [(&str, Change<'_>); 6] = [
        ("does not know the recipe tea", &|all| {
            all["pieces"]["encoded"][0]["recipe"] = json!("tea");
        }),
        ("the recipe's program is in gzip", &|all| {
            all["pieces"]["encoded"][0]["recipe"] = json!("gzip");
        }),
        ("parameter level", &|all| {
            all["pieces"]["encoded"][0]["with"] = json!({"level": "-o/etc/passwd"});
        }),
        ("does not have its package", &|all| all["pieces"]["encoded"][0]["tool"] = json!([own])),
        ("is in no archive of packages", &|all| {
            for package in all["packages"].as_array_mut().unwrap() {
                if package["url"].as_str().unwrap().contains("/zstd_1") {
                    package["url"] = json!("https://elsewhere.example/zstd_1.deb");
                }
            }
        }),
        ("its pieces give sha256", &|all| all["pieces"]["encoded"][0]["sha256"] = json!(own)),
    ];
    for (expected, change) in costly {
        let target = scene.target();
        gnu_tar(&archive, &target);
        fs_err::write(target.join(".hashget-restore.json"), changed(change)).unwrap();
        let (options, recorder) = (restoring(Some(&programs)), Recorder::default());
        let restored = scene.restorer().restore(&target, &options, &recorder).unwrap();
        let why = problems(&recorder);
        assert_eq!(restored.missing.len(), 1, "{why}");
        assert!(why.contains(expected), "{expected:?} is not in: {why}");
        assert!(!target.join(FILE).exists() && target.join(".hashget-rest/0").exists());
    }
    assert_eq!(runner.calls.load(Ordering::Relaxed), calls, "no program was run");
}
