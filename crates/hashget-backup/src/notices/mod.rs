//! Whom a run tells about itself: a monitoring service, Prometheus, the journal, a person by mail, or whoever logs in.
//!
//! Invariant: nothing that they answer, or do not, changes a run: what fails is a text for one line.

mod journal;
mod login;
mod mail;
mod metrics;
mod ping;

pub use journal::{JOURNAL, journal};
pub use login::{MOTD, TELL_OF_FAILURE, take_back};
pub use mail::{Mail, send_mail, sendmail};
pub use metrics::{metrics, write_metrics};
pub use ping::{At, origin_of, ping};
