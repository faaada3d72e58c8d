//! What a program out of a package may do: the side of a process that gives everything else up, and then becomes the program.
//!
//! Invariant: the program begins only if all of this is in force; a kernel that cannot do it runs none.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::chroot;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use landlock::{
    Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope,
};
use nix::sched::{CloneFlags, unshare};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// The first argument of a hashget that is to become another program: see [`become_program`].
pub(crate) const ARGUMENT: &str = "__program";

/// What every user has in common who is nobody.
const NOBODY: u32 = 65534;

/// Bytes of memory.
const MOST_MEMORY: u64 = 4 << 30;
/// Bytes of one file.
const MOST_FILE_BYTES: u64 = 1 << 30;
const MOST_OPEN_FILES: u64 = 256;

/// Its environment, the same on every machine. `HOME` and `PATH` name nothing.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("LC_ALL", "C.UTF-8"),
    ("TZ", "UTC"),
    ("HOME", "/nonexistent"),
    ("PATH", "/nonexistent"),
    ("SOURCE_DATE_EPOCH", "0"),
    ("PYTHONHASHSEED", "0"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
];

/// Says that the folder which is written becomes the root, and has the one that is read in it.
pub(super) const OWN_ROOT: &str = "root";

/// Becomes the program that the arguments after [`ARGUMENT`] describe: seconds of processor time, the folder that is read, the folder that is written, [`OWN_ROOT`]
/// or nothing, a variable of the environment (`NAME=VALUE`, or nothing), and the program with its arguments. Comes back only if that
/// failed. Called first of all in `main`, while there is one thread.
#[allow(clippy::print_stderr, reason = "the console is that of the process which reads this")]
pub(crate) fn become_program(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let [seconds, packages, work, root, variable, program, rest @ ..] = &arguments[..] else {
        eprintln!("hashget: {ARGUMENT} is for hashget itself");
        return ExitCode::from(2);
    };
    let seconds = seconds.to_str().and_then(|text| text.parse().ok()).unwrap_or_default();
    close_inherited();
    let has_own_root = root == OWN_ROOT;
    let error = match confine(Path::new(packages), Path::new(work), has_own_root, seconds) {
        Ok(()) => {
            let mut command = Command::new(program);
            command.args(rest).env_clear().envs(ENVIRONMENT);
            command.current_dir(if has_own_root { OsStr::new("/") } else { work });
            if let Some((name, value)) = variable.to_str().and_then(|text| text.split_once('=')) {
                command.env(name, value);
            }
            if let Some(owner) = owner() {
                command.uid(owner).gid(owner);
            }
            command.exec()
        }
        Err(error) => error,
    };
    eprintln!("hashget: cannot begin the program: {error}");
    ExitCode::from(126)
}

/// Closes whatever is open besides the standard streams: confinement is of no avail against what is open already.
fn close_inherited() {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<RawFd>().ok();
    let open: Vec<RawFd> = open.flatten().filter_map(number).collect();
    for number in open.into_iter().filter(|number| *number > 2) {
        // That of the folder itself is closed already.
        let _ = nix::unistd::close(number);
    }
}

/// As whom it runs, if not as the user that we are; its folders must be his.
pub(super) fn owner() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(NOBODY)
}

fn confine(packages: &Path, work: &Path, has_own_root: bool, seconds: u64) -> io::Result<()> {
    limit_resources(seconds)?;
    let open = if has_own_root { open_in_root(packages, work)? } else { open(packages, work)? };
    if has_own_root {
        enter(work).map_err(|error| {
            io::Error::other(format!("this machine gives it no root of its own: {error}"))
        })?;
    }
    limit_files(open)?;
    forbid_system_calls()
}

/// Makes a folder the root of what is seen: for what paths mean, and not to keep anything in. Other users than root may do that in a user
/// namespace of their own; what they may do in it is gone with it when they become the program, which is no root there.
fn enter(root: &Path) -> io::Result<()> {
    if owner().is_none() {
        unshare(CloneFlags::CLONE_NEWUSER)?;
    }
    chroot(root)?;
    std::env::set_current_dir("/")
}

/// `seconds` of processor time.
fn limit_resources(seconds: u64) -> io::Result<()> {
    for (resource, most) in [
        (Resource::As, MOST_MEMORY),
        (Resource::Cpu, seconds),
        (Resource::Fsize, MOST_FILE_BYTES),
        (Resource::Nofile, MOST_OPEN_FILES),
        (Resource::Core, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// Of this, an older kernel does what it can: the rest is forbidden below, or is no more than to change what is the program's own.
const ABI: landlock::ABI = landlock::ABI::V6;

/// What may be opened, and how.
type Open = Vec<PathBeneath<PathFd>>;

/// The packages are read and executed, the other folder is read and written.
fn open(packages: &Path, work: &Path) -> io::Result<Open> {
    Ok(vec![beneath(packages, AccessFs::from_read(ABI))?, beneath(work, written())?])
}

/// The same, where the packages lie in the other folder: only what lies beside them is written.
fn open_in_root(packages: &Path, root: &Path) -> io::Result<Open> {
    let read = AccessFs::from_read(ABI);
    let mut open = vec![beneath(packages, read)?, beneath(root, read & !AccessFs::Execute)?];
    for entry in fs_err::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.path() != packages {
            open.push(beneath(&entry.path(), written())?);
        }
    }
    Ok(open)
}

fn written() -> BitFlags<AccessFs> {
    AccessFs::from_all(ABI) & !AccessFs::Execute
}

fn beneath(folder: &Path, access: BitFlags<AccessFs>) -> io::Result<PathBeneath<PathFd>> {
    let folder = PathFd::new(folder).map_err(io::Error::other)?;
    Ok(PathBeneath::new(folder, access))
}

/// Only these folders are left of all file systems, and nothing of the network.
fn limit_files(open: Open) -> io::Result<()> {
    let open = open.into_iter().map(Ok::<_, RulesetError>);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(open))
        .and_then(RulesetCreated::restrict_self)
        .map_err(io::Error::other)?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err(io::Error::other("this kernel has no Landlock, which has to confine it"));
    }
    Ok(())
}

