//! Go modules in the module cache.
//!
//! Invariant: a candidate's URL is at the proxy that this machine's Go is configured to use, and that proxy
//! is asked whether it has the module; modules configured as private are never asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::{
    Answer, Candidate, DetectError, Detector, Machine, PackageUrl, Question, below, of_kind,
    public_url, small_files,
};
use crate::model::{Keeping, Origin, RelPath, Signature};

/// Recognises `cache/download/MODULE/@v/VERSION.ziphash`, which exists once a module was downloaded
/// completely.
pub(super) struct Go;

/// Size limit of a configuration file; a larger file is an error.
const MAX_BYTES: u64 = 64 * 1024;
/// Possible paths of Go itself, relative to a machine's root.
const DEFAULTS: [&str; 5] = [
    "usr/local/go/go.env",
    "usr/lib/go/go.env",
    "usr/lib/golang/go.env",
    "usr/share/go/go.env",
    "snap/go/current/go.env",
];

impl Detector for Go {
    fn name(&self) -> &str {
        "go"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        let mut names = path.as_bytes().rsplit(|&byte| byte == b'/');
        let is_hash = names.next().is_some_and(|name| name.ends_with(b".ziphash"));
        is_hash && names.next().is_none_or(|folder| folder == b"@v")
    }

    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        // The tree may start within the cache, so the folders above it are also matched.
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        let Some(module) = Module::on_disk(&entry).filter(|_| small_files::is_file(&entry)) else {
            return Ok(Vec::new());
        };
        let settings = Settings::read(machine, &module.cache)?;
        if settings.is_private(&module.name) {
            return Ok(Vec::new());
        }
        // The files of the module lie beside `cache`, in a folder of its name and version.
        let unpacked = module.cache.ancestors().nth(2).unwrap_or(&module.cache);
        let unpacked = unpacked.join(format!("{}@{}", module.escaped, module.version));
        let covers = below(&root, &unpacked);
        let page =
            |proxy: &String| format!("{proxy}/{}/@v/{}.info", module.escaped, module.version);
        let pages: Vec<String> = settings.proxies.iter().map(page).collect();
        let Some(first) = pages.first() else { return Ok(Vec::new()) };
        let value = format!("{}@{}", module.name, module.version);
        Ok(vec![Candidate {
            url: first.clone(),
            origin: Origin::Client,
            keeping: Keeping::Withdrawable,
            signature: Some(Signature { kind: "go".to_owned(), value }),
            found_at: path.clone(),
            covers,
            question: Some(Arc::new(Info { pages, version: module.version })),
            ..Candidate::default()
        }])
    }

    fn package_url(&self, signature: &Signature, _url: &str) -> Option<PackageUrl> {
        let (module, version) = of_kind(signature, "go")?.rsplit_once('@')?;
        let module = module.to_lowercase();
        let (namespace, name) = module.rsplit_once('/').unwrap_or(("", &module));
        Some(PackageUrl::new("golang", name).within(namespace.split('/')).at(version))
    }
}

/// A module in a cache.
struct Module {
    /// `MODCACHE/cache/download`.
    cache: PathBuf,
    /// As in URLs and paths: `!x` for `X`.
    escaped: String,
    name: String,
    /// Also escaped.
    version: String,
}

impl Module {
    fn on_disk(entry: &Path) -> Option<Self> {
        const CACHE: &str = "/cache/download/";
        let text = entry.to_str()?.strip_suffix(".ziphash")?;
        let at = text.rfind(CACHE)? + CACHE.len();
        let (escaped, version) = text[at..].split_once("/@v/")?;
        let is_path = |text: &str| {
            let allowed = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._~!+/".contains(&byte)
            };
            !text.is_empty() && text.bytes().all(allowed) && RelPath::new(text).is_ok()
        };
        (is_path(escaped) && is_path(version) && !version.contains('/')).then(|| Self {
            cache: PathBuf::from(&text[..at]),
            escaped: escaped.to_owned(),
            name: unescaped(escaped),
            version: version.to_owned(),
        })
    }
}

