//! Submissions: URLs that somebody wants to be known, and what became of them.
//!
//! Invariant: a submission whose fetch is due has a time at which it is, and one that is being fetched a time at which that is given up;
//! one that is settled has none.

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
    /// When it is fetched next, in seconds since 1970 UTC; none if that is settled. Later while it is being fetched.
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
    /// Nothing was learnt of the URL; the fetch is made at this time.
    Postponed {
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

const COLUMNS: &str =
    "id, url, state, submitted_at, due_at, tries, sha256, seen_at, published_at, problem";

/// Seconds for which it is kept what became of a submission.
const KEPT: i64 = 30 * 24 * 3600;

impl ServerDb {
    /// Keeps submissions, unless that would let more than `most` wait. A URL that was submitted before keeps its
    /// submission; one that failed goes on where it failed. What was settled long ago is removed. What is accepted is on the disk
    /// when this returns.
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub(crate) fn submit(
        &self,
        urls: &[String],
        most: u64,
        now: i64,
    ) -> Result<Accepted, ServerDbError> {
        self.with(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction
                .prepare_cached("DELETE FROM submissions WHERE settled_at < ?1")?
                .execute([now.saturating_sub(KEPT)])?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO submissions (url, state, submitted_at, due_at) VALUES (?1, 'waiting', ?2, ?2) \
                 ON CONFLICT (url) DO UPDATE SET state = iif(sha256 IS NULL, 'waiting', 'seen'), \
                 due_at = ?2, settled_at = NULL, tries = 0, problem = NULL WHERE state = 'failed'",
            )?;
            for url in urls {
                insert.execute(params![url, now])?;
            }
            drop(insert);
            let waiting = transaction
                .prepare_cached("SELECT count(*) FROM submissions WHERE due_at IS NOT NULL")?
                .query_row([], |row| count_of(row, 0))?;
            if waiting > most {
                return Ok(Accepted::TooMany);
            }
            let select = format!("SELECT {COLUMNS} FROM submissions WHERE url = ?1");
            let mut select = transaction.prepare_cached(&select)?;
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
                .prepare_cached(&format!("SELECT {COLUMNS} FROM submissions WHERE id = ?1"))?
                .query_row([id], submission_of)
                .optional()
        })
    }

    /// The submission that is due for the longest time. Nobody else gets it before the time `until`, unless it is settled.
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub(crate) fn take_due(
        &self,
        now: i64,
        until: i64,
    ) -> Result<Option<Submission>, ServerDbError> {
        self.with(|connection| {
            // Without a write while nothing is due.
            let next: Option<i64> = connection
                .prepare_cached(
                    "SELECT id FROM submissions WHERE due_at <= ?1 ORDER BY due_at, id LIMIT 1",
                )?
                .query_row([now], |row| row.get(0))
                .optional()?;
            let Some(next) = next else { return Ok(None) };
            let take = format!(
                "UPDATE submissions SET due_at = ?2 WHERE id = ?3 AND due_at <= ?1 RETURNING {COLUMNS}"
            );
            let mut take = connection.prepare_cached(&take)?;
            take.query_row([now, until, next], submission_of).optional()
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
                     settled_at = ?2, tries = 0, problem = NULL WHERE id = ?1",
                    params![id, now],
                ),
                Verdict::Moves => connection.execute(
                    "UPDATE submissions SET state = 'moves', due_at = NULL, settled_at = ?2, \
                     problem = 'the URL gave other bytes the second time' WHERE id = ?1",
                    [id, now],
                ),
                Verdict::Again { at, problem } => connection.execute(
                    "UPDATE submissions SET due_at = ?2, tries = tries + 1, problem = ?3 WHERE id = ?1",
                    params![id, at, problem],
                ),
                Verdict::Postponed { at, problem } => connection.execute(
                    "UPDATE submissions SET due_at = ?2, problem = ?3 WHERE id = ?1",
                    params![id, at, problem],
                ),
                Verdict::Failed { problem } => connection.execute(
                    "UPDATE submissions SET state = 'failed', due_at = NULL, settled_at = ?3, \
                     tries = tries + 1, problem = ?2 WHERE id = ?1",
                    params![id, problem, now],
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

#[cfg(test)]
mod tests {
    use super::{Accepted, Counts, KEPT, State, Submission, Verdict};
    use crate::server_db::ServerDb;
    use hashget::model::Digest;

    fn submit(server_db: &ServerDb, url: &str, now: i64) -> Submission {
        match server_db.submit(&[url.to_owned()], 10, now).unwrap() {
            Accepted::All(mut kept) => kept.remove(0),
            Accepted::TooMany => panic!("{url} is not kept"),
        }
    }

    #[test]
    fn a_submission_is_taken_once_until_its_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let server_db = ServerDb::open(folder.path()).unwrap();
        let ids = ["first", "second"].map(|url| submit(&server_db, url, 10).id);
        let take = |now| server_db.take_due(now, now + 100).unwrap().map(|taken| taken.id);
        assert_eq!(
            [take(9), take(10), take(10), take(10)],
            [None, Some(ids[0]), Some(ids[1]), None]
        );
        let failed = Verdict::Failed { problem: "gone".to_owned() };
        server_db.settle(ids[1], &failed, 11).unwrap();
        assert_eq!([take(109), take(110), take(110)], [None, Some(ids[0]), None]);
    }

    #[test]
    fn what_is_wrong_with_this_machine_is_no_try() {
        let folder = tempfile::tempdir().unwrap();
        let server_db = ServerDb::open(folder.path()).unwrap();
        let id = submit(&server_db, "url", 0).id;
        let problem = || "the disk is full".to_owned();
        server_db.settle(id, &Verdict::Again { at: 5, problem: problem() }, 1).unwrap();
        server_db.settle(id, &Verdict::Postponed { at: 9, problem: problem() }, 1).unwrap();
        let found = server_db.submission(id).unwrap().unwrap();
        assert_eq!((found.tries, found.due_at, found.problem), (1, Some(9), Some(problem())));
    }

    #[test]
    fn whoever_submits_again_goes_on_where_it_failed() {
        let folder = tempfile::tempdir().unwrap();
        let server_db = ServerDb::open(folder.path()).unwrap();
        let (first, second) = (submit(&server_db, "first", 0), submit(&server_db, "second", 0));
        let sha256 = Digest::of(b"package");
        server_db.settle(first.id, &Verdict::Seen { sha256, again_at: 50 }, 1).unwrap();
        for one in [&first, &second] {
            let failed = Verdict::Failed { problem: "gone".to_owned() };
            server_db.settle(one.id, &failed, 60).unwrap();
        }
        let again = submit(&server_db, "first", 70);
        assert_eq!((again.id, again.state, again.sha256), (first.id, State::Seen, Some(sha256)));
        assert_eq!((again.due_at, again.tries, again.problem), (Some(70), 0, None));
        assert_eq!(submit(&server_db, "second", 70), Submission { due_at: Some(70), ..second });
    }

    #[test]
    fn what_was_settled_long_ago_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let server_db = ServerDb::open(folder.path()).unwrap();
        let ids = ["old", "new", "due"].map(|url| submit(&server_db, url, 0).id);
        server_db.settle(ids[0], &Verdict::Moves, 100).unwrap();
        server_db.settle(ids[1], &Verdict::Published, 101).unwrap();
        submit(&server_db, "another", KEPT + 101);
        let known = ids.map(|id| server_db.submission(id).unwrap().is_some());
        assert_eq!(known, [false, true, true]);
        let expected = Counts { waiting: 2, published: 1, ..Counts::default() };
        assert_eq!(server_db.counts().unwrap(), expected);
    }
}
