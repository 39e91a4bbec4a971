//! Signatures in cosign's registry format (sigstore/cosign, specs/SIGNATURE_SPEC.md): beside an artifact
//! lies, under a tag made of its digest, a manifest whose layers are what was signed, each with its signature as
//! an annotation.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::artifact::{self, Unfit};
use crate::client::Client;
use crate::digest::Digest;
use crate::error::{Error, shown};
use crate::keys::{PrivateKey, PublicKey};
use crate::manifest::{Blob, Descriptor, Manifest};
use crate::reference::{Reference, Repository};

const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const CLAIM_TYPE: &str = "cosign container image signature";
/// Most signatures of an artifact that are looked at.
const MOST_SIGNATURES: usize = 32;
/// How long others take from reading the tag of signatures to writing it.
const OTHERS_WRITE_WITHIN: Duration = Duration::from_millis(300);
/// How often a signature is written, while others write theirs.
const MOST_TRIES: usize = 8;
/// Most bytes of what one of them signs.
const MOST_PAYLOAD: u64 = 16 << 10;
/// Most bytes that all of them take in the cache.
pub(crate) const MOST_STORED: u64 = 2 << 20;

/// A signature as it came, not checked in any way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// What was signed, in base 64.
    payload: String,
    /// The signature in DER, in base 64.
    signature: String,
}

/// What is signed: "simple signing", as cosign writes it.
#[derive(Serialize, Deserialize)]
struct Payload {
    critical: Critical,
    optional: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    r#type: String,
}

#[derive(Serialize, Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    docker_reference: String,
}

#[derive(Serialize, Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: String,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is of another key, or of other bytes.
    #[error("it is of another key")]
    OtherKey,
    /// It is good, but of something else.
    #[error("it is of {0}")]
    OtherDigest(String),
    /// It is good, but of a strategy of another name.
    #[error("it is for the name `{0}`")]
    OtherName(String),
    /// What was signed is no claim about an artifact.
    #[error("what it signs does not read: {0}")]
    Payload(String),
}

impl Signature {
    /// Signs the artifact of that digest under a repository's name.
    pub(crate) fn new(key: &PrivateKey, repository: &Repository, digest: Digest) -> Signature {
        let payload = Payload {
            critical: Critical {
                identity: Identity {
                    docker_reference: repository.to_string(),
                },
                image: Image {
                    docker_manifest_digest: digest.to_string(),
                },
                r#type: CLAIM_TYPE.to_owned(),
            },
            optional: None,
        };
        let payload = serde_json::to_vec(&payload).expect("texts have a JSON form");
        Signature {
            signature: STANDARD.encode(key.sign(&payload)),
            payload: STANDARD.encode(payload),
        }
    }

