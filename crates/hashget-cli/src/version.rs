//! What this program is, and on what it runs: for whoever looks into a report of a user.
//!
//! Invariant: nothing of it is a secret, and nothing names the machine or its user.

/// Version, optional features, and the system: `hashget 0.1.0 (age, mount), Linux 6.1.0-32-amd64 x86_64`.
pub(crate) fn program_and_system() -> String {
    let features = [("age", cfg!(feature = "age")), ("mount", cfg!(feature = "mount"))];
    let features: Vec<&str> =
        features.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
    let features = match features.is_empty() {
        true => String::new(),
        false => format!(" ({})", features.join(", ")),
    };
    let system = rustix::system::uname();
    format!(
        "hashget {}{features}, {} {} {}",
        env!("CARGO_PKG_VERSION"),
        system.sysname().to_string_lossy(),
        system.release().to_string_lossy(),
        system.machine().to_string_lossy(),
    )
}
