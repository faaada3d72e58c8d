//! Snapshots of the file system that the sources are on, made by its own programs.
//!
//! Invariant: a snapshot has the name of its job. It is removed when packing has ended, however that was, and one that a killed run has
//! left is found by its name and removed before the next one is made.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hashget::error::ErrorClass;
use hashget::monitor::{Monitor, ProblemKind};

use super::RunError;
use crate::job::{Job, SnapshotKind};

/// The inode of the top folder of each btrfs subvolume.
const SUBVOLUME: u64 = 256;

/// File systems that are images: none of their files are their own.
const IMAGES: [&str; 4] = ["squashfs", "erofs", "cramfs", "iso9660"];

/// The room for what is written while a snapshot of a thick logical volume is there, as `lvcreate` takes it.
const ROOM: &str = "20%ORIGIN";

/// Why there is no snapshot of the sources.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system is not of the kind that the job says, or the sources are not on one.
    #[error("the job {job} cannot have a snapshot: {problem}")]
    Unfit {
        /// The job.
        job: String,
        /// What is in the way, and what was expected.
        problem: String,
    },
    /// A program of the file system failed.
    #[error("the snapshot of the job {job} could not be made: \"{command}\": {problem}")]
    Failed {
        /// The job.
        job: String,
        /// The command.
        command: String,
        /// What it said.
        problem: String,
    },
}

impl SnapshotError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unfit { .. } => ErrorClass::BadInput,
            Self::Failed { .. } => ErrorClass::Io,
        }
    }
}

/// A mounted file system, as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    kind: String,
    source: String,
}

/// What is done for a snapshot: commands, each with its arguments.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Each pair says whether something was left, by its first command, and how that is removed.
    clear: Vec<(Vec<String>, Vec<String>)>,
    /// What makes it.
    make: Vec<Vec<String>>,
    /// What removes it.
    remove: Vec<Vec<String>>,
    /// The top folder of what it shows, as it is in the snapshot ...
    top: PathBuf,
    /// ... and where that is otherwise.
    shown: PathBuf,
}

/// Calls `pack` with the folder that is to be read in the place of the one that the job packs; `None` if the job has no snapshot.
pub(super) fn with<T>(
    job: &Job,
    state: &Path,
    monitor: &dyn Monitor,
    pack: impl FnOnce(Option<PathBuf>) -> Result<T, RunError>,
) -> Result<T, RunError> {
    let Some(kind) = job.snapshot else { return pack(None) };
    let unfit = |problem: String| SnapshotError::Unfit { job: job.name.clone(), problem };
    let folder =
        fs_err::canonicalize(packed_folder(job)).map_err(|error| unfit(error.to_string()))?;
    let mounts = mounts()?;
    let plan = plan(kind, job, &folder, &mounts, state).map_err(unfit)?;
    let below = folder.strip_prefix(&plan.shown).map_err(|_| {
        let shown = plan.shown.display();
        unfit(format!("the sources are not all in {shown}: expected one folder, or several in the file system of /"))
    })?;
    let run = |command: &[String]| {
        monitor.check_interrupted()?;
        run(command).map_err(|problem| {
            let (job, command) = (job.name.clone(), command.join(" "));
            RunError::from(SnapshotError::Failed { job, command, problem })
        })
    };
    for (is_there, remove) in &plan.clear {
        if self::run(is_there).is_ok() {
            run(remove)?;
        }
    }
    let made = plan.make.iter().try_for_each(|command| run(command).map(drop));
    let packed = made.and_then(|()| {
        left_out(job, &folder, &mounts, monitor);
        pack(Some(plan.top.join(below)))
    });
    for command in &plan.remove {
        if let Err(problem) = self::run(command)
            && packed.is_ok()
        {
            let message = format!(
                "its snapshot was not removed, and is by the next run: `{}`: {problem}",
                command.join(" ")
            );
            monitor.problem(ProblemKind::Note, &job.name, message);
        }
    }
    packed
}

/// The folder that is packed as a whole, or that all sources are in.
fn packed_folder(job: &Job) -> &Path {
    match &job.sources[..] {
        [one] if one.is_dir() => one,
        _ => Path::new("/"),
    }
}

/// Says which file systems of disks are mounted in the folder: a snapshot does not have them.
fn left_out(job: &Job, folder: &Path, mounts: &[Mount], monitor: &dyn Monitor) {
    let excluded = |point: &Path| {
        let mut options = job.options.windows(2).filter(|words| words[0] == "--exclude");
        options.any(|words| point.starts_with(words[1].trim_end_matches("/*")))
    };
    let is_image = |mount: &Mount| IMAGES.contains(&&*mount.kind);
    let of_disks =
        mounts.iter().filter(|mount| mount.source.starts_with("/dev/") && !is_image(mount));
    for mount in of_disks.filter(|mount| mount.point.starts_with(folder) && mount.point != folder) {
        if !excluded(&mount.point) {
            let message = "another file system is mounted here, which is not in the snapshot: give it a job of its own, or exclude it";
            monitor.problem(ProblemKind::Incomplete, mount.point.display().to_string(), message);
        }
    }
}

