//! npm's own lock files: `package-lock.json`, `npm-shrinkwrap.json` and `node_modules/.package-lock.json`.
//!
//! Invariant: the file is read in one pass; only what describes packages is kept in memory. What cannot be a package
//! of a registry is skipped.

use serde::de::MapAccess;

use super::lock::{InstalledAt, Locked};
use crate::detectors::json::{Fields, Object, Scalar, skip, without_mark};

/// The packages in a lock file.
///
/// # Errors
/// It is not such a file.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Locked>, String> {
    let mut file = File::default();
    let mut json = serde_json::Deserializer::from_slice(without_mark(bytes));
    let is_object = serde::de::DeserializeSeed::deserialize(Object(&mut file), &mut json)
        .and_then(|is_object| json.end().map(|()| is_object))
        .map_err(|error| format!("it is not JSON: {error}"))?;
    if !is_object {
        return Err("expected an object with \"packages\" or \"dependencies\"".to_owned());
    }
    // Version 2 has both, and the first says more.
    Ok(if file.has_paths { file.by_path.found } else { file.nested })
}

#[derive(Default)]
struct File {
    by_path: ByPath,
    has_paths: bool,
    nested: Vec<Locked>,
}

impl<'de> Fields<'de> for File {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error> {
        match key {
            "packages" => self.has_paths = object.next_value_seed(Object(&mut self.by_path))?,
            "dependencies" => {
                let mut nested = Nested { above: String::new(), found: &mut self.nested };
                object.next_value_seed(Object(&mut nested))?;
            }
            _ => skip(object)?,
        }
        Ok(())
    }
}

/// `"node_modules/a/node_modules/b": { ... }`, and `"packages/own/node_modules/b"` in a workspace.
#[derive(Default)]
struct ByPath {
    found: Vec<Locked>,
}

impl<'de> Fields<'de> for ByPath {
    fn field<A: MapAccess<'de>>(&mut self, path: &str, object: &mut A) -> Result<(), A::Error> {
        let is_modules = |at: &usize| *at == 0 || path[..*at].ends_with('/');
        let name = path.rfind("node_modules/").filter(is_modules);
        let Some(name) = name.map(|at| &path[at + "node_modules/".len()..]) else {
            return skip(object);
        };
        let mut package = Package::default();
        object.next_value_seed(Object(&mut package))?;
        if package.link.is_set() || package.in_bundle.is_set() {
            return Ok(());
        }
        // For an alias, the real name is in the entry.
        let name = package.name.text().unwrap_or(name).to_owned();
        let version = package.version.text().unwrap_or_default().to_owned();
        self.found.extend(package.locked(name, version, path.to_owned()).proper());
        Ok(())
    }
}

/// The first version of the file: packages within packages.
struct Nested<'a> {
    /// The path of the folder `node_modules` above, with a slash, or nothing.
    above: String,
    found: &'a mut Vec<Locked>,
}

impl<'de> Fields<'de> for Nested<'_> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, object: &mut A) -> Result<(), A::Error> {
        let place = format!("{}node_modules/{name}", self.above);
        let mut within = Vec::new();
        let mut package = WithOthers {
            package: Package::default(),
            others: Nested { above: format!("{place}/"), found: &mut within },
        };
        object.next_value_seed(Object(&mut package))?;
        let package = package.package;
        self.found.append(&mut within);
        if package.bundled.is_set() {
            return Ok(());
        }
        // For an alias, the version is "npm:NAME@VERSION".
        let version = package.version.text().unwrap_or_default();
        let alias = version.strip_prefix("npm:").and_then(|alias| alias.rsplit_once('@'));
        let (name, version) = alias.unwrap_or((name, version));
        let (name, version) = (name.to_owned(), version.to_owned());
        self.found.extend(package.locked(name, version, place).proper());
        Ok(())
    }
}

/// A package of the first version of the file.
struct WithOthers<'a> {
    package: Package,
    others: Nested<'a>,
}

impl<'de> Fields<'de> for WithOthers<'_> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error> {
        if key != "dependencies" {
            return self.package.field(key, object);
        }
        object.next_value_seed(Object(&mut self.others)).map(|_| ())
    }
}

/// The fields of a package.
#[derive(Default)]
struct Package {
    name: Scalar,
    version: Scalar,
    resolved: Scalar,
    integrity: Scalar,
    link: Scalar,
    in_bundle: Scalar,
    bundled: Scalar,
}

