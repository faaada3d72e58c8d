//! What each recipe with a tool proposes, reads and calls, with programs that are scripted here.
//!
//! Invariant: what a scripted program makes depends on every file that it is given, by path and contents, and on nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hashget::model::Digest;
use hashget::monitor::{Monitor, Recorder};
use hashget::programs::{ProgramCall, ProgramError, Programs, RunProgram};
use hashget_testkit::trees::{self, snapshot};

use crate::recipes::manifest_of;
use crate::scene::{Scene, problems};
use crate::with_programs::{loader_package, packing, program_package, restoring};

const ROOT: &str = ".hashget-program";

/// A recipe, and a tree for it.
#[derive(Debug, Clone, Copy)]
struct Case {
    recipe: &'static str,
    package: &'static str,
    program: &'static str,
    own_root: bool,
    /// Files that it reads, and one that it does not.
    reads: &'static [(&'static str, &'static str)],
    makes: &'static [&'static str],
    /// The words of its calls, without the program itself.
    calls: &'static [&'static str],
    /// A file that says what is to be made.
    chosen: Option<(&'static str, &'static str)>,
}

const HARDWARE: Case = Case {
    recipe: "hardware-database",
    package: "udev",
    program: "bin/systemd-hwdb",
    own_root: true,
    reads: &[("etc/udev/hwdb.d/own.hwdb", "own"), ("usr/lib/udev/hwdb.d/20-a.hwdb", "a")],
    makes: &["usr/lib/udev/hwdb.bin"],
    calls: &["--usr update"],
    chosen: None,
};

const CATALOG: Case = Case {
    recipe: "journal-catalog",
    package: "systemd",
    program: "bin/journalctl",
    own_root: false,
    reads: &[("usr/lib/systemd/catalog/systemd.catalog", "a")],
    makes: &["var/lib/systemd/catalog/database"],
    calls: &["--root=. --update-catalog"],
    chosen: None,
};

const LOCALES: Case = Case {
    recipe: "locale-archive",
    package: "libc-bin",
    program: "usr/bin/localedef",
    own_root: true,
    reads: &[
        ("etc/locale.alias", "aliases"),
        ("usr/local/share/i18n/locales/own_XX", "own"),
        ("usr/share/i18n/charmaps/ISO-8859-15.gz", "no gzip"),
        ("usr/share/i18n/charmaps/UTF-8.gz", ""),
        ("usr/share/i18n/locales/de_DE", "de"),
        ("usr/share/i18n/locales/de_DE@euro", "euro"),
    ],
    makes: &["usr/lib/locale/locale-archive"],
    calls: &[
        "-i de_DE -c -f /usr/share/i18n/charmaps/UTF-8 -A /etc/locale.alias de_DE.UTF-8",
        "-i de_DE@euro -c -f /usr/share/i18n/charmaps/ISO-8859-15 -A /etc/locale.alias de_DE@euro",
        "-i /usr/local/share/i18n/locales/own_XX -c -f /usr/share/i18n/charmaps/UTF-8 -A /etc/locale.alias own_XX.UTF-8",
    ],
    chosen: Some(("etc/locale.gen", CHOSEN_LOCALES)),
};
const CHOSEN_LOCALES: &str = "# This file lists locales.\n# en_US.UTF-8 UTF-8\n\nde_DE.UTF-8 UTF-8\n\
                              de_DE@euro ISO-8859-15\nown_XX.UTF-8 UTF-8\n";

const SCHEMAS: Case = Case {
    recipe: "settings-schemas",
    package: "libglib2.0-0",
    program: if cfg!(target_arch = "aarch64") {
        "usr/lib/aarch64-linux-gnu/glib-2.0/glib-compile-schemas"
    } else {
        "usr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas"
    },
    own_root: false,
    reads: &[("usr/share/glib-2.0/schemas/org.example.gschema.xml", "a")],
    makes: &["usr/share/glib-2.0/schemas/gschemas.compiled"],
    calls: &["usr/share/glib-2.0/schemas"],
    chosen: None,
};

const CERTIFICATES: Case = Case {
    recipe: "certificate-bundle",
    package: "mawk",
    program: "usr/bin/mawk",
    own_root: false,
    reads: &[
        ("etc/ca-certificates.conf", "mozilla/A.crt\n!mozilla/B.crt\n"),
        ("usr/local/share/ca-certificates/own.crt", OWN_CERTIFICATE),
        ("usr/share/ca-certificates/mozilla/A.crt", "a"),
        ("usr/share/ca-certificates/mozilla/B.crt", "b"),
    ],
    makes: &["etc/ssl/certs/ca-certificates.crt"],
    calls: &["usr/local/share/ca-certificates/own.crt"],
    chosen: None,
};
/// One as large as these are: below 512 bytes it would be no file to speak of.
const OWN_CERTIFICATE: &str = concat!(
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456",
    "012345678901234567890123456789"
);

