//! Whether a package may be relied on, by what is known of its places.
//!
//! Invariant: pure. Whatever is not known, too old, contradicted, private or of another tree counts as "no".

use std::fmt;
use std::sync::Arc;

use super::Policy;
use crate::hashdb::{Check, CheckOutcome};
use crate::keeping::of_url;
use crate::model::{Keeping, Origin, PackageRecord};

/// Seconds for which the answer of a server that was only asked counts.
pub const ASKED_FOR: i64 = 30 * DAY;

/// Seconds after which a place is asked again. It is less than [`ASKED_FOR`], so that asking can be spread over some nights.
pub const DUE_AFTER: i64 = 20 * DAY;

/// Seconds after which a URL that did not have the package is asked again.
const LOST_DUE_AFTER: i64 = 7 * DAY;

const DAY: i64 = 24 * 60 * 60;

/// How it is known that a URL gives a package's bytes. Stronger is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A rule made the URL up; nobody asked it.
    Supposed,
    /// It answered that it has the package.
    Asked,
    /// The user, or somebody whose signature counts, says so.
    Vouched,
    /// The bytes came from there, or from a mirror that stands for it.
    Fetched,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supposed => "supposed",
            Self::Asked => "asked",
            Self::Vouched => "vouched",
            Self::Fetched => "fetched",
        })
    }
}

/// What is known of one URL of a package.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// When its bytes came from there.
    pub fetched_at: Option<i64>,
    /// When it last said or showed that it has them.
    pub seen_at: Option<i64>,
    /// When it last said that it does not have them, if that is its latest answer.
    pub lost_at: Option<i64>,
    /// It gave other bytes at another time.
    pub moves: bool,
}

impl Standing {
    /// What `checks` of one package say of `url`.
    pub fn new(checks: &[Check], url: &str) -> Self {
        let mut standing = Self::default();
        let mut latest = (i64::MIN, 0);
        let of_url = || checks.iter().filter(|check| check.url == url);
        // Whoever asks for the size alone does not see that the bytes are others.
        let has_others = of_url().any(|one| one.deep && one.outcome == CheckOutcome::Differs);
        for check in of_url() {
            standing.seen_at = standing.seen_at.max(check.seen_at);
            if check.deep {
                standing.fetched_at = standing.fetched_at.max(check.seen_at);
            }
            standing.moves |= check.outcome == CheckOutcome::Moves;
            let is_lost = matches!(check.outcome, CheckOutcome::Gone | CheckOutcome::Differs);
            let at = (check.checked_at, check.nanoseconds);
            let is_latest = at > latest || at == latest && is_lost;
            let tells = match check.outcome {
                CheckOutcome::Unreachable => false,
                CheckOutcome::Present => check.deep || !has_others,
                _ => true,
            };
            if tells && is_latest {
                latest = at;
                standing.lost_at = is_lost.then_some(check.checked_at);
            }
        }
        standing
    }

    /// How it is known that the URL gives the package.
    pub fn place(&self, vouched: bool) -> Place {
        match self {
            Self { fetched_at: Some(_), .. } => Place::Fetched,
            _ if vouched => Place::Vouched,
            Self { seen_at: Some(_), .. } => Place::Asked,
            Self { .. } => Place::Supposed,
        }
    }
}

/// Why a package is not relied on, because of its places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// None of its URLs has been asked, or not lately.
    NotAsked,
    /// A file of the tree named the URL, and the bytes did not come from there.
    NotFetched,
    /// Files of other trees named the URL, and nobody better did.
    OtherTree,
    /// This machine's clients have credentials for the host.
    Private,
    /// It was published too lately: its owner can take it back.
    Young,
    /// Fewer independent places than wanted are certain.
    FewPlaces {
        /// Those that are.
        have: usize,
        /// Those that are wanted.
        wanted: usize,
    },
    /// What the URL gives changes.
    Moves,
    /// The URLs do not have it.
    Lost,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::FewPlaces { have, wanted } => {
                return write!(
                    f,
                    "{wanted} independent places are wanted, and {have} of it {} certain",
                    if *have == 1 { "is" } else { "are" }
                );
            }
            Self::NotAsked => "no server has said lately that it has the package",
            Self::NotFetched => "only a file of the tree names its URL, which never gave it",
            Self::OtherTree => "only a file of another tree names its URL",
            Self::Private => {
                "a client of this machine has credentials for its host (public = true for that host in the \
                 configuration says otherwise)"
            }
            Self::Young => "it was published so lately that its owner can still take it back",
            Self::Moves => "its URL gives other bytes from time to time",
            Self::Lost => "its URL does not have it any more",
        };
        f.write_str(text)
    }
}

/// Tells URLs that are not public: those of hosts for which this machine's clients have credentials.
#[derive(Clone, Default)]
pub struct Private(Option<Arc<IsPrivate>>);

/// Is this URL not public?
type IsPrivate = dyn Fn(&str) -> bool + Send + Sync;

impl Private {
    /// URLs for which `is_private` is true are not public.
    pub fn new(is_private: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_private)))
    }

    /// Is this URL not public?
    pub fn has(&self, url: &str) -> bool {
        self.0.as_ref().is_some_and(|is_private| is_private(url))
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Private")
    }
}

