//! Submissions: URLs that somebody wants to be known, and what became of them.
//!
//! Invariant: a submission whose fetch is due has a time at which it is; one that is settled has none.

use rusqlite::{OptionalExtension as _, Row, TransactionBehavior, params};
use serde::Serialize;
use utoipa::ToSchema;

use hashget::model::Digest;

use super::{ServerDb, ServerDbError};

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// To be fetched for the first time.
    Waiting,
    /// Fetched and read once.
    Seen,
    /// Fetched twice, with the same bytes.
    Published,
    /// The URL gave other bytes the second time.
    Moves,
    /// It could not be fetched or read.
    Failed,
}

impl State {
    const ALL: [(Self, &str); 5] = [
        (Self::Waiting, "waiting"),
        (Self::Seen, "seen"),
        (Self::Published, "published"),
        (Self::Moves, "moves"),
        (Self::Failed, "failed"),
    ];
}

/// A submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Submission {
    /// Its number.
    pub(crate) id: i64,
    /// The URL.
    pub(crate) url: String,
    /// What became of it.
    pub(crate) state: State,
    /// When it was accepted, in seconds since 1970 UTC.
    pub(crate) submitted_at: i64,
    /// When it is fetched next, in seconds since 1970 UTC; none if that is settled.
    pub(crate) due_at: Option<i64>,
    /// Failed tries of the fetch that is due.
    pub(crate) tries: u32,
    /// The digest of the package, once it was fetched.
    #[schema(value_type = Option<String>)]
    pub(crate) sha256: Option<Digest>,
    /// When it was first fetched, in seconds since 1970 UTC.
    pub(crate) seen_at: Option<i64>,
    /// When it was fetched for the second time, in seconds since 1970 UTC.
    pub(crate) published_at: Option<i64>,
    /// Why the last fetch failed.
    pub(crate) problem: Option<String>,
}

/// The answer to a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// They are kept; in the order of their URLs.
    All(Vec<Submission>),
    /// Too many are waiting already; nothing is kept.
    TooMany,
}

/// What a fetch showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was fetched and read for the first time; the second fetch is due at this time.
    Seen {
        /// The digest of what came.
        sha256: Digest,
        /// When it is fetched again, in seconds since 1970 UTC.
        again_at: i64,
    },
    /// It was fetched for the second time.
    Published,
    /// Other bytes came.
    Moves,
    /// The fetch failed, and is tried again at this time.
    Again {
        /// Seconds since 1970 UTC.
        at: i64,
        /// What went wrong.
        problem: String,
    },
    /// It failed for good.
    Failed {
        /// What went wrong.
        problem: String,
    },
}

/// Numbers of submissions by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Counts {
    /// To be fetched for the first time.
    pub(crate) waiting: u64,
    /// Fetched once.
    pub(crate) seen: u64,
    /// Fetched twice.
    pub(crate) published: u64,
    /// Gave other bytes.
    pub(crate) moves: u64,
    /// Failed.
    pub(crate) failed: u64,
}

const COLUMNS: &str = "SELECT id, url, state, submitted_at, due_at, tries, sha256, seen_at, published_at, problem FROM submissions";

