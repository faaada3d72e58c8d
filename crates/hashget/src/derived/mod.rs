//! Derived files: what a recipe makes out of the members of a package. One file and one line a recipe.
//!
//! Invariant: a recipe is pure: it sees members of one package and its parameters, runs no program, and makes the same bytes
//! whenever it is carried out. Nobody believes it: what it makes counts only if it has the digest that was written down.

mod conda_prefix;
mod dpkg_list;
mod ingredients;
mod reading;
mod wheel_record;

use std::collections::BTreeSet;

use crate::model::RelPath;
use crate::model::manifest::{Derived, Package, Placement};

pub(crate) use ingredients::{Ingredient, Ingredients, Made};
pub(crate) use reading::{MOST_NAME_BYTES, read_package};

/// All recipes, by name. `docs/derived.md` defines them.
const RECIPES: &[&dyn Recipe] =
    &[&conda_prefix::CondaPrefix, &dpkg_list::DpkgList, &wheel_record::WheelRecord];

/// Bytes of a member that a recipe reads.
pub(crate) const MOST_INPUT_BYTES: u64 = 64 << 20;

/// Which recipes are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Derive {
    /// None: derived files are not made.
    None,
    /// Those that hashget carries out itself, without any other program.
    #[default]
    Pure,
    /// Also those that run a program out of a package.
    All,
}

/// What a recipe wants of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want {
    /// Nothing.
    Nothing,
    /// That it is there, and what it is.
    Entry,
    /// Of a regular file, its size and digest, too.
    Digest,
}

/// A way to make files out of a package.
pub(crate) trait Recipe: Sync {
    /// Its name in manifests.
    fn name(&self) -> &'static str;

    /// What it wants of the members of a package. The contents of the member [`Derived::from`] are read without being asked for.
    fn wants(&self, path: &RelPath) -> Want;

    /// Makes the member that `derived` describes.
    ///
    /// # Errors
    /// Something is missing or wrong.
    fn make(
        &self,
        derived: &Derived,
        from: &Ingredients<'_>,
        made: &mut Made,
    ) -> Result<(), Failure>;

    /// Which files of a tree it may make out of a package that gives others. What comes out of it is compared, so a proposal may be wrong.
    fn propose(&self, scene: &dyn Scene) -> Vec<Proposal>;
}

/// A package of a plan, and the tree that is packed.
pub(crate) trait Scene {
    /// The package, and what it gives so far.
    fn package(&self) -> &Package;

    /// All of its members, in its own order; none if they are too many or not all known.
    fn members(&self) -> &[Ingredient];

    /// Is there a regular file at `path` that nothing gives so far, and that may be left out?
    fn is_wanted(&self, path: &RelPath) -> bool;

    /// The contents of the regular file at `path`, up to [`MOST_INPUT_BYTES`]; `None` if it has more, or cannot be read.
    fn contents(&self, path: &RelPath) -> Option<Vec<u8>>;

    /// Where a folder of the tree, given by the beginning of its paths, lies on the machine that it is used on: what it may be, without
    /// a slash at the end.
    fn absolute(&self, folder: &[u8]) -> Vec<String>;
}

/// What a recipe may make.
pub(crate) struct Proposal {
    /// The file in the tree.
    pub(crate) path: RelPath,
    /// How it is made.
    pub(crate) derived: Derived,
    /// The contents of the member [`Derived::from`], if it is made from one.
    pub(crate) contents: Option<Vec<u8>>,
}

/// Why a recipe made nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no such recipe.
    #[error("this hashget does not know the recipe {0}: a newer one wrote the archive")]
    Unknown(String),
    /// A parameter is missing or has a value that it cannot have.
    #[error("recipe {recipe}: the manifest's parameter {parameter} {problem}")]
    Parameter {
        /// The recipe.
        recipe: &'static str,
        /// Its name.
        parameter: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// There is nothing to make it from.
    #[error("recipe {recipe}: the package has no file {member} to make it from")]
    NoInput {
        /// The recipe.
        recipe: &'static str,
        /// What is missing.
        member: String,
    },
    /// It would be read into memory, and is too large for that.
    #[error("recipe {recipe}: the file that it is made from has more than {limit} bytes")]
    LargeInput {
        /// The recipe.
        recipe: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// The package has so many members that nobody is told of them.
    #[error("the package has more than {limit} members: no recipe is for such packages")]
    ManyMembers {
        /// The limit.
        limit: usize,
    },
    /// More comes out than the manifest says.
    #[error("more than the expected {limit} bytes come out of the recipe")]
    TooMuch {
        /// The expected size in bytes.
        limit: u64,
    },
}

/// The recipe of this name.
///
/// # Errors
/// There is none.
pub(crate) fn recipe(name: &str) -> Result<&'static dyn Recipe, Failure> {
    let found = RECIPES.iter().copied().find(|recipe| recipe.name() == name);
    found.ok_or_else(|| Failure::Unknown(crate::model::escaped(name.as_bytes())))
}

/// What all recipes may make out of a package.
pub(crate) fn proposals(scene: &dyn Scene) -> Vec<Proposal> {
    RECIPES.iter().flat_map(|recipe| recipe.propose(scene)).collect()
}

/// Where members whose paths begin with `from` lie in the tree: the beginnings of paths that stand there instead, as far as what
/// the package gives tells.
fn places(package: &Package, from: &[u8]) -> BTreeSet<Vec<u8>> {
    let place = |member: &[u8], path: &[u8]| {
        let rest = member.strip_prefix(from)?;
        path.strip_suffix(rest).map(<[u8]>::to_vec)
    };
    let of_placement = |placement: &Placement| place(&placement.from.0, &placement.to.0);
    let mut places: BTreeSet<Vec<u8>> =
        package.placements.iter().filter_map(of_placement).collect();
    // What is wrong with the table is found by whoever restores it.
    let rows = package.files.entries().flatten();
    places.extend(
        rows.filter_map(|(entry, member)| place(member?.as_bytes(), entry.path.as_bytes())),
    );
    places
}

/// A parameter of a recipe.
///
/// # Errors
/// It is missing.
fn parameter<'d>(
    recipe: &dyn Recipe,
    derived: &'d Derived,
    name: &'static str,
) -> Result<&'d str, Failure> {
    let found = derived.parameters.get(name).map(String::as_str);
    let (recipe, problem) = (recipe.name(), "is missing");
    found.ok_or(Failure::Parameter { recipe, parameter: name, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_sorted_by_plain_names() {
        let names: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for name in names {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            assert!(name.bytes().all(is_plain), "{name}");
            assert_eq!(recipe(name).map(Recipe::name).ok(), Some(name));
        }
        let unknown = recipe("tea\u{1b}").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(unknown.contains("does not know the recipe tea"), "{unknown}");
        assert!(!unknown.contains('\u{1b}'));
    }
}
