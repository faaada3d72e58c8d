//! An index's page about a project: the simple repository interface, as JSON or HTML.
//!
//! Invariant: a page is untrusted text; only public URLs are taken from it, and only for a file that has the
//! wanted name, version and tags.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest as _, Sha224};

use super::names::{self, FileTags, Tags};
use crate::detectors::{Answer, Question, public_url};
use crate::model::Digest;

/// Asks for the URL of a wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The project's normalised name.
    pub(super) name: String,
    pub(super) wanted: Wanted,
    /// pip's cache folders, in which files have a name derived from their URL.
    pub(super) caches: BTreeSet<PathBuf>,
    pub(super) pages: Vec<String>,
}

/// A file listed on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) sha256: Option<Digest>,
    pub(super) size: Option<u64>,
}

#[derive(serde::Deserialize)]
struct Page {
    files: Vec<PageFile>,
}

#[derive(serde::Deserialize)]
struct PageFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
    size: Option<u64>,
}

/// Accepted media types of a page: JSON or HTML of the simple repository interface (PEP 691), or plain HTML
/// of older indexes.
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, \
                      text/html;q=0.01";

impl Question for Wheel {
    fn accept(&self) -> &'static str {
        ACCEPT
    }

    fn pages(&self) -> &[String] {
        &self.pages
    }

    fn answer(&self, url: &str, page: &[u8]) -> Result<Option<Answer>, String> {
        let files = files(url, page)?;
        Ok(choose(&files, &self.name, &self.wanted).map(|mut answer| {
            answer.local_files = self.cached(&answer.url);
            answer
        }))
    }
}

impl Wheel {
    /// The path of `url` in pip's caches.
    fn cached(&self, url: &str) -> Vec<PathBuf> {
        let name = hex::encode(Sha224::digest(url.as_bytes()));
        let below = |cache: &PathBuf| {
            let folder = cache.join("http-v2");
            let folder = name
                .bytes()
                .take(5)
                .fold(folder, |folder, letter| folder.join(char::from(letter).to_string()));
            folder.join(format!("{name}.body"))
        };
        self.caches.iter().map(below).collect()
    }
}

/// What is known about an installed wheel.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) version: String,
    /// `None` if the wheel does not say, or not in a way that is understood.
    pub(super) tags: Option<Tags>,
    /// The Python in whose folder it is installed, as in a tag: `cp311`.
    pub(super) python: Option<String>,
    /// Its digest, if known.
    pub(super) sha256: Option<Digest>,
}

impl Wanted {
    /// Is a file with these tags likely to be the wheel, although its tags are others? Tags are changed when wheels are made
    /// suitable for more systems (`linux` becomes `manylinux`), and those within are not always brought up to date.
    fn may_be(&self, file: &FileTags<'_>) -> bool {
        match &self.tags {
            Some(tags) => file.is_renamed(tags),
            None => {
                let system = rustix::system::uname();
                file.fits(self.python.as_deref(), &system.machine().to_string_lossy())
            }
        }
    }
}

