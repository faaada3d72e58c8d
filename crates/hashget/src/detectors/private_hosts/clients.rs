//! Where clients keep credentials, and for which host each of them is.
//!
//! Invariant: a file is only searched for hosts; no secret leaves this file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::{Host, text_of};
use crate::detectors::{Machine, small_files, yaml};

/// Finds the hosts in the text of a file. Some files only name their hosts, which others beside them explain; these are read
/// by the function.
type Reader = fn(&str, &dyn Fn(&str) -> Option<String>) -> Vec<Host>;

/// Every file, relative to a home folder, a project or a root. In all of them, URLs with a user name count besides.
const FILES: &[(&str, Reader)] = &[
    (".npmrc", npmrc),
    ("etc/npmrc", npmrc),
    ("usr/etc/npmrc", npmrc),
    ("usr/local/etc/npmrc", npmrc),
    (".yarnrc", npmrc),
    (".yarnrc.yml", yarnrc),
    (".netrc", netrc),
    ("_netrc", netrc),
    ("pip.conf", nothing),
    (".config/pip/pip.conf", nothing),
    (".pip/pip.conf", nothing),
    ("etc/pip.conf", nothing),
    ("etc/xdg/pip/pip.conf", nothing),
    (".pypirc", pypirc),
    ("uv.toml", nothing),
    (".config/uv/uv.toml", nothing),
    ("etc/uv/uv.toml", nothing),
    ("pyproject.toml", nothing),
    ("requirements.txt", nothing),
    (".config/pypoetry/auth.toml", nothing),
    (".config/pypoetry/config.toml", nothing),
    (".cargo/credentials.toml", cargo),
    (".cargo/credentials", cargo),
    (".cargo/config.toml", nothing),
    (".m2/settings.xml", maven),
    ("etc/maven/settings.xml", maven),
    ("usr/share/maven/conf/settings.xml", maven),
    ("opt/maven/conf/settings.xml", maven),
    (".gradle/init.gradle", nothing),
    (".condarc", conda),
    (".conda/condarc", conda),
    (".config/conda/.condarc", conda),
    (".mambarc", conda),
    ("etc/conda/condarc", conda),
    (".gemrc", nothing),
    (".config/gem/gemrc", nothing),
    ("etc/gemrc", nothing),
    (".gem/credentials", gem),
    (".bundle/config", bundler),
    (".config/go/env", nothing),
    (".config/composer/auth.json", composer),
    (".composer/auth.json", composer),
    ("auth.json", composer),
];

/// Variables that hold a token or password for the registry in another one.
const PAIRS: &[(&str, &str)] = &[
    ("YARN_NPM_AUTH_TOKEN", "YARN_NPM_REGISTRY_SERVER"),
    ("NPM_CONFIG__AUTH", "NPM_CONFIG_REGISTRY"),
    ("npm_config__auth", "npm_config_registry"),
    ("NPM_CONFIG__AUTHTOKEN", "NPM_CONFIG_REGISTRY"),
];

/// Variables that name a configuration file.
const NAMED: &[(&str, Reader)] = &[
    ("NETRC", netrc),
    ("NPM_CONFIG_USERCONFIG", npmrc),
    ("npm_config_userconfig", npmrc),
    ("PIP_CONFIG_FILE", nothing),
    ("CONDARC", conda),
    ("BUNDLE_USER_CONFIG", bundler),
];

/// Is the entry of this path one of the files, by its name alone?
pub(super) fn is_configuration(path: &[u8]) -> bool {
    static NAMES: LazyLock<BTreeSet<&[u8]>> = LazyLock::new(|| {
        FILES.iter().filter_map(|(file, _)| file.rsplit('/').next()).map(str::as_bytes).collect()
    });
    path.rsplit(|&byte| byte == b'/').next().is_some_and(|name| NAMES.contains(name))
}

/// The folders for which the file at this path may be the configuration.
pub(super) fn homes_of(file: &Path) -> Vec<PathBuf> {
    let of = |(name, _): &(&str, Reader)| {
        let up = name.split('/').count();
        file.ends_with(name).then(|| file.ancestors().nth(up).map(Path::to_owned)).flatten()
    };
    FILES.iter().filter_map(of).collect()
}

