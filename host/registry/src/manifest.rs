//! Manifests: what an artifact consists of (opencontainers/image-spec, "Image Manifest").
//!
//! Of a manifest from a registry only those fields are read that this crate uses; whatever else stands
//! there is left alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The media type of a manifest.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media types of lists of manifests, of which none is read.
pub(crate) const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// The configuration of an artifact that has none, and its bytes.
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const EMPTY_BYTES: &[u8] = b"{}";
/// The annotation that names a layer's file for tools such as `oras`.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";

/// What an artifact or a signature consists of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    /// Always 2.
    pub(crate) schema_version: u32,
    /// The media type of the manifest itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    /// What kind of artifact it is, where the configuration does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    /// Its configuration.
    pub(crate) config: Descriptor,
    /// Its content.
    pub(crate) layers: Vec<Descriptor>,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A blob, as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What it is.
    pub(crate) media_type: String,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its bytes.
    pub(crate) size: u64,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// A descriptor of `bytes`.
    pub(crate) fn of(media_type: &str, bytes: &[u8]) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            annotations: BTreeMap::new(),
        }
    }

    /// The same with an annotation.
    pub(crate) fn annotated(mut self, key: &str, value: String) -> Descriptor {
        self.annotations.insert(key.to_owned(), value);
        self
    }
}

impl Manifest {
    /// A manifest of one configuration and its layers.
    pub(crate) fn of(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
        Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            annotations: BTreeMap::new(),
        }
    }
}

/// A blob's bytes with their descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    /// What a manifest says of it.
    pub(crate) descriptor: Descriptor,
    /// Itself.
    pub(crate) bytes: Vec<u8>,
}

impl Blob {
    /// A blob of that media type.
    pub(crate) fn of(media_type: &str, bytes: Vec<u8>) -> Blob {
        Blob {
            descriptor: Descriptor::of(media_type, &bytes),
            bytes,
        }
    }

    /// What stands for a configuration where there is none.
    pub(crate) fn empty_config() -> Blob {
        Blob::of(EMPTY, EMPTY_BYTES.to_vec())
    }
}
