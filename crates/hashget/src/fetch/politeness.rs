//! Politeness to hosts: limits on simultaneous connections and on requests per second.
//!
//! Invariant: a request runs only while its [`Permit`] exists.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::clock::{ATTENTION, Clock, SystemClock, wait};
use crate::monitor::{Interrupted, Monitor};

/// The limits of a host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostLimits {
    /// Connections at once; at least 1.
    pub connections: usize,
    /// Average requests per second; `None` for no limit.
    pub requests_per_second: Option<f64>,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self { connections: 4, requests_per_second: None }
    }
}

/// The current use of a host.
#[derive(Debug, Default, Clone, Copy)]
struct Use {
    connections: usize,
    /// When the next request may begin.
    next: Duration,
}

/// Hands out permits for requests.
pub struct Politeness {
    hosts: BTreeMap<String, HostLimits>,
    clock: Arc<dyn Clock>,
    uses: Mutex<BTreeMap<String, Use>>,
    freed: Condvar,
}

impl fmt::Debug for Politeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Politeness").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Default for Politeness {
    fn default() -> Self {
        Self::new(BTreeMap::new(), Arc::new(SystemClock::default()))
    }
}

impl Politeness {
    /// Limits for the given hosts (`example.org`, or `example.org:8080` for a single port); every other host
    /// has the default limits.
    pub fn new(hosts: BTreeMap<String, HostLimits>, clock: Arc<dyn Clock>) -> Self {
        let hosts = hosts.into_iter().map(|(name, limits)| (name.to_ascii_lowercase(), limits));
        let hosts = hosts.collect();
        Self { hosts, clock, uses: Mutex::default(), freed: Condvar::new() }
    }

    /// Waits until `host` (with its port, if it is not the usual one) may be asked.
    ///
    /// # Errors
    /// The monitor asked to stop.
    pub fn enter(
        self: &Arc<Self>,
        host: &str,
        monitor: &dyn Monitor,
    ) -> Result<Permit, Interrupted> {
        let limits = self.limits_of(host);
        let mut uses = self.uses.lock().expect("nothing panics while it counts");
        while uses.get(host).is_some_and(|used| used.connections >= limits.connections.max(1)) {
            monitor.check_interrupted()?;
            let woken = self.freed.wait_timeout(uses, ATTENTION);
            uses = woken.expect("nothing panics while it counts").0;
        }
        let used = uses.entry(host.to_owned()).or_default();
        used.connections += 1;
        let now = self.clock.now();
        let begin = used.next.max(now);
        let pause = limits
            .requests_per_second
            .and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok())
            .unwrap_or_default();
        used.next = begin.saturating_add(pause);
        drop(uses);
        let permit = Permit { politeness: Arc::clone(self), host: host.to_owned() };
        wait(&*self.clock, begin.saturating_sub(now), monitor)?;
        Ok(permit)
    }

    fn limits_of(&self, host: &str) -> HostLimits {
        let name = host
            .rsplit_once(':')
            .map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
        self.hosts.get(host).or_else(|| self.hosts.get(name)).copied().unwrap_or_default()
    }
}

/// The right to make one request.
#[derive(Debug)]
pub struct Permit {
    politeness: Arc<Politeness>,
    host: String,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut uses = self.politeness.uses.lock().expect("nothing panics while it counts");
        if let Some(used) = uses.get_mut(&self.host) {
            used.connections -= 1;
        }
        drop(uses);
        self.politeness.freed.notify_all();
    }
}
