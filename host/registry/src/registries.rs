//! What can be done with strategies in registries: pull, push, sign, look at signatures. Each repository
//! gets one client, and what comes goes through the cache.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::artifact::{Caps, Content, Kind, Packed, content};
use crate::cache::Cache;
use crate::client::{Access, Client, MOST_MANIFEST};
use crate::digest::Digest;
use crate::error::Error;
use crate::keys::PrivateKey;
use crate::reference::{Reference, Repository};
use crate::signature::{self, MOST_STORED, Signature};

/// All registries, as one user sees them.
pub struct Registries {
    cache: Cache,
    access: Access,
    caps: Caps,
    offline: bool,
    clients: RefCell<BTreeMap<Repository, Rc<Client>>>,
}

/// A strategy that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Its name with the digest of its manifest.
    pub reference: Reference,
    /// The digest of its manifest.
    pub digest: Digest,
    /// What it is written in.
    pub kind: Kind,
    /// Its file: the bytes whose digest was checked.
    pub bytes: Vec<u8>,
    /// Whether the cache had it.
    pub from_cache: bool,
}

impl Registries {
    /// Registries behind a cache; when `offline`, the cache alone.
    pub fn new(cache: Cache, access: Access, caps: Caps, offline: bool) -> Registries {
        Registries {
            cache,
            access,
            caps,
            offline,
            clients: RefCell::default(),
        }
    }

    /// Whether the network may not be used.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// The digest that a reference stands for now: its own, or that which its tag names.
    ///
    /// # Errors
    /// When the tag is not there, or the registry cannot be asked.
    pub fn resolve(&self, reference: &Reference) -> Result<Digest, Error> {
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Ok(digest),
            (None, _) if self.offline => Err(Error::OfflineTag {
                reference: Box::new(reference.clone()),
            }),
            (None, tag) => {
                let client = self.client(reference)?;
                client
                    .resolve(tag.unwrap_or_default())?
                    .ok_or_else(|| Error::NotFound {
                        what: reference.to_string(),
                    })
            }
        }
    }

    /// The strategy of that digest, from the cache or the registry; `progress` is told how many of how
    /// many bytes have come.
    ///
    /// # Errors
    /// When it cannot be had, is no strategy, too large, or not what its digests say.
    pub fn pull(
        &self,
        reference: &Reference,
        digest: Digest,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Pulled, Error> {
        let reference = reference.pinned(digest);
        let artifact = reference.repository().at(digest);
        let found = self.cached(&reference, digest)?;
        // Bytes that came under another name are this registry's only if it has them too.
        if let Some(found) = &found
            && self.cache.has_come_as(&artifact)
        {
            return Ok(found.clone());
        }
        if self.offline {
            return Err(Error::NotCached {
                reference: Box::new(reference),
            });
        }
        let client = self.client(&reference)?;
        let fetched = client.manifest(digest)?;
        if let Some(found) = found {
            remark(self.cache.note_name(&artifact));
            return Ok(found);
        }
        let Content { kind, layer } = content(&reference, &fetched.bytes, &self.caps)?;
        let mut bytes = Vec::new();
        client.blob(&layer, &mut |piece| {
            bytes.extend_from_slice(piece);
            progress(bytes.len() as u64, layer.size);
        })?;
        // The name comes last: where it is, the rest is.
        let kept = self
            .cache
            .keep(layer.digest, &bytes)
            .and_then(|()| self.cache.keep(digest, &fetched.bytes))
            .and_then(|()| self.cache.note_name(&artifact));
        remark(kept);
        Ok(Pulled {
            reference,
            digest,
            kind,
            bytes,
            from_cache: false,
        })
    }

    fn cached(&self, reference: &Reference, digest: Digest) -> Result<Option<Pulled>, Error> {
        let Some(manifest) = self.cache.read(digest, MOST_MANIFEST) else {
            return Ok(None);
        };
        let Content { kind, layer } = content(reference, &manifest, &self.caps)?;
        let Some(bytes) = self.cache.read(layer.digest, layer.size) else {
            return Ok(None);
        };
        Ok(Some(Pulled {
            reference: reference.clone(),
            digest,
            kind,
            bytes,
            from_cache: true,
        }))
    }

    /// The signatures of an artifact, not checked in any way: what the cache has, if anything, and is
    /// enough for `good`; else what the registry has.
    ///
    /// # Errors
    /// When the registry cannot be asked. What the cache has must do when it is only out of reach.
    pub fn signatures(
        &self,
        reference: &Reference,
        digest: Digest,
        good: impl Fn(&[Signature]) -> bool,
    ) -> Result<Vec<Signature>, Error> {
        let artifact = reference.repository().at(digest);
        let kept = self.cache.signatures(&artifact, MOST_STORED);
        let kept: Option<Vec<Signature>> =
            kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(kept) = &kept
            && (self.offline || good(kept))
        {
            return Ok(kept.clone());
        }
        if self.offline {
            return Ok(Vec::new());
        }
        let fetched = self
            .client(reference)
            .and_then(|client| signature::fetch(&client, reference.repository(), digest));
        match (fetched, kept) {
            (Ok(fetched), _) => {
                let json = serde_json::to_vec(&fetched)
                    .map_err(|error| Error::answer(reference, error))?;
                remark(self.cache.keep_signatures(&artifact, &json));
                Ok(fetched)
            }
            (Err(error), Some(kept)) if error.is_passing() => Ok(kept),
            (Err(error), _) => Err(error),
        }
    }

    /// Pushes a strategy under a tag.
    ///
    /// # Errors
    /// When the registry refuses or is out of reach.
    pub fn push(&self, reference: &Reference, packed: &Packed) -> Result<Digest, Error> {
        let client = self.client(reference)?;
        client.put_blob(&packed.config)?;
        client.put_blob(&packed.layer)?;
        let tag = reference.tag().unwrap_or_default();
        client.put_manifest(tag, &packed.manifest)
    }

    /// Signs the artifact of that digest, which the registry must have, and leaves the signature beside it.
    ///
    /// # Errors
    /// When the registry does not have the artifact, refuses or is out of reach.
    pub fn sign(
        &self,
        reference: &Reference,
        digest: Digest,
        key: &PrivateKey,
    ) -> Result<(), Error> {
        let client = self.client(reference)?;
        client.manifest(digest)?;
        let repository = reference.repository();
        let signature = Signature::new(key, repository, digest);
        signature::attach(&client, repository, digest, &signature)
    }

    fn client(&self, reference: &Reference) -> Result<Rc<Client>, Error> {
        if self.offline {
            return Err(Error::Offline {
                reference: Box::new(reference.clone()),
            });
        }
        let repository = reference.repository();
        if let Some(client) = self.clients.borrow().get(repository) {
            return Ok(Rc::clone(client));
        }
        let client = Rc::new(Client::new(repository, &self.access)?);
        self.clients
            .borrow_mut()
            .insert(repository.clone(), Rc::clone(&client));
        Ok(client)
    }
}

/// What has come is used, also where it cannot be kept.
fn remark(kept: Result<(), Error>) {
    if let Err(error) = kept {
        tracing::warn!("the cache keeps nothing of it: {error}");
    }
}
