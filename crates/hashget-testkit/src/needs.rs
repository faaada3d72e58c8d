//! Tests that need something of the machine: a program, root, the right to mount.
//!
//! libtest decides at compile time what is ignored, but only the machine that runs a test knows what it has. Tests with
//! needs are therefore listed in a test target with a harness of its own (`tests/needs/main.rs` of a crate).
//!
//! Invariant: a test whose need is not met never counts as passed. It is reported as ignored, with the reason. With
//! `HASHGET_REQUIRE_TOOLS=1` a missing program is a failure.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Completion, Trial};

use crate::odd_folder::OddFolder;
use crate::small_disk::SmallDisk;
use crate::trees;

/// If it is `1`, a missing program makes a test fail.
const REQUIRE_TOOLS: &str = "HASHGET_REQUIRE_TOOLS";

/// Set for a test that runs again as another user: the first process has checked what it needs.
pub(crate) const IS_CHECKED: &str = "HASHGET_TEST_NEEDS_ARE_CHECKED";

/// Something that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A program in `PATH`, or a server where Debian puts it. GNU tar, gzip and coreutils are taken for granted.
    Tool(&'static str),
    /// The tests run as root.
    Root,
    /// The tests run as a user, or as root with `setpriv` to become one.
    User,
    /// The right to mount a file system.
    Mount,
    /// The right to mount the image of a file system.
    Image,
    /// The right to mount a file system of our own (FUSE).
    Fuse,
    /// The right to unmount `/proc` in a namespace.
    OwnProc,
    /// A process may have 12,000 open files.
    ManyFiles,
    /// System calls can be intercepted (seccomp notifications).
    Interception,
    /// Processes can be confined by Landlock.
    Landlock,
    /// A process can make a folder its root, perhaps in a user namespace.
    OwnRoot,
    /// A user who is not root can make a user namespace.
    UserNamespace,
    /// Temporary files can have extended attributes.
    Attributes,
    /// Temporary files can be protected from changes (`chattr +i`).
    Flags,
    /// Temporary files can have holes.
    Holes,
    /// The program rpm writes databases of the kind ndb; that of Debian does not.
    RpmNdb,
    /// This system was installed by dpkg.
    Dpkg,
    /// The test is a part of another one, which starts it with this variable.
    StartedWith(&'static str),
    /// The test takes minutes: it runs only if ignored tests are asked for (`--ignored`).
    Minutes,
}

impl Need {
    /// The part of the sentence "this test needs ..."; `None` if the need is met.
    fn unmet(self) -> Option<&'static str> {
        let (met, what) = match self {
            Self::Tool(program) => (is_in_path(program), program),
            Self::Root => (trees::is_root(), "root"),
            Self::User => (!trees::is_root() || is_in_path("setpriv"), "setpriv"),
            Self::Mount => (may_mount(), "the right to mount"),
            Self::Image => (may_mount_images(), "the right to mount images"),
            Self::Fuse => (may_mount_fuse(), "the right to mount a FUSE file system"),
            Self::OwnProc => (may_hide_proc(), "the right to unmount /proc in a namespace"),
            Self::ManyFiles => (may_have_many_files(), "the right to 12,000 open files"),
            Self::Interception => (may_intercept(), "cc and seccomp notifications"),
            Self::Landlock => (has_landlock(), "a kernel with Landlock"),
            Self::OwnRoot => (may_change_root(), "the right to change its root"),
            Self::UserNamespace => (may_make_namespaces(), "user namespaces for other users"),
            Self::Attributes => (has_attributes(), "extended attributes of temporary files"),
            Self::Flags => (may_protect(), "chattr and the right to make files immutable"),
            Self::Holes => (has_holes(), "temporary files with holes"),
            Self::RpmNdb => (writes_ndb(), "an rpm that writes ndb databases"),
            Self::Dpkg => (Path::new("/var/lib/dpkg/status").exists(), "a system of dpkg"),
            Self::StartedWith(variable) => {
                (std::env::var_os(variable).is_some(), "to be started by another test")
            }
            Self::Minutes => (false, "minutes: run it with --ignored"),
        };
        (!met).then_some(what)
    }

    /// A program that this need cannot be met without, and that is not there.
    fn missing_program(self) -> Option<&'static str> {
        let program = match self {
            Self::Tool(program) => program,
            Self::User if trees::is_root() => "setpriv",
            Self::Mount | Self::Image => "mount",
            Self::OwnProc => "unshare",
            Self::Interception => "cc",
            Self::Flags => "chattr",
            Self::RpmNdb => "rpm",
            Self::Root
            | Self::Fuse
            | Self::ManyFiles
            | Self::User
            | Self::Attributes
            | Self::Landlock
            | Self::OwnRoot
            | Self::UserNamespace
            | Self::Holes
            | Self::Dpkg
            | Self::StartedWith(_)
            | Self::Minutes => return None,
        };
        (!is_in_path(program)).then_some(program)
    }
}

/// A test and what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// Its path within the test target, as libtest would print it.
    pub name: &'static str,
    /// Everything that has to be there.
    pub needs: &'static [Need],
    /// The test; it fails by panicking.
    pub run: fn(),
}

