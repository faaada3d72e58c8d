//! Values of jobs that say how nights are made: what is read, who can read them, and what they share.
//!
//! Invariant: what is wrong is named where it is read, with its line.

use std::collections::BTreeMap;
use std::time::Duration;

use hashget::model::RelPath;
use hashget::parity;
use hashget_backup::job::{Share, SnapshotKind};
use serde::{Deserialize, Deserializer};

use super::checked::checked;
use crate::selection::profiles::{Profile, profile};
use crate::values;

/// The shortest time in which nights hang on one archive.
const SHORTEST_CHAIN: Duration = Duration::from_secs(60 * 60);

pub(super) fn streams<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    checked(deserializer, |streams: BTreeMap<String, String>| {
        for (name, command) in &streams {
            let path = RelPath::new(name.as_str()).map_err(|error| error.to_string())?;
            if path.is_root() || name.contains('=') {
                return Err(format!(
                    "\"{name}\": expected the path of a file in the archive, without a ="
                ));
            }
            if command.trim().is_empty() {
                return Err(format!("\"{name}\": expected a command"));
            }
        }
        Ok(streams)
    })
}

/// Profiles, by their names or files.
pub(super) fn profiles<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Profile>, D::Error> {
    checked(deserializer, |profiles: Vec<String>| {
        profiles.iter().map(|text| profile(text)).collect()
    })
}

/// Recipients; or the command, as a text of its own, that encrypts.
pub(super) fn recipients<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of recipients, or a command as a text")]
    enum Encrypt {
        To(Vec<String>),
        By(String),
    }
    checked(deserializer, |encrypt: Encrypt| match encrypt {
        Encrypt::To(recipients) if recipients.is_empty() => {
            Err("expected at least one recipient: leave the key out to encrypt nothing".to_owned())
        }
        Encrypt::To(recipients) => Ok(recipients),
        Encrypt::By(command) if command.trim().is_empty() => {
            Err("expected a command that encrypts".to_owned())
        }
        Encrypt::By(command) if command.starts_with("exec:") => Ok(vec![command]),
        Encrypt::By(command) if command.starts_with("age1") || command.starts_with("ssh-") => {
            Err("this is a recipient: write a list, [\"...\"]".to_owned())
        }
        Encrypt::By(command) => Ok(vec![format!("exec:{command}")]),
    })
}

pub(super) fn parity<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<parity::Share>, D::Error> {
    checked(deserializer, |text: String| values::share(&text).map(Some))
}

pub(super) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Share, D::Error> {
    checked(deserializer, |text: String| match &*text {
        "reflink" => Ok(Share::Reflink),
        "full" => Ok(Share::Full),
        "chain" => Ok(Share::Chain),
        "auto" => Ok(Share::Auto),
        other => Err(format!("\"{other}\": expected \"reflink\", \"full\", \"chain\" or \"auto\"")),
    })
}

pub(super) fn snapshot<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SnapshotKind>, D::Error> {
    checked(deserializer, |text: String| match &*text {
        "none" => Ok(None),
        "btrfs" => Ok(Some(SnapshotKind::Btrfs)),
        "lvm" => Ok(Some(SnapshotKind::Lvm)),
        "zfs" => Ok(Some(SnapshotKind::Zfs)),
        other => Err(format!("\"{other}\": expected \"btrfs\", \"lvm\", \"zfs\" or \"none\"")),
    })
}

pub(super) fn full_every<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    checked(deserializer, |text: String| match values::time(&text)? {
        time if time < SHORTEST_CHAIN => Err("expected at least 1h".to_owned()),
        time => Ok(Some(time)),
    })
}
