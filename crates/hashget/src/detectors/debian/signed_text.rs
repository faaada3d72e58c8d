//! A signed file, taken apart into the text and its signature.
//!
//! Invariant: the text that is parsed is byte by byte the one whose signature is verified.

/// A text with its signature.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SignedText {
    /// What was signed.
    pub(super) text: Vec<u8>,
    /// Empty if there is no signature.
    pub(super) signature: Vec<u8>,
}

impl SignedText {
    /// Takes apart a clear-signed file, as RFC 9580 describes it: white space at the end of a line is not
    /// signed, and a line that begins with a dash has "- " before it. Any other file is a text without a
    /// signature.
    pub(super) fn split(bytes: &[u8]) -> Self {
        if !bytes.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") {
            return Self { text: bytes.to_vec(), signature: Vec::new() };
        }
        let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
        let mut before = 0;
        for line in lines.by_ref() {
            before += line.len();
            if line.trim_ascii().is_empty() {
                break;
            }
        }
        let mut text: Vec<&[u8]> = Vec::new();
        for line in lines {
            if line.starts_with(b"-----BEGIN PGP SIGNATURE-----") {
                break;
            }
            before += line.len();
            let line = line.strip_prefix(b"- ").unwrap_or(line);
            text.push(line.trim_ascii_end());
        }
        Self {
            text: text.join(&b'\n'),
            signature: bytes.get(before..).unwrap_or_default().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_stands_between_the_marks() {
        let signature = "-----BEGIN PGP SIGNATURE-----\nOrigin: forged\n";
        let file = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: x \r\n- -----a\n\nDate: y\n{signature}"
        );
        let signed = SignedText::split(file.as_bytes());
        assert_eq!(signed.text, b"Origin: x\n-----a\n\nDate: y");
        assert_eq!(signed.signature, signature.as_bytes());
    }

    #[test]
    fn any_other_file_has_no_signature() {
        for file in ["Origin: x\n", "", " -----BEGIN PGP SIGNED MESSAGE-----\n\nx"] {
            let signed = SignedText::split(file.as_bytes());
            assert_eq!((&*signed.text, &*signed.signature), (file.as_bytes(), &b""[..]));
        }
        let cut_off = SignedText::split(b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256");
        assert_eq!(cut_off, SignedText::default());
    }
}
