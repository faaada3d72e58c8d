//! SPDX 2.3, as JSON.
//!
//! Invariant: nothing is said of licences, since nothing is known of them; the document itself has the licence that SPDX demands.

use serde::Serialize;

use super::cyclonedx::uuid;
use super::{Bom, Component};
use crate::model::Digest;

/// SPDX wants a time in every document: this stands for none.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

const NOT_SAID: &str = "NOASSERTION";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Package>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<String>,
    download_location: String,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    license_concluded: &'static str,
    license_declared: &'static str,
    copyright_text: &'static str,
    supplier: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// The bill as a document of SPDX 2.3, with a line feed at its end.
pub fn spdx(bom: &Bom) -> Vec<u8> {
    let mut document = document(bom);
    document.document_namespace = format!("urn:uuid:{}", uuid(&Digest::of(&json(&document))));
    json(&document)
}

fn json(document: &Document) -> Vec<u8> {
    let mut json =
        serde_json::to_vec_pretty(document).expect("it has nothing that JSON cannot hold");
    json.push(b'\n');
    json
}

fn document(bom: &Bom) -> Document {
    let subject = Package {
        primary_package_purpose: Some("ARCHIVE"),
        ..named("SPDXRef-Subject", &bom.subject)
    };
    let systems = bom.systems.iter().enumerate().map(|(number, release)| Package {
        version_info: Some(release.version.clone()).filter(|version| !version.is_empty()),
        primary_package_purpose: Some("OPERATING-SYSTEM"),
        comment: release.name.clone(),
        ..named(&format!("SPDXRef-System-{}", number + 1), &release.id)
    });
    let packages = bom.components.iter().enumerate();
    let packages = packages.map(|(number, component)| package(number + 1, component));
    let contained: Vec<Package> = systems.chain(packages).collect();
    let relation = |from: &str, kind, to: &str| Relationship {
        spdx_element_id: from.to_owned(),
        relationship_type: kind,
        related_spdx_element: to.to_owned(),
    };
    let mut relationships = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", &subject.id)];
    relationships.extend(contained.iter().map(|one| relation(&subject.id, "CONTAINS", &one.id)));
    Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: "SPDXRef-DOCUMENT",
        name: bom.subject.clone(),
        document_namespace: String::new(),
        creation_info: CreationInfo {
            created: bom.timestamp().unwrap_or_else(|| NO_TIME.to_owned()),
            creators: vec![format!("Tool: hashget-{}", bom.tool_version)],
        },
        packages: std::iter::once(subject).chain(contained).collect(),
        relationships,
    }
}

fn named(id: &str, name: &str) -> Package {
    Package {
        id: id.to_owned(),
        name: name.to_owned(),
        download_location: NOT_SAID.to_owned(),
        license_concluded: NOT_SAID,
        license_declared: NOT_SAID,
        copyright_text: NOT_SAID,
        supplier: NOT_SAID,
        ..Package::default()
    }
}

fn package(number: usize, component: &Component) -> Package {
    let url = &component.package_url;
    let name = match url.namespace() {
        namespace if super::cyclonedx::is_group(url.kind()) && !namespace.is_empty() => {
            let between = if url.kind() == "maven" { ":" } else { "/" };
            format!("{namespace}{between}{}", url.name())
        }
        _ => url.name().to_owned(),
    };
    let checksum =
        |sha256: Digest| Checksum { algorithm: "SHA256", checksum_value: sha256.to_string() };
    Package {
        version_info: url.version().map(str::to_owned),
        download_location: component.urls.first().cloned().unwrap_or_else(|| NOT_SAID.to_owned()),
        checksums: component.sha256.into_iter().map(checksum).collect(),
        comment: component.evidence(),
        external_refs: vec![ExternalRef {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: url.to_string(),
        }],
        ..named(&format!("SPDXRef-Package-{number}"), &name)
    }
}
