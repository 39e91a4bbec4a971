//! A registry that serves what a test says, good or bad.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::Person;
use crate::server::{Asked, Reply, Server, sha256};
use crate::support::{Outcome, in_repository};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const COMPONENT: &str = "application/wasm";
pub const SCRIPT: &str = "application/vnd.sc-host.strategy.rhai.v1";

/// What a registry holds of the repository `team/x`, whose tag `1` is a strategy.
#[derive(Clone)]
pub struct Shelf {
    /// By tag or digest: media type and bytes.
    pub manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// By digest.
    pub blobs: BTreeMap<String, Vec<u8>>,
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

/// The manifest of one layer.
pub fn manifest(media_type: &str, layer: &[u8]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2},
        "layers": [{"mediaType": media_type, "digest": digest(layer), "size": layer.len()}],
    })
}

impl Shelf {
    /// A strategy, as it should be.
    pub fn of(component: &[u8]) -> Shelf {
        let mut shelf = Shelf {
            manifests: BTreeMap::new(),
            blobs: BTreeMap::from([(digest(component), component.to_vec())]),
        };
        shelf.put("1", &manifest(COMPONENT, component));
        shelf
    }

    /// Puts a manifest under a tag; its digest.
    pub fn put(&mut self, tag: &str, manifest: &Value) -> String {
        self.put_bytes(tag, MANIFEST, manifest.to_string().into_bytes())
    }

    pub fn put_bytes(&mut self, tag: &str, media_type: &str, bytes: Vec<u8>) -> String {
        let digest = digest(&bytes);
        let held = (media_type.to_owned(), bytes);
        self.manifests.insert(digest.clone(), held.clone());
        self.manifests.insert(tag.to_owned(), held);
        digest
    }

    /// The digest of what a tag names.
    pub fn digest(&self, tag: &str) -> String {
        digest(&self.manifests[tag].1)
    }

    pub fn put_blob(&mut self, bytes: &[u8]) -> String {
        self.blobs.insert(digest(bytes), bytes.to_vec());
        digest(bytes)
    }

    /// Serves it; `twist` has the last word.
    pub fn serve(self, twist: impl Fn(&Asked, Reply) -> Reply + Send + 'static) -> Server {
        Server::start(move |asked| twist(asked, self.answer(asked)))
    }

    fn answer(&self, asked: &Asked) -> Reply {
        if asked.path == "/v2/" {
            return Reply::of("{}");
        }
        let Some(what) = asked.path.strip_prefix("/v2/team/x/") else {
            return Reply::status(404);
        };
        if let Some(name) = what.strip_prefix("manifests/") {
            return match self.manifests.get(name) {
                Some((media_type, bytes)) => Reply::of(bytes.clone())
                    .with("Content-Type", media_type)
                    .with("Docker-Content-Digest", digest(bytes)),
                None => Reply::status(404),
            };
        }
        let blob = what
            .strip_prefix("blobs/")
            .and_then(|name| self.blobs.get(name));
        blob.map_or(Reply::status(404), |bytes| Reply::of(bytes.clone()))
    }
}

/// Whether a layer or configuration is asked for.
pub fn is_blob(asked: &Asked) -> bool {
    asked.path.contains("/blobs/")
}

/// Host and port of a server.
pub fn host(server: &Server) -> String {
    server.endpoint().replace("http://", "")
}

/// A good strategy.
pub fn component() -> Vec<u8> {
    fs::read(in_repository("plugins/margin.wasm")).expect("a component")
}

/// A registry that holds it.
pub fn shelf() -> Shelf {
    Shelf::of(&component())
}

/// Pulls the strategy of a registry.
pub fn pull(server: &Server) -> (Person, Outcome) {
    let person = Person::new();
    let reference = format!("{}/team/x:1", host(server));
    let outcome = person.types(&["strategy", "pull", &reference, "--to", "taken.wasm"]);
    (person, outcome)
}
