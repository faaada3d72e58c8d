//! CycloneDX, as JSON of the versions 1.5 and 1.6.
//!
//! Invariant: only fields that both the schema and scanners know are written, and each has a value.

use serde::Serialize;

use super::{Bom, Component};
use crate::detectors::Release;
use crate::model::Digest;

/// The version of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specification {
    /// 1.5
    V1_5,
    /// 1.6
    V1_6,
}

/// The document's own name among references.
const SUBJECT: &str = "subject";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    version: u32,
    metadata: Metadata,
    components: Vec<Part>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    tools: Tools,
    component: Part,
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Part>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence>,
}

#[derive(Serialize, Clone)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
struct Evidence {
    /// 1.6 prefers a list, but allows this: readers of before 2025 refuse a document with a list.
    identity: Identity,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    occurrences: Vec<Occurrence>,
}

#[derive(Serialize)]
struct Identity {
    field: &'static str,
    confidence: f32,
    methods: Vec<Method>,
}

#[derive(Serialize)]
struct Method {
    technique: &'static str,
    confidence: f32,
    value: String,
}

#[derive(Serialize)]
struct Occurrence {
    location: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    reference: &'static str,
    depends_on: Vec<String>,
}

/// The bill as a document of this version of CycloneDX, with a line feed at its end.
pub fn cyclonedx(bom: &Bom, specification: Specification) -> Vec<u8> {
    let mut document = document(bom, specification);
    let digest = Digest::of(&json(&document));
    document.serial_number = Some(format!("urn:uuid:{}", uuid(&digest)));
    json(&document)
}

fn json(document: &Document) -> Vec<u8> {
    let mut json =
        serde_json::to_vec_pretty(document).expect("it has nothing that JSON cannot hold");
    json.push(b'\n');
    json
}

/// The first bytes of a digest as a UUID of version 8: one that follows from contents.
pub(super) fn uuid(digest: &Digest) -> String {
    let mut hex = digest.to_string();
    hex.truncate(32);
    hex.replace_range(12..13, "8");
    hex.replace_range(16..17, "8");
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

fn document(bom: &Bom, specification: Specification) -> Document {
    let (spec_version, schema) = match specification {
        Specification::V1_5 => ("1.5", "http://cyclonedx.org/schema/bom-1.5.schema.json"),
        Specification::V1_6 => ("1.6", "http://cyclonedx.org/schema/bom-1.6.schema.json"),
    };
    let tool = Part {
        kind: "application",
        name: "hashget".to_owned(),
        version: Some(bom.tool_version.clone()),
        ..Part::default()
    };
    let subject = Part {
        kind: "file",
        reference: Some(SUBJECT.to_owned()),
        name: bom.subject.clone(),
        ..Part::default()
    };
    let systems = bom.systems.iter().map(system);
    let packages = bom.components.iter().map(package);
    let components: Vec<Part> = systems.chain(packages).collect();
    let all = components.iter().filter_map(|one| one.reference.clone()).collect();
    Document {
        schema,
        bom_format: "CycloneDX",
        spec_version,
        serial_number: None,
        version: 1,
        metadata: Metadata {
            timestamp: bom.timestamp(),
            tools: Tools { components: vec![tool] },
            component: subject,
        },
        components,
        dependencies: vec![Dependency { reference: SUBJECT, depends_on: all }],
    }
}

fn system(release: &Release) -> Part {
    Part {
        kind: "operating-system",
        reference: Some(format!("os:{}-{}#{}", release.id, release.version, release.name)),
        name: release.id.clone(),
        version: Some(release.version.clone()).filter(|version| !version.is_empty()),
        description: release.name.clone(),
        ..Part::default()
    }
}

fn package(component: &Component) -> Part {
    let url = &component.package_url;
    let digest = component.sha256.map(|sha256| sha256.to_string());
    let hashes: Vec<Hash> =
        digest.into_iter().map(|content| Hash { alg: "SHA-256", content }).collect();
    let place =
        |url: &String| Reference { kind: "distribution", url: url.clone(), hashes: hashes.clone() };
    let files = component
        .by_digest
        .map(|files| Property { name: "hashget:files_by_digest", value: files.to_string() });
    Part {
        kind: if url.kind() == "huggingface" { "machine-learning-model" } else { "library" },
        reference: Some(component.reference()),
        group: if is_group(url.kind()) { url.namespace() } else { String::new() },
        name: url.name().to_owned(),
        version: url.version().map(str::to_owned),
        purl: Some(url.to_string()),
        external_references: component.urls.iter().map(place).collect(),
        properties: files.into_iter().collect(),
        evidence: Some(evidence(component)),
        hashes,
        ..Part::default()
    }
}

/// Is the namespace of such a package a part of its name for people, too? (That of a system's package is the distribution.)
pub(super) fn is_group(kind: &str) -> bool {
    matches!(kind, "npm" | "maven" | "golang" | "huggingface")
}

fn evidence(component: &Component) -> Evidence {
    let is_by_digest = component.by_digest.is_some_and(|files| files > 0);
    let (technique, confidence) = match (is_by_digest, component.is_recorded) {
        (true, _) => ("hash-comparison", 1.0),
        (false, true) => ("manifest-analysis", 0.5),
        (false, false) => ("other", 0.9),
    };
    let method = Method { technique, confidence, value: component.evidence() };
    let occurrence = |place: &crate::model::RelPath| Occurrence { location: place.to_string() };
    Evidence {
        identity: Identity { field: "purl", confidence, methods: vec![method] },
        occurrences: component.places.iter().map(occurrence).collect(),
    }
}