/// What is asked of places.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The tree that is packed, an absolute path.
    pub tree: String,
    /// Seconds since 1970 UTC.
    pub now: i64,
    /// Rely on places that nobody asked, too.
    pub unasked: bool,
    /// Which URLs are not public.
    pub private: Private,
    /// What is wanted beyond one certain place.
    pub policy: Policy,
}

impl Rules {
    /// Why `record` is not relied on with these `checks` of it, if it is not.
    pub fn doubt(&self, record: &PackageRecord, checks: &[Check]) -> Option<Doubt> {
        let pooled = self.policy.pooled.has(&record.sha256, Some(record.size));
        self.doubt_if(record, checks, pooled)
    }

    /// The same, as if the package lay in a pool of the user's, or in none.
    pub fn doubt_if(
        &self,
        record: &PackageRecord,
        checks: &[Check],
        pooled: bool,
    ) -> Option<Doubt> {
        let doubts: Vec<Option<Doubt>> =
            record.urls().map(|url| self.doubt_of(record, checks, url)).collect();
        // Any URL is certain enough; the doubt that comes closest to being relied on is reported.
        if !doubts.contains(&None) {
            return doubts.into_iter().min().flatten();
        }
        let since = Some(record.indexed_at);
        if !pooled && self.policy.is_young(record.kinds(), since, checks, self.now) {
            return Some(Doubt::Young);
        }
        let certain = record.urls().zip(&doubts).filter(|(_, doubt)| doubt.is_none());
        let have = self.policy.operators_of(certain.map(|(url, _)| url)) + usize::from(pooled);
        let wanted = self.wanted_sources(record);
        (have < wanted).then_some(Doubt::FewPlaces { have, wanted })
    }

    /// The number of independent places that the package must have.
    pub fn wanted_sources(&self, record: &PackageRecord) -> usize {
        self.policy.sources_for(record.kinds(), &record.url)
    }

    fn doubt_of(&self, record: &PackageRecord, checks: &[Check], url: &str) -> Option<Doubt> {
        let standing = Standing::new(checks, url);
        let strange = is_strange(record);
        let fresh = |at: Option<i64>| at.is_some_and(|at| self.now.saturating_sub(at) <= ASKED_FOR);
        let place = standing.place(record.is_vouched_at(url));
        if self.private.has(url) {
            Some(Doubt::Private)
        } else if standing.moves {
            Some(Doubt::Moves)
        } else if standing.lost_at.is_some() {
            Some(Doubt::Lost)
        } else if strange && !record.trees.contains(&self.tree) {
            Some(Doubt::OtherTree)
        } else if strange && place < Place::Fetched && !self.unasked {
            Some(Doubt::NotFetched)
        } else if place >= Place::Vouched || fresh(standing.seen_at) || self.unasked {
            None
        } else {
            Some(Doubt::NotAsked)
        }
    }

    /// The URL that should be asked now, if one should: an answer is missing, or old enough to be asked for again. Only
    /// for packages that are relied on, or would be if the answer is good.
    pub fn due<'r>(&self, record: &'r PackageRecord, checks: &[Check]) -> Option<&'r str> {
        let is_due = |url: &&str| {
            let standing = Standing::new(checks, url);
            let age = |at: Option<i64>| at.map(|at| self.now.saturating_sub(at));
            let asked = checks.iter().filter(|check| check.url == **url);
            // A server that could not be reached is asked again by the next run.
            let answered = asked.filter(|check| check.outcome != CheckOutcome::Unreachable);
            let latest = answered.map(|check| check.checked_at).max();
            let due_after = if standing.lost_at.is_some() { LOST_DUE_AFTER } else { DUE_AFTER };
            let never = latest.is_none() && !record.is_vouched_at(url)
                || self.policy.wants_age(record, checks, self.now);
            !self.private.has(url)
                && !standing.moves
                && (never || age(latest).is_some_and(|age| age > due_after))
        };
        let mut urls = record.urls().filter(|_| self.is_named_for_it(record));
        let relied = self.doubt(record, checks).is_none();
        // If enough places are good, only their own age matters.
        match relied {
            true => urls
                .filter(|url| self.doubt_of(record, checks, url).is_none())
                .take(self.wanted_sources(record))
                .find(is_due),
            false => urls.find(is_due),
        }
    }

    /// May this tree rely on the package at all, whatever its places answer?
    fn is_named_for_it(&self, record: &PackageRecord) -> bool {
        !is_strange(record) || record.trees.contains(&self.tree)
    }
}

/// Did `url` answer lately that it does not have the package that `checks` are about?
pub fn was_lost_lately(checks: &[Check], url: &str, now: i64) -> bool {
    let lost_at = Standing::new(checks, url).lost_at;
    lost_at.is_some_and(|at| now.saturating_sub(at) <= LOST_DUE_AFTER)
}

/// Did only files of trees name the package's URL, at a host that promises nothing?
pub fn is_strange(record: &PackageRecord) -> bool {
    is_strange_url(record.origin, record.keeping, &record.url)
}

/// The same for a URL with what the client says of how long it is kept.
pub fn is_strange_url(origin: Origin, keeping: Keeping, url: &str) -> bool {
    origin == Origin::Tree && keeping.max(of_url(url)) == Keeping::Unknown
}
