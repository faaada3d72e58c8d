//! Requests for byte ranges of a URL, and for pages.
//!
//! Invariant: only the wanted bytes are kept, and reading stops after the last of them. A server that sends no parts is
//! never read far for a part.

use super::download::Download;
use super::http::{Exchange, Head};
use super::{ByteRange, FetchError, Stated};

/// So many bytes may come from a server that sends no parts, for a part that ends there.
const MOST_FOR_A_PART: u64 = 1 << 20;

impl Download<'_> {
    /// Requests `count` bytes from position `first` on.
    pub(super) fn byte_range(&self, first: u64, count: u64) -> Result<ByteRange, FetchError> {
        if count == 0 {
            let stated = Stated::default();
            return Ok(ByteRange { bytes: Vec::new(), total: None, alone: true, stated });
        }
        let last = first.saturating_add(count - 1);
        let mut exchange = self.answered(vec![("range", format!("bytes={first}-{last}"))])?;
        let head = &exchange.head;
        let (before, total) = match head.status {
            // The whole file for a few bytes of it would be too much.
            200 if last.min(head.length.unwrap_or(u64::MAX)) >= MOST_FOR_A_PART => {
                return Err(FetchError::NoParts { url: self.target.as_str().to_owned() });
            }
            200 => (first, head.length),
            206 => match range_of(head) {
                Some((begin, total)) if begin == first => (0, total),
                _ => {
                    return Err(self.unreachable("it gives another part than asked for".to_owned()));
                }
            },
            416 => {
                let total = range_of(head).and_then(|range| range.1);
                let stated = Stated::default();
                return Ok(ByteRange { bytes: Vec::new(), total, alone: true, stated });
            }
            _ => return Err(self.status_error(&exchange)),
        };
        let alone = head.status == 206;
        let bytes = self.stretch(&mut exchange, before, count)?;
        let end = first.saturating_add(bytes.len() as u64);
        if (bytes.len() as u64) < count && total.is_some_and(|total| total > end) {
            return Err(self.transient("the answer ended too early".to_owned(), None));
        }
        let stated = exchange.stated(!alone || (first == 0 && total == Some(end)));
        Ok(ByteRange { bytes, total, alone, stated })
    }

    /// Requests a page of the media types in `accept`; its first `most` bytes.
    pub(super) fn page(&self, accept: &str, most: u64) -> Result<Vec<u8>, FetchError> {
        let mut exchange = self.answered(vec![("accept", accept.to_owned())])?;
        if exchange.head.status != 200 {
            return Err(self.status_error(&exchange));
        }
        let length = exchange.head.length;
        let bytes = self.stretch(&mut exchange, 0, most)?;
        let came = bytes.len() as u64;
        if came < most && length.is_some_and(|total| total > came) {
            return Err(self.transient("the answer ended too early".to_owned(), None));
        }
        Ok(bytes)
    }

    /// Up to `count` bytes of a body, after skipping `before` bytes.
    fn stretch(
        &self,
        exchange: &mut Exchange,
        mut before: u64,
        count: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let progress = self.progress(Some(count));
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        while bytes.len() < wanted {
            let piece = match exchange.next(self.monitor) {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(trouble) => return Err(self.troubled(trouble, exchange)),
            };
            progress.advance(piece.len() as u64, 0);
            let skipped = usize::try_from(before).unwrap_or(usize::MAX).min(piece.len());
            before -= skipped as u64;
            let room = wanted - bytes.len();
            bytes.extend(piece[skipped..].iter().take(room));
        }
        Ok(bytes)
    }
}

/// The start of the part, and the total size, if the server reported it.
fn range_of(head: &Head) -> Option<(u64, Option<u64>)> {
    let range = head.header("content-range")?.strip_prefix("bytes ")?;
    let (span, total) = range.split_once('/')?;
    let first = span.split('-').next()?.parse().unwrap_or(0);
    Some((first, total.parse().ok()))
}
