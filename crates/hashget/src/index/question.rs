//! Packages whose URL is in a registry's index: which pages were requested, and their answers.
//!
//! Invariant: each page is requested once in a run, however many packages need it and whatever becomes of it, unless
//! [`MAX_KEPT`] is exceeded. Its content is untrusted text; only the question's own parser makes a URL of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{IndexError, Indexer, candidate_reach, fetch};
use crate::detectors::{Answer, BulkPlace, Candidate, DetectError, Question};
use crate::fetch::{FetchError, Reach, shown};
use crate::model::{Digest, escaped};
use crate::monitor::{Monitor, ProblemKind};
use crate::wording::one_line;

/// Size limit of a page; of a larger one only the start is read.
const MAX_PAGE: u64 = 64 << 20;

/// Limit on the total size of the pages that are kept.
const MAX_KEPT: usize = 64 << 20;

/// A page: one thread requests it, the others wait. `None` until it has arrived.
type Page = Arc<Mutex<Option<Asked>>>;

/// The result of requesting a page.
#[derive(Debug, Clone)]
enum Asked {
    /// Its bytes.
    Here(Arc<[u8]>),
    /// The index does not have it.
    Nowhere,
    /// It could not be fetched, and would not be a moment later either.
    Failed(Arc<FetchError>),
}

/// The pages of indexes that were requested.
#[derive(Debug, Default)]
pub(super) struct Pages {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By URL, and where requests for it may lead.
    pages: BTreeMap<(String, Reach), Page>,
    bytes: usize,
}

impl Pages {
    /// The candidate, completed by the answer of the index.
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
        let note = &mut |note: DetectError| {
            monitor.problem(ProblemKind::Note, &note.path, &note.problem);
        };
        if let Some(answer) = question.look_up(note).map_err(&unreliable)? {
            return Ok(candidate.answered(answer));
        }
        let (mut refused, mut failure) = (None, None);
        for url in question.pages() {
            let reach = candidate_reach(candidate);
            let page = match self.page(indexer, (url, question.accept()), reach, monitor) {
                Ok(Asked::Here(page)) => page,
                Ok(Asked::Nowhere) => continue,
                Ok(Asked::Failed(error)) if error.is_refused() => {
                    refused = Some(one_line(&*error));
                    continue;
                }
                // One index that fails does not hide what the next one has.
                Ok(Asked::Failed(error)) => {
                    failure = failure.or_else(|| Some(error.copied().into()));
                    continue;
                }
                Err(error) => return Err(error),
            };
            match question.answer(url, &page) {
                Ok(Some(answer)) => {
                    return Ok(candidate.answered(fitting(candidate, answer, monitor)));
                }
                Ok(None) => {}
                Err(problem) => {
                    let problem = format!("{}: {}", shown(url), escaped(problem.as_bytes()));
                    let lookup = IndexError::Lookup { package: package.clone(), problem };
                    failure.get_or_insert(lookup);
                }
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        Err(unreliable(match (question.pages(), refused) {
            ([], _) => "no index is known that could have it".to_owned(),
            (_, Some(problem)) => format!("its index has to be asked: {problem}"),
            (pages, None) => {
                let pages: Vec<String> = pages.iter().map(|page| shown(page)).collect();
                format!("no file that fits is named at {}", pages.join(", "))
            }
        }))
    }

    /// Does the place of a question for many packages give what it must give?
    pub(super) fn holds(
        &self,
        indexer: &Indexer<'_>,
        candidate: &Candidate,
        bulk: &BulkPlace,
        monitor: &dyn Monitor,
    ) -> Result<bool, IndexError> {
        let reach = candidate_reach(candidate);
        let asked = self.page(indexer, (&bulk.url, "*/*"), reach, monitor)?;
        Ok(matches!(asked, Asked::Here(page) if Digest::of(&page) == bulk.sha256))
    }

    fn page(
        &self,
        indexer: &Indexer<'_>,
        (url, accept): (&str, &str),
        reach: Reach,
        monitor: &dyn Monitor,
    ) -> Result<Asked, IndexError> {
        let page: Page = {
            let mut kept = self.kept.lock().expect("nothing panics while it looks");
            Arc::clone(kept.pages.entry((url.to_owned(), reach)).or_default())
        };
        let mut page = page.lock().expect("nothing panics while it asks");
        if let Some(asked) = &*page {
            return Ok(asked.clone());
        }
        let asked = match indexer.web.fetch_page(url, reach, accept, MAX_PAGE, monitor) {
            Ok(page) => Asked::Here(page.into()),
            Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(error) => {
                let is_final = error.again().is_none();
                let asked = match error.not_found() {
                    Some(_) => Asked::Nowhere,
                    None => Asked::Failed(Arc::new(error)),
                };
                if !is_final {
                    // A host that was given up may be back when the next package needs the page.
                    return Ok(asked);
                }
                asked
            }
        };
        let bytes = if let Asked::Here(bytes) = &asked { bytes.len() } else { 0 };
        let mut kept = self.kept.lock().expect("nothing panics while it looks");
        kept.bytes += bytes;
        if kept.bytes > MAX_KEPT {
            // Threads that wait for one of them still get it; the other pages are requested again when
            // needed.
            kept.pages.clear();
            kept.bytes = bytes;
            kept.pages.insert((url.to_owned(), reach), Arc::new(Mutex::new(Some(asked.clone()))));
        }
        *page = Some(asked.clone());
        Ok(asked)
    }
}

/// The answer, or that of its alternatives which matches the local file.
fn fitting(candidate: &Candidate, answer: Answer, monitor: &dyn Monitor) -> Answer {
    let file = candidate.local_file.as_deref().filter(|_| !answer.alternatives.is_empty());
    let Some(file) = file.and_then(|file| fetch::open(file, monitor).ok()) else { return answer };
    let is_file = |answer: &&Answer| {
        answer.checksum.as_ref().is_some_and(|checksum| file.check(checksum).is_ok())
    };
    let fitting = std::iter::once(&answer).chain(&answer.alternatives).find(is_file).cloned();
    fitting.unwrap_or(answer)
}