impl<'de> Fields<'de> for Package {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error> {
        let field = match key {
            "name" => &mut self.name,
            "version" => &mut self.version,
            "resolved" => &mut self.resolved,
            "integrity" => &mut self.integrity,
            "link" => &mut self.link,
            "inBundle" => &mut self.in_bundle,
            "bundled" => &mut self.bundled,
            _ => return skip(object),
        };
        *field = object.next_value()?;
        Ok(())
    }
}

impl Package {
    fn locked(&self, name: String, version: String, place: String) -> Locked {
        Locked {
            name,
            version,
            resolved: self.resolved.text().map(str::to_owned),
            integrity: self.integrity.text().map(str::to_owned),
            place: InstalledAt::At(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let line = |locked: Locked| {
            let resolved = locked.resolved.as_deref().unwrap_or("-");
            let integrity = locked.integrity.as_deref().unwrap_or("-");
            let InstalledAt::At(place) = &locked.place else { panic!("{locked:?}") };
            format!("{} {} {resolved} {integrity} {place}", locked.name, locked.version)
        };
        read(text.as_bytes()).unwrap().into_iter().map(line).collect()
    }

    #[test]
    fn packages_are_named_by_their_paths() {
        let three = r#"{ "lockfileVersion": 3, "packages": {
            "": { "name": "app" }, "packages/own": { "version": "1.0.0" },
            "node_modules/own": { "link": true, "resolved": "packages/own" },
            "node_modules/@s/a": { "version": "1.0.0", "resolved": "https://r.example/a-1.tgz", "integrity": "sha512-x",
                "link": false, "engines": { "node": ["1"] } },
            "node_modules/@s/a/node_modules/b": { "version": "2.0.0", "integrity": null },
            "node_modules/alias": { "name": "real", "version": "3.0.0-rc.1" },
            "packages/own/node_modules/c": { "version": "4.0.0" },
            "node_modules/git": { "version": "1.0.0", "resolved": "git+ssh://git@g.example/x.git#1" },
            "node_modules/file": { "version": "1.0.0", "resolved": "file:../x.tgz" },
            "node_modules/number": 7, "own_node_modules/x": { "version": "1.0.0" },
            "node_modules/../bad": { "version": "1.0.0" }, "node_modules/d": { "version": "../x" } } }"#;
        let expected = [
            "@s/a 1.0.0 https://r.example/a-1.tgz sha512-x node_modules/@s/a",
            "b 2.0.0 - - node_modules/@s/a/node_modules/b",
            "real 3.0.0-rc.1 - - node_modules/alias",
            "c 4.0.0 - - packages/own/node_modules/c",
        ];
        assert_eq!(shown(three), expected);
        assert_eq!(shown(&format!("\u{feff}{three}")), expected);
    }

    #[test]
    fn packages_stand_within_others_in_the_first_version() {
        let one = r#"{ "dependencies": { "a": { "version": "1.0.0", "integrity": "sha1-x",
            "dependencies": { "b": { "version": "2.0.0" } } }, "g": { "version": "github:x/y#1" },
            "al": { "version": "npm:@s/real@3.0.0" }, "in": { "version": "1.0.0", "bundled": true } } }"#;
        let expected = [
            "b 2.0.0 - - node_modules/a/node_modules/b",
            "a 1.0.0 - sha1-x node_modules/a",
            "@s/real 3.0.0 - - node_modules/al",
        ];
        assert_eq!(shown(one), expected);
        // Version 2 has the packages a second time, for older clients.
        let both =
            one.replacen('{', r#"{ "packages": { "node_modules/z": { "version": "1.0.0" } }, "#, 1);
        assert_eq!(shown(&both), ["z 1.0.0 - - node_modules/z"]);
        assert!(shown("{\"packages\": 3, \"dependencies\": {\"a\": 1}}").is_empty());
    }

    #[test]
    fn what_is_no_lock_file_is_an_error() {
        let deep = "{\"dependencies\":{\"a\":".repeat(100_000);
        for nonsense in ["", "[]", "{\"packages\": ", "\u{fffd}", "{} x", &deep] {
            assert!(read(nonsense.as_bytes()).is_err(), "{:.30}", nonsense);
        }
    }
}
