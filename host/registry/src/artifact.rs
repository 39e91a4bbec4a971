//! Strategies as artifacts: how they are packed, and what is taken for one.
//!
//! A component has the layout of the CNCF's working group on WebAssembly ("Wasm OCI Artifact layout",
//! tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact), which the crate oci-wasm and so `wkg`
//! write and read: a configuration that lists imports and exports, and one layer `application/wasm`. A
//! script has the empty configuration of the image specification and one layer of text.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::client::MOST_MANIFEST;
use crate::digest::Digest;
use crate::error::{Error, shown};
use crate::manifest::{Blob, Descriptor, INDEXES, MANIFEST, Manifest, TITLE};
use crate::reference::Reference;

const COMPONENT_LAYER: &str = "application/wasm";
const COMPONENT_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// The media type of a Rhai script, as the artifact's type and as that of its layer.
const SCRIPT: &str = "application/vnd.sc-host.strategy.rhai.v1";
/// What begins the names of annotations that only this program reads.
const OWN: &str = "sc-host.strategy.";

/// What a strategy is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A WebAssembly component.
    Component,
    /// A Rhai script.
    Script,
}

impl Kind {
    /// What its file's name ends in.
    pub fn extension(self) -> &'static str {
        match self {
            Kind::Component => "wasm",
            Kind::Script => "rhai",
        }
    }

    fn of_layer(media_type: &str) -> Option<Kind> {
        match media_type {
            COMPONENT_LAYER => Some(Kind::Component),
            SCRIPT => Some(Kind::Script),
            _ => None,
        }
    }
}

/// Most bytes of what is pulled.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Of a component.
    pub component_bytes: u64,
    /// Of a script.
    pub script_bytes: u64,
}

impl Caps {
    fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Component => self.component_bytes,
            Kind::Script => self.script_bytes,
        }
    }
}

/// What is told of a strategy in its annotations.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a sentence.
    pub description: String,
    /// Who wrote it.
    pub authors: Vec<String>,
    /// Such as `MIT`; empty when unknown.
    pub licence: String,
    /// Where its source is.
    pub source: Option<String>,
    /// The roles that it fills.
    pub roles: Vec<String>,
    /// The services that it wants.
    pub services: Vec<String>,
    /// The version of the contract.
    pub contract: String,
    /// Its parameters, as JSON.
    pub parameters: String,
    /// What a component imports, by full names.
    pub imports: Vec<String>,
    /// What a component exports, by full names.
    pub exports: Vec<String>,
}

impl About {
    fn annotations(&self) -> BTreeMap<String, String> {
        let own = |name: &str| format!("{OWN}{name}");
        let of_image = |name: &str| format!("org.opencontainers.image.{name}");
        let all = [
            (of_image("title"), self.name.clone()),
            (of_image("version"), self.version.clone()),
            (of_image("description"), self.description.clone()),
            (of_image("authors"), self.authors.join(", ")),
            (of_image("licenses"), self.licence.clone()),
            (of_image("source"), self.source.clone().unwrap_or_default()),
            (own("roles"), self.roles.join(",")),
            (own("services"), self.services.join(",")),
            (own("contract"), self.contract.clone()),
            (own("parameters"), self.parameters.clone()),
        ];
        all.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}

/// The configuration of a component, by the names of the layout.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ComponentConfig<'a> {
    created: &'static str,
    author: Option<String>,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [String; 1],
    component: Interfaces<'a>,
}

#[derive(Serialize)]
struct Interfaces<'a> {
    exports: &'a [String],
    imports: &'a [String],
    target: Option<&'static str>,
}

/// The layout asks for a time. It is always this one, so that the same file has the same digest
/// whenever it is pushed.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A strategy, ready to be pushed.
#[derive(Debug)]
pub struct Packed {
    /// The manifest, as its bytes are pushed.
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Blob,
    pub(crate) layer: Blob,
}

