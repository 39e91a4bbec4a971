//! Asking the hub. Redirects are followed here, one by one: files come from other hosts than the hub
//! itself, and the token is for the hub alone.

use std::io::Read as _;
use std::time::Duration;

use hf_hub::Repo;
use hf_hub::api::RepoInfo;
use sc_registry::address::{Origin, authority, is_redirect, joined, keeps_encryption};
use serde::de::DeserializeOwned;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, ETAG, HeaderName, LOCATION, RANGE,
};
use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, Body};

use super::error::HubError;
use crate::model_reference::{HubReference, is_commit};

/// How long a connection may take, and how long nothing may come over it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Redirects that are followed for one file.
const MOST_REDIRECTS: usize = 10;
/// Most bytes of what the hub says of a repository: the largest have some ten thousand files.
const MOST_INFO: u64 = 16 << 20;
/// Most characters of a server's words in a message.
const MOST_SHOWN: usize = 200;

const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// The hub, as one user sees it.
pub struct Client {
    agent: Agent,
    endpoint: String,
    origin: Origin,
    token: Option<String>,
    reference: HubReference,
}

/// A file of the repository, before it is downloaded.
pub struct Announced {
    pub file: String,
    /// Its name in the cache.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// The SHA-256 in hexadecimal digits, of files that lie in large file storage.
    pub sha256: Option<String>,
    address: Uri,
}

/// How a request asks.
enum Method {
    Head,
    /// The whole file, or what comes from a byte on.
    Get(u64),
}

impl Client {
    pub fn new(
        endpoint: &str,
        token: Option<String>,
        reference: &HubReference,
    ) -> Result<Client, HubError> {
        let config = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_resolve(Some(PATIENCE))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .user_agent(concat!("sc-host/", env!("CARGO_PKG_VERSION")));
        let origin = address(endpoint, endpoint)?;
        Ok(Client {
            agent: config.build().into(),
            endpoint: endpoint.to_owned(),
            origin: Origin::of(&origin),
            token,
            reference: reference.clone(),
        })
    }

    /// The commit that the revision is now, and the files it has.
    ///
    /// # Errors
    /// When the hub has no such model or revision, does not show it, or is out of reach.
    pub fn info(&self, repository: &Repo) -> Result<RepoInfo, HubError> {
        let what = self.reference.to_string();
        let url = format!("{}/api/{}", self.endpoint, repository.api_url());
        let answer = self.follow(&Method::Get(0), address(&url, &what)?, &what)?;
        let info: RepoInfo = json(self.successful(answer, &what)?, &what)?;
        if !is_commit(&info.sha) || self.reference.commit().is_some_and(|sha| sha != info.sha) {
            return Err(HubError::answer(
                &what,
                format!("it is of the commit `{}`", shortened(&info.sha)),
            ));
        }
        Ok(info)
    }

    /// What the hub says of a file at the commit that `repository` names.
    ///
    /// # Errors
    /// When the hub does not give it, or says too little of it.
    pub fn announced(&self, repository: &Repo, file: &str) -> Result<Announced, HubError> {
        let path = format!("{}/resolve/{}", repository.url(), repository.url_revision());
        let url = format!("{}/{path}/{file}", self.endpoint);
        let address = address(&url, file)?;
        let answer = self.follow(&Method::Head, address.clone(), file)?;
        let status = answer.status();
        let answer = if status.is_redirection() {
            answer
        } else {
            self.successful(answer, file)?
        };
        let header = |name: &HeaderName| answer.headers().get(name)?.to_str().ok();
        let linked = header(&LINKED_ETAG)
            .map(|etag| plain_etag(etag, file))
            .transpose()?;
        let etag = match (&linked, header(&ETAG)) {
            (Some(etag), _) => etag.clone(),
            (None, Some(etag)) => plain_etag(etag, file)?,
            (None, None) => return Err(HubError::answer(file, "it has no ETag")),
        };
        // The length of a redirect is not that of the file.
        let length = (!status.is_redirection())
            .then(|| header(&CONTENT_LENGTH))
            .flatten();
        let size = header(&LINKED_SIZE)
            .or(length)
            .and_then(|size| size.parse().ok())
            .ok_or_else(|| HubError::answer(file, "it does not say how large the file is"))?;
        Ok(Announced {
            file: file.to_owned(),
            etag,
            size,
            sha256: linked.filter(|etag| is_sha256(etag)),
            address,
        })
    }

