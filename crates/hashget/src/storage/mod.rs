//! Where archives are kept: what they are written to and read from.
//!
//! Invariant: a sink makes an archive visible under its name when it is complete, or not at all.
//!
//! A sink stands at the end of packing, behind the codec; a source at the beginning of everything that reads an
//! archive. Whatever changes an archive's bytes as a whole, such as encryption, is a layer between them and the codec.

mod sink;
mod source;
mod stretches;

pub use sink::{ArchiveSink, FileSink, StreamSink};
pub(crate) use source::FromStart;
pub use source::{ArchiveSource, RandomRead, SharedSource, StreamSource};
pub(crate) use stretches::Stretches;
