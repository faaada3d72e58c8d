//! Manifests and archives whose pieces are wrong.

use hashget::model::manifest::AnyManifest;
use hashget::monitor::Recorder;
use hashget::restore::RestoreOptions;
use hashget_testkit::trees;
use serde_json::{Value, json};

use crate::images::{manifest_of, scene, tar_image};
use crate::scene::{Scene, gnu_tar, options};

fn packed() -> (Scene, Vec<u8>) {
    let scene = scene();
    trees::file(&scene.tree(), "images/disk", tar_image());
    trees::file(&scene.tree(), "note", "a file beside it");
    let (archive, _) = scene.pack_well(&options());
    (scene, archive)
}

#[test]
fn columns_that_contradict_each_other_or_the_file_are_refused() {
    let (_, archive) = packed();
    let manifest: Value = serde_json::from_slice(&manifest_of(&archive).to_json()).unwrap();
    AnyManifest::parse(manifest.to_string().as_bytes()).unwrap();
    let most = u64::MAX;
    type Change<'c> = &'c dyn Fn(&mut Value);
    let cases: [(&str, Change<'_>); 21] = [
        ("pieces.rest", &|pieces| pieces["rest"] = json!([])),
        ("pieces.rest", &|pieces| pieces["rest"] = json!([0, 1])),
        ("pieces.runs", &|pieces| pieces["runs"] = json!([1])),
        ("pieces.runs", &|pieces| pieces["runs"] = json!([4_000_000_000_u32])),
        ("pieces.length", &|pieces| _ = pieces["length"].as_array_mut().unwrap().pop()),
        ("pieces.offset", &|pieces| pieces["offset"] = json!([])),
        ("pieces.of", &|pieces| pieces["of"] = json!([])),
        ("pieces.of", &|pieces| pieces["of"][0] = json!(99)),
        ("no index", &|pieces| pieces["of"][0] = json!(-1)),
        ("no index", &|pieces| pieces["of"][0] = json!(i64::MAX)),
        ("pieces.package", &|pieces| pieces["package"][0] = json!(1)),
        ("pieces.member", &|pieces| pieces["member"][0] = json!("in.tar!/file")),
        ("pieces.member", &|pieces| pieces["member"][0] = json!("!/0")),
        ("is not a path below", &|pieces| pieces["member"][0] = json!("../file")),
        ("expected once", &|pieces| pieces["member"][1] = pieces["member"][0].clone()),
        ("it is empty", &|pieces| pieces["length"][0] = json!(0)),
        ("it leaves the", &|pieces| pieces["length"][1] = json!(1_u64 << 40)),
        ("it leaves the", &|pieces| pieces["gap"][1] = json!(most)),
        ("its end in the member", &|pieces| pieces["offset"][1] = json!(most)),
        ("it is no entry of archived", &|pieces| pieces["path"] = json!(["images/other"])),
        ("expected a regular file", &|pieces| pieces["path"] = json!(["images"])),
    ];
    for (expected, change) in cases {
        let mut manifest = manifest.clone();
        change(&mut manifest["pieces"]);
        let error = AnyManifest::parse(manifest.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected:?} is not in: {error}");
    }
    let mut unneeded = manifest.clone();
    unneeded.as_object_mut().unwrap().remove("needs");
    let error = AnyManifest::parse(unneeded.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("pieces: the manifest has it without needing pieces"), "{error}");
    let mut proofless = manifest;
    proofless["archived"].as_object_mut().unwrap().remove("sha256");
    let error = AnyManifest::parse(proofless.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("expected a regular file with size and sha256"), "{error}");
}

/// The image alone is missing, for this reason, after `change`.
#[track_caller]
fn costs_the_image(why: &str, change: impl FnOnce(&std::path::Path, &mut Value)) {
    let (scene, archive) = packed();
    let target = scene.target();
    gnu_tar(&archive, &target);
    let file = target.join(".hashget-restore.json");
    let mut manifest = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    change(&target, &mut manifest);
    fs_err::write(&file, manifest.to_string()).unwrap();
    let recorder = Recorder::default();
    let restored =
        scene.restorer().restore(&target, &RestoreOptions::default(), &recorder).unwrap();
    let missing: Vec<String> = restored.missing.iter().map(|(path, _)| path.to_string()).collect();
    assert_eq!(missing, ["images/disk"]);
    let reason = &restored.missing[0].1;
    assert!(reason.contains(why), "{why:?} is not in: {reason}");
    assert!(!target.join("images/disk").exists() && target.join("note").exists());
    let left = fs_err::read_dir(target.join("images")).unwrap().count();
    assert_eq!(left, 0, "nothing half made is left");
}

#[test]
fn a_rest_that_is_missing_or_another_one_costs_its_file() {
    let rest = |target: &std::path::Path| target.join(".hashget-rest/0");
    costs_the_image("its rest is not there: unpack the archive again", |target, _| {
        fs_err::remove_file(rest(target)).unwrap();
    });
    costs_the_image("its rest has another length than the expected", |target, _| {
        let bytes = fs_err::read(rest(target)).unwrap();
        fs_err::write(rest(target), [&bytes[..], b"x"].concat()).unwrap();
    });
    costs_the_image("its rest has another length than the expected", |target, _| {
        let bytes = fs_err::read(rest(target)).unwrap();
        fs_err::write(rest(target), &bytes[..bytes.len() - 1]).unwrap();
    });
    costs_the_image("its pieces give sha256", |target, _| {
        let mut bytes = fs_err::read(rest(target)).unwrap();
        bytes[700] ^= 1;
        fs_err::write(rest(target), bytes).unwrap();
    });
    costs_the_image("its rest is not there", |target, _| {
        let outside = target.join("note");
        fs_err::remove_file(rest(target)).unwrap();
        std::os::unix::fs::symlink(outside, rest(target)).unwrap();
    });
}

#[test]
fn runs_that_the_members_do_not_have_cost_their_file() {
    let lacking = "it is made of pieces, and not all came from";
    costs_the_image(lacking, |_, manifest| manifest["pieces"]["member"][0] = json!("tool/none"));
    costs_the_image(lacking, |_, manifest| manifest["pieces"]["member"][0] = json!("tool"));
    costs_the_image(lacking, |_, manifest| manifest["pieces"]["offset"][0] = json!(1_u64 << 40));
    costs_the_image(lacking, |_, manifest| manifest["pieces"]["offset"][1] = json!(4096));
    costs_the_image("its pieces give sha256", |_, manifest| {
        let members = manifest["pieces"]["member"].as_array_mut().unwrap();
        let odd = members.iter_mut().find(|member| **member == "tool/odd").unwrap();
        *odd = json!("tool/again");
    });
}
