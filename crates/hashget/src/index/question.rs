//! Packages whose URL a registry's index tells: which pages were asked, and what they said.
//!
//! Invariant: each page is asked for once in a run, however many packages it is about; what it says is foreign
//! text, and becomes a URL only by the question's own understanding of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{IndexError, Indexer, fetch};
use crate::detectors::{Answer, Candidate, Question};
use crate::fetch::{FetchError, shown};
use crate::model::escaped;
use crate::monitor::Monitor;

/// More bytes than this are no page of an index.
const MAX_PAGE: u64 = 64 << 20;

/// Pages are kept while they have so many bytes together.
const MAX_KEPT: usize = 64 << 20;

/// So many pages of one server that could not be reached, in a row, are enough.
const MOST_FAILURES: usize = 3;

/// A page: one asks for it, the others wait. `None` until it is here.
type Page = Arc<Mutex<Option<Asked>>>;

/// What came of asking for a page.
#[derive(Debug, Clone)]
enum Asked {
    /// Its bytes.
    Here(Arc<[u8]>),
    /// The index does not have it.
    Nowhere,
}

/// Pages of indexes, as far as they were asked for.
#[derive(Debug, Default)]
pub(super) struct Pages {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    pages: BTreeMap<String, Page>,
    bytes: usize,
    /// How often in a row a server could not be reached.
    failures: BTreeMap<String, usize>,
}

impl Pages {
    /// The candidate with what the index says of it.
    pub(super) fn answered(
        &self,
        indexer: &Indexer<'_>,
        candidate: &Candidate,
        question: &dyn Question,
        monitor: &dyn Monitor,
    ) -> Result<Candidate, IndexError> {
        let package = escaped(candidate.name().as_bytes());
        let unreliable =
            |reason: String| IndexError::Unreliable { package: package.clone(), reason };
        let mut offline = false;
        for url in question.pages() {
            let page = match self.page(indexer, &package, (url, question.accept()), monitor) {
                Ok(Asked::Here(page)) => page,
                Ok(Asked::Nowhere) => continue,
                Err(IndexError::Fetch(error)) if is_refused(&error) => {
                    offline = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let answer = question.answer(url, &page).map_err(|problem| IndexError::Lookup {
                package: package.clone(),
                problem: format!("{}: {}", shown(url), escaped(problem.as_bytes())),
            })?;
            if let Some(answer) = answer {
                return Ok(complete(candidate, answer));
            }
        }
        Err(unreliable(match (question.pages(), offline) {
            ([], _) => "no index is known that could have it".to_owned(),
            (_, true) => "its index has to be asked, and there is no network".to_owned(),
            (pages, false) => {
                let pages: Vec<String> = pages.iter().map(|page| shown(page)).collect();
                format!("no file that fits is named at {}", pages.join(", "))
            }
        }))
    }

    fn page(
        &self,
        indexer: &Indexer<'_>,
        package: &str,
        (url, accept): (&str, &str),
        monitor: &dyn Monitor,
    ) -> Result<Asked, IndexError> {
        let server = server_of(url);
        let page: Page = {
            let mut kept = self.kept.lock().expect("nothing panics while it looks");
            if kept.failures.get(&server).is_some_and(|count| *count >= MOST_FAILURES) {
                return Err(IndexError::NotAsked { package: package.to_owned() });
            }
            Arc::clone(kept.pages.entry(url.to_owned()).or_default())
        };
        let mut page = page.lock().expect("nothing panics while it asks");
        if let Some(asked) = &*page {
            return Ok(asked.clone());
        }
        let asked = match indexer.web.fetch_page(url, accept, MAX_PAGE, monitor) {
            Ok(page) => Asked::Here(page.into()),
            Err(FetchError::NotFound { .. }) => Asked::Nowhere,
            Err(error) => {
                let unreachable = matches!(error, FetchError::Unreachable { .. });
                let mut kept = self.kept.lock().expect("nothing panics while it looks");
                *kept.failures.entry(server).or_default() += usize::from(unreachable);
                return Err(fetch::explain(error));
            }
        };
        let bytes = if let Asked::Here(bytes) = &asked { bytes.len() } else { 0 };
        let mut kept = self.kept.lock().expect("nothing panics while it looks");
        kept.failures.remove(&server);
        kept.bytes += bytes;
        if kept.bytes > MAX_KEPT {
            // Whoever waits for one of them has it; the others are asked for again.
            kept.pages.clear();
            kept.bytes = bytes;
            kept.pages.insert(url.to_owned(), Arc::new(Mutex::new(Some(asked.clone()))));
        }
        *page = Some(asked.clone());
        Ok(asked)
    }
}

/// The candidate with the answer's URL and digests.
fn complete(candidate: &Candidate, answer: Answer) -> Candidate {
    let here = answer.local_files.into_iter().find(|file| file.is_file());
    Candidate {
        url: answer.url,
        sha256: answer.sha256.or(candidate.sha256),
        checksum: answer.checksum.or_else(|| candidate.checksum.clone()),
        size: answer.size.or(candidate.size),
        local_file: candidate.local_file.clone().or(here),
        lists: if answer.is_other { Vec::new() } else { candidate.lists.clone() },
        question: None,
        ..candidate.clone()
    }
}

/// Does nothing that was tried use a network?
fn is_refused(error: &FetchError) -> bool {
    match error {
        FetchError::Refused { .. } => true,
        FetchError::All { errors } => errors.iter().all(is_refused),
        _ => false,
    }
}

fn server_of(url: &str) -> String {
    let parsed = url::Url::parse(url);
    parsed.map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization())
}
