//! The files of a survey as folders: how much is in each, and how much of it packages give back.
//!
//! Invariant: pure; a folder's numbers are the sums of what is in it.

use super::SurveyedFile;
use crate::model::Amount;

/// A folder or a file of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its own name.
    pub name: Vec<u8>,
    /// What is in it.
    pub all: Amount,
    /// What of it packages give back.
    pub given: Amount,
    /// What is in it, the largest first; nothing for a file.
    pub children: Vec<Folder>,
}

/// A part of the tree that the archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtree {
    /// Where it is.
    pub path: Vec<u8>,
    /// Is it a folder?
    pub is_folder: bool,
    /// What of it the archive holds.
    pub archived: Amount,
    /// The file in it that makes it look like a public package.
    pub sign: Option<Vec<u8>>,
}

/// A folder counts as unknown if packages give back less than one in this number of its bytes.
const UNKNOWN_SHARE: u64 = 20;

/// Names (their beginnings, in upper case) of files that published software has at its top.
const SIGNS: [&[u8]; 10] = [
    b"LICENSE",
    b"LICENCE",
    b"COPYING",
    b"PKG-INFO",
    b"METADATA",
    b"PACKAGE.JSON",
    b"CARGO.TOML",
    b"GO.MOD",
    b"POM.XML",
    b"README",
];

impl Folder {
    /// The tree that `files` (sorted by path) lie in.
    pub fn tree(files: &[SurveyedFile]) -> Self {
        let mut top = Self::default();
        for file in files {
            top.add(file);
        }
        top.sort();
        top
    }

    fn add(&mut self, file: &SurveyedFile) {
        let mut here = self;
        here.count(file);
        for component in file.path.components() {
            // Files come sorted, so that what a folder holds comes in one go.
            if here.children.last().is_none_or(|last| last.name != component) {
                here.children.push(Self { name: component.to_vec(), ..Self::default() });
            }
            let index = here.children.len() - 1;
            here = &mut here.children[index];
            here.count(file);
        }
    }

    fn count(&mut self, file: &SurveyedFile) {
        let amount = Amount { files: 1, bytes: file.bytes };
        self.all = [self.all, amount].into_iter().sum();
        if file.given_by.is_some() {
            self.given = [self.given, amount].into_iter().sum();
        }
    }

    fn sort(&mut self) {
        self.children.sort_by(|a, b| b.all.bytes.cmp(&a.all.bytes).then(a.name.cmp(&b.name)));
        for child in &mut self.children {
            child.sort();
        }
    }

    /// Is (nearly) nothing of it given back?
    fn is_unknown(&self) -> bool {
        self.all.bytes > 0 && self.given.bytes.saturating_mul(UNKNOWN_SHARE) < self.all.bytes
    }

    /// Is more than half of it in one folder? Then that one says more.
    fn is_wrapping(&self) -> bool {
        let first = self.children.first();
        first
            .is_some_and(|first| !first.children.is_empty() && first.all.bytes > self.all.bytes / 2)
    }

    /// What fills the archive: the largest folders and files of which nearly nothing is given back,
    /// largest first, at most `most`.
    pub fn archived(&self, most: usize) -> Vec<Subtree> {
        let mut found = Vec::new();
        self.visit(&mut Vec::new(), &mut |folder, path| {
            let is_top = path.is_empty();
            if is_top || !folder.is_unknown() || folder.is_wrapping() {
                return true;
            }
            found.push(folder.subtree(path, None));
            false
        });
        largest(found, most)
    }

    /// Folders that look like published packages and that no known package gives back, largest first,
    /// at most `most`.
    pub fn worth_indexing(&self, most: usize) -> Vec<Subtree> {
        let mut found = Vec::new();
        self.visit(&mut Vec::new(), &mut |folder, path| {
            let sign = folder.sign();
            if sign.is_none() || path.is_empty() || !folder.is_unknown() {
                return true;
            }
            found.push(folder.subtree(path, sign));
            false
        });
        largest(found, most)
    }

    /// The first file in it that published software has.
    fn sign(&self) -> Option<Vec<u8>> {
        let is_sign = |child: &&Self| {
            let name = child.name.to_ascii_uppercase();
            child.children.is_empty() && SIGNS.iter().any(|sign| name.starts_with(sign))
        };
        self.children.iter().find(is_sign).map(|child| child.name.clone())
    }

    fn subtree(&self, path: &[u8], sign: Option<Vec<u8>>) -> Subtree {
        let is_folder = !self.children.is_empty();
        let archived = Amount {
            files: self.all.files - self.given.files,
            bytes: self.all.bytes - self.given.bytes,
        };
        Subtree { path: path.to_vec(), is_folder, archived, sign }
    }

    /// Shows every folder and file to `look`, which says whether to go on into it.
    fn visit(&self, path: &mut Vec<u8>, look: &mut dyn FnMut(&Self, &[u8]) -> bool) {
        if !look(self, path) {
            return;
        }
        for child in &self.children {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend(&child.name);
            child.visit(path, look);
            path.truncate(length);
        }
    }
}

fn largest(mut found: Vec<Subtree>, most: usize) -> Vec<Subtree> {
    found.sort_by(|a, b| b.archived.bytes.cmp(&a.archived.bytes).then(a.path.cmp(&b.path)));
    found.truncate(most);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RelPath;

    fn file(path: &str, bytes: u64, given_by: Option<usize>) -> SurveyedFile {
        SurveyedFile { path: RelPath::new(path).unwrap(), bytes, given_by }
    }

    fn paths(parts: &[Subtree]) -> Vec<(String, u64)> {
        let path = |one: &Subtree| String::from_utf8_lossy(&one.path).into_owned();
        parts.iter().map(|one| (path(one), one.archived.bytes)).collect()
    }

    #[test]
    fn folders_add_up_and_the_largest_comes_first() {
        let files = [
            file("a-b", 1, None),
            file("a/x", 2, Some(0)),
            file("a/y", 40, None),
            file("b", 5, None),
        ];
        let top = Folder::tree(&files);
        assert_eq!(top.all, Amount { files: 4, bytes: 48 });
        assert_eq!(top.given, Amount { files: 1, bytes: 2 });
        let names: Vec<&[u8]> = top.children.iter().map(|child| &child.name[..]).collect();
        assert_eq!(names, [&b"a"[..], b"b", b"a-b"]);
        assert_eq!(top.children[0].children.len(), 2);
    }

    #[test]
    fn whole_folders_stand_for_what_is_in_them() {
        let files = [
            file("known/a", 1000, Some(0)),
            file("known/own", 10, None),
            file("mine/deep/x", 300, None),
            file("mine/y", 5, None),
        ];
        let expected =
            [("mine/deep".to_owned(), 300), ("known/own".to_owned(), 10), ("mine/y".to_owned(), 5)];
        assert_eq!(paths(&Folder::tree(&files).archived(9)), expected);
        assert_eq!(paths(&Folder::tree(&files).archived(1)), expected[..1]);
    }

    #[test]
    fn a_licence_makes_a_folder_look_published() {
        let files = [
            file("known/LICENSE", 1000, Some(0)),
            file("opt/tool/License.txt", 30, None),
            file("opt/tool/bin", 300, None),
            file("own/diary", 5000, None),
        ];
        let found = Folder::tree(&files).worth_indexing(9);
        assert_eq!(paths(&found), [("opt/tool".to_owned(), 330)]);
        assert_eq!(found[0].sign.as_deref(), Some(&b"License.txt"[..]));
    }
}