/// The file of the wheel; or the next best: another wheel with matching tags, or the source archive, which at
/// least has the files that are not changed by building. The list of the installed files does not apply to
/// these.
pub(super) fn choose(files: &[File], name: &str, wanted: &Wanted) -> Option<Answer> {
    let wheels: Vec<(&File, FileTags<'_>)> = files
        .iter()
        .filter_map(|file| {
            let (project, of, tags) = names::of_file(&file.name)?;
            let same =
                names::normalised(project) == name && names::same_version(of, &wanted.version);
            same.then_some((file, tags))
        })
        .collect();
    let answer = |file: &File, is_other| Answer {
        url: file.url.clone(),
        sha256: file.sha256,
        size: file.size,
        is_other,
        ..Answer::default()
    };
    if let Some(wanted) = wanted.sha256 {
        let by_digest = wheels.iter().find(|(file, _)| file.sha256 == Some(wanted));
        return by_digest.map(|(file, _)| answer(file, false));
    }
    if let Some(tags) = &wanted.tags {
        if let Some((file, _)) = wheels.iter().find(|(_, of)| of.are(tags)) {
            return Some(answer(file, false));
        }
        let near: Vec<_> = wheels.iter().filter(|(_, of)| of.overlap(tags)).collect();
        if let [(file, _)] = near.as_slice() {
            return Some(answer(file, true));
        }
    }
    if let Some((file, _)) = wheels.iter().find(|(_, of)| wanted.may_be(of)) {
        return Some(answer(file, true));
    }
    let is_source = |file: &&File| {
        let stem = file.name.strip_suffix(".tar.gz").or_else(|| file.name.strip_suffix(".zip"));
        let parts = stem.and_then(|stem| stem.rsplit_once('-'));
        parts.is_some_and(|(project, of)| {
            names::normalised(project) == name && names::same_version(of, &wanted.version)
        })
    };
    files.iter().find(is_source).map(|file| answer(file, true))
}

/// The files on the page at `url` that have a public URL.
fn files(url: &str, page: &[u8]) -> Result<Vec<File>, String> {
    let base = url::Url::parse(url).map_err(|error| error.to_string())?;
    if page.trim_ascii_start().starts_with(b"{") {
        let page: Page = serde_json::from_slice(page)
            .map_err(|error| format!("it is not what an index gives: {error}"))?;
        let file = |file: PageFile| {
            let sha256 = file.hashes.get("sha256").and_then(|digits| digits.parse().ok());
            let url = joined(&base, &file.url)?.0;
            Some(File { name: file.filename, url, sha256, size: file.size })
        };
        return Ok(page.files.into_iter().filter_map(file).collect());
    }
    let page = String::from_utf8_lossy(page);
    if !page.to_ascii_lowercase().contains("<html") {
        return Err("it is neither JSON nor HTML".to_owned());
    }
    static LINK: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r#"<[aA]\s[^>]*?[hH][rR][eE][fF]\s*=\s*["']([^"']*)["'][^>]*>\s*([^<]*?)\s*</[aA]>"#,
        )
        .expect("it is a proper expression")
    });
    let link = |found: regex::Captures<'_>| {
        let (url, fragment) = joined(&base, &unescaped(&found[1]))?;
        let digits = fragment.as_deref().and_then(|fragment| fragment.strip_prefix("sha256="));
        let sha256 = digits.and_then(|digits| digits.parse().ok());
        Some(File { name: unescaped(&found[2]), url, sha256, size: None })
    };
    Ok(LINK.captures_iter(&page).filter_map(link).collect())
}

/// A link on a page as a public URL, and its fragment.
fn joined(base: &url::Url, link: &str) -> Option<(String, Option<String>)> {
    let mut url = base.join(link).ok()?;
    let fragment = url.fragment().map(str::to_owned);
    url.set_fragment(None);
    Some((public_url(url.as_str()).ok()?, fragment))
}

