//! Files that programs make, with a program that is scripted here: what is right of it, patched, left, or interrupted.
//!
//! Invariant: the scripted program sees what a real one would, and nothing that it makes is believed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use hashget::archive::{
    Audit, Outlook, PackageMembers, Selection, StoredEntries, ToAudit, missing_files, relied_on,
};
use hashget::derived::Derive;
use hashget::fetch::Offline;
use hashget::model::manifest::{AnyManifest, EntryTable, Manifest, Package};
use hashget::model::{Digest, Evidence};
use hashget::monitor::{Monitor, Recorder};
use hashget::pack::PackOptions;
use hashget::programs::{ProgramCall, ProgramError, Programs, RunProgram};
use hashget::restore::{Overwrite, Part, RestoreOptions};
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::trees::{self, Snapshot, snapshot};

use crate::recipes::manifest_of;
use crate::scene::{Scene, gnu_tar, problems};
use crate::with_programs::{loader_package, package, packing, program_package, restoring, unpack};

const FOLDER: &str = "lib/modules/1";
const MADE: [&str; 3] = ["modules.alias", "modules.dep", "modules.symbols"];

/// What else a scripted program does in its folder.
type Change = dyn Fn(&Path) -> Result<(), ProgramError> + Send + Sync;

/// Makes the index of modules out of the modules' names, as `change` changes it.
struct Scripted {
    calls: AtomicU32,
    seen: Mutex<Vec<String>>,
    change: Box<Change>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Scripted")
    }
}

impl RunProgram for Scripted {
    fn run(&self, call: &ProgramCall<'_>, _: &dyn Monitor) -> Result<(), ProgramError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let folder = call.work.join(FOLDER);
        let mut seen = names_below(&folder.join("kernel"));
        seen.extend(names_below(&folder).into_iter().filter(|name| name.starts_with("modules.")));
        assert!(call.packages.join("bin/kmod").is_file() && call.program.is_file());
        for name in MADE {
            fs_err::write(folder.join(name), made(name, &names_below(&folder.join("kernel"))))
                .unwrap();
        }
        *self.seen.lock().unwrap() = seen;
        (self.change)(&call.work)
    }
}

