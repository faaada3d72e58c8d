//! What the system says about the times of files: whether an unchanged time proves an unchanged file.
//!
//! Invariant: what cannot be found out counts as the worst: nothing is proven then.

use std::path::Path;

/// Shortest time, in seconds, for which the times of a file must have been settled.
const LEAST_SETTLED_SECONDS: i64 = 60;

/// The capability that lets a process see the attributes in `trusted.` (`include/uapi/linux/capability.h`).
const CAP_SYS_ADMIN: u32 = 21;

/// The conditions under which files are scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conditions {
    /// Which start of the system this is. A crash may lose the time of a change, but not the change: what was
    /// remembered before the start proves nothing.
    pub(super) boot: [u8; 16],
    /// Does this process see all attributes of files? Others may take a file for one without any.
    pub(super) sees_all_attributes: bool,
    /// How old the times of a file must be, in seconds, before they prove anything: a page that is mapped and dirty
    /// already can be changed until it is written back, and the file's times stay as they are.
    pub(super) settled_seconds: i64,
    /// Types of file systems, of which one is mounted so that times may be written hours later (`lazytime`).
    pub(super) lazy: Vec<String>,
}

impl Conditions {
    /// Those of this system, from its `/proc`; `None` if files that have not changed cannot be told at all.
    pub(super) fn of_this_system() -> Option<Self> {
        Self::read(Path::new("/proc"))
    }

    fn read(proc: &Path) -> Option<Self> {
        let text = |name: &str| fs_err::read_to_string(proc.join(name)).ok();
        let number = |name: &str| text(&format!("sys/vm/{name}"))?.trim().parse::<i64>().ok();
        let boot = text("sys/kernel/random/boot_id")?.trim().replace('-', "");
        let expire = number("dirty_expire_centisecs")?;
        let interval = number("dirty_writeback_centisecs")?;
        // Without an interval, and in laptop mode, nothing says when pages are written.
        if interval <= 0 || expire < 0 || number("laptop_mode").unwrap_or(0) != 0 {
            return None;
        }
        Some(Self {
            boot: u128::from_str_radix(&boot, 16).ok()?.to_be_bytes(),
            sees_all_attributes: has_capability(&text("self/status")?, CAP_SYS_ADMIN),
            settled_seconds: settled(expire.saturating_add(interval)),
            lazy: lazy_types(&text("self/mountinfo")?),
        })
    }
}

/// Twice the time in which pages are written back, in seconds; `centiseconds` is that time.
fn settled(centiseconds: i64) -> i64 {
    (centiseconds / 50).saturating_add(1).max(LEAST_SETTLED_SECONDS)
}

/// The types of file systems that are mounted with `lazytime`, by `/proc/self/mountinfo`.
fn lazy_types(mounts: &str) -> Vec<String> {
    let lazy = mounts.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let kind = file_system.split(' ').next()?;
        let mut options = mount.split([' ', ',']).chain(file_system.split([' ', ',']));
        options.any(|option| option == "lazytime").then(|| kind.to_owned())
    });
    lazy.collect()
}

/// Has a process this capability, by its `/proc/self/status`?
fn has_capability(status: &str, capability: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> capability & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
23 22 8:2 / /home rw,relatime,lazytime shared:2 - xfs /dev/sda2 rw
24 22 8:3 / /srv/lazytime rw,relatime - btrfs /dev/sda3 rw,subvol=/x
25 22 8:4 / /var rw - f2fs /dev/sda4 rw,lazytime
";

    /// A `/proc` with these values of `dirty_expire_centisecs`, `dirty_writeback_centisecs` and `laptop_mode`.
    fn found(expire: &str, interval: &str, laptop: &str) -> Option<Conditions> {
        let proc = tempfile::tempdir().unwrap();
        let files = [
            ("sys/kernel/random/boot_id", "00112233-4455-6677-8899-aabbccddeeff\n"),
            ("sys/vm/dirty_expire_centisecs", expire),
            ("sys/vm/dirty_writeback_centisecs", interval),
            ("sys/vm/laptop_mode", laptop),
            ("self/status", "Name:\tx\nCapEff:\t0000000000200000\n"),
            ("self/mountinfo", MOUNTS),
        ];
        for (name, text) in files {
            let path = proc.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        Conditions::read(proc.path())
    }

    #[test]
    fn the_defaults_of_linux_need_a_bit_more_than_a_minute() {
        let usual = found("3000\n", "500\n", "0\n").unwrap();
        assert_eq!((usual.settled_seconds, usual.sees_all_attributes), (71, true));
        assert_eq!(usual.boot[..3], [0, 0x11, 0x22]);
        assert_eq!(usual.lazy, ["xfs", "f2fs"]);
        assert_eq!(found("0\n", "100\n", "0\n").unwrap().settled_seconds, 60);
        assert_eq!(found("60000\n", "60000\n", "0\n").unwrap().settled_seconds, 2401);
    }

    #[test]
    fn what_is_not_known_proves_nothing() {
        assert_eq!(found("3000\n", "0\n", "0\n"), None);
        assert_eq!(found("3000\n", "500\n", "5\n"), None);
        assert_eq!(found("many\n", "500\n", "0\n"), None);
        assert_eq!(Conditions::read(Path::new("/nonexistent")), None);
    }

    #[test]
    fn capabilities_are_bits() {
        assert!(has_capability("CapEff:\t000001ffffffffff", 21));
        assert!(!has_capability("CapEff:\t0000000000000000", 21));
        assert!(!has_capability("CapPrm:\t000001ffffffffff", 21));
    }
}