/// Writes what depends on its files, and remembers how it was called.
#[derive(Debug)]
struct Scripted {
    case: Case,
    calls: Mutex<Vec<String>>,
}

impl RunProgram for Scripted {
    fn run(&self, call: &ProgramCall<'_>, _: &dyn Monitor) -> Result<(), ProgramError> {
        let seen = if call.own_root { Path::new("/").join(ROOT) } else { call.packages.clone() };
        assert_eq!(call.own_root, self.case.own_root);
        assert_eq!(call.packages == call.work.join(ROOT), call.own_root);
        assert!(call.packages.join(call.program.strip_prefix(&seen).unwrap()).is_file());
        let words = call.arguments.iter().map(|word| word.to_str().unwrap());
        let mut words = words.skip_while(|word| !word.starts_with(seen.to_str().unwrap())).skip(1);
        let program = words.next().unwrap();
        assert!(call.packages.join(Path::new(program).strip_prefix(&seen).unwrap()).is_file());
        // A script is no word.
        let words = words.filter(|word| !word.contains('\n')).collect::<Vec<_>>();
        self.calls.lock().unwrap().push(words.join(" "));
        let mut given = BTreeMap::new();
        files_in(&call.work, &call.work, &mut given);
        // What was unpacked for the program is in what it was unpacked from.
        let packed = given.keys().filter_map(|path| path.strip_suffix(".gz"));
        let unpacked: Vec<String> = packed.map(str::to_owned).collect();
        given.retain(|path, _| {
            !self.case.makes.contains(&path.as_str()) && !unpacked.contains(path)
        });
        for path in self.case.makes {
            fs_err::write(call.work.join(path), made(path, &given)).unwrap();
        }
        Ok(())
    }
}

/// The regular files below a folder, by their paths, without the packages.
fn files_in(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && entry.file_name() != ROOT {
            files_in(root, &entry.path(), found);
        } else if kind.is_file() {
            let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let content = fs_err::read(entry.path()).unwrap();
            found.insert(path, String::from_utf8_lossy(&content).into_owned());
        }
    }
}

/// What a program makes at `path` out of these files: nothing that could be guessed, or written in fewer bytes.
fn made(path: &str, given: &BTreeMap<String, String>) -> String {
    let line = |number: u32| Digest::of(format!("{number} {path} {given:?}").as_bytes());
    (0..20).map(|number| format!("{}\n", line(number))).collect()
}

impl Case {
    /// The files that the program is given.
    fn given(&self) -> BTreeMap<String, String> {
        let text = |&(path, content): &(&str, &str)| (path.to_owned(), content.to_owned());
        self.reads.iter().map(text).collect()
    }

    /// A tree with what the program makes.
    fn scene(&self) -> (Scene, Programs, Arc<Scripted>) {
        let scene = Scene::new();
        for (name, bytes) in [program_package(self.package, self.program), loader_package()] {
            scene.index(&name, &bytes);
        }
        let given = self.given();
        for (path, content) in &given {
            trees::file(&scene.tree(), path, content);
        }
        for path in self.makes {
            trees::file(&scene.tree(), path, made(path, &given));
        }
        if let Some((path, content)) = self.chosen {
            trees::file(&scene.tree(), path, content);
        }
        trees::file(&scene.tree(), "etc/other", "not read by any");
        let runner = Arc::new(Scripted { case: *self, calls: Mutex::default() });
        let programs = Programs { runner: runner.clone(), archives: vec![scene.origin.url("/")] };
        (scene, programs, runner)
    }

    /// What it makes is left out, and comes back by the same calls.
    #[track_caller]
    fn comes_back(&self) {
        let (scene, programs, runner) = self.scene();
        let before = snapshot(&scene.tree());
        let (archive, packed) = scene.pack_well(&packing(&programs));
        let derived: Vec<(&str, u64)> =
            packed.derived.iter().map(|(name, amount)| (name.as_str(), amount.files)).collect();
        assert_eq!(derived, [(self.recipe, self.makes.len() as u64)]);
        assert_eq!(std::mem::take(&mut *runner.calls.lock().unwrap()), self.calls);
        let options = restoring(Some(&programs));
        let (target, recorder) = (scene.target(), Recorder::default());
        let restored = scene.restorer().unpack(&mut &*archive, &target, &options, &recorder);
        scene.judge(&target, &restored.unwrap(), &recorder, &before);
        assert_eq!(*runner.calls.lock().unwrap(), self.calls);
    }