/// Decodes Go's escaping: a capital letter is written as `!` and the small letter.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('!');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// Go's settings.
struct Settings {
    proxies: Vec<String>,
    private: String,
}

impl Settings {
    fn read(machine: &Machine, cache: &Path) -> Result<Self, DetectError> {
        let mut files: Vec<PathBuf> = machine
            .variable("GOENV")
            .filter(|file| *file != "off")
            .map(PathBuf::from)
            .into_iter()
            .collect();
        files.extend(machine.files_for(cache, &[".config/go/env"]));
        files.extend(machine.variable("GOROOT").map(|root| Path::new(root).join("go.env")));
        files.extend(toolchains(cache));
        let systems = machine.systems_for(cache);
        files.extend(systems.iter().flat_map(|root| DEFAULTS.iter().map(|file| root.join(file))));
        let mut texts = Vec::new();
        for file in files {
            let bytes = small_files::read_whole(&file, MAX_BYTES)?.unwrap_or_default();
            texts.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        let setting = |name: &str| {
            let in_file = |text: &String| {
                let value = |line: &str| {
                    Some(line.strip_prefix(name)?.strip_prefix('=')?.trim().to_owned())
                };
                text.lines().find_map(value)
            };
            machine.variable(name).map(str::to_owned).or_else(|| texts.iter().find_map(in_file))
        };
        let proxies = setting("GOPROXY").ok_or_else(|| {
            DetectError::new(
                cache,
                "nothing says which proxy these modules are from: expected GOPROXY in the environment, in \
                 ~/.config/go/env or in go.env of an installed Go",
            )
        })?;
        // `direct` and `off` end the list of proxies.
        let proxies = proxies.split([',', '|']).map(str::trim);
        let proxies = proxies.take_while(|proxy| !matches!(*proxy, "direct" | "off" | "none"));
        let proxies = proxies.filter_map(|proxy| public_url(proxy).ok());
        Ok(Self {
            proxies: proxies.map(|proxy| proxy.trim_end_matches('/').to_owned()).collect(),
            private: setting("GONOPROXY").or_else(|| setting("GOPRIVATE")).unwrap_or_default(),
        })
    }

    /// Is the module configured as private, so that no proxy may be asked for it? A pattern is compared with
    /// as many leading path components as it has.
    fn is_private(&self, module: &str) -> bool {
        let matches = |pattern: &str| {
            let count = pattern.split('/').count();
            let names: Vec<&str> = module.split('/').take(count).collect();
            let glob = globset::GlobBuilder::new(pattern).literal_separator(true).build();
            // An invalid pattern counts as a match, to be on the safe side.
            names.len() == count
                && glob.map_or(true, |glob| glob.compile_matcher().is_match(names.join("/")))
        };
        let mut patterns =
            self.private.split(',').map(|pattern| pattern.trim().trim_end_matches('/'));
        patterns.any(|pattern| !pattern.is_empty() && matches(pattern))
    }
}

/// `go.env` of the toolchains that Go itself downloaded into its cache.
fn toolchains(cache: &Path) -> Vec<PathBuf> {
    let Some(modules) = cache.ancestors().nth(2) else { return Vec::new() };
    let Ok(entries) = fs_err::read_dir(modules.join("golang.org")) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| name.starts_with("toolchain@"))
        })
        .map(|entry| entry.path().join("go.env"))
        .filter(|file| small_files::is_file(file))
        .collect();
    found.sort();
    found
}

/// Asks a proxy whether it has a version.
#[derive(Debug)]
struct Info {
    pages: Vec<String>,
    version: String,
}

/// The fields of a proxy's answer that are used here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InfoPage {
    version: String,
}

impl Question for Info {
    fn pages(&self) -> &[String] {
        &self.pages
    }

    fn answer(&self, url: &str, page: &[u8]) -> Result<Option<Answer>, String> {
        let page: InfoPage = serde_json::from_slice(page).map_err(|error| error.to_string())?;
        if page.version != unescaped(&self.version) {
            return Ok(None);
        }
        let url = url.strip_suffix(".info").map(|url| format!("{url}.zip"));
        Ok(url.map(|url| Answer { url, ..Answer::default() }))
    }
}
