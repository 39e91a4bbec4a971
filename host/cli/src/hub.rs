//! Models of the Hugging Face Hub, in the cache that its other tools use too.
//!
//! The crate hf-hub gives the names: of addresses, of the cache's folders, of what the hub answers. The
//! files are fetched here, because that crate would send the token on to whatever host a file lies on,
//! takes what comes without a look at its digest, and knows neither `HF_HUB_OFFLINE` nor `HF_HUB_CACHE`.

mod cache;
mod client;
mod download;
mod error;
mod files;
mod settings;

use std::collections::BTreeSet;
use std::path::PathBuf;

use hf_hub::Repo;

use self::cache::Store;
use self::client::{Announced, Client};
pub use self::error::HubError;
use self::files::Weights;
use self::settings::Settings;
use crate::model_reference::HubReference;
use crate::terminal::say;

/// A model as it is at one commit.
pub struct Snapshot {
    /// The folder with its files.
    pub folder: PathBuf,
    /// The commit, in 40 hexadecimal digits.
    pub commit: String,
}

/// The files of a Janus checkpoint, downloaded unless the cache has them. A whole commit that the cache
/// holds is taken without a question to the hub; what a branch or tag is now is asked for.
///
/// # Errors
/// When they can neither be had nor are in the cache, and when the repository is none of a checkpoint.
pub fn snapshot(reference: &HubReference) -> Result<Snapshot, HubError> {
    let settings = Settings::from_environment()?;
    let store = Store::new(&settings.cache, reference);
    let at = |commit: String| Snapshot {
        folder: store.snapshot(&commit),
        commit,
    };
    if let Some(commit) = reference.commit()
        && store.is_whole(commit)
    {
        return Ok(at(commit.to_owned()));
    }
    let cached = || {
        let commit = reference
            .commit()
            .map(str::to_owned)
            .or_else(|| store.last_commit());
        commit.filter(|commit| store.is_usable(commit))
    };
    if let Some(variable) = settings.offline {
        return cached().map(at).ok_or_else(|| HubError::Offline {
            reference: reference.clone(),
            cache: settings.cache.path().clone(),
            variable,
        });
    }
    let client = Client::new(&settings.endpoint, settings.token, reference)?;
    let info = match client.info(&cache::repository(reference)) {
        Ok(info) => info,
        Err(error) if error.is_passing() => {
            let Some(commit) = cached() else {
                return Err(error);
            };
            say(&format!(
                "{error}: taking {reference} as the cache has it, at {commit}"
            ));
            return Ok(at(commit));
        }
        Err(error) => return Err(error),
    };
    let files = info.siblings.into_iter().map(|sibling| sibling.rfilename);
    let order = Order {
        client: &client,
        store: &store,
        repository: cache::repository(&reference.at(&info.sha)),
        reference,
        commit: &info.sha,
        files: files.collect(),
    };
    order.fill(&settings.endpoint)?;
    if reference.commit().is_none() {
        store.note_commit(&info.sha)?;
    }
    Ok(at(info.sha))
}

/// The files of one commit that are to be in the cache.
struct Order<'a> {
    client: &'a Client,
    store: &'a Store,
    /// The repository at that commit.
    repository: Repo,
    reference: &'a HubReference,
    commit: &'a str,
    /// All that the commit has.
    files: BTreeSet<String>,
}

impl Order<'_> {
    /// Fetches the settings first: what is no checkpoint is refused before its weights come.
    fn fill(&self, endpoint: &str) -> Result<(), HubError> {
        for file in files::REQUIRED {
            self.must_have(file)?;
        }
        let weights = files::WEIGHTS
            .into_iter()
            .find(|weights| self.has(weights.file()));
        let weights = weights.ok_or_else(|| self.no_checkpoint("weights".into()))?;
        if !self.store.is_whole(self.commit) {
            say(&format!(
                "downloading {} at {} from {endpoint}",
                self.reference.repository(),
                self.commit
            ));
        }
        for file in files::OPTIONAL {
            if self.has(file) {
                self.fetch(file, true)?;
            } else {
                self.store.note_absent(self.commit, file);
            }
        }
        for file in files::REQUIRED {
            self.fetch(file, true)?;
        }
        match weights {
            Weights::Whole(file) => self.fetch(file, false),
            Weights::Shards(index) => {
                self.fetch(index, true)?;
                let shards = files::shards(&self.store.snapshot(self.commit).join(index))?;
                for shard in &shards {
                    self.must_have(shard)?;
                }
                shards.iter().try_for_each(|shard| self.fetch(shard, false))
            }
        }
    }

    fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    fn must_have(&self, file: &str) -> Result<(), HubError> {
        if self.has(file) {
            return Ok(());
        }
        Err(self.no_checkpoint(format!("`{file}`")))
    }

    fn no_checkpoint(&self, missing: String) -> HubError {
        HubError::NotJanus {
            reference: self.reference.clone(),
            missing,
        }
    }

    fn fetch(&self, file: &str, is_settings: bool) -> Result<(), HubError> {
        if self.store.snapshot(self.commit).join(file).is_file() {
            return Ok(());
        }
        let announced: Announced = self.client.announced(&self.repository, file)?;
        if is_settings && announced.size > files::MOST_SETTINGS {
            return Err(HubError::TooLarge {
                file: file.to_owned(),
                bytes: announced.size,
                limit: files::MOST_SETTINGS,
            });
        }
        download::download(self.client, self.store, &announced)?;
        self.store.link(self.commit, file, &announced.etag)
    }
}
