//! `dpkg-list`: the file `info/NAME.list` that dpkg writes for a package that it has unpacked.
//!
//! Invariant: it follows from the names of the package's members alone, in their order.

use super::{Derived, Failure, Ingredients, Made, Proposal, Recipe, Scene, Want, places};
use crate::model::RelPath;

pub(super) struct DpkgList;

/// Where a .deb has what is unpacked into the tree, and what is about the package.
const DATA: &[u8] = b"data/";
const CONTROL: &[u8] = b"control/";

impl Recipe for DpkgList {
    fn name(&self) -> &'static str {
        "dpkg-list"
    }

    fn wants(&self, path: &RelPath) -> Want {
        match path.as_bytes().starts_with(DATA) {
            true => Want::Entry,
            false => Want::Nothing,
        }
    }

    fn make(&self, _: &Derived, from: &Ingredients<'_>, made: &mut Made) -> Result<(), Failure> {
        // The top folder, which every .deb has first.
        made.push(b"/.\n")?;
        for member in from.members {
            let Some(rest) = member.path.as_bytes().strip_prefix(DATA) else { continue };
            made.push(&[b"/", rest, b"\n"].concat())?;
        }
        Ok(())
    }

    fn propose(&self, scene: &dyn Scene) -> Vec<Proposal> {
        let package = scene.package();
        if package.format != "deb" {
            return Vec::new();
        }
        let list = |place: Vec<u8>| {
            let path = RelPath::new([&place, &b"list"[..]].concat()).ok();
            path.filter(|path| scene.is_wanted(path))
        };
        let derived = Derived {
            recipe: self.name().to_owned(),
            from: None,
            tool: Vec::new(),
            patches: Vec::new(),
            parameters: Default::default(),
        };
        let proposal = |path| Proposal { path, derived: derived.clone(), contents: None };
        places(package, CONTROL).into_iter().filter_map(list).map(proposal).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ingredient;
    use super::*;
    use crate::model::Kind;

    #[test]
    fn the_list_has_all_names_in_the_order_of_the_package() {
        let paths = ["control/md5sums", "data/usr", "data/usr/b", "data/usr/a", "datum"];
        let member = |path: &&str| Ingredient {
            path: RelPath::new(*path).unwrap(),
            kind: Kind::Directory,
            sha256: None,
        };
        let members: Vec<Ingredient> = paths.iter().map(member).collect();
        let derived = Derived {
            recipe: String::new(),
            from: None,
            tool: Vec::new(),
            patches: Vec::new(),
            parameters: Default::default(),
        };
        let mut made = Made::new(100);
        let from = Ingredients { members: &members, contents: None };
        DpkgList.make(&derived, &from, &mut made).unwrap();
        assert_eq!(made.bytes(), b"/.\n/usr\n/usr/b\n/usr/a\n");
    }
}
