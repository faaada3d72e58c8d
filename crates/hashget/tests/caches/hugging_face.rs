//! The cache of a Hugging Face hub.

use std::path::Path;

use hashget::model::Digest;

use super::{answer, assert_nothing, found, found_with, nonsense, the_only, write};

const MODEL: &str = ".cache/huggingface/hub/models--org--small-model";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn cache(home: &Path) -> Digest {
    let sha256 = Digest::of(b"weights");
    write(home, &format!("{MODEL}/blobs/{sha256}"), b"weights");
    write(home, &format!("{MODEL}/blobs/{COMMIT}"), b"{}");
    write(home, &format!("{MODEL}/refs/main"), COMMIT);
    let snapshot = home.join(MODEL).join("snapshots").join(COMMIT);
    fs_err::create_dir_all(snapshot.join("onnx")).unwrap();
    let link = |target: String, name: &str| {
        fs_err::os::unix::fs::symlink(target, snapshot.join(name)).unwrap();
    };
    link(format!("../../../blobs/{sha256}"), "onnx/model #1.bin");
    // Small files are kept under another kind of digest.
    link(format!("../../blobs/{COMMIT}"), "config.json");
    link(format!("../../blobs/{}", Digest::of(b"gone")), "gone.bin");
    write(&snapshot, "copy.bin", b"no link");
    let constants = "import os\n_HF_DEFAULT_ENDPOINT = \"https://hub.example\"\n";
    write(home, ".local/lib/python3.12/site-packages/huggingface_hub/constants.py", constants);
    sha256
}

fn page(extra: &str, sha256: &Digest) -> String {
    format!(
        "{{\"id\":\"org/small-model\"{extra},\"siblings\":[{{\"rfilename\":\"config.json\"}},\
         {{\"rfilename\":\"onnx/model #1.bin\",\"size\":7,\"lfs\":{{\"sha256\":\"{sha256}\",\"size\":7}}}}]}}"
    )
}

#[test]
fn a_large_file_is_a_package_by_itself() {
    let home = tempfile::tempdir().unwrap();
    let sha256 = cache(home.path());
    for tree in [".", MODEL] {
        let candidate = the_only("huggingface", &home.path().join(tree));
        let asked =
            format!("https://hub.example/api/models/org/small-model/revision/{COMMIT}?blobs=true");
        assert_eq!(candidate.question.as_ref().unwrap().pages(), [asked]);
        assert_eq!((candidate.sha256, candidate.size), (Some(sha256), Some(7)));
        assert_eq!(fs_err::read(candidate.local_file.as_ref().unwrap()).unwrap(), b"weights");
        let told = answer(&candidate, page("", &sha256).as_bytes()).unwrap().unwrap();
        let url =
            format!("https://hub.example/org/small-model/resolve/{COMMIT}/onnx/model%20%231.bin");
        assert_eq!((told.url, told.sha256), (url, Some(sha256)));
    }
}

#[test]
fn who_must_be_let_in_cannot_rely_on_it() {
    let home = tempfile::tempdir().unwrap();
    let sha256 = cache(home.path());
    let candidate = the_only("huggingface", home.path());
    for extra in
        [",\"gated\":\"manual\"", ",\"gated\":\"auto\"", ",\"gated\":true", ",\"private\":true"]
    {
        assert_eq!(answer(&candidate, page(extra, &sha256).as_bytes()), Ok(None), "{extra}");
    }
    let open = ",\"gated\":false,\"private\":false";
    assert!(answer(&candidate, page(open, &sha256).as_bytes()).unwrap().is_some());
    let other = Digest::of(b"other");
    assert_eq!(answer(&candidate, page("", &other).as_bytes()), Ok(None));
    for page in nonsense() {
        assert!(!matches!(answer(&candidate, &page), Ok(Some(_))));
    }
}

#[test]
fn the_hub_is_the_one_that_the_client_uses() {
    let home = tempfile::tempdir().unwrap();
    cache(home.path());
    let (candidates, _) =
        found_with("huggingface", home.path(), &[("HF_ENDPOINT", "https://own.example/")]);
    assert!(candidates[0].url.starts_with("https://own.example/api/"));
    let secret = [("HF_ENDPOINT", "https://u:secret@own.example/")];
    let (candidates, errors) = found_with("huggingface", home.path(), &secret);
    assert!(candidates.is_empty() && !format!("{errors:?}").contains("secret"), "{errors:?}");
    fs_err::remove_dir_all(home.path().join(".local")).unwrap();
    let (_, errors) = found("huggingface", home.path());
    assert!(errors[0].to_string().contains("HF_ENDPOINT"), "{errors:?}");
}

