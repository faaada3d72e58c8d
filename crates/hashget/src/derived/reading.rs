//! Reading a package with what recipes make out of it: the derived members follow the others.
//!
//! Invariant: whatever a recipe does, all members of the package are visited as if there were none; a derived member that cannot be
//! made is a bad member.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::{
    Failure, Ingredient, Ingredients, MOST_INPUT_BYTES, Made, RECIPES, Recipe, Want, recipe,
};
use crate::formats::{self, FormatError, Input, Visitor, VisitorError};
use crate::limits::Limits;
use crate::model::manifest::{Derived, Package};
use crate::model::{HashingReader, Kind, Member, MemberMetadata, RelPath};

/// Members of which a recipe is told, and bytes of their names; a package with more is none that recipes are for.
const MOST_MEMBERS: usize = 1 << 20;
pub(crate) const MOST_NAME_BYTES: usize = 64 << 20;

/// Why what a program makes is not made while its package is read.
const BY_PROGRAM: &str =
    "a program has to make it: a restore of the whole tree with `--derive all` does that";

/// Visits all members of a package, and then the derived ones that are wanted of it.
///
/// # Errors
/// As those of [`formats::read_package_as`].
pub(crate) fn read_package(
    package: &Package,
    input: Input<'_>,
    recurse: &dyn Fn(&RelPath) -> bool,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<&'static str, FormatError> {
    let wanted = package.derived_members().unwrap_or_default();
    if wanted.is_empty() {
        return formats::read_package_as(&package.format, input, recurse, limits, visitor);
    }
    let mut gathering = Gathering::new(package, &wanted, visitor);
    let format = formats::read_package_as(&package.format, input, recurse, limits, &mut gathering)?;
    gathering.make_the_rest().map_err(FormatError::Visitor)?;
    Ok(format)
}

/// A derived member that is wanted.
struct Task<'p> {
    path: RelPath,
    derived: &'p Derived,
    /// What it may have at most, in bytes.
    most: u64,
}

/// Passes on the members of a package, and keeps of them what recipes want.
struct Gathering<'p, 'v> {
    visitor: &'v mut dyn Visitor,
    /// The recipes that want to know of members.
    recipes: Vec<&'static dyn Recipe>,
    /// What is made from single members, by these.
    of_member: BTreeMap<RelPath, Vec<Task<'p>>>,
    /// What is made from the package as a whole.
    of_package: Vec<Task<'p>>,
    /// What programs make, which is not made here.
    of_programs: Vec<RelPath>,
    members: Vec<Ingredient>,
    name_bytes: usize,
    has_too_many: bool,
}