/// What is to be done for a snapshot of the file system that `folder` is on.
fn plan(
    kind: SnapshotKind,
    job: &Job,
    folder: &Path,
    mounts: &[Mount],
    state: &Path,
) -> Result<Plan, String> {
    // Of several at one place, the last one is seen.
    let on = mounts.iter().rev().filter(|mount| folder.starts_with(&mount.point));
    let mount = on.max_by_key(|mount| mount.point.as_os_str().len());
    let mount =
        mount.ok_or_else(|| format!("where {} is mounted is not known", folder.display()))?;
    match kind {
        SnapshotKind::Btrfs if mount.kind == "btrfs" => {
            let tops = folder.ancestors().take_while(|above| above.starts_with(&mount.point));
            let top = tops.into_iter().find(|above| is_subvolume(above));
            let top = top.ok_or_else(|| format!("{} is in no subvolume", folder.display()))?;
            let plan = btrfs(&job.name, top);
            match plan.top.exists() && !is_subvolume(&plan.top) {
                true => Err(format!("{} is in the way: remove it", plan.top.display())),
                false => Ok(plan),
            }
        }
        SnapshotKind::Zfs if mount.kind == "zfs" => Ok(zfs(&job.name, mount)),
        SnapshotKind::Lvm => {
            let (volume, is_thin) = volume(&mount.source)?;
            Ok(lvm(
                &job.name,
                mount,
                &volume,
                is_thin,
                &state.join(format!("{}.snapshot", job.name)),
            ))
        }
        SnapshotKind::Btrfs | SnapshotKind::Zfs => Err(format!(
            "{} is on {} of the kind {}: expected a snapshot of that kind, or \"none\"",
            folder.display(),
            mount.point.display(),
            mount.kind
        )),
    }
}

/// The words of a command.
fn words(words: &[&OsStr]) -> Vec<String> {
    words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

macro_rules! command {
    ($($word:expr),+) => { words(&[$(OsStr::new($word)),+]) };
}

fn btrfs(job: &str, top: &Path) -> Plan {
    let snapshot = top.join(format!(".hashget-snapshot-{job}"));
    let remove = command!["btrfs", "subvolume", "delete", &snapshot];
    Plan {
        clear: vec![(command!["btrfs", "subvolume", "show", &snapshot], remove.clone())],
        make: vec![command!["btrfs", "subvolume", "snapshot", "-r", top, &snapshot]],
        remove: vec![remove],
        top: snapshot,
        shown: top.to_owned(),
    }
}

fn zfs(job: &str, mount: &Mount) -> Plan {
    let (short, snapshot) = (format!("hashget-{job}"), format!("{}@hashget-{job}", mount.source));
    let remove = command!["zfs", "destroy", &snapshot];
    Plan {
        clear: vec![(command!["zfs", "list", "-H", "-t", "snapshot", &snapshot], remove.clone())],
        make: vec![command!["zfs", "snapshot", &snapshot]],
        remove: vec![remove],
        top: mount.point.join(".zfs/snapshot").join(short),
        shown: mount.point.clone(),
    }
}

/// `volume` is the name of the logical volume, `VG/LV`; the snapshot is mounted at `at`.
fn lvm(job: &str, mount: &Mount, volume: &str, is_thin: bool, at: &Path) -> Plan {
    let name = format!("hashget-{job}");
    let group = volume.split('/').next().unwrap_or_default();
    let (snapshot, device) = (format!("{group}/{name}"), format!("/dev/{group}/{name}"));
    let (unmount, remove) = (command!["umount", at], command!["lvremove", "-q", "-f", &snapshot]);
    // Thin snapshots take their room from the pool, and are not active by themselves.
    let make = match is_thin {
        true => command!["lvcreate", "-q", "-s", "-kn", "-ay", "-n", &name, volume],
        false => command!["lvcreate", "-q", "-s", "-l", ROOM, "-n", &name, volume],
    };
    // Two file systems of XFS with one UUID are not mounted otherwise.
    let options = if mount.kind == "xfs" { "ro,nouuid" } else { "ro" };
    Plan {
        clear: vec![
            (command!["mountpoint", "-q", at], unmount.clone()),
            (command!["lvs", &snapshot], remove.clone()),
        ],
        make: vec![
            command!["mkdir", "-p", at],
            make,
            command!["mount", "-o", options, &device, at],
        ],
        remove: vec![unmount, remove],
        top: at.to_owned(),
        shown: mount.point.clone(),
    }
}

/// The logical volume on a device, `VG/LV`, and whether it is thin.
fn volume(device: &str) -> Result<(String, bool), String> {
    let command = command![
        "lvs",
        "--noheadings",
        "--separator",
        "/",
        "-o",
        "vg_name,lv_name,pool_lv",
        device
    ];
    let printed =
        run(&command).map_err(|problem| format!("{device} is no logical volume: {problem}"))?;
    let mut parts = printed.trim().split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(group), Some(name), pool) if !group.is_empty() && !name.is_empty() => {
            Ok((format!("{group}/{name}"), pool.is_some_and(|pool| !pool.is_empty())))
        }
        _ => Err(format!("{device} is no logical volume: lvs says \"{}\"", printed.trim())),
    }
}

