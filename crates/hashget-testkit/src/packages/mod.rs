//! Packages built in memory, well-formed or not, for tests.
//!
//! Invariant: nothing here uses the library under test; the same calls give the same bytes.

mod apk_version_3;
mod cpio;
mod iso9660;
mod rpm;
mod seven_zip;
mod tar;
mod zip;

use std::io::Write as _;

pub use apk_version_3::{Apk3File, apk_block, apk_of_blocks, apk_version_3};
pub use cpio::{CpioEntry, CpioForm, cpio, cpio_entry};
pub use iso9660::{
    IsoContent, IsoEntry, IsoFolder, block_of_area, both, iso_file, iso_folder, iso9660, posix,
    susp, susp_area, susp_start,
};
pub use rpm::{
    RpmFile, RpmValue, cpio_listed, cpio_named, cpio_sized, rpm, rpm_header, rpm_of, rpm_tags,
};
pub use seven_zip::{SevenZipEntry, SevenZipMethod, seven_zip, seven_zip_of};
pub use tar::{TarBuilder, TarEntry, pax_records};
pub use zip::{ZipEntry, zip};

/// Every name that [`compress`] accepts.
pub const COMPRESSIONS: [&str; 6] = ["none", "gzip", "zstd", "xz", "bzip2", "lz4"];

/// `bytes`, compressed by `codec`: one of [`COMPRESSIONS`], or `lzma` (as old .debs
/// have it).
///
/// # Panics
/// If there is no such codec.
pub fn compress(codec: &str, bytes: &[u8]) -> Vec<u8> {
    let written = "a vector takes everything";
    match codec {
        "none" => bytes.to_vec(),
        "gzip" => {
            let level = flate2::Compression::new(6);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).expect(written);
            encoder.finish().expect(written)
        }
        "zstd" => zstd::stream::encode_all(bytes, 3).expect(written),
        "xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
            encoder.write_all(bytes).expect(written);
            encoder.finish().expect(written)
        }
        "lzma" => {
            let options = liblzma::stream::LzmaOptions::new_preset(6).expect("6 is a preset");
            let stream =
                liblzma::stream::Stream::new_lzma_encoder(&options).expect("it has memory");
            let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
            encoder.write_all(bytes).expect(written);
            encoder.finish().expect(written)
        }
        "bzip2" => {
            let level = bzip2::Compression::new(9);
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).expect(written);
            encoder.finish().expect(written)
        }
        "lz4" => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes).expect(written);
            encoder.finish().expect(written)
        }
        other => panic!("no codec \"{other}\""),
    }
}

/// The SHA-1 of `bytes`, in hex digits.
pub fn sha1_hex(bytes: &[u8]) -> String {
    use sha1::Digest as _;
    hex::encode(sha1::Sha1::digest(bytes))
}

/// An ar archive.
pub fn ar(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in parts {
        let size = content.len();
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 1, 0, 0, "100644");
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        if size % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// A Debian package: `control` has the files of control.tar; `data_tar` is not compressed yet.
pub fn deb(control: &[(&str, &[u8])], data_tar: &[u8], compression: &str) -> Vec<u8> {
    let extension = match compression {
        "none" => "",
        "gzip" => ".gz",
        "zstd" => ".zst",
        "bzip2" => ".bz2",
        "lz4" => ".lz4",
        other => &format!(".{other}"),
    };
    let mut tar = TarBuilder::new().directory("./");
    for (name, content) in control {
        tar = tar.file(&format!("./{name}"), content);
    }
    ar(&[
        ("debian-binary", b"2.0\n"),
        (&format!("control.tar{extension}"), &compress(compression, &tar.finish())),
        (&format!("data.tar{extension}"), &compress(compression, data_tar)),
    ])
}

/// A Ruby gem; `data_tar` is not compressed yet.
pub fn gem(metadata: &[u8], data_tar: &[u8]) -> Vec<u8> {
    TarBuilder::new()
        .file("metadata.gz", &compress("gzip", metadata))
        .file("data.tar.gz", &compress("gzip", data_tar))
        .file("checksums.yaml.gz", &compress("gzip", b"---\n"))
        .finish()
}

/// An Alpine package: `control` has the files of its second part; `data_tar` is not compressed yet.
pub fn apk(is_signed: bool, control: &[(&str, &[u8])], data_tar: &[u8]) -> Vec<u8> {
    let signature = TarBuilder::new().file(".SIGN.RSA.key.rsa.pub", &[7; 256]).without_end();
    let mut tar = TarBuilder::new();
    for (name, content) in control {
        tar = tar.file(name, content);
    }
    let signature = if is_signed { compress("gzip", &signature) } else { Vec::new() };
    let control = compress("gzip", &tar.without_end());
    [signature, control, compress("gzip", data_tar)].concat()
}

/// A conda package of two tars that are not compressed yet.
pub fn conda(package_tar: &[u8], info_tar: &[u8]) -> Vec<u8> {
    let package = compress("zstd", package_tar);
    let info = compress("zstd", info_tar);
    let stored = |name, content| ZipEntry { name, content, deflate: false, ..ZipEntry::default() };
    zip(&[
        stored(&b"metadata.json"[..], b"{\"conda_pkg_format_version\": 2}"),
        stored(b"pkg-sample-1.0-0.tar.zst", &package),
        stored(b"info-sample-1.0-0.tar.zst", &info),
    ])
}