/// Of Linux 6.6: since 2019, new calls have the same number on all types of processors. Not all libraries know its name.
const FCHMODAT2: libc::c_long = 452;

/// What a program asks for in vain: to reach other processes, the network, the kernel itself, or what it has not opened itself.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_add_key,
    libc::SYS_bind,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_connect,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_finit_module,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_ioprio_set,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_kill,
    libc::SYS_listen,
    libc::SYS_lsetxattr,
    libc::SYS_lremovexattr,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_msgget,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_removexattr,
    libc::SYS_request_key,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_semget,
    libc::SYS_setns,
    libc::SYS_setpriority,
    libc::SYS_settimeofday,
    libc::SYS_setxattr,
    libc::SYS_shmat,
    libc::SYS_shmget,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_swapon,
    libc::SYS_tkill,
    libc::SYS_truncate,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_utimensat,
    libc::SYS_vhangup,
];

/// The same that only this processor has: older forms of these calls, and the ways to make a process, and no thread.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_fork,
    libc::SYS_futimesat,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

fn forbid_system_calls() -> io::Result<()> {
    let always = |number: &libc::c_long| (*number, Vec::new());
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = FORBIDDEN.iter().map(always).collect();
    rules.extend(OLDER.iter().map(always));
    // Threads are welcome.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    rules.insert(libc::SYS_clone, if_all(&[(SeccompCmpOp::MaskedEq(thread), 0)])?);
    // A program may end itself by a signal, and ask for its own limits. The process stays the same when it becomes the program.
    let own = u64::from(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs());
    rules.insert(libc::SYS_tgkill, if_all(&[(SeccompCmpOp::Ne, own)])?);
    let others = [(SeccompCmpOp::Ne, own), (SeccompCmpOp::Ne, 0)];
    rules.insert(libc::SYS_prlimit64, if_all(&others)?);
    // What it makes may have any mode but one by which others would run it as this user.
    rules.insert(libc::SYS_fchmod, with_special_mode(1, None)?);
    rules.insert(libc::SYS_openat, with_special_mode(3, Some(2))?);
    rules.insert(libc::SYS_mknodat, with_special_mode(2, None)?);
    #[cfg(target_arch = "x86_64")]
    {
        rules.insert(libc::SYS_open, with_special_mode(2, Some(1))?);
        rules.insert(libc::SYS_creat, with_special_mode(1, None)?);
        rules.insert(libc::SYS_mknod, with_special_mode(1, None)?);
    }
    // Their flags cannot be looked at; whoever hears that there is no such call takes the ones above.
    let newer = BTreeMap::from([always(&libc::SYS_clone3), always(&libc::SYS_openat2)]);
    forbid(newer, libc::ENOSYS)?;
    forbid(rules, libc::EPERM)
}

/// Rules for calls whose argument with this index is a mode that makes somebody else run a file as its owner or group; where an argument
/// is named that has flags, only if these make a file.
fn with_special_mode(mode: u8, flags: Option<u8>) -> io::Result<Vec<SeccompRule>> {
    let bit = |argument: u8, bit: libc::c_uint| {
        let bit = u64::from(bit);
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bit), bit)
    };
    let rule = |special: libc::c_uint| {
        let makes = flags.map(|flags| bit(flags, libc::O_CREAT.unsigned_abs()));
        let conditions = std::iter::once(bit(mode, special)).chain(makes);
        SeccompRule::new(conditions.collect::<Result<_, _>>()?)
    };
    [libc::S_ISUID, libc::S_ISGID]
        .map(rule)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(io::Error::other)
}

/// A rule for calls whose first argument, a number of 32 bits, is all of this.
fn if_all(conditions: &[(SeccompCmpOp, u64)]) -> io::Result<Vec<SeccompRule>> {
    let conditions = conditions
        .iter()
        .map(|(is, value)| SeccompCondition::new(0, SeccompCmpArgLen::Dword, is.clone(), *value));
    let conditions = conditions.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
    Ok(vec![SeccompRule::new(conditions).map_err(io::Error::other)?])
}

/// Lets these system calls fail with this error.
fn forbid(rules: BTreeMap<i64, Vec<SeccompRule>>, error: libc::c_int) -> io::Result<()> {
    let processor = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let answer = SeccompAction::Errno(error.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, processor)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)?;
    seccompiler::apply_filter(&filter).map_err(io::Error::other)
}