/// The hosts for which files of `folder` have credentials, with the files.
pub(super) fn in_folder(machine: &Machine, folder: &Path) -> Vec<(Host, PathBuf)> {
    let mut found = Vec::new();
    for (name, read) in FILES {
        let file = folder.join(name);
        let Some(text) = small_files::is_file(&file).then(|| text_of(&file)).flatten() else {
            continue;
        };
        let beside = |name: &str| text_of(&folder.join(name));
        let hosts = read(&text, &beside).into_iter().chain(in_urls(&text));
        found.extend(hosts.map(|host| (host, file.clone())));
        if matches!(*name, "uv.toml" | "pyproject.toml" | ".config/uv/uv.toml") {
            found.extend(of_uv(machine, &text).into_iter().map(|host| (host, file.clone())));
        }
        if *name == ".npmrc" && logs_in_by_default(&text) && !text.contains("registry") {
            let host = machine.variable("npm_config_registry").and_then(Host::parse);
            found.extend(host.map(|host| (host, file.clone())));
        }
    }
    found
}

/// The hosts for which variables have credentials, with their names.
pub(super) fn in_variables(machine: &Machine) -> Vec<(Host, PathBuf)> {
    let mut found = Vec::new();
    for (name, value) in &machine.variables {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        found.extend(in_urls(value).map(|host| (host, PathBuf::from(name))));
        // CARGO_REGISTRIES_NAME_TOKEN.
        let registry =
            name.strip_suffix("_TOKEN").filter(|name| name.starts_with("CARGO_REGISTRIES_"));
        let url = registry.and_then(|registry| machine.variable(&format!("{registry}_INDEX")));
        found.extend(url.and_then(Host::parse).map(|host| (host, PathBuf::from(name))));
    }
    for (name, read) in NAMED {
        let file = machine.variable(name).map(PathBuf::from);
        let Some((file, text)) = file.and_then(|file| text_of(&file).map(|text| (file, text)))
        else {
            continue;
        };
        let hosts = read(&text, &|_| None).into_iter().chain(in_urls(&text));
        found.extend(hosts.map(|host| (host, file.clone())));
    }
    // Cargo's folder may have another name than `.cargo`.
    let home = machine.variable("CARGO_HOME").map(PathBuf::from);
    for file in
        home.iter().flat_map(|home| ["credentials.toml", "credentials"].map(|name| home.join(name)))
    {
        let beside = |name: &str| text_of(&file.with_file_name(name.trim_start_matches(".cargo/")));
        let hosts = text_of(&file).map(|text| cargo(&text, &beside)).unwrap_or_default();
        found.extend(hosts.into_iter().map(|host| (host, file.clone())));
    }
    for (secret, registry) in PAIRS {
        let url = machine.variable(secret).and(machine.variable(registry));
        found.extend(url.and_then(Host::parse).map(|host| (host, PathBuf::from(secret))));
    }
    found
}

/// URLs with a user name, with or without a password: `https://USER:PASSWORD@HOST/`.
fn in_urls(text: &str) -> impl Iterator<Item = Host> + '_ {
    static LOGIN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(https?://)[^\s/@"'<>]+@([^\s/"'<>,;|]+)"#)
            .expect("it is a proper expression")
    });
    LOGIN
        .captures_iter(text)
        .filter_map(|found| Host::parse(&format!("{}{}", &found[1], &found[2])))
}

/// For files in which only URLs count.
fn nothing(_: &str, _: &dyn Fn(&str) -> Option<String>) -> Vec<Host> {
    Vec::new()
}

/// The key and the value of a line of `.npmrc` or `.yarnrc`.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim().split_once(['=', ' ', '\t'])?;
    Some((key.trim().trim_matches('"'), value.trim().trim_matches(['"', '\''])))
}

/// Does a key of `.npmrc` hold credentials?
fn is_secret(key: &str) -> bool {
    ["_auth", "_authToken", "_password", "username", "certfile", "keyfile", "tokenHelper"]
        .contains(&key)
}

