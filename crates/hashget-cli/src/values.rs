//! Parses the values of command-line options.
//!
//! Invariant: every error says what was expected.

use std::ffi::OsString;
use std::time::Duration;

use hashget::archive::AtMost;
use hashget::fetch::{FetchOptions, OciPool};
use hashget::model::{Digest, Signature};
use hashget::parity::Share;
use hashget_backup::store::Address;
use url::Url;

/// A day, `YYYY-MM-DD`; returned in exactly this form.
pub(crate) fn date(text: &str) -> Result<String, String> {
    match text.parse::<jiff::civil::Date>() {
        Ok(date) if date.to_string() == text => Ok(text.to_owned()),
        _ => Err("expected a day that exists, as YYYY-MM-DD".to_owned()),
    }
}

/// The name of a file in any folder.
pub(crate) fn file_name(text: &str) -> Result<OsString, String> {
    match text {
        "" | "." | ".." => Err("expected the name of a file".to_owned()),
        text if text.contains('/') => Err("expected a name without a /".to_owned()),
        text => Ok(text.into()),
    }
}

/// A size in bytes: a whole number, optionally with a unit (`K`, `M`, `G`, `T`, also `KiB` and so on: powers
/// of 1024).
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let expected = || "expected a number of bytes, such as 4096, 64K or 1.5M".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err(expected()),
    };
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(1 << shift).ok_or_else(expected);
    }
    let (whole, fraction) = digits.split_once('.').ok_or_else(expected)?;
    let is_short = fraction.len() <= 6 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if shift == 0 || fraction.is_empty() || !is_short {
        return Err(expected());
    }
    let scale = 10u64.pow(u32::try_from(fraction.len()).expect("at most 6"));
    let whole: u64 = whole.parse().map_err(|_| expected())?;
    let fraction: u64 = fraction.parse().map_err(|_| expected())?;
    let unit = 1u64 << shift;
    let fraction = fraction * unit / scale;
    whole.checked_mul(unit).and_then(|whole| whole.checked_add(fraction)).ok_or_else(expected)
}

/// The limit of one run: bytes, or a time (`30s`, `10min`, `2h`, `1d`).
pub(crate) fn at_most(text: &str) -> Result<AtMost, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "s" => 1,
        "min" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return bytes(text).map(AtMost::Bytes).map_err(|_| expected_amount()),
    };
    let time = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    time.map(|time| AtMost::Time(Duration::from_secs(time))).ok_or_else(expected_amount)
}

/// A time: `30s`, `10min`, `2h`, `1d`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    match at_most(text) {
        Ok(AtMost::Time(time)) => Ok(time),
        Ok(AtMost::Bytes(_)) | Err(_) => {
            Err("expected a time, such as 30s, 10min, 2h or 7d".to_owned())
        }
    }
}

fn expected_amount() -> String {
    "expected bytes, such as 500M, or a time, such as 30s, 10min or 2h".to_owned()
}

/// A share in percent: `5` or `5%`.
pub(crate) fn percent(text: &str) -> Result<u8, String> {
    let digits = text.strip_suffix('%').unwrap_or(text);
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let percent = digits.parse().ok().filter(|percent| is_number && (1..=100).contains(percent));
    percent.ok_or_else(|| "expected a share from 1% to 100%, such as 5%".to_owned())
}

/// How much parity an archive gets: `5%`.
pub(crate) fn share(text: &str) -> Result<Share, String> {
    Ok(Share::new(percent(text)?).expect("percent has the same bounds"))
}

/// Number of items processed at once.
pub(crate) fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=1024) => Ok(jobs),
        _ => Err("expected a number from 1 to 1024".to_owned()),
    }
}

/// Maximum number of bytes to download for each byte left out.
pub(crate) fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if ratio.is_finite() && ratio >= 0.0 => Ok(ratio),
        _ => Err("expected a number that is not negative, such as 4 or 0.5".to_owned()),
    }
}

/// The URL of a package: http or https, without a password.
pub(crate) fn package_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| {
        format!(
            "not a URL ({error}); a file of this machine is given as --file PATH beside its URL"
        )
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("expected a URL that begins with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it contains a user name or password, which every archive would reveal: \
                    give the public URL"
            .to_owned());
    }
    Ok(text.to_owned())
}

