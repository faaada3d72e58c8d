//! A pool in a registry of the Open Container Initiative: a package is a blob, which registries name by its SHA-256, and a
//! manifest with the tag `sha256-HEX` keeps it from being collected.
//!
//! Invariant: what is given has the digest that was asked for. A package is in the pool once its manifest is there, which is
//! made after its blob, and the registry has compared both with their digests.

mod challenge;
mod registry;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use self::registry::{Access, Registry};
use super::http::Exchange;
use super::method::{Method, Request, Sent};
use super::{
    BadOption, Credentials, FetchError, FetchOptions, Fetched, HttpOrigin, ManagedPool,
    OriginOptions, PoolError, Pooled, Source, SystemClock, TimeOuts, Wanted, shown,
};
use crate::model::{Digest, HashingReader};
use crate::monitor::{Monitor, Step, Total};

/// The media type of manifests: <https://github.com/opencontainers/image-spec/blob/main/manifest.md>.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The media type of what stands in a manifest for nothing; and its bytes.
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");

/// What the tag of a package begins with.
const TAG: &str = "sha256-";

/// Pages of a list of tags.
const PAGES: usize = 10_000;

/// The packages of a repository.
pub struct OciPool {
    registry: Registry,
    /// Bytes of a package whose size is not known.
    most: u64,
}

impl OciPool {
    /// The pool at `oci://REGISTRY/REPOSITORY`, or `oci+http://` if the registry has no TLS. Nothing is asked of it yet.
    ///
    /// # Errors
    /// It is no such address.
    pub fn new(address: &str, options: &FetchOptions) -> Result<Self, BadOption> {
        let (host, repository) = parse(address).map_err(|problem| BadOption {
            option: format!("pool {}", shown(address)),
            problem: problem.to_owned(),
        })?;
        let origin = |credentials: Credentials| {
            let long = Duration::from_secs(300);
            // A registry may take its time to compare a package with its digest.
            let time_outs = TimeOuts { answer: long, ..options.time_outs };
            let (proxies, limits) = (options.proxies.clone(), options.limits.clone());
            let others = OriginOptions::default();
            HttpOrigin::new(OriginOptions { time_outs, credentials, proxies, limits, ..others })
        };
        let registry = Registry {
            shown: address.trim_end_matches('/').to_owned(),
            host,
            repository,
            anonymous: origin(Credentials::default()),
            with_login: origin(options.credentials.clone()),
            clock: Arc::new(SystemClock::default()),
            access: Mutex::new(Access::Open),
        };
        Ok(Self { registry, most: options.limits.download_bytes })
    }

    fn place(&self, sha256: &Digest) -> String {
        format!("{}@sha256:{sha256}", self.registry.shown)
    }

    fn ask(
        &self,
        request: impl Into<Request>,
        path: &str,
        monitor: &dyn Monitor,
    ) -> Result<Exchange, PoolError> {
        let headers = vec![("accept", format!("{MANIFEST}, */*"))];
        self.registry.ask(&request.into(), &self.registry.url(path), &headers, monitor)
    }

    /// The manifest of a package, with its digest and the size of the package; `None` if there is none.
    fn manifest(
        &self,
        sha256: &Digest,
        monitor: &dyn Monitor,
    ) -> Result<Option<(Digest, u64)>, PoolError> {
        let mut exchange = self.ask(Method::Get, &format!("manifests/{TAG}{sha256}"), monitor)?;
        match exchange.head.status {
            200 => {}
            404 => return Ok(None),
            status => return Err(self.registry.answers(status, "a manifest")),
        }
        let (manifest, bytes) = self.registry.json(&mut exchange, monitor)?;
        let digest = format!("sha256:{sha256}");
        let layers = manifest.get("layers").and_then(Value::as_array);
        let is_it = |layer: &&Value| layer.get("digest").and_then(Value::as_str) == Some(&*digest);
        let size = layers.into_iter().flatten().find(is_it).and_then(|layer| layer.get("size"));
        Ok(size.and_then(Value::as_u64).map(|size| (Digest::of(&bytes), size)))
    }

    /// Uploads a blob.
    fn upload(
        &self,
        (sha256, sent): (&Digest, Sent),
        monitor: &dyn Monitor,
    ) -> Result<(), PoolError> {
        let begun = self.ask(Method::Post, "blobs/uploads/", monitor)?;
        let status = begun.head.status;
        let location = begun.head.header("location").filter(|_| status == 202);
        let Some(location) = location else {
            return Err(self.registry.answers(status, "an upload"));
        };
        let base = Url::parse(&self.registry.url("blobs/uploads/"));
        let joined = base.and_then(|base| base.join(location));
        let mut url =
            joined.map_err(|_| self.registry.refused("its upload has no URL".to_owned()))?;
        url.query_pairs_mut().append_pair("digest", &format!("sha256:{sha256}"));
        let headers = vec![("content-type", "application/octet-stream".to_owned())];
        let request = Request { method: Method::Put, sent };
        match self.registry.ask(&request, url.as_str(), &headers, monitor)?.head.status {
            201 => Ok(()),
            status => Err(self.registry.answers(status, "an upload")),
        }
    }