    /// The file from byte `start` on, or from its beginning if the server has it so: the status says which.
    ///
    /// # Errors
    /// When the server does not give it or is out of reach.
    pub fn open(&self, file: &Announced, start: u64) -> Result<Response<Body>, HubError> {
        let answer = self.follow(&Method::Get(start), file.address.clone(), &file.file)?;
        if start > 0 && answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(answer);
        }
        self.successful(answer, &file.file)
    }

    /// Asks, and asks again wherever the answer points to. A `HEAD` stays with the hub: where it points
    /// elsewhere for a file, it has told all that there is to know of it.
    fn follow(&self, method: &Method, from: Uri, what: &str) -> Result<Response<Body>, HubError> {
        let mut place = from;
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.ask(method, &place)?;
            if !is_redirect(answer.status()) {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION);
            let next = location
                .and_then(|location| joined(&place, location.to_str().ok()?))
                // Never from an encrypted connection to one that is not.
                .filter(|next| keeps_encryption(&place, next))
                .ok_or_else(|| HubError::answer(what, "it points to no usable address"))?;
            let told = answer.headers().contains_key(LINKED_ETAG) || !self.is_hub(&next);
            if matches!(method, Method::Head) && told {
                return Ok(answer);
            }
            place = next;
        }
        Err(HubError::answer(
            what,
            format!("it points elsewhere more than {MOST_REDIRECTS} times"),
        ))
    }

    fn ask(&self, method: &Method, place: &Uri) -> Result<Response<Body>, HubError> {
        let mut request = match method {
            Method::Head => self.agent.head(place),
            Method::Get(_) => self.agent.get(place),
        };
        // What is compressed on the way has neither the length nor the ranges of the file.
        request = request.header(ACCEPT_ENCODING, "identity");
        if let Method::Get(start @ 1..) = method {
            request = request.header(RANGE, format!("bytes={start}-"));
        }
        if let Some(token) = self.token.as_ref().filter(|_| self.is_hub(place)) {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        request.call().map_err(|error| HubError::Unreachable {
            host: authority(place),
            reason: shortened(&error.to_string()),
        })
    }

    fn is_hub(&self, place: &Uri) -> bool {
        Origin::of(place) == self.origin
    }

    /// The answer, if it is a success; else what it means.
    fn successful(&self, answer: Response<Body>, what: &str) -> Result<Response<Body>, HubError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let code = answer
            .headers()
            .get(ERROR_CODE)
            .and_then(|code| code.to_str().ok());
        let repository = self.reference.repository();
        let token = self.token.is_some();
        let (status, what) = (status.as_u16(), what.to_owned());
        Err(match (code, status) {
            (Some("RevisionNotFound"), _) => HubError::NoRevision {
                reference: self.reference.clone(),
            },
            (Some("GatedRepo"), _) => HubError::Gated {
                repository: repository.to_owned(),
                page: format!("{}/{repository}", self.endpoint),
                status,
                token,
            },
            (Some("RepoNotFound"), _) | (None, 404) => HubError::NoRepository {
                endpoint: self.endpoint.clone(),
                repository: repository.to_owned(),
                token,
            },
            (_, 401 | 403) => HubError::Refused {
                what,
                status,
                token,
            },
            _ => HubError::Status {
                host: self.endpoint.clone(),
                what,
                status,
            },
        })
    }
}

fn address(text: &str, what: &str) -> Result<Uri, HubError> {
    text.parse()
        .map_err(|_| HubError::answer(what, format!("`{}` is no address", shortened(text))))
}

/// An ETag as the name of a file in the cache, which must be one.
fn plain_etag(etag: &str, file: &str) -> Result<String, HubError> {
    let name = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=128).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(name.to_owned());
    }
    Err(HubError::answer(
        file,
        format!("its ETag `{}` is no plain name", shortened(etag)),
    ))
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn json<T: DeserializeOwned>(answer: Response<Body>, what: &str) -> Result<T, HubError> {
    let mut bytes = Vec::new();
    let mut body = answer.into_body().into_reader().take(MOST_INFO + 1);
    body.read_to_end(&mut bytes)
        .map_err(|error| HubError::answer(what, shortened(&error.to_string())))?;
    if bytes.len() as u64 > MOST_INFO {
        let reason = format!("it has more than {MOST_INFO} bytes");
        return Err(HubError::answer(what, reason));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| HubError::answer(what, shortened(&error.to_string())))
}

/// The start of what a server wrote.
pub(super) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(MOST_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_etag_is_a_plain_name_or_refused(etag in "(W/)?\"?[ -~]{0,40}\"?") {
            if let Ok(name) = plain_etag(&etag, "file") {
                prop_assert!(!name.contains(['.', '/', '\\', ':', '"']) && !name.is_empty());
            }
        }
    }
}