#[test]
fn a_cache_may_lie_below_a_folder_of_snapshots_and_have_no_links() {
    let home = tempfile::tempdir().unwrap();
    let top = home.path().join("snapshots/daily.0");
    let sha256 = cache(&top);
    let large = format!("{MODEL}/snapshots/{COMMIT}/large.bin");
    write(&top, &large, vec![7; 5000]);
    let (mut candidates, errors) = found("huggingface", home.path());
    assert!(errors.is_empty() && candidates.len() == 2, "{errors:?} {candidates:?}");
    candidates.sort_by_key(|candidate| candidate.size);
    let blobs = format!("snapshots/daily.0/{MODEL}/blobs");
    assert_eq!(candidates[0].covers.as_ref().unwrap().as_bytes(), blobs.as_bytes());
    assert_eq!((candidates[0].sha256, candidates[1].sha256), (Some(sha256), None));
    // The hub has the digest of what is stored under no other name.
    let other = Digest::of(b"large");
    let page = page("", &other).replace("onnx/model #1.bin", "large.bin");
    let told = answer(&candidates[1], page.as_bytes()).unwrap().unwrap();
    assert_eq!(told.sha256, Some(other));
    assert_eq!(answer(&candidates[0], page.as_bytes()), Ok(None));
}

/// A folder of `download --local-dir`.
fn local_dir(folder: &Path, notes: &str, readme: &str) -> Digest {
    let sha256 = Digest::of(b"weights");
    let note = |etag: &str| format!("{COMMIT}\n{etag}\n1700000000.5\n");
    write(folder, "onnx/model.bin", b"weights");
    write(folder, &format!("{notes}/onnx/model.bin.metadata"), note(&sha256.to_string()));
    write(folder, "README.md", readme);
    write(folder, &format!("{notes}/README.md.metadata"), note(COMMIT));
    sha256
}

#[test]
fn a_local_folder_is_of_a_repository_that_its_own_page_names() {
    for notes in [".cache/huggingface/download", ".huggingface/download"] {
        for (readme, path) in [
            ("use `AutoModel.from_pretrained(\"org/small-model\")`", "models/org/small-model"),
            ("see https://hub.example/org/small-model/blob/x, and/or", "models/org/small-model"),
            ("[the data](https://hub.example/datasets/org/d).", "datasets/org/d"),
            ("    hf download org/small-model --local-dir x", "models/org/small-model"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let sha256 = local_dir(&folder.path().join("mine"), notes, readme);
            let hub = [("HF_ENDPOINT", "https://hub.example")];
            let (candidates, errors) = found_with("huggingface", folder.path(), &hub);
            assert!(errors.is_empty(), "{errors:?}");
            let [candidate] = &candidates[..] else { panic!("{readme}: {candidates:?}") };
            let asked = format!("https://hub.example/api/{path}/revision/{COMMIT}?blobs=true");
            assert_eq!(candidate.question.as_ref().unwrap().pages(), [asked]);
            assert_eq!((candidate.sha256, candidate.size), (Some(sha256), Some(7)));
            let page = page("", &sha256).replace("model #1", "model");
            let told = answer(candidate, page.as_bytes()).unwrap().unwrap();
            assert!(told.url.ends_with(&format!("/resolve/{COMMIT}/onnx/model.bin")), "{told:?}");
        }
    }
}

#[test]
fn a_local_folder_tells_the_hub_no_names_of_its_own() {
    let hub = [("HF_ENDPOINT", "https://hub.example")];
    let notes = ".cache/huggingface/download";
    // Nothing names a repository; or a page does that did not come from the hub.
    for is_own_page in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let readme = if is_own_page { "from_pretrained('corp/secret')" } else { "and/or, in/out" };
        local_dir(&folder.path().join("corp/secret"), notes, readme);
        if is_own_page {
            let note = folder.path().join("corp/secret").join(notes).join("README.md.metadata");
            fs_err::remove_file(note).unwrap();
        }
        let (candidates, errors) = found_with("huggingface", folder.path(), &hub);
        assert!(candidates.is_empty() && errors.is_empty(), "{candidates:?} {errors:?}");
    }
    // As many repositories are asked for as the page of a model may name, and no more.
    let folder = tempfile::tempdir().unwrap();
    let many: String = (0..99).map(|number| format!("repo_id='org/m{number}' ")).collect();
    local_dir(folder.path(), notes, &many);
    let (candidates, _) = found_with("huggingface", folder.path(), &hub);
    assert_eq!(candidates[0].question.as_ref().unwrap().pages().len(), 4);
}

#[test]
fn names_that_are_no_snapshots() {
    let sha256 = Digest::of(b"weights");
    for folder in [
        "models--org--x/snapshots/short/f".to_owned(),
        format!("things--org--x/snapshots/{COMMIT}/f"),
        format!("models--..--x/snapshots/{COMMIT}/f"),
        format!("models--/snapshots/{COMMIT}/f"),
        format!("models--a b/snapshots/{COMMIT}/f"),
        format!("snapshots/{COMMIT}/f"),
    ] {
        let home = tempfile::tempdir().unwrap();
        cache(home.path());
        fs_err::remove_dir_all(home.path().join(MODEL)).unwrap();
        let link = home.path().join(&folder);
        fs_err::create_dir_all(link.parent().unwrap()).unwrap();
        fs_err::os::unix::fs::symlink(format!("../../blobs/{sha256}"), &link).unwrap();
        assert_nothing("huggingface", home.path());
    }
}