impl Packed {
    /// The digest that its manifest has.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

/// Packs a strategy's file.
///
/// # Errors
/// When what it says of itself is longer than a manifest may be.
pub fn pack(kind: Kind, bytes: Vec<u8>, about: &About) -> Result<Packed, Error> {
    let json = |error: serde_json::Error| Error::answer(&about.name, error);
    let layer_type = match kind {
        Kind::Component => COMPONENT_LAYER,
        Kind::Script => SCRIPT,
    };
    let mut layer = Blob::of(layer_type, bytes);
    let config = match kind {
        Kind::Component => {
            let config = ComponentConfig {
                created: CREATED,
                author: (!about.authors.is_empty()).then(|| about.authors.join(", ")),
                architecture: "wasm",
                os: "wasip2",
                layer_digests: [layer.descriptor.digest.to_string()],
                component: Interfaces {
                    exports: &about.exports,
                    imports: &about.imports,
                    target: None,
                },
            };
            Blob::of(COMPONENT_CONFIG, serde_json::to_vec(&config).map_err(json)?)
        }
        Kind::Script => Blob::empty_config(),
    };
    let title = format!("{}.{}", plain(&about.name), kind.extension());
    layer.descriptor = layer.descriptor.annotated(TITLE, title);
    let mut manifest = Manifest::of(config.descriptor.clone(), vec![layer.descriptor.clone()]);
    manifest.artifact_type = (kind == Kind::Script).then(|| SCRIPT.to_owned());
    manifest.annotations = about.annotations();
    let bytes = serde_json::to_vec(&manifest).map_err(json)?;
    if bytes.len() as u64 > MOST_MANIFEST {
        return Err(Error::TooLarge {
            what: format!("the manifest of {}", about.name),
            bytes: bytes.len() as u64,
            limit: MOST_MANIFEST,
        });
    }
    Ok(Packed {
        manifest: bytes,
        config,
        layer,
    })
}

/// A name as a file's name for other tools: whatever is not plain becomes a dash.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let name: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '-' })
        .collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() {
        "strategy".to_owned()
    } else {
        name.to_owned()
    }
}

/// What a manifest says of a strategy, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) kind: Kind,
    pub(crate) layer: Descriptor,
}

/// Reads the manifest of a strategy.
///
/// # Errors
/// When it is a list, of anything but one layer of a known type, or of one that is too large.
pub(crate) fn content(
    reference: &Reference,
    manifest: &[u8],
    caps: &Caps,
) -> Result<Content, Error> {
    let no_strategy = |reason: String| Error::NoStrategy {
        reference: Box::new(reference.clone()),
        reason,
    };
    let manifest = read(manifest).map_err(|unfit| match unfit {
        Unfit::List(media_type) => Error::Index {
            reference: Box::new(reference.clone()),
            media_type,
        },
        Unfit::Other(reason) => no_strategy(reason),
    })?;
    let [layer] = &manifest.layers[..] else {
        return Err(no_strategy(format!(
            "its manifest has {} layers; expected one",
            manifest.layers.len()
        )));
    };
    let kind = Kind::of_layer(&layer.media_type).ok_or_else(|| {
        no_strategy(format!(
            "its layer has the media type `{}`; expected {COMPONENT_LAYER} or {SCRIPT}",
            shown(&layer.media_type)
        ))
    })?;
    let limit = caps.of(kind);
    if layer.size > limit {
        return Err(Error::TooLarge {
            what: reference.to_string(),
            bytes: layer.size,
            limit,
        });
    }
    Ok(Content {
        kind,
        layer: layer.clone(),
    })
}

/// Why a manifest is not read.
pub(crate) enum Unfit {
    /// It is a list, of this media type.
    List(String),
    Other(String),
}

/// Reads a manifest, which must be one and no list, whatever it was announced as.
pub(crate) fn read(bytes: &[u8]) -> Result<Manifest, Unfit> {
    /// What only a list has.
    #[derive(serde::Deserialize)]
    struct List {
        #[serde(rename = "mediaType")]
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let other = |reason: String| Unfit::Other(shown(&reason));
    let list: List = serde_json::from_slice(bytes)
        .map_err(|error| other(format!("its manifest does not read: {error}")))?;
    let media_type = list.media_type.unwrap_or_else(|| MANIFEST.to_owned());
    if list.manifests.is_some() || INDEXES.contains(&media_type.as_str()) {
        return Err(Unfit::List(shown(&media_type)));
    }
    if media_type != MANIFEST {
        return Err(other(format!(
            "its manifest has the media type `{media_type}`; expected {MANIFEST}"
        )));
    }
    let manifest: Manifest = serde_json::from_slice(bytes)
        .map_err(|error| other(format!("its manifest does not read: {error}")))?;
    if manifest.schema_version != 2 {
        return Err(other(format!(
            "its manifest has the schema version {}; expected 2",
            manifest.schema_version
        )));
    }
    Ok(manifest)
}
