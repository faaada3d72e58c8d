//! Settings of stores for tests, with a clock that does not keep anybody waiting.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hashget::fetch::{Clock, OriginOptions};
use hashget_backup::store::{Patience, StoreSettings};

/// Time passes only when somebody waits for it.
#[derive(Default)]
struct Skipping(Mutex<Duration>);

impl Clock for Skipping {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

/// So many seconds of patience, which pass at once.
pub(crate) fn patience(seconds: u64) -> Patience {
    Patience { clock: Arc::new(Skipping::default()), most: Duration::from_secs(seconds) }
}

/// Settings with nothing of this machine in them.
pub(crate) fn settings(ssh: Vec<String>) -> StoreSettings {
    let mut settings = StoreSettings::of_environment(None, OriginOptions::default(), |_| None);
    settings.ssh = ssh;
    settings.patience = Patience { most: Duration::from_secs(20), ..Patience::default() };
    settings
}
