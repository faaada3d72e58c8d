//! Places: is a package certain to come back from where its record says?
//!
//! Invariant: a place counts only if the URL itself gave the package's bytes, said that it has them, or somebody vouches for it
//! whose word counts. What nobody asked counts as "no". Deciding ([`reliance`]) is apart from asking ([`ask`]).

pub mod ask;
pub mod policy;
pub mod reliance;

pub use ask::{Answer, Asker, Known, reach, tail_of, wanted};
pub use policy::{InPool, Policy};
pub use reliance::{
    ASKED_FOR, DUE_AFTER, Doubt, Place, Private, Rules, Standing, is_strange, is_strange_url,
    was_lost_lately,
};
