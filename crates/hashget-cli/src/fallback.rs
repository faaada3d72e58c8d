//! Fall-backs for restoring: public archives, as the configuration says.
//!
//! Invariant: they are there only for commands that restore, and not with `--offline`.

use std::path::Path;

use hashget::detectors::PrivateHosts;
use hashget::fetch::{FallbackOptions, Source, WithFallbacks};

use crate::environment::Environment;
use crate::exit::UsageError;
use crate::logins;

/// `source`, and after it the fall-backs for packages; and the fall-back for single files, if there is one.
pub(crate) fn with_fallbacks(
    source: Box<dyn Source>,
    environment: &Environment<'_>,
) -> Result<WithFallbacks, UsageError> {
    let configured = &environment.config.fallback;
    let default = FallbackOptions::default();
    let token = configured.token_file().map(logins::token).transpose()?;
    let machine = environment.machine();
    // Those of the whole machine: of which folder the package was is not known any more.
    let is_private =
        move |url: &str| PrivateHosts::near(&machine, Path::new("/entry")).reason(url).is_some();
    let options = FallbackOptions {
        software_heritage: configured.software_heritage(),
        wayback: configured.wayback(),
        token,
        wait: configured.wait.unwrap_or(default.wait),
        cooking: default.cooking,
        publishers: !environment.config.publisher.is_empty(),
        is_private: Box::new(is_private),
    };
    let fetch = environment.fetch_options()?;
    hashget::fetch::with_fallbacks(source, &fetch, options)
        .map_err(|error| UsageError(error.to_string()))
}