    /// Whether it is of `key`, for the artifact of that digest, under the name `name`. The name counts,
    /// since else a good artifact could stand in for another of the same signer.
    ///
    /// # Errors
    /// Says why it does not count.
    pub fn check(&self, key: &PublicKey, digest: Digest, name: &str) -> Result<(), Flaw> {
        let decoded = |text: &str| STANDARD.decode(text).map_err(|_| Flaw::OtherKey);
        let (payload, signature) = (decoded(&self.payload)?, decoded(&self.signature)?);
        // Nothing is read of what was not signed.
        if !key.verifies(&payload, &signature) {
            return Err(Flaw::OtherKey);
        }
        let payload: Payload = serde_json::from_slice(&payload)
            .map_err(|error| Flaw::Payload(shown(&error.to_string())))?;
        let Critical {
            identity,
            image,
            r#type,
        } = payload.critical;
        if r#type != CLAIM_TYPE {
            return Err(Flaw::Payload(format!("its type is `{}`", shown(&r#type))));
        }
        if image.docker_manifest_digest != digest.to_string() {
            return Err(Flaw::OtherDigest(shown(&image.docker_manifest_digest)));
        }
        if !is_of(&identity.docker_reference, name) {
            return Err(Flaw::OtherName(shown(&identity.docker_reference)));
        }
        Ok(())
    }
}

/// Whether a signed reference is of the repository `name`. Some tools sign it with the tag that the
/// artifact had then.
fn is_of(signed: &str, name: &str) -> bool {
    let parsed = signed.parse::<Reference>();
    signed == name || parsed.is_ok_and(|signed| signed.repository().to_string() == name)
}

/// The tag under which the signatures of an artifact lie.
fn tag(of: Digest) -> String {
    format!("sha256-{}.sig", of.hex())
}

/// The signatures of an artifact, in a registry.
pub(crate) fn fetch(
    client: &Client,
    repository: &Repository,
    of: Digest,
) -> Result<Vec<Signature>, Error> {
    match manifest(client, repository, of)? {
        Some(manifest) => signatures(client, &manifest),
        None => Ok(Vec::new()),
    }
}

fn manifest(
    client: &Client,
    repository: &Repository,
    of: Digest,
) -> Result<Option<Manifest>, Error> {
    let Some(fetched) = client.manifest_of_tag(&tag(of))? else {
        return Ok(None);
    };
    let what = format!("{repository}:{}", tag(of));
    artifact::read(&fetched.bytes)
        .map(Some)
        .map_err(|unfit| match unfit {
            Unfit::List(media_type) => Error::answer(what, format!("it is a list ({media_type})")),
            Unfit::Other(reason) => Error::answer(what, reason),
        })
}

/// The signatures that a manifest lists. One that is not what its descriptor says is left out, so that it
/// cannot hide the others.
fn signatures(client: &Client, manifest: &Manifest) -> Result<Vec<Signature>, Error> {
    let layers = manifest.layers.iter();
    let signed = layers.filter(|layer| layer.media_type == PAYLOAD_TYPE);
    let mut found = Vec::new();
    for layer in signed.take(MOST_SIGNATURES) {
        let Some(signature) = layer.annotations.get(SIGNATURE) else {
            continue;
        };
        match client.small_blob(layer, MOST_PAYLOAD) {
            Ok(payload) => found.push(Signature {
                payload: STANDARD.encode(payload),
                signature: signature.clone(),
            }),
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => tracing::debug!("a signature is left out: {error}"),
        }
    }
    Ok(found)
}

/// Puts a signature beside those that an artifact has, unless it is there. Whoever signs at the same time writes
/// the same tag, and registries do not tell them apart: so it is looked at again when they have written.
pub(crate) fn attach(
    client: &Client,
    repository: &Repository,
    of: Digest,
    signature: &Signature,
) -> Result<(), Error> {
    let mut failed = None;
    for _ in 0..MOST_TRIES {
        match attach_once(client, repository, of, signature) {
            Ok(true) => return Ok(()),
            Ok(false) => failed = None,
            // Docker's registry finds blobs missing (400) that others are just about to link.
            Err(error) if error.is_passing() || matches!(error, Error::Status { .. }) => {
                failed = Some(error);
            }
            Err(error) => return Err(error),
        }
        // Who has read the tag before this was written writes it soon.
        let mut chance = [0];
        // Without chance two would only meet more often.
        let _ = getrandom::fill(&mut chance);
        std::thread::sleep(OTHERS_WRITE_WITHIN + Duration::from_millis(u64::from(chance[0])));
    }
    Err(failed.unwrap_or_else(|| {
        Error::answer(
            format!("{repository}:{}", tag(of)),
            "others write the signatures at the same time: try again",
        )
    }))
}

/// Whether the signature is there; else it is put there.
fn attach_once(
    client: &Client,
    repository: &Repository,
    of: Digest,
    signature: &Signature,
) -> Result<bool, Error> {
    let there = manifest(client, repository, of)?;
    if let Some(there) = &there
        && signatures(client, there)?.contains(signature)
    {
        return Ok(true);
    }
    let others = there.map(|there| there.layers).unwrap_or_default();
    put(client, repository, of, signature, others)?;
    Ok(false)
}

/// Writes the manifest of an artifact's signatures, the new one before the others.
fn put(
    client: &Client,
    repository: &Repository,
    of: Digest,
    signature: &Signature,
    others: Vec<Descriptor>,
) -> Result<(), Error> {
    let bytes = STANDARD
        .decode(&signature.payload)
        .map_err(|error| Error::answer(repository, error))?;
    let mut payload = Blob::of(PAYLOAD_TYPE, bytes);
    payload.descriptor = payload
        .descriptor
        .annotated(SIGNATURE, signature.signature.clone());
    let mut layers = vec![payload.descriptor.clone()];
    layers.extend(others);
    // Readers of images expect a configuration that lists the layers.
    let listed: Vec<String> = layers
        .iter()
        .map(|layer| layer.digest.to_string())
        .collect();
    let config = serde_json::json!({
        "architecture": "",
        "config": {},
        "created": "0001-01-01T00:00:00Z",
        "history": vec![serde_json::json!({"created": "0001-01-01T00:00:00Z"}); layers.len()],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": listed},
    });
    let config = Blob::of(CONFIG_TYPE, config.to_string().into_bytes());
    client.put_blob(&payload)?;
    client.put_blob(&config)?;
    let manifest = Manifest::of(config.descriptor, layers);
    let bytes = serde_json::to_vec(&manifest).map_err(|error| Error::answer(repository, error))?;
    client.put_manifest(&tag(of), &bytes)?;
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::keys::NewPair;

    fn pair() -> PrivateKey {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), NewPair::generate(b"x").unwrap().private).unwrap();
        PrivateKey::read::<Error>(file.path(), || Ok(b"x".to_vec())).unwrap()
    }

    fn repository(text: &str) -> Repository {
        let reference: Reference = text.parse().unwrap();
        reference.repository().clone()
    }

    #[test]
    fn a_signature_counts_for_its_key_digest_and_name_alone() {
        let (key, other) = (pair(), pair());
        let (name, digest) = (repository("a.b/team/x"), Digest::of(b"manifest"));
        let signature = Signature::new(&key, &name, digest);
        let public = key.public();
        assert_eq!(signature.check(&public, digest, "a.b/team/x"), Ok(()));
        assert_eq!(
            signature.check(&other.public(), digest, "a.b/team/x"),
            Err(Flaw::OtherKey)
        );
        let elsewhere = Digest::of(b"another");
        assert_eq!(
            signature.check(&public, elsewhere, "a.b/team/x"),
            Err(Flaw::OtherDigest(digest.to_string()))
        );
        assert_eq!(
            signature.check(&public, digest, "a.b/team/y"),
            Err(Flaw::OtherName("a.b/team/x".into()))
        );
        for (signed, name, expected) in [
            ("a.b/team/x", "a.b/team/x", true),
            ("a.b/team/x:1", "a.b/team/x", true),
            ("a.b/team/x:1", "a.b/team/x:1", true),
            ("a.b/team/xy", "a.b/team/x", false),
            ("a.b/team", "a.b/team/x", false),
            ("team/x", "a.b/team/x", false),
            ("", "a.b/team/x", false),
        ] {
            assert_eq!(is_of(signed, name), expected, "{signed} {name}");
        }
        // What is signed is as cosign writes it, field by field.
        let payload = STANDARD.decode(&signature.payload).unwrap();
        assert_eq!(
            String::from_utf8(payload).unwrap(),
            format!(
                "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"a.b/team/x\"}},\"image\":\
                 {{\"docker-manifest-digest\":\"{digest}\"}},\"type\":\"cosign container image signature\"}},\
                 \"optional\":null}}"
            )
        );
    }

    #[test]
    fn what_is_signed_must_be_a_claim() {
        let key = pair();
        for payload in ["", "{}", "[]", "{\"critical\":{\"type\":\"x\"}}"] {
            let signature = Signature {
                payload: STANDARD.encode(payload),
                signature: STANDARD.encode(key.sign(payload.as_bytes())),
            };
            let outcome = signature.check(&key.public(), Digest::of(b""), "a.b/x");
            assert!(matches!(outcome, Err(Flaw::Payload(_))), "{payload}");
        }
        for signature in ["", "!", "AAAA"] {
            let signature = Signature {
                payload: String::new(),
                signature: signature.to_owned(),
            };
            let outcome = signature.check(&key.public(), Digest::of(b""), "a.b/x");
            assert_eq!(outcome, Err(Flaw::OtherKey));
        }
    }
}
