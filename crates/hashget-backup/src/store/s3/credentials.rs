//! Where the credentials for a bucket come from.
//!
//! Invariant: no secret is printed, not even by `Debug`.

use std::fmt;
use std::path::{Path, PathBuf};

use rusty_s3::Credentials;

/// Where credentials come from, in this order: the file, the profile, the variables, the profile that is used by default.
#[derive(Clone, Default)]
pub struct CredentialsFrom {
    /// A file in the form of `~/.aws/credentials`, for this bucket alone.
    pub file: Option<PathBuf>,
    /// The profile in that file, or in `shared`.
    pub profile: Option<String>,
    /// Credentials of the environment.
    pub variables: Option<Credentials>,
    /// `~/.aws/credentials`, or the file that the environment names instead.
    pub shared: Option<PathBuf>,
    /// The profile of the environment.
    pub variable_profile: Option<String>,
}

impl fmt::Debug for CredentialsFrom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, profile, shared) = (&self.file, &self.profile, &self.shared);
        formatter.debug_tuple("CredentialsFrom").field(file).field(profile).field(shared).finish()
    }
}

/// The profile that counts if none is named.
const DEFAULT_PROFILE: &str = "default";

impl CredentialsFrom {
    /// What the environment says; `variable` looks a variable up.
    pub fn of_environment(home: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let key = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
        let shared = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        Self {
            file: None,
            profile: None,
            variables: key.map(|(key, secret)| match variable("AWS_SESSION_TOKEN") {
                Some(token) => Credentials::new_with_token(key, secret, token),
                None => Credentials::new(key, secret),
            }),
            shared: shared.or_else(|| Some(home?.join(".aws/credentials"))),
            variable_profile: variable("AWS_PROFILE"),
        }
    }

    /// Reads them; each time anew, since files change when credentials have ended.
    ///
    /// # Errors
    /// What is missing, and where it was looked for.
    pub(super) fn read(&self) -> Result<Credentials, String> {
        if let Some(file) = &self.file {
            return in_file(file, self.profile.as_deref().unwrap_or(DEFAULT_PROFILE));
        }
        if let (None, Some(credentials)) = (&self.profile, &self.variables) {
            return Ok(credentials.clone());
        }
        let profile = self.profile.as_deref().or(self.variable_profile.as_deref());
        let missing = "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, write a profile into \
                       ~/.aws/credentials, or name a file by credentials_file";
        match (&self.shared, profile) {
            (Some(file), Some(profile)) => in_file(file, profile),
            (Some(file), None) if file.exists() => in_file(file, DEFAULT_PROFILE),
            _ => Err(missing.to_owned()),
        }
    }
}

fn in_file(file: &Path, profile: &str) -> Result<Credentials, String> {
    let text = fs_err::read_to_string(file).map_err(|error| error.to_string())?;
    let of_profile = |name| value_in(&text, profile, name);
    let expected =
        |name: &str| format!("{} has no {name} in a section [{profile}]", file.display());
    let key = of_profile("aws_access_key_id").ok_or_else(|| expected("aws_access_key_id"))?;
    let secret =
        of_profile("aws_secret_access_key").ok_or_else(|| expected("aws_secret_access_key"))?;
    Ok(match of_profile("aws_session_token") {
        Some(token) => Credentials::new_with_token(key, secret, token),
        None => Credentials::new(key, secret),
    })
}

/// The value of `name` in the section `[profile]`.
fn value_in<'t>(text: &'t str, profile: &str, name: &str) -> Option<&'t str> {
    let mut is_ours = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let section = section.trim();
            is_ours = section.strip_prefix("profile ").unwrap_or(section).trim() == profile;
        } else if let Some((found, value)) = line.split_once('=')
            && is_ours
            && found.trim().eq_ignore_ascii_case(name)
        {
            return Some(value.trim()).filter(|value| !value.is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# comment\n[default]\naws_access_key_id = one\naws_secret_access_key=secret/1=\n\n\
                        [ night ]\nAWS_ACCESS_KEY_ID=two\naws_secret_access_key = s2\naws_session_token = t2\n[empty]\n";

    fn key_of(from: &CredentialsFrom) -> Result<String, String> {
        from.read().map(|found| {
            format!("{} {} {}", found.key(), found.secret(), found.token().unwrap_or("-"))
        })
    }

    #[test]
    fn the_file_the_profile_and_the_variables_count_in_this_order() {
        let folder = tempfile::tempdir().unwrap();
        let shared = folder.path().join("credentials");
        fs_err::write(&shared, FILE).unwrap();
        let variables = |names: &'static [(&'static str, &'static str)]| {
            let file = shared.display().to_string();
            CredentialsFrom::of_environment(None, move |name| {
                let found = names.iter().find(|(known, _)| *known == name);
                let found = found.map(|(_, value)| (*value).to_owned());
                found.or_else(|| (name == "AWS_SHARED_CREDENTIALS_FILE").then(|| file.clone()))
            })
        };
        let own = &[
            ("AWS_ACCESS_KEY_ID", "v"),
            ("AWS_SECRET_ACCESS_KEY", "vs"),
            ("AWS_PROFILE", "night"),
        ];
        assert_eq!(key_of(&variables(&[])).unwrap(), "one secret/1= -");
        assert_eq!(key_of(&variables(&own[2..])).unwrap(), "two s2 t2");
        assert_eq!(key_of(&variables(own)).unwrap(), "v vs -");
        let named = CredentialsFrom { profile: Some("night".to_owned()), ..variables(own) };
        assert_eq!(key_of(&named).unwrap(), "two s2 t2");
        let empty = CredentialsFrom { profile: Some("empty".to_owned()), ..variables(own) };
        assert!(key_of(&empty).unwrap_err().contains("aws_access_key_id in a section [empty]"));
        let file = CredentialsFrom { file: Some(folder.path().join("none")), ..variables(own) };
        assert!(key_of(&file).unwrap_err().contains("none"));
    }

    #[test]
    fn without_any_it_says_where_they_are_looked_for_and_debug_shows_no_secret() {
        let nothing = CredentialsFrom::of_environment(Some(Path::new("/does/not/exist")), |_| None);
        assert!(key_of(&nothing).unwrap_err().contains("credentials_file"));
        let secret = CredentialsFrom {
            variables: Some(Credentials::new("key", "hidden")),
            ..CredentialsFrom::default()
        };
        assert!(!format!("{secret:?}").contains("hidden"));
    }
}
