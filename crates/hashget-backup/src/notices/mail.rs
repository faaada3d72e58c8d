//! A person is told by mail, through the `sendmail` of this machine.
//!
//! Invariant: nothing of a name or a message becomes a header.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where `sendmail` is on systems that have one.
const PLACES: [&str; 3] = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/sendmail"];

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Whom it is for.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// The text.
    pub text: String,
}

impl Mail {
    /// As `sendmail -t` reads it.
    fn message(&self) -> String {
        let header = |text: &str| -> String {
            text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
        };
        format!(
            "To: {}\nSubject: {}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
             Content-Transfer-Encoding: 8bit\nAuto-Submitted: auto-generated\n\n{}\n",
            header(&self.to),
            header(&self.subject),
            self.text
        )
    }
}

/// The `sendmail` of this machine, if it has one.
pub fn sendmail() -> Option<&'static Path> {
    PLACES.iter().map(Path::new).find(|place| place.exists())
}

/// Sends a mail by `program`, or by the `sendmail` of this machine.
///
/// # Errors
/// It could not be sent; the text says why.
pub fn send_mail(mail: &Mail, program: Option<&Path>) -> Result<(), String> {
    let Some(program) = program.or(sendmail()) else {
        return Err(
            "there is no sendmail on this machine: install a mail transport agent".to_owned()
        );
    };
    let shown = program.display();
    let failed = |error: std::io::Error| format!("{shown}: {error}");
    let mut command = Command::new(program);
    command.args(["-t", "-oi"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let written = match child.stdin.take() {
        Some(mut input) => input.write_all(mail.message().as_bytes()),
        None => Ok(()),
    };
    let status = child.wait().map_err(failed)?;
    match written {
        _ if !status.success() => Err(format!("{shown} ended with {status}")),
        written => written.map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_mail_is_passed_on_and_has_no_headers_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let (program, got) = (folder.path().join("sendmail"), folder.path().join("got"));
        let script =
            format!("#!/bin/sh\ntest \"$*\" = '-t -oi' || exit 9\ncat > {}\n", got.display());
        fs_err::write(&program, script).unwrap();
        fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mail =
            Mail { to: "root".into(), subject: "a\nBcc: b".into(), text: "one\n\ntwo".into() };
        send_mail(&mail, Some(&program)).unwrap();
        let got = fs_err::read_to_string(got).unwrap();
        assert!(
            got.starts_with("To: root\nSubject: a Bcc: b\n") && got.ends_with("\n\none\n\ntwo\n"),
            "{got}"
        );
        fs_err::write(&program, "#!/bin/sh\ncat >/dev/null; exit 75\n").unwrap();
        assert!(send_mail(&mail, Some(&program)).unwrap_err().contains("75"));
        assert!(send_mail(&mail, Some(&folder.path().join("none"))).unwrap_err().contains("none"));
    }
}