/// Are there credentials for the registry of all packages, and not for a named host?
fn logs_in_by_default(npmrc: &str) -> bool {
    npmrc.lines().filter_map(setting).any(|(key, _)| is_secret(key) && key != "certfile")
}

/// `//HOST/PATH/:_authToken=...`, and `_auth=...` for the registries of the file.
fn npmrc(text: &str, _: &dyn Fn(&str) -> Option<String>) -> Vec<Host> {
    let settings = || text.lines().filter_map(setting);
    let of_host = |(key, _): (&str, &str)| {
        let (host, key) = key.rsplit_once(':')?;
        Host::parse(host).filter(|_| host.starts_with("//") && is_secret(key))
    };
    let mut found: Vec<Host> = settings().filter_map(of_host).collect();
    if logs_in_by_default(text) {
        let registries = settings().filter(|(key, _)| key.ends_with("registry"));
        found.extend(registries.filter_map(|(_, url)| Host::parse(url)));
    }
    found
}

/// `npmAuthToken` and `npmAuthIdent`: for all packages, for a scope, or for a registry.
fn yarnrc(text: &str, _: &dyn Fn(&str) -> Option<String>) -> Vec<Host> {
    let mut servers: BTreeMap<String, String> = BTreeMap::new();
    let mut secret: BTreeSet<String> = BTreeSet::new();
    let mut found = Vec::new();
    let is_secret = |key: &str| matches!(key, "npmAuthToken" | "npmAuthIdent");
    // What stands before an error counts.
    let _ = yaml::read(text, &mut |keys, value| match (keys, value) {
        (["npmRegistryServer"], Some(url)) => drop(servers.insert(String::new(), url.to_owned())),
        (["npmScopes", scope, "npmRegistryServer"], Some(url)) => {
            servers.insert((*scope).to_owned(), url.to_owned());
        }
        ([key], Some(_)) if is_secret(key) => drop(secret.insert(String::new())),
        (["npmScopes", scope, key], Some(_)) if is_secret(key) => {
            secret.insert((*scope).to_owned());
        }
        (["npmRegistries", registry, key], Some(_)) if is_secret(key) => {
            found.extend(Host::parse(registry));
        }
        _ => {}
    });
    found.extend(secret.iter().filter_map(|scope| Host::parse(servers.get(scope)?)));
    found
}

/// Indexes for which variables have the login: `UV_INDEX_NAME_USERNAME`.
fn of_uv(machine: &Machine, text: &str) -> Vec<Host> {
    let variables = || machine.variables.keys().filter_map(|name| name.to_str());
    let logins: BTreeSet<&str> = variables()
        .filter_map(|name| {
            let name = name.strip_prefix("UV_INDEX_")?;
            name.strip_suffix("_USERNAME").or_else(|| name.strip_suffix("_PASSWORD"))
        })
        .collect();
    let Some(table) = (!logins.is_empty()).then(|| text.parse::<toml::Table>().ok()).flatten()
    else {
        return Vec::new();
    };
    let of_project = table.get("tool").and_then(|tool| tool.get("uv")?.get("index"));
    let indexes = of_project.or_else(|| table.get("index")).and_then(toml::Value::as_array);
    let of_index = |index: &toml::Value| {
        let plain =
            |byte: char| if byte.is_ascii_alphanumeric() { byte.to_ascii_uppercase() } else { '_' };
        let name: String = index.get("name")?.as_str()?.chars().map(plain).collect();
        Host::parse(index.get("url")?.as_str()?).filter(|_| logins.contains(name.as_str()))
    };
    indexes.into_iter().flatten().filter_map(of_index).collect()
}

/// `machine HOST login USER password PASSWORD`, over any number of lines.
fn netrc(text: &str, _: &dyn Fn(&str) -> Option<String>) -> Vec<Host> {
    let mut words = text.split_ascii_whitespace();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        if word == "machine" {
            found.extend(words.next().map(Host::named));
        }
    }
    found
}