    /// Makes the manifest of a package whose blob is there.
    fn keep(&self, sha256: &Digest, size: u64, monitor: &dyn Monitor) -> Result<(), PoolError> {
        let empty = Digest::of(EMPTY.1);
        self.upload((&empty, Sent::Bytes(EMPTY.1.to_vec())), monitor)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.hashget.package",
            "config": {
                "mediaType": EMPTY.0,
                "digest": format!("sha256:{empty}"),
                "size": EMPTY.1.len(),
            },
            "layers": [{
                "mediaType": "application/octet-stream",
                "digest": format!("sha256:{sha256}"),
                "size": size,
            }],
        });
        let sent = Sent::Bytes(manifest.to_string().into_bytes());
        let request = Request { method: Method::Put, sent };
        let url = self.registry.url(&format!("manifests/{TAG}{sha256}"));
        let headers = vec![("content-type", MANIFEST.to_owned())];
        match self.registry.ask(&request, &url, &headers, monitor)?.head.status {
            201 => Ok(()),
            status => Err(self.registry.answers(status, "a manifest")),
        }
    }

    /// The blob, in a file without a name; and its digest and size.
    fn blob(
        &self,
        wanted: &Wanted,
        sha256: &Digest,
        monitor: &dyn Monitor,
    ) -> Result<Option<(File, Digest, u64)>, PoolError> {
        let mut exchange = self.ask(Method::Get, &format!("blobs/sha256:{sha256}"), monitor)?;
        match exchange.head.status {
            200 => {}
            404 => return Ok(None),
            status => return Err(self.registry.answers(status, "a package")),
        }
        let name = wanted.name.clone().unwrap_or_else(|| self.place(sha256));
        let bytes = wanted.size.or(exchange.head.length);
        let progress = monitor.begin(Step::Download, name, Total { bytes, things: None });
        let most = wanted.size.unwrap_or(self.most);
        let (mut file, mut came) = (tempfile::tempfile().map_err(|e| self.registry.disk(e))?, 0);
        loop {
            let next = exchange.next(monitor).map_err(|trouble| self.registry.broken(trouble))?;
            let Some(piece) = next else { break };
            came += piece.len() as u64;
            file.write_all(&piece).map_err(|error| self.registry.disk(error))?;
            progress.advance(piece.len() as u64, 0);
            // One byte too many shows that it is something else.
            if came > most {
                break;
            }
        }
        file.rewind().map_err(|error| self.registry.disk(error))?;
        let found = Digest::of_reader(&file).map_err(|error| self.registry.disk(error))?;
        file.rewind().map_err(|error| self.registry.disk(error))?;
        Ok(Some((file, found, came)))
    }

    /// The tags of all packages.
    fn tags(&self, monitor: &dyn Monitor) -> Result<BTreeSet<Digest>, PoolError> {
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut url = self.registry.url("tags/list?n=1000");
        while seen.len() < PAGES && seen.insert(url.clone()) {
            let headers = vec![("accept", "application/json".to_owned())];
            let mut exchange = self.registry.ask(&Method::Get.into(), &url, &headers, monitor)?;
            match exchange.head.status {
                200 => {}
                // A repository in which nothing was ever made.
                404 => return Ok(found),
                status => return Err(self.registry.answers(status, "the list of tags")),
            }
            let next = exchange.head.header("link").and_then(next_page).map(str::to_owned);
            let (page, _) = self.registry.json(&mut exchange, monitor)?;
            let tags = page.get("tags").and_then(Value::as_array).into_iter().flatten();
            let of_packages =
                tags.filter_map(|tag| tag.as_str()?.strip_prefix(TAG)?.parse::<Digest>().ok());
            found.extend(of_packages);
            let joined = next.and_then(|next| Url::parse(&url).ok()?.join(&next).ok());
            // A list that goes on at another server is none of this registry.
            match joined.filter(|next| next.as_str().starts_with(&self.registry.host)) {
                Some(next) => url = next.into(),
                None => break,
            }
        }
        Ok(found)
    }
}

/// Where the registry of an address answers, and the repository.
fn parse(address: &str) -> Result<(String, String), &'static str> {
    let expected = "expected oci://REGISTRY/REPOSITORY";
    let (scheme, rest) = match address.split_once("://") {
        Some(("oci", rest)) => ("https", rest),
        Some(("oci+http", rest)) => ("http", rest),
        _ => return Err(expected),
    };
    let (host, repository) = rest.trim_end_matches('/').split_once('/').ok_or(expected)?;
    let is_part = |part: &str| {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain)
    };
    if !repository.split('/').all(is_part) {
        return Err("a repository has lower-case letters, digits, \".\", \"_\" and \"-\" alone");
    }
    let url = Url::parse(&format!("{scheme}://{host}")).map_err(|_| expected)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a login has no place in it: give it in ~/.netrc or [host]");
    }
    Ok((url.as_str().trim_end_matches('/').to_owned(), repository.to_owned()))
}

