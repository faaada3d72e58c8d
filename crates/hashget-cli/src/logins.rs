//! Files with logins: netrc, and tokens that the configuration names.
//!
//! Invariant: a file that everybody can read is not used. No message shows what is in a file.

use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hashget::fetch::Credentials;
use hashget::model::escaped;
use hashget::monitor::{Monitor, ProblemKind};

use crate::exit::UsageError;
use crate::output::Console;

/// More bytes than any file with logins has.
const MOST: u64 = 1 << 20;

/// Adds the token in a file of the configuration.
pub(crate) fn add_token(
    credentials: &mut Credentials,
    host: &str,
    file: &Path,
) -> Result<(), UsageError> {
    let wrong = |problem: &str| UsageError(format!("the token file {}: {problem}", file.display()));
    match read(file) {
        Ok(Some(token)) if credentials.add_token(host, &token) => Ok(()),
        Ok(Some(_)) => Err(wrong("expected one line with a token")),
        Ok(None) => Err(wrong("everybody can read it: use chmod 600")),
        Err(error) => Err(UsageError(format!("the token of {host}: {error}"))),
    }
}

/// The token in a file of the configuration.
pub(crate) fn token(file: &Path) -> Result<String, UsageError> {
    let wrong = |problem: &str| UsageError(format!("the token file {}: {problem}", file.display()));
    match read(file) {
        Ok(Some(token)) => Ok(token.trim().to_owned()),
        Ok(None) => Err(wrong("everybody can read it: use chmod 600")),
        Err(error) => Err(UsageError(format!("the token of the fall-back: {error}"))),
    }
}

/// Adds the logins of a netrc file, if there is one.
pub(crate) fn add_netrc(credentials: &mut Credentials, file: &Path, console: &Console) {
    let problem = match read(file) {
        Ok(Some(text)) => return credentials.add_netrc(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Ok(None) => "not used, because everybody can read it: use chmod 600".to_owned(),
        Err(error) => format!("not used ({error})"),
    };
    let object = escaped(file.as_os_str().as_encoded_bytes());
    (console as &dyn Monitor).problem(ProblemKind::Note, object, problem);
}

/// The text of a file; `None` if everybody can read it.
fn read(file: &Path) -> io::Result<Option<String>> {
    // Opening a fifo would wait for a writer.
    if !fs_err::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = fs_err::File::open(file)?;
    if file.metadata()?.permissions().mode() & 0o004 != 0 {
        return Ok(None);
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(Some(text))
}
