//! Contents that come once and go to one place or several.
//!
//! Invariant: contents are written first, then compared with every digest that is known of them, and
//! get a name only where that is right.

use std::fs::File;
use std::io::{self, Read};

use super::RestoreError;
use super::package::Restoring;
use super::place::PlaceError;
use super::target::{Content, PresentFile, StagedFile};
use crate::archive::package_plan::Destination;
use crate::formats::VisitorError;
use crate::model::{Digest, Kind};
use crate::monitor::{Interrupted, Monitor, ProblemKind};

impl Restoring<'_, '_> {
    pub(super) fn place_itself(
        &mut self,
        destinations: &[Destination],
        file: &File,
    ) -> Result<(), RestoreError> {
        use std::io::Seek as _;
        let mut content = file;
        if let Err(error) = content.rewind() {
            let why = format!("cannot read the package: {error}");
            for destination in destinations {
                self.failed(destination, ProblemKind::Incomplete, &why);
            }
            return Ok(());
        }
        let size = file.metadata().map_or(self.package.size, |found| found.len());
        let (fitting, other): (Vec<_>, Vec<_>) =
            destinations.iter().cloned().partition(|one| one.kind == Kind::File { size });
        for destination in other {
            self.failed(&destination, ProblemKind::Verification, "the package has another size");
        }
        match self.place_contents(fitting, size, &mut content) {
            Ok(()) => Ok(()),
            Err(Trouble::Restore(error)) => Err(error),
            Err(Trouble::Package(error)) => {
                for destination in destinations {
                    self.failed(destination, ProblemKind::Incomplete, &error.to_string());
                }
                Ok(())
            }
        }
    }

    /// Puts a member of `size` bytes, a regular file, in its places.
    pub(super) fn place_member(
        &mut self,
        destinations: Vec<Destination>,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), VisitorError> {
        let (files, other): (Vec<_>, Vec<_>) =
            destinations.into_iter().partition(|one| matches!(one.kind, Kind::File { .. }));
        debug_assert!(other.is_empty(), "a file is given as a file");
        if files.is_empty() {
            return Ok(());
        }
        self.place_contents(files, size, content).map_err(|trouble| match trouble {
            Trouble::Restore(error) => error.into(),
            Trouble::Package(error) => VisitorError::from(error),
        })
    }

    /// Puts contents that can be read once in all the places that want them.
    pub(super) fn place_contents(
        &mut self,
        destinations: Vec<Destination>,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), Trouble> {
        let run = self.run;
        let (mut wanted, mut staying) = (Vec::with_capacity(destinations.len()), Vec::new());
        for destination in destinations {
            let usable = self.proven || destination.sha256.is_some();
            if usable && !self.is_archived(&destination) {
                match self.stays(&destination)? {
                    true => staying.push(destination),
                    false => wanted.push(destination),
                }
            }
        }
        wanted.sort_by_key(|one| !run.target.comes_first(&one.path));
        let mut content = Watched { content, monitor: run.monitor };
        let alone = wanted.len() == 1 && !run.target.was_empty() && run.may_keep;
        let mut first = None;
        while first.is_none() && !wanted.is_empty() {
            let path = &wanted[0].path;
            let staged = if alone {
                run.target.keep_or_stage(path, size, &mut content)
            } else {
                run.target.stage(path, size, &mut content).map(Content::Staged)
            };
            match staged {
                Ok(staged) => first = Some(staged),
                Err(PlaceError::Read(error)) => {
                    run.monitor.check_interrupted().map_err(RestoreError::from)?;
                    return Err(Trouble::Package(error));
                }
                Err(error) => {
                    // Nothing was read yet: the next place may be better.
                    let destination = wanted.remove(0);
                    self.not_placed(&destination, error)?;
                }
            }
        }
        let Some(first) = first else {
            if !staying.is_empty() {
                let digest = Digest::of_reader(&mut content).map_err(Trouble::Package)?;
                self.leave_all(&staying, digest)?;
            }
            return Ok(());
        };
        let sha256 = match &first {
            Content::Staged(staged) => staged.sha256(),
            Content::Kept(_, sha256) => *sha256,
        };
        self.place_staged(&wanted, size, first)?;
        self.leave_all(&staying, sha256).map_err(Trouble::from)
    }

