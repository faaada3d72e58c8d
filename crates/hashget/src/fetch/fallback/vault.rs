//! Whole directories of Software Heritage: found by the digest of the tarball that they were loaded from, put together by its
//! vault, and downloaded as one tarball.
//!
//! Invariant: waiting for the vault has an end. Of the tarball only files are kept that are wanted, by their digests.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use serde_json::Value;

use super::super::method::Method;
use super::super::{WantedFile, wait};
use super::asking::NoAnswer;
use super::rate::Scope;
use super::software_heritage::SoftwareHeritage;
use crate::formats::{Input, Visitor, VisitorError, read_package};
use crate::model::{Digest, Kind, Member, escaped};
use crate::monitor::Monitor;
use crate::wording::one_line;

/// The first pause before looking whether a directory is there; it doubles.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Digits of the identifier of an object.
const IDENTIFIER: usize = 40;

impl SoftwareHeritage {
    /// The directory that was loaded from the tarball with this digest, by its identifier (`swh:1:dir:...`).
    pub(super) fn directory(
        &self,
        package: &Digest,
        monitor: &dyn Monitor,
    ) -> Result<Option<String>, NoAnswer> {
        let path = format!("/api/1/extid/checksum-sha256/hex:{package}/");
        let answer = self.asking.json((Scope::Questions, Method::Get), &path, monitor)?;
        let Some(answer) = answer else { return Ok(None) };
        let target = answer.get("target").and_then(Value::as_str).unwrap_or_default();
        let is_directory = target.strip_prefix("swh:1:dir:").is_some_and(|digits| {
            digits.len() == IDENTIFIER && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        match (is_directory, target.starts_with("swh:1:")) {
            (true, _) => Ok(Some(target.to_owned())),
            // Loaded as something else than a directory.
            (false, true) => Ok(None),
            (false, false) => Err(NoAnswer::Trouble(
                "its answer about a package is not as documented: it has no target".to_owned(),
            )),
        }
    }

    /// Gathers the files of this directory that are wanted.
    pub(super) fn gather_directory(
        &self,
        directory: &str,
        wanted: &[WantedFile],
        monitor: &dyn Monitor,
    ) -> Result<(), NoAnswer> {
        let path = format!("/api/1/vault/flat/{directory}/");
        let began = self.asking.clock.now();
        let (mut method, mut pause) = (Method::Post, PAUSE);
        loop {
            let answer = self.asking.json((Scope::Directories, method), &path, monitor)?;
            let Some(answer) = answer else { return Ok(()) };
            let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
            match text("status") {
                "done" => break,
                "new" | "pending" => {}
                "failed" => {
                    let why = escaped(text("progress_message").as_bytes());
                    let problem = format!("it could not put {directory} together ({why})");
                    return Err(NoAnswer::Trouble(problem));
                }
                _ => {
                    let problem = "its answer about a directory is not as documented: it has no \
                                   status that is known";
                    return Err(NoAnswer::Trouble(problem.to_owned()));
                }
            }
            let took = self.asking.clock.now().saturating_sub(began);
            if took + pause > self.cooking {
                let seconds = self.cooking.as_secs();
                let problem = format!("it did not put {directory} together in {seconds} s");
                return Err(NoAnswer::Trouble(problem));
            }
            wait(&*self.asking.clock, pause, monitor)?;
            (method, pause) = (Method::Get, (pause * 2).min(LONGEST_PAUSE));
        }
        let most = self.limits.download_bytes;
        let raw = format!("{path}raw/");
        match self.asking.bytes(Scope::Directories, &raw, most, monitor)? {
            Some(file) => self.unpack(&file, wanted, monitor),
            None => Ok(()),
        }
    }

    /// Keeps the wanted files of a tarball.
    fn unpack(
        &self,
        tarball: &File,
        wanted: &[WantedFile],
        monitor: &dyn Monitor,
    ) -> Result<(), NoAnswer> {
        let mut keeping = Keeping { home: self, wanted, monitor };
        let read = read_package(Input::File(tarball), &|_| false, &self.limits, &mut keeping);
        monitor.check_interrupted()?;
        match read {
            Ok("tar") => Ok(()),
            Ok(_) => Err(NoAnswer::Trouble("its directory is no tarball".to_owned())),
            Err(error) => Err(NoAnswer::Trouble(format!(
                "its directory cannot be read to its end: {}",
                one_line(&error)
            ))),
        }
    }
}

/// Keeps what is wanted.
struct Keeping<'a> {
    home: &'a SoftwareHeritage,
    wanted: &'a [WantedFile],
    monitor: &'a dyn Monitor,
}

impl Visitor for Keeping<'_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.monitor.check_interrupted()?;
        let Kind::File { size } = member.kind else { return Ok(()) };
        if !self.wanted.iter().any(|(_, wanted)| *wanted == size) {
            return Ok(());
        }
        let is_new =
            |found: WantedFile| self.wanted.contains(&found) && !self.home.gathered.has(&found.0);
        self.home.gathered.keep(content, &is_new)?;
        Ok(())
    }
}
