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
fn a_bad_field_does_not_reject_a_record() {
    let url = "https://conda.example/c/noarch/x-1-0.tar.bz2";
    let sha256 = Digest::of(b"package");
    for (fields, digest) in [
        ("\"sha256\":\"\",\"size\":0,\"timestamp\":0".to_owned(), None),
        ("\"sha256\":null,\"md5\":null,\"size\":null,\"noarch\":null,\"fn\":null".to_owned(), None),
        (
            "\"sha256\":7,\"md5\":[[]],\"size\":{},\"noarch\":{\"a\":[1]},\"fn\":\"x-1-0\""
                .to_owned(),
            None,
        ),
        ("\"size\":51000.5,\"fn\":\"../../x.conda\"".to_owned(), None),
        (format!("\"sha256\":\"{}\",\"size\":-1", sha256.to_string().to_uppercase()), Some(sha256)),
    ] {
        let prefix = tempfile::tempdir().unwrap();
        write(prefix.path(), "conda-meta/x-1-0.json", format!("{{\"url\":\"{url}\",{fields}}}"));
        let candidate = the_only("conda", prefix.path());
        assert_eq!((candidate.url.as_str(), candidate.sha256, candidate.size), (url, digest, None));
        assert_eq!(candidate.signature.unwrap().to_string(), "conda:x-1-0.tar.bz2", "{fields}");
    }
}

#[test]
fn only_what_was_packed_as_it_lies_there_is_listed() {
    let prefix = tempfile::tempdir().unwrap();
    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    let path =
        |path: &str, more: &str| format!("{{\"_path\":\"{path}\",\"sha256\":\"{one}\"{more}}}");
    let paths = [
        path("lib/a.so.1", ",\"path_type\":\"hardlink\""),
        path("lib/a.so", ",\"path_type\":\"softlink\""),
        path("bin/tool.sh", ",\"path_type\":\"hardlink\""),
        path("bin/tool", ",\"path_type\":\"unix_python_entry_point\""),
        path("lib/python3.12/site-packages/a.py", &format!(",\"sha256_in_prefix\":\"{one}\"")),
        path("lib/python3.12/site-packages/b.py", &format!(",\"sha256_in_prefix\":\"{two}\"")),
        path("lib/python3.12/site-packages/a.pyc", ",\"path_type\":\"pyc_file\""),
    ]
    .join(",");
    for (noarch, expected) in [
        ("", "lib/a.so.1 bin/tool.sh lib/python3.12/site-packages/a.py"),
        (",\"noarch\":\"python\"", "python-scripts/tool.sh site-packages/a.py"),
    ] {
        let url = "https://conda.example/x-1-0.tar.bz2";
        let record =
            format!("{{\"url\":\"{url}\",\"paths_data\":{{\"paths\":[{paths}]}}{noarch}}}");
        write(prefix.path(), "conda-meta/x-1-0.json", record);
        let listed = the_only("conda", prefix.path()).lists[0].local().unwrap().unwrap();
        let members: Vec<String> = listed.iter().map(|one| one.member.to_string()).collect();
        assert_eq!(members.join(" "), expected);
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