/// The next page that a header `Link` names.
fn next_page(link: &str) -> Option<&str> {
    let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    parameters.contains("rel=\"next\"").then_some(url)
}

impl Source for OciPool {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let from = self.registry.shown.clone();
        let not_found = || FetchError::NotFound { from, url: shown(&wanted.url) };
        let Some(sha256) = wanted.sha256 else { return Err(not_found()) };
        let place = self.place(&sha256);
        match self.blob(wanted, &sha256, monitor) {
            Ok(Some((file, found, size))) if found == sha256 => {
                Ok(Fetched { file, sha256, size, from: place })
            }
            Ok(Some((file, found, size))) => {
                let (expected, found) = (sha256.to_string(), format!("{found} ({size} bytes)"));
                Err(super::page::mismatch(place, expected, found, Some(file)))
            }
            Ok(None) => Err(not_found()),
            Err(PoolError::Interrupted(interrupted)) => Err(interrupted.into()),
            Err(PoolError::Disk { error, .. }) => Err(FetchError::Disk { url: place, error }),
            Err(error) => {
                let answered = matches!(error, PoolError::Refused { .. });
                let (problem, given_up) = (error.to_string(), None);
                Err(FetchError::Unreachable { url: place, problem, answered, given_up })
            }
        }
    }
}

impl ManagedPool for OciPool {
    fn shown(&self) -> &str {
        &self.registry.shown
    }

    fn has(
        &self,
        sha256: &Digest,
        size: Option<u64>,
        monitor: &dyn Monitor,
    ) -> Result<bool, PoolError> {
        let manifest = self.manifest(sha256, monitor)?;
        Ok(manifest.is_some_and(|(_, found)| size.is_none_or(|size| size == found)))
    }

    fn add(
        &self,
        mut file: &File,
        expected: Option<Digest>,
        monitor: &dyn Monitor,
    ) -> Result<Pooled, PoolError> {
        let disk = |error| self.registry.disk(error);
        file.rewind().map_err(disk)?;
        let mut content = HashingReader::new(file);
        std::io::copy(&mut content, &mut std::io::sink()).map_err(disk)?;
        let (sha256, size) = content.finish();
        if let Some(expected) = expected.filter(|expected| *expected != sha256) {
            return Err(PoolError::Different { expected, found: sha256 });
        }
        let sent = Sent::File(Arc::new(file.try_clone().map_err(disk)?), size);
        let progress = monitor.begin(Step::Send, self.place(&sha256), Total::bytes(size));
        self.upload((&sha256, sent), monitor)?;
        self.keep(&sha256, size, monitor)?;
        progress.advance(size, 0);
        Ok(Pooled { sha256, size, place: self.place(&sha256) })
    }

    fn list(&self, monitor: &dyn Monitor) -> Result<Vec<Pooled>, PoolError> {
        let mut found = Vec::new();
        for sha256 in self.tags(monitor)? {
            monitor.check_interrupted()?;
            if let Some((_, size)) = self.manifest(&sha256, monitor)? {
                found.push(Pooled { sha256, size, place: self.place(&sha256) });
            }
        }
        Ok(found)
    }

    fn remove(&self, sha256: &Digest, monitor: &dyn Monitor) -> Result<bool, PoolError> {
        let Some((manifest, _)) = self.manifest(sha256, monitor)? else { return Ok(false) };
        let path = format!("manifests/sha256:{manifest}");
        match self.ask(Method::Delete, &path, monitor)?.head.status {
            200 | 202 | 404 => {}
            400 | 405 | 501 => {
                let problem = format!(
                    "it removes nothing on request: remove the tag {TAG}{sha256} by the registry's own means"
                );
                return Err(self.registry.refused(problem));
            }
            status => return Err(self.registry.answers(status, "a removal")),
        }
        // What no manifest needs any more, registries collect in time, if they do not remove it at once.
        self.ask(Method::Delete, &format!("blobs/sha256:{sha256}"), monitor)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_registry_and_a_repository() {
        for (address, host, repository) in [
            ("oci://registry.example/our/packages", "https://registry.example", "our/packages"),
            ("oci+http://127.0.0.1:5000/p/", "http://127.0.0.1:5000", "p"),
        ] {
            assert_eq!(parse(address), Ok((host.to_owned(), repository.to_owned())), "{address}");
        }
        for bad in [
            "oci://registry.example",
            "oci://registry.example/",
            "oci:///p",
            "oci://user:word@registry.example/p",
            "oci://registry.example/Upper",
            "oci://registry.example/a/../b",
            "oci://registry.example/a?b",
            "https://registry.example/p",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            next_page("</v2/p/tags/list?last=x>; rel=\"next\""),
            Some("/v2/p/tags/list?last=x")
        );
        assert_eq!(next_page("<x>; rel=\"prev\""), None);
    }
}
