//! The flags of a file that `chattr` sets and that say what may be done with it.
//!
//! Invariant: there is one text for each set of flags; a text that is none of these is no set of flags.

use super::Metadata;

/// The name under which an entry's flags are kept among its extended attributes. No file system has attributes of this kind,
/// so that a program which knows nothing of it cannot set it, and reports that.
pub const FLAGS_ATTRIBUTE: &[u8] = b"hashget.flags";

/// Flags of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// It can only be added to (`chattr +a`).
    pub append: bool,
    /// It cannot be changed, renamed, linked or removed (`chattr +i`).
    pub immutable: bool,
    /// `dump` passes it over (`chattr +d`).
    pub no_dump: bool,
}

impl Flags {
    /// Is none of them set?
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Can nothing be done with it that an ordinary file lets its owner do?
    pub fn protects(self) -> bool {
        self.append || self.immutable
    }

    fn named(self) -> [(bool, &'static str); 3] {
        [(self.append, "append"), (self.immutable, "immutable"), (self.no_dump, "nodump")]
    }

    /// Their names, sorted, with commas between them.
    pub fn text(self) -> String {
        let set = self.named().into_iter().filter(|(set, _)| *set);
        set.map(|(_, name)| name).collect::<Vec<_>>().join(",")
    }

    /// The flags with these names; `None` if it is not such a text, or names no flag.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let has = |name: &str| text.split(|&byte| byte == b',').any(|word| word == name.as_bytes());
        let flags =
            Self { append: has("append"), immutable: has("immutable"), no_dump: has("nodump") };
        (!flags.is_empty() && flags.text().as_bytes() == text).then_some(flags)
    }
}

impl Metadata {
    /// The same without flags.
    #[must_use]
    pub fn without_flags(&self) -> Self {
        let mut metadata = self.clone();
        if metadata.xattrs.contains_key(FLAGS_ATTRIBUTE) {
            metadata.xattrs.remove(FLAGS_ATTRIBUTE);
        }
        metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_has_one_text() {
        for number in 1..8_u8 {
            let flags = Flags {
                append: number & 1 != 0,
                immutable: number & 2 != 0,
                no_dump: number & 4 != 0,
            };
            assert_eq!(Flags::from_text(flags.text().as_bytes()), Some(flags));
        }
        assert_eq!(
            Flags { append: true, no_dump: true, ..Flags::default() }.text(),
            "append,nodump"
        );
        for other in
            ["", ",", "nodump,append", "append,append", "append,", "secret", "append,secret"]
        {
            assert_eq!(Flags::from_text(other.as_bytes()), None, "{other}");
        }
    }
}