impl<'p, 'v> Gathering<'p, 'v> {
    fn new(package: &'p Package, wanted: &[Member], visitor: &'v mut dyn Visitor) -> Self {
        let mut of_member: BTreeMap<RelPath, Vec<Task<'p>>> = BTreeMap::new();
        let (mut of_package, mut of_programs) = (Vec::new(), Vec::new());
        for member in wanted {
            let Some(derived) = package.derivation(&member.path) else { continue };
            if derived.is_run() {
                of_programs.push(member.path.clone());
                continue;
            }
            let task = Task { path: member.path.clone(), derived, most: member.size() };
            match &derived.from {
                Some(from) => of_member.entry(from.clone()).or_default().push(task),
                None => of_package.push(task),
            }
        }
        let is_used = |recipe: &&dyn Recipe| {
            of_package.iter().any(|task: &Task<'_>| task.derived.recipe == recipe.name())
        };
        let recipes = RECIPES.iter().copied().filter(is_used).collect();
        let (members, name_bytes, has_too_many) = (Vec::new(), 0, false);
        Self {
            visitor,
            recipes,
            of_member,
            of_package,
            of_programs,
            members,
            name_bytes,
            has_too_many,
        }
    }

    /// Makes what is made from the package as a whole, and names what could not be made.
    fn make_the_rest(mut self) -> Result<(), VisitorError> {
        for path in std::mem::take(&mut self.of_programs) {
            self.visitor.bad_member(path.as_bytes(), BY_PROGRAM);
        }
        let members = std::mem::take(&mut self.members);
        for task in std::mem::take(&mut self.of_package) {
            let from = Ingredients { members: &members, contents: None };
            let made = match self.has_too_many {
                true => Err(Failure::ManyMembers { limit: MOST_MEMBERS }),
                false => task.make(&from),
            };
            task.pass_on(made, self.visitor)?;
        }
        for (member, tasks) in std::mem::take(&mut self.of_member) {
            for task in tasks {
                let made = recipe(&task.derived.recipe).and_then(|recipe| {
                    Err(Failure::NoInput { recipe: recipe.name(), member: member.to_string() })
                });
                task.pass_on(made, self.visitor)?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, member: Ingredient) {
        self.name_bytes += member.path.as_bytes().len();
        self.has_too_many |=
            self.members.len() >= MOST_MEMBERS || self.name_bytes > MOST_NAME_BYTES;
        if !self.has_too_many {
            self.members.push(member);
        }
    }
}

impl Task<'_> {
    fn make(&self, from: &Ingredients<'_>) -> Result<Made, Failure> {
        let mut made = Made::new(self.most);
        recipe(&self.derived.recipe)?.make(self.derived, from, &mut made)?;
        Ok(made)
    }

    /// Makes it from the contents of one member; `None` are too many.
    fn make_from(&self, contents: Option<&[u8]>) -> Result<Made, Failure> {
        match contents {
            None => {
                let recipe = recipe(&self.derived.recipe)?.name();
                Err(Failure::LargeInput { recipe, limit: MOST_INPUT_BYTES })
            }
            contents => self.make(&Ingredients { members: &[], contents }),
        }
    }

    /// Passes on what was made, or why it was not.
    fn pass_on(
        &self,
        made: Result<Made, Failure>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), VisitorError> {
        match made {
            Err(failure) => visitor.bad_member(self.path.as_bytes(), &failure.to_string()),
            Ok(made) => {
                let member = Member {
                    path: self.path.clone(),
                    kind: Kind::File { size: made.bytes().len() as u64 },
                    metadata: MemberMetadata::default(),
                    sha256: None,
                    extents: None,
                };
                visitor.visit(member, &mut made.bytes())?;
            }
        }
        Ok(())
    }
}

impl Visitor for Gathering<'_, '_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        let want = self.recipes.iter().map(|recipe| recipe.wants(&member.path)).max();
        let want = want.unwrap_or(Want::Nothing);
        let is_file = matches!(member.kind, Kind::File { .. });
        let tasks = match is_file {
            true => self.of_member.remove(&member.path).unwrap_or_default(),
            false => Vec::new(),
        };
        let mut ingredient = (want != Want::Nothing).then(|| Ingredient::from(&member));
        if !tasks.is_empty() || (is_file && want == Want::Digest) {
            let keeps = !tasks.is_empty();
            let mut kept =
                Kept { content: HashingReader::new(content), bytes: keeps.then(Vec::new) };
            self.visitor.visit(member, &mut kept)?;
            // Whoever was visited may have left something unread.
            io::copy(&mut kept, &mut io::sink())?;
            let (sha256, _) = kept.content.finish();
            if let Some(ingredient) = &mut ingredient {
                ingredient.sha256 = Some(sha256);
            }
            for task in tasks {
                task.pass_on(task.make_from(kept.bytes.as_deref()), self.visitor)?;
            }
        } else {
            self.visitor.visit(member, content)?;
        }
        if let Some(ingredient) = ingredient {
            self.keep(ingredient);
        }
        Ok(())
    }

    fn bad_member(&mut self, raw: &[u8], reason: &str) {
        self.visitor.bad_member(raw, reason);
    }

    fn nested_problem(&mut self, path: &RelPath, error: &FormatError) {
        self.visitor.nested_problem(path, error);
    }
}

/// Contents that are digested, and kept, while they are read.
struct Kept<R> {
    content: HashingReader<R>,
    /// `None` if they are not kept, or are too many.
    bytes: Option<Vec<u8>>,
}

impl<R: Read> Read for Kept<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        if let Some(bytes) = &mut self.bytes {
            bytes.extend_from_slice(&buffer[..count]);
            if bytes.len() as u64 > MOST_INPUT_BYTES {
                self.bytes = None;
            }
        }
        Ok(count)
    }
}
