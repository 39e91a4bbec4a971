//! Strategies whose files change while a run goes on.

use std::slice::from_mut;
use std::sync::Arc;

use sc_core::role::Role;

use crate::error::LoadError;
use crate::grant::Grants;
use crate::request::Requested;
use crate::set::{Loaded, OfRole, StrategySet, fill};
use crate::slot::{Identity, Slot};
use crate::wasm::Runtime;

/// What became of a file that changed.
#[derive(Debug)]
pub enum Refreshed {
    /// It decides from now on.
    Taken {
        /// Where, and who it is now.
        place: (Role, Identity),
        /// Digest of the version before.
        before: Option<String>,
    },
    /// It cannot be used: the version before goes on deciding.
    Kept {
        /// Where it would decide, and who goes on deciding there.
        places: Vec<(Role, Identity)>,
        /// What is wrong with it.
        error: LoadError,
    },
}

impl StrategySet {
    /// Looks at every strategy's file, and takes those that have changed since it was last looked
    /// at. One that cannot be used changes nothing, and is told of once.
    pub fn refresh(&mut self, runtime: &Runtime) -> Vec<Refreshed> {
        let mut outcome = Vec::new();
        for at in 0..self.sources.len() {
            let file = &mut self.sources[at];
            let found = match runtime.digest_of(&file.path) {
                Ok(found) => found,
                // What is wrong stands for the digest, so that each fault is told of once.
                Err(error) => {
                    let fault = error.to_string();
                    if file.seen != fault {
                        file.seen = fault;
                        let path = file.path.clone();
                        outcome.push(self.kept(&path, error));
                    }
                    continue;
                }
            };
            if found == file.seen {
                continue;
            }
            file.seen = found;
            let path = file.path.clone();
            match self.take(&path, runtime) {
                Ok(mut taken) => outcome.append(&mut taken),
                Err(error) => outcome.push(self.kept(&path, error)),
            }
        }
        outcome
    }

    fn kept(&self, path: &str, error: LoadError) -> Refreshed {
        let places = self
            .identities()
            .into_iter()
            .filter(|(_, identity)| identity.source == path)
            .map(|(role, identity)| (role, identity.clone()))
            .collect();
        Refreshed::Kept { places, error }
    }

    /// Puts what `path` holds now into all places that it fills; into none if it fails for one.
    fn take(&mut self, path: &str, runtime: &Runtime) -> Result<Vec<Refreshed>, LoadError> {
        let loaded = Loaded::load(&Requested::named(path), runtime)?;
        let grants = self.request.grants.clone();
        let source = Source {
            loaded: &loaded,
            path,
            grants: &grants,
            runtime,
        };
        let changes = [
            source.changes(from_mut(&mut self.curriculum))?,
            source.changes(&mut self.data_filters)?,
            source.changes(from_mut(&mut self.pair_selection))?,
            source.changes(&mut self.quality_gates)?,
        ];
        Ok(changes
            .into_iter()
            .flatten()
            .map(|change| change())
            .collect())
    }
}

/// A changed file.
struct Source<'a> {
    loaded: &'a Loaded,
    path: &'a str,
    grants: &'a Grants,
    runtime: &'a Runtime,
}

type Change<'a> = Box<dyn FnOnce() -> Refreshed + 'a>;

impl Source<'_> {
    /// The changes to those of `slots` that it fills, ready to be made.
    fn changes<'s, S: OfRole + ?Sized>(
        &self,
        slots: &'s mut [Slot<S>],
    ) -> Result<Vec<Change<'s>>, LoadError> {
        let mut changes: Vec<Change<'s>> = Vec::new();
        for slot in slots {
            if slot.identity().source != self.path {
                continue;
            }
            if !self.loaded.roles().contains(&S::ROLE) {
                return Err(LoadError::OtherRole {
                    path: self.path.to_owned(),
                    role: S::ROLE,
                });
            }
            let new = fill::<S>(
                self.loaded,
                self.path,
                &slot.given,
                self.grants,
                self.runtime,
            )?;
            if new.identity.digest == slot.identity().digest {
                // Back to what decides already.
                continue;
            }
            changes.push(Box::new(move || {
                let before = Arc::clone(&slot.current);
                slot.replace(new);
                Refreshed::Taken {
                    place: (S::ROLE, slot.identity().clone()),
                    before: before.identity.digest.clone(),
                }
            }));
        }
        Ok(changes)
    }
}
