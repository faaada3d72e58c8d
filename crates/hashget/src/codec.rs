//! Compression, by content.
