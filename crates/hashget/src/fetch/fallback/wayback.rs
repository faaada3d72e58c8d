//! The Wayback Machine: copies of whole packages, by their URL and a time.
//!
//! Invariant: a copy counts only if it has the digest that was asked for. What the service itself says of its copies proves
//! nothing.

use super::super::page::is_page;
use super::super::{FetchError, Fetched, Reach, Source, Wanted, Web, shown};
use super::{Told, reason};
use crate::monitor::{Monitor, ProblemKind};

/// What the service is called.
const NAME: &str = "the Wayback Machine";

/// URLs of one package that are asked for.
const URLS: usize = 3;

/// Different copies of one URL that are fetched.
const COPIES: usize = 3;

/// Copies that a list names.
const LISTED: usize = 50;

/// Bytes of a list of so many copies.
const LIST_BYTES: u64 = 16 * 1024;

/// What is said of a page that came in place of a list.
const IN_PLACE: &str = "nothing came from it: a page came in place of its list of copies";

/// The columns of a list: when a copy was made (`YYYYMMDDhhmmss`), and a checksum by which equal copies are told. It is that of
/// the record that is kept, not always that of the bytes: <https://github.com/edgi-govdata-archiving/wayback/pull/189>.
const COLUMNS: [&str; 2] = ["timestamp", "digest"];

/// The copies at a base address, asked for by `inner`.
pub(super) struct Wayback<I> {
    pub(super) base: String,
    pub(super) inner: I,
    pub(super) told: Told,
}

impl<I: Source + Web> Source for Wayback<I> {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let urls = std::iter::once(&wanted.url).chain(&wanted.also).take(URLS);
        for url in urls.filter(|_| wanted.sha256.is_some()) {
            for time in self.copies(url, monitor)? {
                if let Some(fetched) = self.copy(url, &time, wanted, monitor)? {
                    return Ok(fetched);
                }
            }
        }
        Err(FetchError::NotFound { from: NAME.to_owned(), url: shown(&wanted.url) })
    }
}

impl<I: Source + Web> Wayback<I> {
    /// The times of the copies that are worth fetching, the oldest first: a URL that has other bytes today had the right ones
    /// before.
    fn copies(&self, url: &str, monitor: &dyn Monitor) -> Result<Vec<String>, FetchError> {
        let list = format!("{}/cdx/search/cdx?{}", self.base, query(url));
        let accept = "application/json";
        match self.inner.fetch_page(&list, Reach::Configured, accept, LIST_BYTES, monitor) {
            Ok(list) => Ok(times(&list).unwrap_or_else(|problem| {
                self.told.trouble(NAME, problem.to_owned(), monitor);
                Vec::new()
            })),
            Err(FetchError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => self.passed_over(error, monitor).map(|()| Vec::new()),
        }
    }

    /// The copy of this time, if it is the package.
    fn copy(
        &self,
        url: &str,
        time: &str,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, FetchError> {
        // "id_": the bytes as they came, without links that lead into the archive.
        let there = Wanted {
            url: format!("{}/web/{time}id_/{url}", self.base),
            also: Vec::new(),
            name: wanted.name.clone(),
            reach: Reach::Configured,
            ..*wanted
        };
        match self.inner.fetch(&there, monitor) {
            Ok(fetched) => Ok(Some(fetched)),
            Err(FetchError::NotFound { .. }) => Ok(None),
            Err(FetchError::Mismatch { .. }) => {
                let problem = format!("{NAME} has other bytes, of {}", day(time));
                monitor.problem(ProblemKind::Note, shown(url), problem);
                Ok(None)
            }
            Err(error) => self.passed_over(error, monitor).map(|()| None),
        }
    }

    /// Says why nothing came, unless that ends everything.
    fn passed_over(&self, error: FetchError, monitor: &dyn Monitor) -> Result<(), FetchError> {
        if matches!(error, FetchError::Interrupted(_) | FetchError::Disk { .. }) {
            return Err(error);
        }
        self.told.trouble(NAME, format!("nothing came from it: {}", reason(&error)), monitor);
        Ok(())
    }
}

/// The query for the list of a URL's copies, as
/// <https://github.com/internetarchive/wayback/tree/master/wayback-cdx-server> says.
fn query(url: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("url", url)
        .append_pair("output", "json")
        .append_pair("fl", &COLUMNS.join(","))
        .append_pair("filter", "statuscode:200")
        .append_pair("filter", "!mimetype:text/html")
        .append_pair("limit", &LISTED.to_string())
        .finish()
}

/// The times of the first copies that differ. A list is empty, or begins with the names of its columns.
fn times(list: &[u8]) -> Result<Vec<String>, &'static str> {
    if is_page(list) {
        return Err(IN_PLACE);
    }
    let other =
        "nothing came from it: its list of copies is not as documented, a JSON list of rows";
    let rows: Vec<[String; 2]> = serde_json::from_slice(list).map_err(|_| other)?;
    let Some((head, rows)) = rows.split_first() else { return Ok(Vec::new()) };
    let is_time = |time: &str| time.len() == 14 && time.bytes().all(|byte| byte.is_ascii_digit());
    if head.iter().ne(COLUMNS.iter()) || !rows.iter().all(|[time, _]| is_time(time)) {
        return Err(other);
    }
    let (mut seen, mut times) = (Vec::new(), Vec::new());
    for [time, digest] in rows {
        if times.len() < COPIES && !seen.contains(&digest) {
            seen.push(digest);
            times.push(time.clone());
        }
    }
    Ok(times)
}

/// The day of a time.
fn day(time: &str) -> String {
    format!("{}-{}-{}", &time[..4], &time[4..6], &time[6..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_the_oldest_of_each_of_the_first_copies() {
        let row = |time: u64, digest: &str| format!("[\"{time}\",\"{digest}\"]");
        let list = |rows: &[String]| format!("[[\"timestamp\",\"digest\"],{}]", rows.join(","));
        let start = 20_200_101_000_000;
        let rows: Vec<String> = ["A", "A", "B", "A", "C", "D"]
            .iter()
            .enumerate()
            .map(|(index, digest)| row(start + index as u64, digest))
            .collect();
        let expected = ["20200101000000", "20200101000002", "20200101000004"];
        assert_eq!(times(list(&rows).as_bytes()).unwrap(), expected);
        assert_eq!(times(b"[]\n").unwrap(), Vec::<String>::new());
        for other in ["", "{}", "[[1]]", "[[\"a\",\"b\"]]", "null", "\u{1b}[31m"] {
            assert!(times(other.as_bytes()).unwrap_err().contains("not as documented"), "{other}");
        }
        let evil = list(&["[\"2020/../../x.....\",\"A\"]".to_owned()]);
        assert!(times(evil.as_bytes()).is_err());
        assert_eq!(times(b"<!DOCTYPE html><title>Log in</title>"), Err(IN_PLACE));
        assert_eq!(day("20200131000000"), "2020-01-31");
    }
}