/// `repository` or `index-url` of a section that has a password.
fn pypirc(text: &str, _: &dyn Fn(&str) -> Option<String>) -> Vec<Host> {
    let value = |line: &str| Some(line.split_once(['=', ':'])?.1.trim().to_owned());
    let is = |line: &&str| line.trim_start().starts_with("repository");
    text.lines().filter(is).filter_map(value).filter_map(|url| Host::parse(&url)).collect()
}

/// `[registries.NAME]` with a token; the address is in Cargo's configuration.
fn cargo(text: &str, beside: &dyn Fn(&str) -> Option<String>) -> Vec<Host> {
    let Ok(credentials) = text.parse::<toml::Table>() else { return Vec::new() };
    let named = |table: &toml::Table| {
        let registries = table.get("registries").and_then(toml::Value::as_table);
        registries.cloned().unwrap_or_default()
    };
    let files = [".cargo/config.toml", ".cargo/config"].into_iter().filter_map(beside);
    let configured: Vec<toml::Table> =
        files.filter_map(|text| text.parse().ok()).map(|table| named(&table)).collect();
    let address = |name: &String| {
        let index = |table: &toml::Table| Some(table.get(name)?.get("index")?.as_str()?.to_owned());
        Host::parse(&configured.iter().find_map(index)?)
    };
    named(&credentials).keys().filter_map(address).collect()
}

/// The addresses of repositories and mirrors whose names are those of servers.
fn maven(text: &str, _: &dyn Fn(&str) -> Option<String>) -> Vec<Host> {
    let Ok(document) = roxmltree::Document::parse(text) else { return Vec::new() };
    let child = |node: roxmltree::Node<'_, '_>, tag: &str| {
        let child = node.children().find(|child| child.tag_name().name() == tag)?;
        child.text().map(|text| text.trim().to_owned())
    };
    let all = |tags: &'static [&str]| {
        document.descendants().filter(move |node| tags.contains(&node.tag_name().name()))
    };
    let servers: BTreeSet<String> = all(&["server"]).filter_map(|node| child(node, "id")).collect();
    all(&["mirror", "repository", "pluginRepository"])
        .filter(|node| child(*node, "id").is_some_and(|id| servers.contains(&id)))
        .filter_map(|node| Host::parse(&child(node, "url")?))
        .collect()
}

/// Channels with a token in their path: `https://HOST/t/TOKEN/CHANNEL`.
fn conda(text: &str, _: &dyn Fn(&str) -> Option<String>) -> Vec<Host> {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"https?://[^\s"']+?/t/"#).expect("it is a proper expression")
    });
    TOKEN.find_iter(text).filter_map(|found| Host::parse(found.as_str())).collect()
}

/// Keys that are URLs, each with its token.
fn gem(text: &str, _: &dyn Fn(&str) -> Option<String>) -> Vec<Host> {
    let mut found = Vec::new();
    // What stands before an error counts.
    let _ = yaml::read(text, &mut |keys, value| {
        if let ([key], Some(_)) = (keys, value) {
            let key = key.trim_start_matches(':');
            found.extend(Host::parse(key).filter(|_| key.starts_with("http")));
        }
    });
    found
}

/// `BUNDLE_HOST__EXAMPLE: "USER:PASSWORD"`: dots are written as two underscores, dashes as three.
fn bundler(text: &str, _: &dyn Fn(&str) -> Option<String>) -> Vec<Host> {
    let of_key = |line: &str| {
        let key = line.split(':').next()?.trim().strip_prefix("BUNDLE_")?;
        let host = key.replace("___", "-").replace("__", ".").to_ascii_lowercase();
        let is_host = host.contains('.') && !key.starts_with("MIRROR");
        is_host.then(|| Host::named(host.trim_matches(['/', '.'])))
    };
    text.lines().filter_map(of_key).collect()
}

/// The hosts that are keys below `http-basic`, `bearer` and the like.
fn composer(text: &str, _: &dyn Fn(&str) -> Option<String>) -> Vec<Host> {
    let file: BTreeMap<String, BTreeMap<String, serde::de::IgnoredAny>> =
        serde_json::from_str(text).unwrap_or_default();
    file.values().flat_map(|hosts| hosts.keys()).map(|host| Host::named(host)).collect()
}
