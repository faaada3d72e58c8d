//! Packages with programs, and packing and restoring with what runs them.
//!
//! Invariant: the programs in the packages are none: whoever packs and restores brings what runs in their place.

use std::path::PathBuf;

use hashget::derived::Derive;
use hashget::monitor::Recorder;
use hashget::pack::PackOptions;
use hashget::programs::Programs;
use hashget::restore::{RestoreOptions, Summary};
use hashget_testkit::packages::{TarBuilder, TarEntry, deb};

use crate::scene::{Scene, options};

/// The name and the bytes of a package for this machine.
pub(crate) fn package(name: &str, fields: &str, data: TarBuilder) -> (String, Vec<u8>) {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let control = format!("Package: {name}\nVersion: 1\nArchitecture: {architecture}\n{fields}");
    let bytes = deb(&[("control", control.as_bytes())], &data.finish(), "gzip");
    (format!("{name}_1_{architecture}.deb"), bytes)
}

/// A package with a program at `path`, which needs the one of [`loader_package`].
pub(crate) fn program_package(name: &str, path: &str) -> (String, Vec<u8>) {
    package(name, "Depends: libc6 (>= 2)\n", executable(path))
}

/// The package with the program that loads others.
pub(crate) fn loader_package() -> (String, Vec<u8>) {
    let path = match cfg!(target_arch = "aarch64") {
        true => "lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
        false => "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    };
    package("libc6", "", executable(path))
}

fn executable(path: &str) -> TarBuilder {
    TarBuilder::new().entry(&TarEntry {
        name: format!("./{path}").as_bytes(),
        content: path.as_bytes(),
        mode: 0o755,
        ..TarEntry::default()
    })
}

pub(crate) fn packing(programs: &Programs) -> PackOptions<'static> {
    PackOptions { derive: Derive::All, programs: Some(programs.clone()), ..options() }
}

/// Without programs, what they make is not made.
pub(crate) fn restoring(programs: Option<&Programs>) -> RestoreOptions {
    let derive = if programs.is_some() { Derive::All } else { Derive::Pure };
    RestoreOptions { derive, programs: programs.cloned(), ..RestoreOptions::default() }
}

pub(crate) fn unpack(
    scene: &Scene,
    archive: &[u8],
    options: &RestoreOptions,
) -> (PathBuf, Summary, Recorder) {
    let (target, recorder) = (scene.target(), Recorder::default());
    let restored = scene.restorer().unpack(&mut &*archive, &target, options, &recorder).unwrap();
    (target, restored, recorder)
}
