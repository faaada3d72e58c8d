//! `hashget backup rescue`: writes what a person needs when the machine is gone.
//!
//! Invariant: no key and no password is written.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fs_err::File;
use hashget::pending_file::PendingFile;
use hashget_backup::job::{Job, Share};
use hashget_backup::series::Series;
use hashget_backup::store::Address;
use serde_json::json;

use super::jobs;
use crate::environment::Environment;

/// The page of instructions.
const PAGE: &str = "RESCUE.md";

/// Write what a person needs when the machine is gone: this program and a page of instructions
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget backup rescue -o /media/stick")]
pub(super) struct Rescue {
    /// Jobs; all if none is given
    #[arg(value_name = "JOB")]
    names: Vec<String>,

    /// Folder to write to; created if it does not exist
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

impl Rescue {
    pub(super) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let jobs = jobs(&self.names, environment)?;
        fs_err::create_dir_all(&self.output)?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let is_static = is_static(&program)?;
        let copy = self.output.join("hashget");
        let mut pending = PendingFile::create(&copy, 0o755)?;
        std::io::copy(&mut File::open(&program)?, &mut pending)?;
        pending.commit(&copy)?;
        let page = self.output.join(PAGE);
        let mut pending = PendingFile::create(&page, 0o644)?;
        pending.write_all(instructions(&jobs, is_static)?.as_bytes())?;
        pending.commit(&page)?;
        let shown = self.output.display();
        let mut lines = vec![format!("Wrote {shown}/hashget and {shown}/{PAGE}")];
        if !is_static {
            lines.push(
                "This program needs the C library of this system: take a static one for other systems (packaging/static.sh builds it)"
                    .to_owned(),
            );
        }
        let record = json!({ "folder": self.output.to_string_lossy(), "static": is_static });
        environment.console.summary("backup rescue", record, &lines)?;
        Ok(())
    }
}

/// Does the program run without the libraries of a system? It names no interpreter then.
fn is_static(program: &Path) -> anyhow::Result<bool> {
    // The program header that names an interpreter is followed by its path, which is near the start.
    let mut start = Vec::new();
    File::open(program)?.take(64 << 10).read_to_end(&mut start)?;
    Ok(!start
        .windows(7)
        .any(|bytes| bytes == b"/ld-lin" || bytes == b"/ld-mus" || bytes == b"/ld64.s"))
}

/// Which key opens the archives of a job: hints, never keys.
fn keys(job: &Job) -> String {
    match &job.encrypt[..] {
        [] => String::new(),
        [command] if command.starts_with("exec:") => format!(
            "The archives are encrypted by a command, `{}`: restoring needs the one that decrypts, and its key:\n\n\
             \x20   --identity 'exec:COMMAND'\n\n",
            command.trim_start_matches("exec:")
        ),
        recipients => format!(
            "The archives are encrypted to:\n\n{}\n\n\
             Restoring needs the secret half of one of them, which is not on this page: `--identity FILE`, or `--identity\n\
             passphrase:FILE`. Without hashget, `age -d -i FILE ARCHIVE | zstd -d | tar x` unpacks.\n\n",
            recipients.iter().map(|one| format!("* `{one}`")).collect::<Vec<_>>().join("\n")
        ),
    }
}

/// The page.
fn instructions(jobs: &[Job], is_static: bool) -> anyhow::Result<String> {
    let mut page = String::from(
        "# When the machine is gone\n\n\
         What is needed: this page, the archives, a network (or a folder of the packages), and any Linux: a live system does.\n\
         The program `hashget` beside this page restores them. Without it, `zstd -d | tar x` unpacks what an archive itself holds,\n\
         and the manifest in it, `.hashget-restore.json`, names the rest with URLs and SHA-256.\n\n",
    );
    if !is_static {
        page.push_str(
            "The program needs a C library that is not older than that of the machine it is from. If it does not start, use another\n\
             live system, or a static program.\n\n",
        );
    }
    for job in jobs {
        let series = Series::new(&job.host, &job.name)?;
        let (first, sources) = (
            job.to.first().map_or_else(|| "DESTINATION".to_owned(), Address::shown),
            job.sources
                .iter()
                .map(|source| source.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        );
        write!(
            page,
            "## {series}\n\nPacked from: {sources}\n\nDestinations:\n\n{}\n\n\
             List the archives, restore the newest one onto the new disk at /mnt, or one file of an older one:\n\n\
             \x20   ./hashget backup list --from '{first}'\n\
             \x20   ./hashget backup restore {series} --from '{first}' -C /mnt\n\
             \x20   ./hashget backup restore {series}@2026-11-27 ./etc/fstab --from '{first}' -C /tmp/old\n\n",
            job.to.iter().map(|to| format!("* `{}`", to.shown())).collect::<Vec<_>>().join("\n"),
        )?;
        page.push_str(&keys(job));
    }
    if jobs.iter().any(|job| matches!(job.share, Share::Chain | Share::Auto)) {
        page.push_str(
            "An archive that `list` shows with \"needs TIME\" is restored with the archive of that time, which lies beside it. Whoever\n\
             copies such an archive copies both into one folder.\n\n",
        );
    }
    if jobs.iter().any(|job| job.to.iter().any(|to| matches!(to, Address::S3(..)))) {
        page.push_str(
            "For a bucket, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL unless it is Amazon's. The login is\n\
             not on this page: keep it elsewhere.\n\n",
        );
    }
    page.push_str(
        "## Booting again\n\n\
         After restoring `/` onto a new disk that is mounted at /mnt: write the new UUIDs (`blkid`) into /mnt/etc/fstab, then\n\n\
         \x20   for d in dev proc sys run; do mount --bind /$d /mnt/$d; done\n\
         \x20   chroot /mnt grub-install /dev/DISK && chroot /mnt update-grub\n",
    );
    Ok(page)
}
