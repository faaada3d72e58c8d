//! What was asked of a publisher, and what it could learn from it.
//!
//! Invariant: plain data. Every request is counted in it.

use std::fmt;

use hashget::model::counted;

/// What was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Number of requests.
    pub requests: u64,
    /// Number of bytes that came back.
    pub bytes: u64,
    /// Collections whose names were fetched as a whole.
    pub whole_names: Vec<String>,
    /// Names that were looked up by parts of a collection's names.
    pub names: u64,
    /// Packages whose rows were fetched.
    pub packages: u64,
    /// Digests (of contents, packages, URLs) that were asked for by the first bits.
    pub digests: u64,
    /// Those of them that it may know.
    pub digests_found: u64,
}

impl Asked {
    /// What the publisher, and whoever sees the requests, could learn.
    pub fn lesson(&self) -> Vec<String> {
        let mut lessons = Vec::new();
        if !self.whole_names.is_empty() {
            lessons
                .push(format!("that this machine has packages of {}", self.whole_names.join(", ")));
        }
        if self.names > 0 {
            lessons.push(format!("roughly which {} it has", counted(self.names, "name", "names")));
        }
        if self.packages > 0 {
            let packages = counted(self.packages, "package", "packages");
            lessons.push(format!("roughly which {packages} of those it knows this machine has"));
        }
        if self.digests > 0 {
            let digests = counted(self.digests, "file", "files");
            lessons.push(format!(
                "the first bits of the digests of {digests}: whoever has such a file can tell"
            ));
        }
        lessons
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = counted(self.requests, "request", "requests");
        let packages = counted(self.packages, "package", "packages");
        write!(f, "{requests}, {} bytes, {packages}", self.bytes)
    }
}