fn names_below(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// What is in a file of the index.
fn made(name: &str, modules: &[String]) -> String {
    // Nothing that could be guessed, or written in fewer bytes.
    let line = |module: &String| {
        format!("{} {module}\n", Digest::of(format!("{name} {module}").as_bytes()))
    };
    modules.iter().map(line).collect()
}

/// Programs by a script.
fn scripted(
    scene: &Scene,
    change: impl Fn(&Path) -> Result<(), ProgramError> + Send + Sync + 'static,
) -> (Programs, Arc<Scripted>) {
    let (calls, seen, change) = (AtomicU32::new(0), Mutex::default(), Box::new(change));
    let runner = Arc::new(Scripted { calls, seen, change });
    (Programs { runner: runner.clone(), archives: vec![scene.origin.url("/")] }, runner)
}

/// A tree with modules of a package, a module of its own, and their index; the package of the program is known.
fn machine() -> (Scene, Snapshot) {
    let scene = Scene::new();
    for (name, bytes) in [program_package("kmod", "bin/kmod"), loader_package()] {
        scene.index(&name, &bytes);
    }
    let mut modules = TarBuilder::new();
    for number in 0..20 {
        // Two have the same contents.
        let content = format!("module {}\n", number.max(1)).repeat(50);
        modules = modules.file(&format!("./{FOLDER}/kernel/{number}.ko"), content.as_bytes());
        trees::file(&scene.tree(), format!("{FOLDER}/kernel/{number}.ko"), content);
    }
    let (name, bytes) = package("linux-image", "", modules);
    scene.index(&name, &bytes);
    trees::file(&scene.tree(), format!("{FOLDER}/kernel/own.ko"), "my own module");
    let names = names_below(&scene.tree().join(FOLDER).join("kernel"));
    for name in MADE {
        let path = trees::file(&scene.tree(), format!("{FOLDER}/{name}"), made(name, &names));
        trees::mtime(&path, 1_650_000_000, 5);
    }
    let before = snapshot(&scene.tree());
    (scene, before)
}

#[test]
fn what_a_program_makes_is_left_out_and_comes_back() {
    let (scene, before) = machine();
    let (programs, runner) = scripted(&scene, |_| Ok(()));
    let (archive, packed) = scene.pack_well(&packing(&programs));
    assert_eq!(packed.derived["module-index"].files, 3);
    // The files that it makes are not there before.
    assert_eq!(runner.seen.lock().unwrap().len(), 21);
    let manifest = manifest_of(&archive);
    assert!(manifest.needs.names().eq(["derived", "tools"]));
    let (target, restored, recorder) = unpack(&scene, &archive, &restoring(Some(&programs)));
    scene.judge(&target, &restored, &recorder, &before);
    // Without a disk, the program reads the same.
    let seen = std::mem::take(&mut *runner.seen.lock().unwrap());
    scene.rehearse_with(&archive, &restored, Derive::All, Some(programs.clone()));
    assert_eq!(*runner.seen.lock().unwrap(), seen);
    let (target, restored, recorder) = unpack(&scene, &archive, &restoring(None));
    assert_eq!(restored.missing.len(), 3);
    assert!(problems(&recorder).contains("3 entries missing (derived by a program, not made"));
    // One of them is made by somebody else meanwhile: all are made again, and that one stays.
    let names = names_below(&target.join(FOLDER).join("kernel"));
    trees::file(&target, format!("{FOLDER}/{}", MADE[1]), made(MADE[1], &names));
    let (options, recorder) = (restoring(Some(&programs)), Recorder::default());
    let restored = scene.restorer().restore(&target, &options, &recorder).unwrap();
    scene.judge(&target, &restored, &recorder, &before);
}

#[test]
fn what_comes_out_almost_right_has_a_patch() {
    let (scene, before) = machine();
    let almost = |work: &Path| {
        let path = work.join(FOLDER).join(MADE[2]);
        let text = fs_err::read_to_string(&path).unwrap();
        fs_err::write(path, text.replacen("own.ko", "my.ko", 1)).unwrap();
        Ok(())
    };
    let (programs, runner) = scripted(&scene, almost);
    let (archive, packed) = scene.pack_well(&packing(&programs));
    assert_eq!(
        (packed.derived["module-index"].files, runner.calls.load(Ordering::Relaxed)),
        (3, 1)
    );
    let patches: Vec<String> = manifest_of(&archive)
        .packages
        .iter()
        .flat_map(|package| &package.derived)
        .flat_map(|derived| &derived.patches)
        .map(|patch| patch.path.to_string())
        .collect();
    assert_eq!(patches, [format!("{FOLDER}/{}", MADE[2])]);
    let (target, restored, recorder) = unpack(&scene, &archive, &restoring(Some(&programs)));
    scene.judge(&target, &restored, &recorder, &before);
    // Of a program that makes something else now, the patch gives nothing that counts.
    let (programs, _) = scripted(&scene, |_| Ok(()));
    let (target, restored, recorder) = unpack(&scene, &archive, &restoring(Some(&programs)));
    assert_eq!(restored.missing.len(), 1);
    assert!(problems(&recorder).contains("its program makes something else"));
    assert!(!target.join(FOLDER).join(MADE[2]).exists());
}

#[test]
fn what_does_not_come_out_is_read_by_the_next_run() {
    let (scene, before) = machine();
    // What is there already is taken for right.
    let (programs, runner) = scripted(&scene, |work| {
        let names: Vec<String> = (0..2000).map(|number| format!("{number} other")).collect();
        fs_err::write(work.join(FOLDER).join(MADE[0]), made("other", &names)).unwrap();
        Ok(())
    });
    let (archive, packed) = scene.pack_well(&packing(&programs));
    assert_eq!(packed.derived["module-index"].files, 2);
    assert!(runner.calls.load(Ordering::Relaxed) >= 2);
    let (target, restored, recorder) = unpack(&scene, &archive, &restoring(Some(&programs)));
    assert!(runner.seen.lock().unwrap().contains(&MADE[0].to_owned()));
    scene.judge(&target, &restored, &recorder, &before);
}

#[test]
fn a_program_that_fails_or_is_gone_costs_its_files() {
    let (scene, before) = machine();
    let failing =
        |_: &Path| Err(ProgramError::Ended { how: "exit code 1".to_owned(), words: String::new() });
    let (programs, _) = scripted(&scene, failing);
    let recorder = Recorder::default();
    let (archive, packed) = scene.pack(&packing(&programs), &recorder).unwrap();
    assert!(packed.derived.is_empty());
    assert!(problems(&recorder).contains("3 files archived that it might make"));
    scene.unpack_well(&archive, &before);

    let (working, _) = scripted(&scene, |_| Ok(()));
    let (archive, _) = scene.pack_well(&packing(&working));
    let (target, restored, recorder) = unpack(&scene, &archive, &restoring(Some(&programs)));
    assert_eq!((restored.missing.len(), restored.proven), (3, None));
    assert!(
        problems(&recorder)
            .contains("3 files not made by module-index: the tool ended with exit code 1")
    );
    let (options, recorder) = (restoring(Some(&working)), Recorder::default());
    let restored = scene.restorer().restore(&target, &options, &recorder).unwrap();
    scene.judge(&target, &restored, &recorder, &before);
}

#[test]
fn an_interruption_while_a_program_runs_ends_the_restore() {
    let (scene, _) = machine();
    let (programs, _) = scripted(&scene, |_| Ok(()));
    let (archive, _) = scene.pack_well(&packing(&programs));
    let (programs, _) = scripted(&scene, |_| Err(hashget::monitor::Interrupted.into()));
    let target = scene.target();
    let options = restoring(Some(&programs));
    let ended = scene.restorer().unpack(&mut &*archive, &target, &options, &Recorder::default());
    assert!(ended.unwrap_err().to_string().contains("interrupted"));
    assert!(target.join(".hashget-restore.json").is_file());
}

#[test]
fn a_part_has_what_a_program_makes_with_what_it_reads() {
    let (scene, _) = machine();
    let (programs, _) = scripted(&scene, |_| Ok(()));
    let (archive, _) = scene.pack_well(&packing(&programs));
    let selection = &Selection::new(&["lib/modules".to_owned()], &[]).unwrap();
    let part = Part { selection, strip_components: 0, members: None };
    let (target, recorder) = (scene.target(), Recorder::default());
    let options = restoring(Some(&programs));
    scene.restorer().unpack_part(&mut &*archive, &target, &part, &options, &recorder).unwrap();
    assert_eq!(problems(&recorder), "");
    for name in MADE {
        let path = Path::new(FOLDER).join(name);
        let read = |root: &Path| fs_err::read(root.join(&path)).unwrap();
        assert_eq!(read(&target), read(&scene.tree()));
    }
}

#[test]
fn what_has_not_changed_is_not_made_again() {
    let (scene, before) = machine();
    let (programs, runner) = scripted(&scene, |_| Ok(()));
    let scan_cache = Some(scene.path("scan"));
    let packing = PackOptions { scan_cache, ..packing(&programs) };
    let calls = || runner.calls.load(Ordering::Relaxed);
    let (first, _) = scene.pack_well(&packing);
    assert_eq!(calls(), 1);
    let (again, _) = scene.pack_well(&packing);
    assert_eq!((calls(), again == first), (1, true));
    let (target, restored, recorder) = unpack(&scene, &again, &restoring(Some(&programs)));
    scene.judge(&target, &restored, &recorder, &before);
    // With another module, something else comes out.
    let made = calls();
    trees::file(&scene.tree(), format!("{FOLDER}/kernel/another.ko"), "another module");
    let before = snapshot(&scene.tree());
    let (archive, _) = scene.pack_well(&packing);
    assert!(calls() > made);
    let (target, restored, recorder) = unpack(&scene, &archive, &restoring(Some(&programs)));
    scene.judge(&target, &restored, &recorder, &before);
}

/// A folder into which tar has unpacked an archive of this machine, with its manifest changed.
fn folder(scene: &Scene, archive: &[u8], change: impl FnOnce(&mut Manifest)) -> PathBuf {
    let mut manifest = manifest_of(archive);
    change(&mut manifest);
    let target = scene.target();
    gnu_tar(archive, &target);
    fs_err::write(target.join(".hashget-restore.json"), manifest.to_json()).unwrap();
    target
}

/// The package of the program.
fn of_program(manifest: &mut Manifest) -> &mut Package {
    manifest.packages.iter_mut().find(|package| !package.derived.is_empty()).unwrap()
}

#[test]
fn no_program_is_run_that_only_the_archive_brings() {
    let (scene, _) = machine();
    let (programs, _) = scripted(&scene, |_| Ok(()));
    let (archive, _) = scene.pack_well(&packing(&programs));
    let digest = |number: u64| Digest::of(&number.to_le_bytes());
    type Changed<'c> = &'c dyn Fn(&mut Manifest);
    let cases: [(&str, Changed<'_>); 5] = [
        ("is in no archive of packages", &|manifest| {
            let package = of_program(manifest);
            package.url = package.url.replace("/kmod", "/../other/kmod").replace("http:", "https:");
        }),
        // Whoever names it twice brings it himself.
        ("is in no archive of packages", &|manifest| {
            let package = of_program(manifest).clone();
            let url = "https://other.example/kmod.deb".to_owned();
            let (derived, files) = (Vec::new(), EntryTable::default());
            manifest.packages.push(Package { url, derived, files, ..package });
        }),
        ("its packages are 3, expected at most 100, each once", &|manifest| {
            let tool = &mut of_program(manifest).derived[0].tool;
            tool.push(tool[1]);
        }),
        ("its packages are 101, expected at most 100, each once", &|manifest| {
            of_program(manifest).derived[0].tool.extend((0..99).map(digest));
        }),
        ("the manifest does not have its package", &|manifest| {
            of_program(manifest).derived[0].tool.push(digest(0));
        }),
    ];
    for (why, change) in cases {
        let target = folder(&scene, &archive, change);
        let (programs, runner) = scripted(&scene, |_| Ok(()));
        let (options, recorder) = (restoring(Some(&programs)), Recorder::default());
        let restored = scene.restorer().restore(&target, &options, &recorder).unwrap();
        let said = problems(&recorder);
        assert!(said.contains(why), "{why} is not in: {said}");
        assert_eq!((restored.missing.len(), runner.calls.load(Ordering::Relaxed)), (3, 0));
    }
}

#[test]
fn a_run_reads_nothing_that_programs_make() {
    let (scene, before) = machine();
    let (programs, runner) = scripted(&scene, |_| Ok(()));
    let (archive, _) = scene.pack_well(&packing(&programs));
    let target = folder(&scene, &archive, |_| {});
    let names = names_below(&scene.tree().join(FOLDER).join("kernel"));
    fs_err::create_dir_all(target.join(FOLDER)).unwrap();
    for name in &MADE[1..] {
        let path = trees::file(&target, format!("{FOLDER}/{name}"), made(name, &names));
        trees::mtime(&path, 1_650_000_000, 5);
    }
    let (options, recorder) = (restoring(Some(&programs)), Recorder::default());
    let restored = scene.restorer().restore(&target, &options, &recorder).unwrap();
    assert_eq!(runner.seen.lock().unwrap().len(), 21);
    scene.judge(&target, &restored, &recorder, &before);
}

#[test]
fn where_entries_go_elsewhere_no_program_is_run() {
    let (scene, _) = machine();
    let (programs, runner) = scripted(&scene, |_| Ok(()));
    let (archive, _) = scene.pack_well(&packing(&programs));
    let calls = runner.calls.load(Ordering::Relaxed);
    let selection = &Selection::new(&["lib/modules".to_owned()], &[]).unwrap();
    let part = Part { selection, strip_components: 1, members: None };
    let (target, recorder) = (scene.target(), Recorder::default());
    let options = restoring(Some(&programs));
    let restored =
        scene.restorer().unpack_part(&mut &*archive, &target, &part, &options, &recorder).unwrap();
    assert!(problems(&recorder).contains("unpack it without `--strip-components`"));
    assert_eq!((restored.missing.len(), runner.calls.load(Ordering::Relaxed)), (3, calls));
}

#[test]
fn what_stays_by_a_rule_is_not_missing() {
    let (scene, _) = machine();
    let (programs, _) = scripted(&scene, |_| Ok(()));
    let (archive, _) = scene.pack_well(&packing(&programs));
    let target = scene.target();
    trees::file(&target, format!("{FOLDER}/{}", MADE[0]), "of somebody else");
    let (recorder, overwrite) = (Recorder::default(), Some(Overwrite::Never));
    let options = RestoreOptions { overwrite, ..restoring(Some(&programs)) };
    let restored = scene.restorer().unpack(&mut &*archive, &target, &options, &recorder).unwrap();
    assert_eq!((restored.missing, restored.left.entries), (Vec::new(), 1));
}

/// What programs make depends on every package of theirs.
#[test]
fn a_library_that_is_lost_takes_along_what_its_program_makes() {
    let (scene, _) = machine();
    let (programs, _) = scripted(&scene, |_| Ok(()));
    let (archive, packed) = scene.pack_well(&packing(&programs));
    let manifest = AnyManifest::V2(Box::new(manifest_of(&archive)));
    let members = PackageMembers {
        hashdb: &scene.hashdb,
        least: Evidence::Signed,
        supplements: None,
        source: &Offline,
        must_have: false,
        digests: true,
        limits: &scene.limits,
    };
    let relied = relied_on(&manifest, &members).unwrap();
    assert_eq!(relied, packed.relied_on);
    let at = |name: &str| relied.iter().position(|one| one.package.url.contains(name)).unwrap();
    for name in ["libc6", "kmod"] {
        let (stored, lost) = (StoredEntries::default(), [at(name)]);
        let missing = missing_files(&manifest, &stored, &lost, &members, &Recorder::default());
        let missing = missing.unwrap().files;
        let paths: Vec<String> = missing.iter().map(|file| file.path.to_string()).collect();
        assert_eq!(paths, MADE.map(|name| format!("{FOLDER}/{name}")), "{name}");
        assert!(missing.iter().all(|file| file.sha256.is_some()));
    }
    let bytes = packed.derived["module-index"].bytes;
    let together = &relied[at("kmod")].together;
    assert_eq!((together.len(), together[0].bytes), (1, bytes));
    let outlook = |sha256: Digest| match sha256 == relied[at("libc6")].package.sha256 {
        true => Outlook::Lost,
        false => Outlook::Restorable,
    };
    let outlooks = relied.iter().map(|one| (one.package.sha256, outlook(one.package.sha256)));
    let outlooks = outlooks.collect();
    let total = relied.iter().map(|one| one.bytes).sum::<u64>();
    let (name, series) = ("a.tar.zst".to_owned(), "a".to_owned());
    let mut audit = Audit::default();
    audit.add(ToAudit { name, series, relied_on: relied.clone(), supplemented: BTreeSet::new() });
    let figures = audit.figures(&outlooks)[0].worst;
    assert_eq!((figures.lost, figures.restorable), (bytes, total - bytes));
    assert_eq!(audit.endangered(&outlooks)[0].bytes, bytes);
}
