//! Credentials, as `docker login` leaves them: in `config.json`, or with the helpers that it names.

use std::fs;
use std::io;
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};

use crate::error::{Error, shown};

/// The name under which Docker keeps the credentials of its own hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Most bytes of Docker's configuration.
const MOST_CONFIG: u64 = 4 << 20;

/// Who asks.
pub(super) enum Credentials {
    Password {
        user: String,
        password: String,
    },
    /// A token that stands for a session with the registry's authorization server.
    Identity(String),
}

impl Credentials {
    /// Who it is, as messages say it.
    pub(super) fn user(&self) -> &str {
        match self {
            Credentials::Password { user, .. } => user,
            Credentials::Identity(_) => "an identity token",
        }
    }

    /// What Docker's configuration has for a registry; none where it has nothing.
    ///
    /// # Errors
    /// When the configuration cannot be read, or a helper that it names fails.
    pub(super) fn of(host: &str) -> Result<Option<Credentials>, Error> {
        let Some(path) = config_file() else {
            return Ok(None);
        };
        let text = match fs::metadata(&path) {
            Ok(found) if found.is_file() && found.len() <= MOST_CONFIG => {
                fs::read(&path).map_err(Error::io("read", &path))?
            }
            Ok(_) => {
                let reason = format!("expected a file of at most {MOST_CONFIG} bytes");
                return Err(Error::settings(&path, reason));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let server = match host {
            "docker.io" => DOCKER_HUB,
            host => host,
        };
        match get_credential_from_reader(text.as_slice(), server) {
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                // What some registries' own tools write for a token of an account without a name.
                if user == "<token>" {
                    return Ok(Some(Credentials::Identity(password)));
                }
                Ok(Some(Credentials::Password { user, password }))
            }
            Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credentials::Identity(token))),
            Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
            // A helper that has nothing for this registry says so by failing.
            Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
                if format!("{stdout}{stderr}").contains("credentials not found") =>
            {
                Ok(None)
            }
            Err(error) => {
                let reason = match &error {
                    // What a helper has printed beside may be the secret.
                    CredentialRetrievalError::HelperFailure { helper, stderr, .. } => {
                        format!("the helper `{helper}` fails: {stderr}")
                    }
                    other => other.to_string(),
                };
                Err(Error::Credentials {
                    host: host.to_owned(),
                    reason: format!("`{}`: {}", path.display(), shown(&reason)),
                })
            }
        }
    }
}

/// Where Docker keeps its configuration.
fn config_file() -> Option<PathBuf> {
    let folder = match std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => etcetera::home_dir().ok()?.join(".docker"),
    };
    Some(folder.join("config.json"))
}
