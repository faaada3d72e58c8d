//! The keys that sign the archives of distributions.
//!
//! Invariant: each fingerprint is complete (40 hexadecimal digits), and was taken from the distribution's own
//! keyring package: Debian's from `debian-archive-keyring` 2023.3+deb12u2 (`debian-archive-keyring.gpg` and
//! `debian-archive-removed-keys.gpg`, as `gpg --show-keys` prints them), Ubuntu's as listed for
//! `ubuntu-keyring` 2021.03.26 (`ubuntu-archive-keyring.gpg`).

/// Fingerprints, each with the `ID` in the `os-release` of the system whose archive the key signs.
pub(super) const ARCHIVE_KEYS: &[(&str, &str)] = &[
    // Debian 13: archive, security archive, stable releases.
    ("04B54C3CDCA79751B16BC6B5225629DF75B188BD", "debian"),
    ("5E04A1E3223A19A20706E20F9904613D4CCE68C6", "debian"),
    ("41587F7DB8C774BCCF131416762F67A0B2C39DE4", "debian"),
    // Debian 12.
    ("B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8", "debian"),
    ("05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0", "debian"),
    ("4D64FEC119C2029067D6E791F8D2585B8783D481", "debian"),
    // Debian 11.
    ("1F89983E0081FDE018F3CC9673A4F27B8DD47936", "debian"),
    ("AC530D520F2F3269F5E98313A48449044AAD5C5D", "debian"),
    ("A4285295FC7B1A81600062A9605C66F00D6C9793", "debian"),
    // Debian 10.
    ("80D15823B7FD1561F9F7BCDDDC30D7C23CBBABEE", "debian"),
    ("5E61B217265DA9807A23C5FF4DFAB270CAA96DFA", "debian"),
    ("6D33866EDD8FFA41C0143AEDDCC9EFBF77E11517", "debian"),
    // Debian 9.
    ("E1CF20DDFFE4B89E802658F1E0B11894F66AEC98", "debian"),
    ("6ED6F5CB5FA6FB2F460AE88EEDA0D2388AE22BA9", "debian"),
    ("067E3C456BAE240ACEE88F6FEF0F382A1A7B6500", "debian"),
    // Ubuntu: the archive keys of 2018 and of 2012.
    ("F6ECB3762474EDA9D21B7022871920D1991BC93C", "ubuntu"),
    ("790BC7277767219C42C86F933B4FE6ACC0B21F32", "ubuntu"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fingerprint_is_complete_and_listed_once() {
        for (index, (fingerprint, system)) in ARCHIVE_KEYS.iter().enumerate() {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
            assert_eq!(fingerprint.len(), 40, "{fingerprint}");
            assert!(fingerprint.bytes().all(is_digit), "{fingerprint}");
            assert!(["debian", "ubuntu"].contains(system), "{system}");
            assert!(ARCHIVE_KEYS[..index].iter().all(|(other, _)| other != fingerprint));
        }
    }
}