/// Is it the top folder of a btrfs subvolume?
fn is_subvolume(folder: &Path) -> bool {
    fs_err::metadata(folder).is_ok_and(|found| found.ino() == SUBVOLUME)
}

/// Runs a command; what it printed, or why it failed.
fn run(command: &[String]) -> Result<String, String> {
    let [program, arguments @ ..] = command else { return Ok(String::new()) };
    let ended = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let ended = ended.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no program {program}: install it"),
        _ => error.to_string(),
    })?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(format!("{}: {}", ended.status, said.join("; ")))
}

/// What is mounted, in the order in which it was.
fn mounts() -> io::Result<Vec<Mount>> {
    Ok(parsed(&fs_err::read("/proc/self/mountinfo")?))
}

fn parsed(mountinfo: &[u8]) -> Vec<Mount> {
    let mount = |line: &[u8]| {
        let line = String::from_utf8_lossy(line).into_owned();
        let (first, second) = line.split_once(" - ")?;
        let point = OsStr::from_bytes(&unescaped(first.split(' ').nth(4)?)).into();
        let mut rest = second.split(' ');
        let (kind, source) = (rest.next()?.to_owned(), unescaped(rest.next()?));
        Some(Mount { point, kind, source: String::from_utf8_lossy(&source).into_owned() })
    };
    mountinfo.split(|byte| *byte == b'\n').filter_map(mount).collect()
}

/// With the bytes that the kernel writes as `\040`.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\');
        let octal =
            digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = b"21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw\n\
        22 21 0:5 / /proc rw - proc proc rw\n\
        30 21 0:40 / /srv/my\\040data rw shared:9 master:1 - zfs tank/my\\040data rw,xattr\n\
        nonsense\n";

    fn mount(kind: &str) -> Mount {
        Mount { point: "/srv".into(), kind: kind.into(), source: "tank/srv".into() }
    }

    fn shown(commands: &[Vec<String>]) -> Vec<String> {
        commands.iter().map(|command| command.join(" ")).collect()
    }

    #[test]
    fn mounts_are_read_as_the_kernel_writes_them() {
        let mounts = parsed(MOUNTINFO);
        assert_eq!(mounts.len(), 3);
        assert_eq!(mounts[0].source, "/dev/mapper/vg-root");
        let data = Mount {
            point: "/srv/my data".into(),
            kind: "zfs".into(),
            source: "tank/my data".into(),
        };
        assert_eq!(mounts[2], data);
    }

    #[test]
    fn zfs_is_read_below_its_hidden_folder() {
        let plan = zfs("web", &mount("zfs"));
        assert_eq!(shown(&plan.make), ["zfs snapshot tank/srv@hashget-web"]);
        assert_eq!(shown(&plan.remove), ["zfs destroy tank/srv@hashget-web"]);
        assert_eq!(plan.top, Path::new("/srv/.zfs/snapshot/hashget-web"));
        assert_eq!(plan.clear[0].0.join(" "), "zfs list -H -t snapshot tank/srv@hashget-web");
    }

    #[test]
    fn thin_volumes_need_no_room_and_xfs_another_option() {
        let at = Path::new("/state/web.snapshot");
        let thick = lvm("web", &mount("ext4"), "vg/srv", false, at);
        assert_eq!(
            shown(&thick.make)[1..],
            [
                "lvcreate -q -s -l 20%ORIGIN -n hashget-web vg/srv",
                "mount -o ro /dev/vg/hashget-web /state/web.snapshot"
            ]
        );
        let expected = ["umount /state/web.snapshot", "lvremove -q -f vg/hashget-web"];
        assert_eq!(shown(&thick.remove), expected);
        let thin = lvm("web", &mount("xfs"), "vg/srv", true, at);
        assert_eq!(shown(&thin.make)[1], "lvcreate -q -s -kn -ay -n hashget-web vg/srv");
        assert!(shown(&thin.make)[2].starts_with("mount -o ro,nouuid "));
    }
}
