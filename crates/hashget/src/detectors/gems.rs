//! Ruby gems installed by `gem` or Bundler.
//!
//! Invariant: name and version are those that RubyGems wrote into the specification; URL and digest come from
//! the index of the source that this machine uses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::json::without_mark;
use super::{
    Answer, Candidate, DetectError, Detector, Machine, PackageUrl, Question, below, of_kind,
    package_url, public_url, small_files, yaml,
};
use crate::model::{Digest, Keeping, Origin, RelPath, Signature};

/// Recognises `specifications/NAME-VERSION.gemspec`.
pub(super) struct Gems;

/// The stub line is at the start of the file.
const HEAD_BYTES: u64 = 1024;
/// Size limit of a configuration file; a larger file is an error.
const MAX_BYTES: u64 = 1 << 20;
/// Size limit of a lock file; a larger file is an error.
const MAX_LOCK: u64 = 16 << 20;

impl Detector for Gems {
    fn name(&self) -> &str {
        "gems"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        let mut names = path.as_bytes().rsplit(|&byte| byte == b'/');
        let is_gemspec = names.next().is_some_and(|name| name.ends_with(b".gemspec"));
        is_gemspec && names.next().is_none_or(|folder| folder == b"specifications")
    }

    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        let folder = entry.parent().filter(|folder| folder.ends_with("specifications"));
        let Some(home) = folder.and_then(Path::parent) else { return Ok(Vec::new()) };
        // Gems packaged by a distribution differ from those of the source.
        if home.components().any(|name| name.as_os_str() == "rubygems-integration") {
            return Ok(Vec::new());
        }
        let Some(head) = small_files::read_head(&entry, HEAD_BYTES)? else { return Ok(Vec::new()) };
        let Some(gem) = Gem::parse(&String::from_utf8_lossy(&head)) else { return Ok(Vec::new()) };
        if entry.file_stem().and_then(|name| name.to_str()) != Some(&gem.full_name()) {
            return Ok(Vec::new());
        }
        let sources = sources(machine, home, &gem)?;
        let pages: Vec<String> =
            sources.iter().map(|source| format!("{source}/info/{}", gem.name)).collect();
        let Some(first) = pages.first() else {
            return Err(DetectError::new(
                home,
                "nothing says where these gems are from: expected \":sources:\" in .gemrc, or \
                 rubygems/defaults.rb of an installed Ruby",
            ));
        };
        let cached = home.join("cache").join(format!("{}.gem", gem.full_name()));
        Ok(vec![Candidate {
            url: first.clone(),
            origin: Origin::Client,
            keeping: Keeping::Withdrawable,
            signature: Some(Signature { kind: "gem".to_owned(), value: gem.full_name() }),
            local_file: small_files::is_file(&cached).then_some(cached),
            found_at: path.clone(),
            covers: below(&root, &home.join("gems").join(gem.full_name())),
            question: Some(Arc::new(Versions { pages, gem })),
            ..Candidate::default()
        }])
    }

    fn package_url(&self, signature: &Signature, _url: &str) -> Option<PackageUrl> {
        let (name, version) = package_url::name_and_version(of_kind(signature, "gem")?);
        let (version, platform) = version.split_once('-').unwrap_or((version, ""));
        Some(PackageUrl::new("gem", name).at(version).with("platform", platform))
    }
}

/// A gem.
#[derive(Debug)]
struct Gem {
    name: String,
    /// Includes the platform, if there is one.
    version: String,
}