    /// With a parameter that makes no sense, nothing is run.
    #[track_caller]
    fn refuses(&self, parameter: &str, value: Option<&str>, why: &str) {
        let (scene, programs, runner) = self.scene();
        let (archive, _) = scene.pack_well(&packing(&programs));
        runner.calls.lock().unwrap().clear();
        let mut manifest = manifest_of(&archive);
        let derived = manifest.packages.iter_mut().find_map(|one| one.derived.first_mut());
        let parameters = &mut derived.unwrap().parameters;
        match value {
            Some(value) => parameters.insert(parameter.to_owned(), value.to_owned()),
            None => parameters.remove(parameter),
        };
        let target = scene.target();
        crate::scene::gnu_tar(&archive, &target);
        fs_err::write(target.join(".hashget-restore.json"), manifest.to_json()).unwrap();
        let options = restoring(Some(&programs));
        let recorder = Recorder::default();
        let restored = scene.restorer().restore(&target, &options, &recorder).unwrap();
        assert_eq!(restored.missing.len(), self.makes.len());
        let said = problems(&recorder);
        assert!(said.contains(why), "{why} is not in: {said}");
        assert!(runner.calls.lock().unwrap().is_empty());
    }
}

#[test]
fn a_hardware_database_of_packages_comes_back() {
    HARDWARE.comes_back();
}

#[test]
fn a_hardware_database_of_this_machine_comes_back() {
    let makes = &["etc/udev/hwdb.bin"];
    Case { makes, calls: &["update"], ..HARDWARE }.comes_back();
}

#[test]
fn a_hardware_database_comes_back_where_lib_is_a_folder() {
    let reads = &[("etc/udev/hwdb.d/own.hwdb", "own"), ("lib/udev/hwdb.d/20-a.hwdb", "a")];
    Case { reads, makes: &["lib/udev/hwdb.bin"], ..HARDWARE }.comes_back();
}

#[test]
fn a_catalog_of_the_journal_comes_back() {
    CATALOG.comes_back();
}

#[test]
fn compiled_schemas_of_settings_come_back() {
    SCHEMAS.comes_back();
    Case { package: "libglib2.0-0t64", ..SCHEMAS }.comes_back();
}

#[test]
fn an_archive_of_locales_comes_back_by_a_call_for_each() {
    LOCALES.comes_back();
}

#[test]
fn an_archive_of_locales_that_nobody_chose_is_archived() {
    for chosen in ["# en_US.UTF-8 UTF-8\n", "-x UTF-8\n", "de_DE.UTF-8 ../x\n"] {
        let case = Case { chosen: Some(("etc/locale.gen", chosen)), ..LOCALES };
        let (scene, programs, runner) = case.scene();
        let (_, packed) = scene.pack_well(&packing(&programs));
        assert!(packed.derived.is_empty() && runner.calls.lock().unwrap().is_empty(), "{chosen}");
    }
}

#[test]
fn locales_that_make_no_sense_are_not_compiled() {
    LOCALES.refuses("locales", None, "the manifest's parameter locales is missing");
    LOCALES.refuses("locales", Some(""), "locales has no locales, or too many");
    let many = "de_DE UTF-8 de_DE.UTF-8\n".repeat(21);
    LOCALES.refuses("locales", Some(&many), "locales has no locales, or too many");
    for line in [
        "de_DE UTF-8",
        "de_DE UTF-8 de_DE.UTF-8 more",
        "de_DE ../UTF-8 de_DE.UTF-8",
        "/etc/passwd UTF-8 de_DE.UTF-8",
        "/usr/local/share/i18n/locales/../x UTF-8 de_DE.UTF-8",
        "-x UTF-8 de_DE.UTF-8",
        "de_DE UTF-8 --prefix=x",
        "de_DE  de_DE.UTF-8",
    ] {
        LOCALES.refuses("locales", Some(line), "locales names what is no locale");
    }
}

#[test]
fn a_bundle_of_certificates_comes_back() {
    CERTIFICATES.comes_back();
    const READS: &[(&str, &str)] =
        &[CERTIFICATES.reads[0], CERTIFICATES.reads[2], CERTIFICATES.reads[3]];
    Case { reads: READS, calls: &[""], ..CERTIFICATES }.comes_back();
}

#[test]
fn what_is_no_certificate_is_not_put_into_a_bundle() {
    for path in ["/etc/passwd", "etc/passwd", "usr/local/share/ca-certificates/../../x.crt"] {
        let why = "own names what is no certificate of a machine's own";
        CERTIFICATES.refuses("own", Some(path), why);
    }
}
