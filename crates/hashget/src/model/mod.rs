//! The shared nouns: plain data, no I/O.
//!
//! Invariant: a value of one of these types is valid by construction (a [`RelPath`] never escapes its
//! root, a [`Digest`] is 32 bytes), so no other layer checks again.

mod amount;
mod checksum;
mod counted;
mod digest;
mod entry;
mod flags;
pub mod manifest;
mod member;
mod metadata;
mod package;
mod path_list;
mod rel_path;

pub use amount::{Amount, add_bytes, total_bytes};
pub use checksum::{Algorithm, Checksum, Hasher};
pub use counted::counted;
pub(crate) use digest::HashingWriter;
pub use digest::{Digest, HashingReader, ParseDigestError};
pub use entry::{Entry, TreeDigest, effective_mode, entry_digest};
pub use flags::{FLAGS_ATTRIBUTE, Flags};
pub use member::{Extent, Kind, Member};
pub use metadata::{MemberMetadata, Metadata, Timestamp, Xattrs};
pub use package::{Evidence, Keeping, Origin, PackageRecord, Signature, display_name, own_name};
pub(crate) use path_list::{PathList, path_of};
pub(crate) use rel_path::bytes_as_text;
pub use rel_path::{BadPath, RelPath, escaped};