/// Lists tests as `module::function: [needs]`.
#[macro_export]
macro_rules! tests_with_needs {
    ($($test:path: [$($need:expr),* $(,)?]),* $(,)?) => {
        &[$($crate::needs::Test {
            name: stringify!($test),
            needs: &[$($need),*],
            run: $test,
        }),*]
    };
}

/// Runs the tests as libtest would, with its arguments.
pub fn run(tests: &[Test]) -> ExitCode {
    let arguments = Arguments::from_args();
    // Runners such as nextest list tests first and then run each on its own: what is ignored must be known in the list,
    // and nextest prints nothing of an ignored test but its name.
    let is_listed = arguments.list || arguments.ignored || arguments.include_ignored;
    let trials = tests.iter().map(|test| {
        let reason = if is_listed { reason_to_ignore(test) } else { None };
        let trial = trial(*test, is_listed).with_ignored_flag(reason.is_some());
        trial.with_kind(reason.unwrap_or_default())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// The test as the harness runs it. If ignored tests are asked for, one whose needs are not met fails.
fn trial(test: Test, ignored_are_asked_for: bool) -> Trial {
    Trial::ignorable_test(test.name, move || {
        if let Some(reason) = reason_to_fail(&test) {
            return Err(reason.into());
        }
        if ignored_are_asked_for {
            if let Some(reason) = unmet(&test, |need| *need != Need::Minutes) {
                return Err(reason.into());
            }
        } else if let Some(reason) = reason_to_ignore(&test) {
            return Ok(Completion::ignored_with(reason));
        }
        (test.run)();
        Ok(Completion::Completed)
    })
}

/// What is missing of those needs that count; `None` if nothing is.
fn unmet(test: &Test, counts: impl Fn(&Need) -> bool) -> Option<String> {
    if std::env::var_os(IS_CHECKED).is_some() {
        return None;
    }
    needs(test.needs.iter().copied().filter(counts).filter_map(Need::unmet))
}

/// The sentence that says what is missing, if anything is.
fn needs(missing: impl Iterator<Item = &'static str>) -> Option<String> {
    let missing: Vec<&str> = missing.collect();
    (!missing.is_empty()).then(|| format!("needs {}", missing.join(", ")))
}

fn reason_to_fail(test: &Test) -> Option<String> {
    let required = std::env::var_os(REQUIRE_TOOLS).is_some_and(|value| value == "1");
    let is_checked = std::env::var_os(IS_CHECKED).is_some();
    if !required || is_checked {
        return None;
    }
    needs(test.needs.iter().copied().filter_map(Need::missing_program))
}

fn reason_to_ignore(test: &Test) -> Option<String> {
    // A test that has to fail must run.
    if reason_to_fail(test).is_some() { None } else { unmet(test, |_| true) }
}

fn is_in_path(program: &str) -> bool {
    crate::programs::find(program).is_some()
}

fn may_mount() -> bool {
    SmallDisk::mount(temporary().path(), 1 << 20).is_some()
}

fn may_mount_images() -> bool {
    let mut loops = Command::new("losetup");
    loops.arg("--find").stdout(Stdio::null()).stderr(Stdio::null());
    may_mount() && loops.status().is_ok_and(|status| status.success())
}

fn may_mount_fuse() -> bool {
    OddFolder::mount(temporary().path(), &[]).is_some()
}

fn may_hide_proc() -> bool {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "umount -l /proc"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn may_change_root() -> bool {
    let root: &[&str] = if trees::is_root() { &[] } else { &["unshare", "--map-root-user"] };
    succeeds(&[root, &["chroot", "/", "true"]].concat())
}

fn may_make_namespaces() -> bool {
    let user = ["setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups"];
    let root: &[&str] = if trees::is_root() { &user } else { &[] };
    succeeds(&[root, &["unshare", "--map-root-user", "chroot", "/", "true"]].concat())
}

fn succeeds(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn may_have_many_files() -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.maximum.is_none_or(|most| most >= 12_000)
}

fn writes_ndb() -> bool {
    let output = Command::new("rpm").arg("--showrc").output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let backends = text.lines().find(|line| line.trim().starts_with("available backends"));
        backends.is_some_and(|line| line.split_whitespace().any(|word| word == "ndb"))
    })
}

fn may_intercept() -> bool {
    crate::nth_call::Supervisor::build().is_ok()
}

fn has_attributes() -> bool {
    trees::xattr(&trees::file(temporary().path(), "file", ""), "user.note", b"value")
}

fn may_protect() -> bool {
    let folder = temporary();
    let file = trees::file(folder.path(), "file", "");
    let change = |flag: &str| {
        let mut command = Command::new("chattr");
        command.arg(flag).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    change("+i") && change("-i")
}

fn has_holes() -> bool {
    let folder = temporary();
    let file = trees::sparse(folder.path(), "file", 1 << 20, &[]);
    file.metadata().is_ok_and(|metadata| metadata.blocks() * 512 < 1 << 20)
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// Does the kernel take a set of rules? Nothing is confined by making one.
fn has_landlock() -> bool {
    use landlock::{
        ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    };
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let handled = rules.handle_access(AccessFs::from_all(ABI::V1));
    handled.and_then(Ruleset::create).is_ok()
}
