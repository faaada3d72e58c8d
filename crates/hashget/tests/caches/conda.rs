//! What conda keeps of the packages it has installed.

use std::path::Path;

use hashget::model::{Checksum, Digest};

use super::{assert_nothing, found, the_only, write};

fn record(url: &str, extra: &str) -> String {
    let (prefixed, plain) = (Digest::of(b"prefixed"), Digest::of(b"plain"));
    format!(
        "{{\"name\":\"x\",\"url\":\"{url}\",\"fn\":\"{}\",\"size\":1234,\"sha256\":\"{}\",\
         \"md5\":\"0123456789abcdef0123456789abcdef\"{extra},\"paths_data\":{{\"paths\":[\
         {{\"_path\":\"lib/python3.12/site-packages/x.py\",\"path_type\":\"hardlink\",\"sha256\":\"{plain}\"}},\
         {{\"_path\":\"bin/x\",\"sha256\":\"{prefixed}\",\"sha256_in_prefix\":\"{plain}\",\
         \"prefix_placeholder\":\"/opt/placeholder\",\"file_mode\":\"text\"}},\
         {{\"_path\":\"lib/link\",\"path_type\":\"softlink\"}},\
         {{\"_path\":\"../escape\",\"sha256\":\"{plain}\"}}],\"paths_version\":1}}}}",
        url.rsplit('/').next().unwrap(),
        Digest::of(b"package"),
    )
}

fn install(prefix: &Path, url: &str, extra: &str) {
    write(prefix, "conda-meta/x-1-0.json", record(url, extra));
    write(prefix, "conda-meta/history", "==> x <==");
}

#[test]
fn a_record_tells_everything() {
    let prefix = tempfile::tempdir().unwrap();
    install(prefix.path(), "https://conda.example/forge/linux-64/x-1-0.conda", "");
    write(prefix.path(), "pkgs/x-1-0.conda", b"package");
    let candidate = the_only("conda", prefix.path());
    assert_eq!(candidate.url, "https://conda.example/forge/linux-64/x-1-0.conda");
    assert_eq!((candidate.sha256, candidate.size), (Some(Digest::of(b"package")), Some(1234)));
    assert_eq!(candidate.local_file, Some(prefix.path().join("pkgs/x-1-0.conda")));
    assert_eq!(candidate.signature.unwrap().to_string(), "conda:x-1-0.conda");
    let list = &candidate.lists[0];
    assert_eq!((list.format(), list.root()), ("conda", prefix.path()));
    let listed = list.local().unwrap().unwrap();
    assert_eq!(listed.len(), 1, "not what the prefix was written into: {listed:?}");
    assert_eq!(listed[0].member.as_bytes(), b"pkg/lib/python3.12/site-packages/x.py");
    assert_eq!(listed[0].path.as_bytes(), b"lib/python3.12/site-packages/x.py");
    assert_eq!(listed[0].checksum, Checksum::from(Digest::of(b"plain")));
}

#[test]
fn older_packages_and_those_of_python_alone() {
    for (url, extra, format, member) in [
        ("x-1-0.tar.bz2", "", "tar", "lib/python3.12/site-packages/x.py"),
        ("x-1-0.conda", ",\"noarch\":\"python\"", "conda", "pkg/site-packages/x.py"),
        ("x-1-0.tar.bz2", ",\"noarch\":\"generic\"", "tar", "lib/python3.12/site-packages/x.py"),
    ] {
        let prefix = tempfile::tempdir().unwrap();
        install(prefix.path(), &format!("https://conda.example/c/noarch/{url}"), extra);
        let candidate = the_only("conda", prefix.path());
        let listed = candidate.lists[0].local().unwrap().unwrap();
        assert_eq!(candidate.lists[0].format(), format);
        assert_eq!(listed[0].member.as_bytes(), member.as_bytes());
    }
}

#[test]
fn channels_with_a_token_and_local_builds_give_nothing() {
    for url in [
        "https://conda.example/t/xy-secret/own/linux-64/x-1-0.conda",
        "file:///home/u/build/x-1-0.conda",
    ] {
        let prefix = tempfile::tempdir().unwrap();
        install(prefix.path(), url, "");
        assert_nothing("conda", prefix.path());
    }
    let prefix = tempfile::tempdir().unwrap();
    install(prefix.path(), "https://u:secret@conda.example/x-1-0.conda", "");
    let (candidates, errors) = found("conda", prefix.path());
    assert!(candidates.is_empty() && !errors[0].to_string().contains("secret"), "{errors:?}");
}

#[test]
fn records_that_cannot_be_understood() {
    let prefix = tempfile::tempdir().unwrap();
    super::assert_survives("conda", prefix.path(), "conda-meta/x-1-0.json");
    install(prefix.path(), "https://conda.example/x-1-0.conda", "");
    let candidate = the_only("conda", prefix.path());
    for bytes in super::nonsense() {
        write(prefix.path(), "conda-meta/x-1-0.json", bytes);
        assert!(
            candidate.lists[0].local().is_err() || candidate.lists[0].local() == Ok(Some(vec![]))
        );
    }
}