/// A pool: a folder, an http(s) URL, a bucket, or a repository of a registry.
pub(crate) fn pool(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        _ if text.is_empty() => Err("expected a folder or an address".to_owned()),
        Some(("http" | "https", _)) => {
            Url::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
        }
        Some(("s3", _)) => {
            Address::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
        }
        Some(("oci" | "oci+http", _)) => OciPool::new(text, &FetchOptions::default())
            .map(|_| text.to_owned())
            .map_err(|error| error.problem),
        Some((scheme, _)) => Err(format!(
            "a pool at {scheme}:// is not supported: expected a folder, http, https, s3 or oci"
        )),
        None => Ok(text.to_owned()),
    }
}

/// The argument of `hashget get`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thing {
    /// A file or a whole package with this digest.
    Digest(Digest),
    /// A package with this signature.
    Signature(Signature),
}

/// Parses `sha256:HEX` or `TYPE:VALUE`.
pub(crate) fn thing(text: &str) -> Result<Thing, String> {
    match text.strip_prefix("sha256:") {
        Some(hex) => hex.parse().map(Thing::Digest).map_err(|error| format!("{error}")),
        None => text.parse().map(Thing::Signature).map_err(|_| {
            "expected sha256:HEX, or a signature TYPE:VALUE such as deb:vim_9.0_amd64".to_owned()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_day_that_exists() {
        assert_eq!(date("2028-02-29").as_deref(), Ok("2028-02-29"));
        for bad in ["2027-02-29", "2027-2-1", "20270201", "tomorrow", "", "2027-01-01T00:00"] {
            assert!(date(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_with_and_without_units() {
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("64K", 65_536),
            ("64KiB", 65_536),
            ("1.5M", 1_572_864),
            ("2g", 2 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in ["", "K", "-1", "1.5", "1.K", "1 K", "1X", "99999999999T", "1.1234567K"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn at_most_is_bytes_or_a_time() {
        assert_eq!(at_most("500M"), Ok(AtMost::Bytes(500 << 20)));
        assert_eq!(at_most("10min"), Ok(AtMost::Time(Duration::from_secs(600))));
        assert_eq!(at_most("2h"), Ok(AtMost::Time(Duration::from_secs(7200))));
        for bad in ["", "min", "-1s", "1.5h", "2 h", "soon", "99999999999999999999s"] {
            assert!(at_most(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_is_a_whole_number_of_percent() {
        assert_eq!((percent("5"), percent("100%")), (Ok(5), Ok(100)));
        for bad in ["", "%", "0", "101%", "5 %", "-5", "0.5%"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_package_url_is_public() {
        assert!(package_url("https://example.org/a.deb").is_ok());
        for bad in [
            "a.deb",
            "/tmp/a.deb",
            "file:///a.deb",
            "ftp://example.org/a",
            "https://u:p@example.org/a",
        ] {
            assert!(package_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pool_is_a_folder_or_an_address_of_a_known_kind() {
        for good in [
            "pool",
            "/srv/pool",
            "http://example.org/pool/",
            "s3://bucket/pool",
            "oci://r.example/p",
        ] {
            assert_eq!(pool(good).as_deref(), Ok(good));
        }
        for bad in ["", "s3://", "oci://r.example", "ftp://example.org/", "http://"] {
            assert!(pool(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_thing_is_a_digest_or_a_signature() {
        let hex = "0".repeat(64);
        assert!(matches!(thing(&format!("sha256:{hex}")), Ok(Thing::Digest(_))));
        assert!(matches!(thing("deb:vim_9.0_amd64"), Ok(Thing::Signature(_))));
        assert!(thing("sha256:12").is_err());
        assert!(thing("vim").is_err());
    }

    #[test]
    fn a_share_is_a_whole_percentage() {
        for (text, percent) in [("5%", 5), ("1%", 1), ("100%", 100), ("7", 7)] {
            assert_eq!(share(text).map(Share::percent), Ok(percent));
        }
        for bad in ["", "%", "0%", "101%", "5.5%", "-5%", "+5%", "5%%", "5 %", "256%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn jobs_and_ratios_have_bounds() {
        assert_eq!(jobs("8"), Ok(8));
        assert!(jobs("0").is_err());
        assert!(jobs("1025").is_err());
        assert_eq!(ratio("0.5"), Ok(0.5));
        assert!(ratio("-1").is_err());
        assert!(ratio("inf").is_err());
    }
}
