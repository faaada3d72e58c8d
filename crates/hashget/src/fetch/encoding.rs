//! Bodies that somebody compressed on the way.
//!
//! Invariant: what is left in the unfinished download is the file itself. What the digest proves wins; without one a body
//! is decoded only where both the header and its bytes say that it is encoded.

use std::io::{self, Read as _, Seek as _, Write as _};

use flate2::read::MultiGzDecoder;

use super::FetchError;
use super::download::{Download, of_disk, of_unproven};
use super::file_digest::hash_whole;
use super::http::Head;
use super::unfinished::Note;
use crate::model::{Digest, escaped};

/// The first bytes of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

impl Download<'_> {
    /// Is the body said to be encoded? Some servers declare `.gz` files as encoded although they send the file itself, and
    /// some proxies encode it once more; the bytes will show. If nothing could show it, this is an error.
    pub(super) fn is_encoded(&self, head: &Head) -> Result<bool, FetchError> {
        let encoding = head.header("content-encoding").unwrap_or("identity").trim();
        let encoding = encoding.to_ascii_lowercase();
        if matches!(encoding.as_str(), "identity" | "") {
            return Ok(false);
        }
        let is_gzip = matches!(encoding.as_str(), "gzip" | "x-gzip");
        let file_is_gzip = is_gzip && self.target.path().to_ascii_lowercase().ends_with("gz");
        if file_is_gzip || self.wanted.sha256.is_some() {
            return Ok(is_gzip);
        }
        let encoding = escaped(encoding.as_bytes());
        Err(self.unreachable(format!("the server insists on sending it encoded as {encoding}")))
    }

    /// Decodes a whole body that is said to be encoded, if it is: if the decoded bytes have the wanted digest, or are gzip
    /// as the URL says. Returns their digest and number.
    pub(super) fn decode(&mut self) -> Result<Option<(Digest, u64)>, FetchError> {
        let most = self.most();
        let disk = |error| of_disk(&self.target, error);
        let decoded = (|| {
            let mut body = self.part.file();
            body.rewind()?;
            let mut decoder = MultiGzDecoder::new(io::BufReader::new(body)).take(most + 1);
            let mut start = Vec::new();
            decoder.by_ref().take(2).read_to_end(&mut start)?;
            if self.wanted.sha256.is_none() && start != GZIP {
                return Ok(None);
            }
            let mut file = tempfile::tempfile()?;
            file.write_all(&start)?;
            let rest = io::copy(&mut decoder, &mut file)?;
            let size = start.len() as u64 + rest;
            Ok((size <= most).then_some(file))
        })();
        let mut file = match decoded {
            Ok(Some(file)) => file,
            // It was no gzip after all.
            Err(error) if is_of_decoder(&error) => return Ok(None),
            Ok(None) => return Ok(None),
            Err(error) => return Err(disk(error)),
        };
        let (sha256, size) = hash_whole(&file, self.monitor)
            .map_err(|unproven| of_unproven(&self.target, unproven))?;
        if self.wanted.sha256.is_some_and(|wanted| wanted != sha256) {
            return Ok(None);
        }
        // Nothing that a later attempt could continue.
        let note = Note { url: self.target.as_str().to_owned(), ..Note::default() };
        self.part.begin(note).map_err(disk)?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer).map_err(disk)? {
                0 => return Ok(Some((sha256, size))),
                count => self.part.write(&buffer[..count]).map_err(disk)?,
            }
        }
    }
}

fn is_of_decoder(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}
