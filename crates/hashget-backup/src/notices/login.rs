//! Whoever logs in is told of a night that failed, on machines that systemd runs: also of one that could not start, or was killed.
//!
//! Invariant: what tells of a failure needs nothing of hashget, which may be what is missing. A good run takes it back.

use std::io;
use std::path::Path;

/// The folder of messages that are shown at a login (`pam_motd`).
pub const MOTD: &str = "/run/motd.d";

/// What a shell does after a night that failed. Its arguments are the job, the service that runs it, and [`MOTD`]; systemd says in the
/// environment how the service ended. It needs the rights of root.
pub const TELL_OF_FAILURE: &str = r#"set -eu
umask 022
message=$3/hashget-backup-$1
how="${MONITOR_SERVICE_RESULT:-it failed}${MONITOR_EXIT_STATUS:+, status $MONITOR_EXIT_STATUS}"
mkdir -p "$3"
cat > "$message" <<END
The backup $1 of $(uname -n) failed at $(date '+%Y-%m-%d %H:%M %Z') ($how).
    What happened:       journalctl -u $2 -n 50, and hashget backup status $1
    To run it again:     systemctl start $2
    The next good run of the job removes this message.
END
if command -v wall > /dev/null; then
    wall < "$message" || true
fi
"#;

/// Takes back what was said of a job's last night, now that one was good.
///
/// # Errors
/// The message is there and cannot be removed.
pub fn take_back(folder: &Path, job: &str) -> io::Result<()> {
    match fs_err::remove_file(folder.join(format!("hashget-backup-{job}"))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;

    /// Tells of a failure, as systemd does.
    fn tell(folder: &Path, variables: &[(&str, &str)]) -> String {
        let messages = folder.join("run/motd.d");
        let path = format!("{}:/usr/bin:/bin", folder.join("bin").display());
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", TELL_OF_FAILURE, "sh", "web-1", "hashget-backup-web-1.service"]);
        shell.arg(&messages).env_clear().env("PATH", path).envs(variables.iter().copied());
        let ended = shell.output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        fs_err::read_to_string(messages.join("hashget-backup-web-1")).unwrap()
    }

    #[test]
    fn whoever_is_there_or_comes_is_told_until_a_night_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let (wall, heard) = (folder.path().join("bin/wall"), folder.path().join("heard"));
        fs_err::create_dir(folder.path().join("bin")).unwrap();
        fs_err::write(&wall, format!("#!/bin/sh\ncat > {}\n", heard.display())).unwrap();
        fs_err::set_permissions(&wall, std::fs::Permissions::from_mode(0o755)).unwrap();
        let killed = [("MONITOR_SERVICE_RESULT", "signal"), ("MONITOR_EXIT_STATUS", "KILL")];
        let told = tell(folder.path(), &killed);
        for part in [
            "The backup web-1 of ",
            " failed at 20",
            "(signal, status KILL).",
            "journalctl -u hashget-backup-web-1.service",
            "systemctl start hashget-backup-web-1.service",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(fs_err::read_to_string(&heard).unwrap(), told);
        let messages = folder.path().join("run/motd.d");
        let message = messages.join("hashget-backup-web-1");
        assert_eq!(fs_err::metadata(&message).unwrap().permissions().mode() & 0o777, 0o644);
        // An older systemd does not say how it ended; a `wall` that fails changes nothing.
        fs_err::write(&wall, "#!/bin/sh\nexit 1\n").unwrap();
        assert!(tell(folder.path(), &[]).contains("(it failed)."));
        take_back(&messages, "web").unwrap();
        assert!(message.exists());
        take_back(&messages, "web-1").unwrap();
        assert!(!message.exists());
        take_back(&messages, "web-1").unwrap();
        take_back(folder.path(), "web-1").unwrap();
    }
}
