//! File systems in files.
//!
//! Invariant: whatever happens on one, it is unmounted.

use std::path::Path;
use std::process::Command;

/// Makes a file system with `program`, mounts it and passes its top to `work`.
pub(crate) fn on_image(program: &str, options: &[&str], work: fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let (image, mounted) = (folder.path().join("image"), folder.path().join("mounted"));
    fs_err::File::create(&image).unwrap().set_len(400 << 20).unwrap();
    fs_err::create_dir(&mounted).unwrap();
    let image = image.to_str().unwrap();
    let at = mounted.to_str().unwrap();
    run(program, &[options, &[image]].concat());
    run("mount", &["-o", "loop", image, at]);
    let result = std::panic::catch_unwind(|| work(&mounted));
    run("umount", &["--lazy", at]);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
