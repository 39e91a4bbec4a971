//! A place that a strategy fills, and what stands ready when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::request::OnFailure;

/// Who fills a role, as the run directory records it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// `builtin:NAME`, or the name that the strategy gives itself (a script: its file's stem).
    pub name: String,
    /// What was asked for: a path, or `builtin:NAME`.
    pub source: String,
    /// The strategy's version.
    pub version: String,
    /// `sha256:HEX` of the file; none for a builtin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The value of each parameter.
    #[serde(default)]
    pub parameters: BTreeMap<String, serde_json::Value>,
}

/// A strategy with its settings.
pub struct Filled<S: ?Sized> {
    /// Who it is.
    pub identity: Identity,
    /// What it does. Its answers are checked.
    pub strategy: Box<S>,
}

/// The place of one strategy in a run: what is asked, and in its stead when it fails.
pub struct Slot<S: ?Sized> {
    pub(crate) current: Arc<Filled<S>>,
    /// The last version before the current one that answered in this run.
    pub(crate) last_good: Option<Arc<Filled<S>>>,
    /// What decides when nothing else does; none where the role's other strategies do.
    pub(crate) builtin: Option<Arc<Filled<S>>>,
    pub(crate) on_failure: OnFailure,
    /// What its parameters were given, by name, as typed.
    pub(crate) given: Vec<(String, String)>,
    /// Whether the current version has answered.
    pub(crate) proved: bool,
}

impl<S: ?Sized> Slot<S> {
    /// Who fills it now.
    pub fn identity(&self) -> &Identity {
        &self.current.identity
    }

    /// What fills it now.
    pub fn strategy(&self) -> &S {
        &self.current.strategy
    }

    /// What happens when it fails.
    pub fn on_failure(&self) -> OnFailure {
        self.on_failure
    }

    /// Those to ask, in order, until one answers. When none does, the run stops if that is the
    /// policy; else the place is left out this time.
    pub fn line_up(&self) -> Vec<Arc<Filled<S>>> {
        let mut line = vec![Arc::clone(&self.current)];
        if self.on_failure == OnFailure::LastGood {
            line.extend(self.last_good.clone());
        }
        if self.on_failure != OnFailure::Stop {
            line.extend(self.builtin.clone());
        }
        line
    }

    /// Notes that the current version answered.
    pub fn answered(&mut self) {
        self.proved = true;
    }

    /// Puts another version in its place.
    pub(crate) fn replace(&mut self, new: Filled<S>) {
        let old = std::mem::replace(&mut self.current, Arc::new(new));
        if self.proved {
            self.last_good = Some(old);
        }
        self.proved = false;
    }
}
