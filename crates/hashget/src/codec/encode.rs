//! Encoders whose output depends only on the input and the level.
//!
//! Invariant: no time, file name or thread count influences the output.

use std::io::{self, Write};

use liblzma::stream::{Check, MtStreamBuilder};

use super::Codec;
use super::gzip::GzipWriter;
use super::seekable::SeekableWriter;

/// Upper bound, whatever the number of cores.
const MOST_THREADS: usize = 256;

/// The output of LZ4 depends on how the input is split, so it is always split into pieces of this size.
const PIECE: usize = 1 << 16;

/// Compresses what is written to it.
pub trait Encoder: Write {
    /// Writes the remaining data, ends the compressed stream and flushes the output. Without this call the
    /// output is incomplete.
    ///
    /// # Errors
    /// Those of the output.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Compresses into `output`. `level` is that of the codec's own program (gzip 0-9, default 6; zstd 1-22,
/// default 3; xz 0-9, default 6; bzip2 1-9, default 9; the others have none). `threads` is used for gzip,
/// zstd and xz.
///
/// # Errors
/// The codec does not have this level.
pub fn encoder<'a>(
    codec: Codec,
    output: Box<dyn Write + 'a>,
    level: Option<i32>,
    threads: usize,
) -> io::Result<Box<dyn Encoder + 'a>> {
    let threads = threads.clamp(1, MOST_THREADS);
    Ok(match codec {
        Codec::None => {
            no_level(codec, level)?;
            Box::new(Plain(output))
        }
        Codec::Gzip => {
            let level = flate2::Compression::new(in_range(codec, level, 0, 9, 6)?);
            Box::new(GzipWriter::new(output, level, threads)?)
        }
        Codec::Zstd => Box::new(seekable_encoder(output, level, threads)?),
        Codec::Xz => {
            // The parallel encoder even for one thread: only this one splits the input into blocks.
            let stream = MtStreamBuilder::new()
                .preset(in_range(codec, level, 0, 9, 6)?)
                .check(Check::Crc64)
                .threads(u32::try_from(threads).unwrap_or(1))
                .encoder()?;
            Box::new(liblzma::write::XzEncoder::new_stream(output, stream))
        }
        Codec::Bzip2 => {
            let level = bzip2::Compression::new(in_range(codec, level, 1, 9, 9)?);
            Box::new(bzip2::write::BzEncoder::new(output, level))
        }
        Codec::Lz4 => {
            no_level(codec, level)?;
            let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
            Box::new(Pieces::new(lz4_flex::frame::FrameEncoder::with_frame_info(info, output)))
        }
        Codec::Lzip | Codec::Lzma | Codec::Compress => {
            let problem = format!("{} is read, and never written", codec.name());
            return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
        }
    })
}

/// Like [`encoder`] of zstd, with frames that end where the caller says.
///
/// # Errors
/// zstd does not have this level.
pub(crate) fn seekable_encoder<W: Write>(
    output: W,
    level: Option<i32>,
    threads: usize,
) -> io::Result<SeekableWriter<W>> {
    let level = in_range(Codec::Zstd, level, 1, 22, 3)?.cast_signed();
    SeekableWriter::new(output, level, threads.clamp(1, MOST_THREADS))
}

fn in_range(
    codec: Codec,
    level: Option<i32>,
    least: u32,
    greatest: u32,
    default: u32,
) -> io::Result<u32> {
    let Some(level) = level else { return Ok(default) };
    u32::try_from(level).ok().filter(|level| (least..=greatest).contains(level)).ok_or_else(|| {
        let name = codec.name();
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name} has no level {level}: expected {least} to {greatest}"),
        )
    })
}

fn no_level(codec: Codec, level: Option<i32>) -> io::Result<()> {
    match level {
        None => Ok(()),
        Some(level) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("compression {} has no levels, so no level {level}", codec.name()),
        )),
    }
}

/// Passes bytes through.
struct Plain<W>(W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Encoder for Plain<W> {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}

/// Passes an encoder its input in pieces of one size.
struct Pieces<E> {
    encoder: E,
    pending: Vec<u8>,
}

impl<E: Encoder> Pieces<E> {
    fn new(encoder: E) -> Self {
        Self { encoder, pending: Vec::with_capacity(PIECE) }
    }

    fn write_pending(&mut self) -> io::Result<()> {
        self.encoder.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }
}

impl<E: Encoder> Write for Pieces<E> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = buffer.len().min(PIECE - self.pending.len());
        self.pending.extend_from_slice(&buffer[..count]);
        if self.pending.len() == PIECE {
            self.write_pending()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_pending()?;
        self.encoder.flush()
    }
}

impl<E: Encoder> Encoder for Pieces<E> {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.write_pending()?;
        Box::new(self.encoder).finish()
    }
}

impl<W: Write> Encoder for liblzma::write::XzEncoder<W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        (*self).finish()?.flush()
    }
}

impl<W: Write> Encoder for bzip2::write::BzEncoder<W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        (*self).finish()?.flush()
    }
}

impl<W: Write> Encoder for lz4_flex::frame::FrameEncoder<W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        (*self).finish()?.flush()
    }
}