    /// Leaves what is there as it is, where contents of this digest would have gone.
    fn leave_all(&mut self, staying: &[Destination], sha256: Digest) -> Result<(), RestoreError> {
        for destination in staying {
            if self.digest_is_right(destination, sha256) {
                self.leave(destination, Some(sha256))?;
            }
        }
        Ok(())
    }

    /// Puts contents that are somewhere already in all the places that want them.
    pub(super) fn place_staged(
        &mut self,
        wanted: &[Destination],
        size: u64,
        content: Content<'_>,
    ) -> Result<(), Trouble> {
        let sha256 = match &content {
            Content::Staged(staged) if staged.size() != size => {
                let problem = format!("{} of {size} bytes came out of it", staged.size());
                return Err(Trouble::Package(io::Error::new(io::ErrorKind::InvalidData, problem)));
            }
            Content::Staged(staged) => staged.sha256(),
            Content::Kept(_, sha256) => *sha256,
        };
        let right: Vec<bool> = wanted.iter().map(|one| self.digest_is_right(one, sha256)).collect();
        match content {
            Content::Kept(file, _) => {
                if right[0] {
                    self.adjust(&wanted[0], &*file, sha256)?;
                }
            }
            Content::Staged(staged) => {
                for (destination, _) in
                    wanted.iter().zip(&right).skip(1).filter(|(_, right)| **right)
                {
                    self.place_copy(destination, &*staged)?;
                }
                if right[0] {
                    match staged.put(&wanted[0].path, &wanted[0].metadata) {
                        Ok(()) => self.placed_file(&wanted[0], sha256, false),
                        Err(error) => self.not_placed(&wanted[0], error)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn digest_is_right(&mut self, destination: &Destination, found: Digest) -> bool {
        match destination.sha256 {
            Some(expected) if expected != found => {
                let why = format!("{} gives sha256 {found}, expected {expected}", self.name);
                self.failed(destination, ProblemKind::Verification, &why);
                false
            }
            _ => true,
        }
    }

    /// Metadata of a file that holds the right contents already. False if that failed.
    pub(super) fn adjust(
        &mut self,
        destination: &Destination,
        file: &dyn PresentFile,
        sha256: Digest,
    ) -> Result<bool, RestoreError> {
        let (path, metadata) = (&destination.path, &destination.metadata);
        match file.adjust(path, metadata, (sha256, None)) {
            Ok(()) => {
                self.placed_file(destination, sha256, true);
                Ok(true)
            }
            Err(error) => {
                self.not_placed(destination, error)?;
                Ok(false)
            }
        }
    }

    /// The same contents once more, for another place.
    fn place_copy(
        &mut self,
        destination: &Destination,
        staged: &dyn StagedFile,
    ) -> Result<(), RestoreError> {
        if self.run.may_keep
            && let Ok(Some(existing)) = self.run.target.file(&destination.path)
            && existing.size().is_ok_and(|found| found == staged.size())
            && existing.digest(None).is_ok_and(|found| found == staged.sha256())
        {
            self.adjust(destination, &*existing, staged.sha256())?;
            return Ok(());
        }
        let copied = staged
            .copy(&destination.path)
            .and_then(|copy| copy.put(&destination.path, &destination.metadata));
        match copied {
            Ok(()) => self.placed_file(destination, staged.sha256(), false),
            Err(error) => self.not_placed(destination, error)?,
        }
        Ok(())
    }
}

/// Why contents could not be placed anywhere.
pub(super) enum Trouble {
    /// Restoring ends.
    Restore(RestoreError),
    /// The package is damaged.
    Package(io::Error),
}

impl From<RestoreError> for Trouble {
    fn from(error: RestoreError) -> Self {
        Self::Restore(error)
    }
}

/// Contents that end with an error once the monitor asks to stop.
pub(super) struct Watched<'c> {
    pub(super) content: &'c mut dyn Read,
    pub(super) monitor: &'c dyn Monitor,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.monitor.interrupted() {
            return Err(io::Error::other(Interrupted));
        }
        self.content.read(buffer)
    }
}