impl ServerDb {
    /// Keeps submissions of `by`, unless that would let more than `most` wait. A URL that was submitted before keeps its
    /// submission; one that failed starts anew. What is accepted is on the disk when this returns.
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub(crate) fn submit(
        &self,
        urls: &[String],
        by: &str,
        most: u64,
        now: i64,
    ) -> Result<Accepted, ServerDbError> {
        self.with(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO submissions (url, state, submitted_at, submitted_by, due_at) \
                 VALUES (?1, 'waiting', ?2, ?3, ?2) ON CONFLICT (url) DO UPDATE SET state = 'waiting', \
                 due_at = ?2, tries = 0, problem = NULL WHERE state = 'failed'",
            )?;
            for url in urls {
                insert.execute(params![url, now, by])?;
            }
            drop(insert);
            let waiting = transaction
                .prepare_cached("SELECT count(*) FROM submissions WHERE due_at IS NOT NULL")?
                .query_row([], |row| count_of(row, 0))?;
            if waiting > most {
                return Ok(Accepted::TooMany);
            }
            let mut select = transaction.prepare_cached(&format!("{COLUMNS} WHERE url = ?1"))?;
            let kept = urls.iter().map(|url| select.query_row([url], submission_of));
            let kept = kept.collect::<rusqlite::Result<_>>()?;
            drop(select);
            transaction.commit()?;
            Ok(Accepted::All(kept))
        })
    }

    /// The submission of this number.
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub(crate) fn submission(&self, id: i64) -> Result<Option<Submission>, ServerDbError> {
        self.with(|connection| {
            connection
                .prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?
                .query_row([id], submission_of)
                .optional()
        })
    }

    /// Submissions that are due, the longest first, without those of `underway`.
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub(crate) fn next_due(
        &self,
        now: i64,
        underway: &[i64],
    ) -> Result<Option<Submission>, ServerDbError> {
        self.with(|connection| {
            let mut statement = connection
                .prepare_cached(&format!("{COLUMNS} WHERE due_at <= ?1 ORDER BY due_at, id"))?;
            let mut rows = statement.query([now])?;
            while let Some(row) = rows.next()? {
                let submission = submission_of(row)?;
                if !underway.contains(&submission.id) {
                    return Ok(Some(submission));
                }
            }
            Ok(None)
        })
    }

    /// Keeps what a fetch of the submission showed.
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub(crate) fn settle(&self, id: i64, verdict: &Verdict, now: i64) -> Result<(), ServerDbError> {
        self.with(|connection| {
            match verdict {
                Verdict::Seen { sha256, again_at } => connection.execute(
                    "UPDATE submissions SET state = 'seen', sha256 = ?2, seen_at = ?3, due_at = ?4, \
                     tries = 0, problem = NULL WHERE id = ?1",
                    params![id, sha256.as_bytes(), now, again_at],
                ),
                Verdict::Published => connection.execute(
                    "UPDATE submissions SET state = 'published', published_at = ?2, due_at = NULL, \
                     tries = 0, problem = NULL WHERE id = ?1",
                    params![id, now],
                ),
                Verdict::Moves => connection.execute(
                    "UPDATE submissions SET state = 'moves', due_at = NULL, \
                     problem = 'the URL gave other bytes the second time' WHERE id = ?1",
                    [id],
                ),
                Verdict::Again { at, problem } => connection.execute(
                    "UPDATE submissions SET due_at = ?2, tries = tries + 1, problem = ?3 WHERE id = ?1",
                    params![id, at, problem],
                ),
                Verdict::Failed { problem } => connection.execute(
                    "UPDATE submissions SET state = 'failed', due_at = NULL, tries = tries + 1, \
                     problem = ?2 WHERE id = ?1",
                    params![id, problem],
                ),
            }
            .map(drop)
        })
    }

    /// How many submissions are in each state.
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub(crate) fn counts(&self) -> Result<Counts, ServerDbError> {
        self.with(|connection| {
            let mut counts = Counts::default();
            let mut statement = connection
                .prepare_cached("SELECT state, count(*) FROM submissions GROUP BY state")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let place = match state_of(row, 0)? {
                    State::Waiting => &mut counts.waiting,
                    State::Seen => &mut counts.seen,
                    State::Published => &mut counts.published,
                    State::Moves => &mut counts.moves,
                    State::Failed => &mut counts.failed,
                };
                *place = count_of(row, 1)?;
            }
            Ok(counts)
        })
    }
}

/// A number of rows.
fn count_of(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let count: i64 = row.get(column)?;
    u64::try_from(count).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, count))
}

fn state_of(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    let word: String = row.get(column)?;
    State::ALL.iter().find(|(_, known)| *known == word).map(|(state, _)| *state).ok_or_else(|| {
        let problem = format!("\"{word}\" is no state of a submission").into();
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, problem)
    })
}

fn submission_of(row: &Row<'_>) -> rusqlite::Result<Submission> {
    let sha256: Option<[u8; 32]> = row.get(6)?;
    Ok(Submission {
        id: row.get(0)?,
        url: row.get(1)?,
        state: state_of(row, 2)?,
        submitted_at: row.get(3)?,
        due_at: row.get(4)?,
        tries: row.get(5)?,
        sha256: sha256.map(Digest::from_bytes),
        seen_at: row.get(7)?,
        published_at: row.get(8)?,
        problem: row.get(9)?,
    })
}
