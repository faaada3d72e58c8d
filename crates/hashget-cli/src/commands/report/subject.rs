//! What a report is about: whose, and of which day.
//!
//! Invariant: a date is in the title only if it is that of the data: of the archive's name, of its file, or today's for a folder
//! that was just read.

use std::path::{Path, PathBuf};

use hashget::pending_file::folder_of;
use hashget_backup::series::ArchiveName;
use jiff::Timestamp;

use crate::commands::backup::host;

/// How dates are shown.
const DATE: &str = "%Y-%m-%d";

/// What a report is about.
pub(super) struct Subject {
    /// The title of the page.
    pub(super) title: String,
    /// Where the subject lies, if the title does not say that.
    pub(super) path: Option<String>,
}

/// What a report of `path` is about.
pub(super) fn subject(path: &Path, is_live: bool) -> Subject {
    if path == Path::new("-") {
        return Subject { title: "An archive".to_owned(), path: None };
    }
    let shown = path.display().to_string();
    if let Some(archive) = ArchiveName::of_path(path) {
        let (series, time) = (archive.series(), archive.started().strftime("%Y-%m-%d %H:%M UTC"));
        let title = format!("{}: {}, {time}", series.host(), series.job());
        return Subject { title, path: Some(shown) };
    }
    if is_live {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let title = format!("{}:{}, {}", host(), absolute.display(), today());
        return Subject { title, path: None };
    }
    let written = fs_err::metadata(path).and_then(|found| found.modified()).ok();
    let title = match written.and_then(|time| Timestamp::try_from(time).ok()) {
        Some(time) if path.is_file() => format!("{shown}, {}", time.strftime(DATE)),
        _ => shown,
    };
    Subject { title, path: None }
}

/// Today.
pub(super) fn today() -> String {
    Timestamp::now().strftime(DATE).to_string()
}

/// The archive of the same series that lies beside `path` and was made last before it.
pub(super) fn earlier_archive(path: &Path) -> Option<PathBuf> {
    let archive = ArchiveName::of_path(path)?;
    let entries = fs_err::read_dir(folder_of(path)).ok()?.filter_map(Result::ok);
    let names = entries.filter_map(|entry| {
        let name = ArchiveName::of_path(&entry.path())?;
        let is_earlier = name.series() == archive.series() && name.started() < archive.started();
        is_earlier.then(|| (name.started(), entry.path()))
    });
    names.max().map(|(_, path)| path)
}