impl Gem {
    /// Parses the line that RubyGems writes: `# stub: NAME VERSION PLATFORM FOLDERS`.
    fn parse(specification: &str) -> Option<Self> {
        let stub = specification.lines().find_map(|line| line.strip_prefix("# stub: "))?;
        let [name, version, platform, ..] = stub.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let is_word = |text: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !text.is_empty() && !text.starts_with('.') && text.bytes().all(allowed)
        };
        let version = match platform {
            "ruby" => version.to_owned(),
            _ => format!("{version}-{platform}"),
        };
        (is_word(name) && is_word(&version)).then(|| Self { name: name.to_owned(), version })
    }

    fn full_name(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

/// The public sources from which a gem installed in `home` can be: those that a lock file of Bundler names for it,
/// otherwise those of `gem`'s configuration, otherwise RubyGems' own.
fn sources(machine: &Machine, home: &Path, gem: &Gem) -> Result<Vec<String>, DetectError> {
    let specifications = home.join("specifications");
    for file in machine.files_for(&specifications, &["Gemfile.lock", "gems.locked"]) {
        let Some(bytes) = small_files::read_whole(&file, MAX_LOCK)? else { continue };
        let found = in_lock_file(&String::from_utf8_lossy(without_mark(&bytes)), gem);
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let mut files =
        machine.files_for(&specifications, &[".gemrc", ".config/gem/gemrc", "etc/gemrc"]);
    files.extend(defaults(machine, home));
    for file in files {
        let Some(bytes) = small_files::read_whole(&file, MAX_BYTES)? else { continue };
        let text = String::from_utf8_lossy(without_mark(&bytes));
        let found = if file.extension().is_some_and(|end| end == "rb") {
            in_defaults(&text)
        } else {
            in_gemrc(&text)
        };
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// The list `:sources:` of a .gemrc. What stands before an error in it counts.
fn in_gemrc(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let _ = yaml::read_with_lists(text, &mut |keys, value| {
        if let ([":sources" | "sources", yaml::ITEM], Some(url)) = (keys, value) {
            found.extend(base(url));
        }
    });
    found
}

/// The addresses of the block in which a lock file of Bundler has the gem: `GEM`, lines `  remote: URL`, and below
/// `  specs:` lines `    NAME (VERSION)`.
fn in_lock_file(text: &str, gem: &Gem) -> Vec<String> {
    let wanted = format!("{} ({})", gem.name, gem.version);
    let mut remotes: Vec<String> = Vec::new();
    let mut is_gems = false;
    for line in text.lines() {
        if !line.starts_with(' ') && !line.trim().is_empty() {
            is_gems = line.trim() == "GEM";
            remotes.clear();
        } else if let Some(url) = line.trim().strip_prefix("remote:").filter(|_| is_gems) {
            remotes.extend(base(url.trim()));
        } else if is_gems && line.trim() == wanted {
            return remotes;
        }
    }
    Vec::new()
}

/// `@default_sources ||= %w[URL]` of RubyGems' own defaults.
fn in_defaults(text: &str) -> Vec<String> {
    let line = text.lines().find(|line| line.contains("default_sources") && line.contains("%w["));
    let list = line.and_then(|line| line.split_once("%w[")?.1.split_once(']'));
    list.map(|(list, _)| list.split(' ').filter_map(base).collect()).unwrap_or_default()
}

fn base(text: &str) -> Option<String> {
    public_url(text).ok().map(|url| url.trim_end_matches('/').to_owned())
}

/// Possible paths of RubyGems' defaults: of the Ruby for which the gems are installed, and of the system's
/// Ruby.
fn defaults(machine: &Machine, home: &Path) -> Vec<PathBuf> {
    const FILE: &str = "rubygems/defaults.rb";
    // The Ruby of `lib/ruby/gems/VERSION` is `lib/ruby/VERSION`.
    let beside = home.ancestors().nth(2).zip(home.file_name());
    let mut files: Vec<PathBuf> =
        beside.map(|(ruby, version)| ruby.join(version).join(FILE)).into_iter().collect();
    for root in machine.systems_for(&home.join("specifications")) {
        for folder in ["usr/lib/ruby", "usr/local/lib/ruby", "usr/share/rubygems", "usr/share/ruby"]
        {
            files.push(root.join(folder).join(FILE));
            let Ok(versions) = fs_err::read_dir(root.join(folder)) else { continue };
            let mut versions: Vec<PathBuf> =
                versions.flatten().map(|entry| entry.path().join(FILE)).collect();
            versions.sort();
            files.extend(versions);
        }
    }
    files.retain(|file| small_files::is_file(file));
    files
}

/// Asks the index of a source for the versions of a gem.
#[derive(Debug)]
struct Versions {
    pages: Vec<String>,
    gem: Gem,
}

impl Question for Versions {
    fn pages(&self) -> &[String] {
        &self.pages
    }

    /// Lines `VERSION DEPENDENCIES|checksum:SHA256,...`.
    fn answer(&self, url: &str, page: &[u8]) -> Result<Option<Answer>, String> {
        let page = std::str::from_utf8(page).map_err(|error| error.to_string())?;
        let Some(source) = url.strip_suffix(&format!("/info/{}", self.gem.name)) else {
            return Ok(None);
        };
        let line =
            page.lines().find_map(|line| line.strip_prefix(&self.gem.version)?.strip_prefix(' '));
        let Some(line) = line else { return Ok(None) };
        let known = line.rsplit_once("checksum:").map(|(_, rest)| rest.split(',').next());
        let sha256: Option<Digest> = known.flatten().and_then(|digest| digest.parse().ok());
        let url = format!("{source}/gems/{}.gem", self.gem.full_name());
        Ok(Some(Answer {
            url: public_url(&url).map_err(|error| error.to_string())?,
            sha256,
            ..Answer::default()
        }))
    }
}
