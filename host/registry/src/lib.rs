//! Strategies in the OCI registries that teams already have: pushed, pulled, pinned and signed.
//!
//! A strategy is an artifact of one manifest and one layer ([`pack`]); [`Registries`] moves it, through a
//! [`Cache`] in which everything is named by its digest. A [`Lock`] says which digest a name stands for, a
//! [`Policy`] whose signature it takes to run it. Nothing that a registry says is believed that a digest or
//! a signature does not show, and none of it becomes a file's name.
//!
//! Deliberately absent: what a strategy is and does. Here it is bytes.

pub mod address;
mod artifact;
mod cache;
mod client;
mod digest;
mod error;
mod keys;
mod lock;
mod manifest;
mod policy;
mod reference;
mod registries;
mod signature;

pub use artifact::{About, Caps, Kind, Packed, pack};
pub use cache::{Cache, Pruned};
pub use client::{Access, Redirect};
pub use digest::{Digest, NoDigest};
pub use error::Error;
pub use keys::{NewPair, PrivateKey, PublicKey};
pub use lock::{Entry, LOCK_FILE, Lock};
pub use policy::{Policy, Standing, TRUST_FILE, Trust, checked};
pub use reference::{NoReference, Reference, Repository, is_host};
pub use registries::{Pulled, Registries};
pub use signature::{Flaw, Signature};
