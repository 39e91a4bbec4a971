//! Strategies whose files change while a run goes on.

use std::slice::from_mut;
use std::sync::Arc;

use sc_core::role::Role;

use crate::error::LoadError;
use crate::grant::Grants;
use crate::request::Requested;
use crate::set::{Loaded, OfRole, StrategySet, fill};
use crate::slot::Slot;
use crate::wasm::{Runtime, digest_of};

/// What became of a file that changed.
#[derive(Debug)]
pub enum Refreshed {
    /// It decides from now on.
    Taken {
        /// The role.
        role: Role,
        /// The strategy's name.
        name: String,
        /// Digest of the version before.
        before: Option<String>,
        /// Digest of the version that decides now.
        now: Option<String>,
    },
    /// It cannot be used: the version before goes on deciding.
    Kept {
        /// The file.
        source: String,
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
            let found = match digest_of(&file.path, runtime.limits()) {
                Ok(found) => found,
                // Told of once too: an absent file has no digest.
                Err(error) => {
                    if !std::mem::take(&mut file.seen).is_empty() {
                        outcome.push(Refreshed::Kept {
                            source: file.path.clone(),
                            error,
                        });
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
                Err(error) => outcome.push(Refreshed::Kept {
                    source: path,
                    error,
                }),
            }
        }
        outcome
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
        Ok(changes.into_iter().flatten().map(|change| change()).collect())
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
            let new = fill::<S>(self.loaded, self.path, &slot.given, self.grants, self.runtime)?;
            if new.identity.digest == slot.identity().digest {
                // Back to what decides already.
                continue;
            }
            changes.push(Box::new(move || {
                let before = Arc::clone(&slot.current);
                slot.replace(new);
                Refreshed::Taken {
                    role: S::ROLE,
                    name: slot.identity().name.clone(),
                    before: before.identity.digest.clone(),
                    now: slot.identity().digest.clone(),
                }
            }));
        }
        Ok(changes)
    }
}