/// Decodes the few HTML entities that indexes use.
fn unescaped(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#43;", "+"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://index.example/simple/a-b/";

    fn wheel(tags: &str) -> Wheel {
        Wheel {
            name: "a-b".to_owned(),
            wanted: Wanted {
                version: "1.0+x".to_owned(),
                tags: Tags::of_wheel(tags),
                python: Some("cp311".to_owned()),
                sha256: None,
            },
            caches: [PathBuf::from("/cache")].into(),
            pages: vec![PAGE.to_owned()],
        }
    }

    fn json(names: &[&str]) -> Vec<u8> {
        let files: Vec<_> = names
            .iter()
            .map(|name| {
                let hashes = serde_json::json!({ "sha256": Digest::of(name.as_bytes()) });
                let url = format!("../../files/{name}");
                serde_json::json!({ "filename": name, "url": url, "hashes": hashes, "size": 7 })
            })
            .collect();
        serde_json::json!({ "files": files }).to_string().into_bytes()
    }

    #[test]
    fn json_and_html_say_the_same() {
        let name = "A_b-1.0+x-py3-none-any.whl";
        let digest = Digest::of(name.as_bytes());
        let html = format!(
            "<!DOCTYPE html><HTML><a href=\"../../files/other-1.0-py3-none-any.whl\">other</a>\n\
            <a data-x='1' href='../../files/{name}#sha256={digest}'\n>{}</a>",
            name.replace('+', "&#43;")
        );
        let wheel = wheel("Tag: py3-none-any");
        let from_json = wheel.answer(PAGE, &json(&["a.b-1.0-py3-none-any.whl", name])).unwrap();
        let from_html = wheel.answer(PAGE, html.as_bytes()).unwrap().unwrap();
        let expected = Answer {
            url: format!("https://index.example/files/{name}"),
            sha256: Some(digest),
            size: Some(7),
            local_files: from_html.local_files.clone(),
            ..Answer::default()
        };
        assert_eq!(from_html, Answer { size: None, ..expected.clone() });
        assert_eq!(from_json, Some(expected));
        let cached = from_html.local_files[0].to_str().unwrap();
        assert!(cached.starts_with("/cache/http-v2/") && cached.ends_with(".body"), "{cached}");
    }

    #[test]
    fn what_comes_nearest_is_told_to_be_another() {
        let wheel = wheel("Tag: cp311-cp311-linux_x86_64\nTag: cp311-abi3-linux_x86_64");
        let answer = |names: &[&str]| wheel.answer(PAGE, &json(names)).unwrap();
        let source = answer(&["a_b-1.0+x.tar.gz", "a_b-1.0+x-py3-none-any.whl"]).unwrap();
        assert!(source.is_other && source.url.ends_with(".tar.gz"));
        let near = answer(&["a_b-1.0+x.tar.gz", "a_b-1.0+x-cp311-abi3-linux_x86_64.whl"]).unwrap();
        assert!(near.is_other && near.url.ends_with(".whl"));
        assert_eq!(answer(&["a_b-2.0.tar.gz", "a_b-2.0-cp311-abi3-linux_x86_64.whl"]), None);
        let sha256 = Some(Digest::of(b"another"));
        let known = Wheel { wanted: Wanted { sha256, ..wheel.wanted.clone() }, ..wheel };
        assert_eq!(known.answer(PAGE, &json(&["a_b-1.0+x.tar.gz"])).unwrap(), None);
    }

    #[test]
    fn a_wheel_is_found_by_another_name() {
        let system = rustix::system::uname();
        let arch = system.machine().to_str().unwrap();
        let others = [
            "a_b-1.0+x-cp310-cp310-manylinux2014_x86_64.whl",
            "a_b-1.0+x-cp311-cp311-win_amd64.whl",
        ];
        for (tags, file) in [
            ("Tag: cp311-cp311-linux_x86_64", "cp311-cp311-manylinux2014_x86_64"),
            (
                "Tag: cp311-cp311-linux_x86_64",
                "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
            ),
            ("", &format!("cp311-cp311-manylinux2014_{arch}")),
            ("Tag: nonsense", "py3-none-any"),
        ] {
            let file = format!("a_b-1.0+x-{file}.whl");
            let page = json(&[others[0], others[1], &file, "a_b-1.0+x.tar.gz"]);
            let answer = wheel(tags).answer(PAGE, &page).unwrap().unwrap();
            assert!(answer.is_other && answer.url.ends_with(&file), "{tags}: {answer:?}");
        }
        let page = json(&others);
        assert_eq!(wheel("Tag: cp311-cp311-linux_x86_64").answer(PAGE, &page), Ok(None));
    }

    #[test]
    fn nonsense_is_an_error_and_no_bad_url_is_taken() {
        let wheel = wheel("Tag: py3-none-any");
        for nonsense in [&b""[..], b"\xff", b"{}", b"{\"files\": 3}", b"[]", b"plain text"] {
            assert!(wheel.answer(PAGE, nonsense).is_err());
        }
        for url in ["file:///etc/passwd", "https://u:p@index.example/x", "http://[", "javascript:1"]
        {
            let file = serde_json::json!({ "filename": "a_b-1.0+x-py3-none-any.whl", "url": url });
            let page = serde_json::json!({ "files": [file] }).to_string();
            assert_eq!(wheel.answer(PAGE, page.as_bytes()), Ok(None), "{url}");
        }
    }
}
