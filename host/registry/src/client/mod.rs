//! A registry, by the few requests of the distribution protocol that are needed here
//! (opencontainers/distribution-spec).

mod auth;
mod credentials;
mod http;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use ureq::Body;
use ureq::http::header::{HeaderName, WWW_AUTHENTICATE};
use ureq::http::{Method, Response, StatusCode, Uri};

use self::auth::Demand;
use self::credentials::Credentials;
use self::http::{Answer, Ask, Http};
use crate::address::{Origin, is_loopback};
use crate::digest::Digest;
use crate::error::{Error, shown};
use crate::manifest::{Blob, Descriptor, INDEXES, MANIFEST};
use crate::reference::{Reference, Repository};

/// Most bytes of a manifest.
pub(crate) const MOST_MANIFEST: u64 = 256 << 10;
/// What is asked for: a list is taken note of, to say what it is.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";
/// What a registry says the digest of its answer is.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;

/// What was allowed beyond what is always.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Hosts, with their ports where they have one, that may be asked without encryption; this machine
    /// itself may always be.
    pub plain_http: Vec<String>,
    /// Where registries may point to.
    pub redirects: Vec<Redirect>,
    /// A PEM file with the authorities that alone are trusted, in the place of the usual ones.
    pub certificates: Option<PathBuf>,
}

/// A host that a registry may point to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The registry; none: any.
    pub from: Option<String>,
    /// The host, with its port where it has one.
    pub to: String,
}

impl Access {
    /// The hosts that the registry at `host` may point to.
    fn redirects_of(&self, host: &str) -> Vec<String> {
        let of_it = self.redirects.iter().filter(|redirect| {
            let from = redirect.from.as_deref();
            from.is_none_or(|from| from == host)
        });
        of_it.map(|redirect| redirect.to.clone()).collect()
    }
}

/// What is done in a repository.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    Pull,
    Push,
}

impl Right {
    fn actions(self) -> &'static str {
        match self {
            Right::Pull => "pull",
            Right::Push => "pull,push",
        }
    }
}

/// A manifest as it came.
pub(crate) struct Fetched {
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
}

/// A repository of a registry, as one user sees it.
pub(crate) struct Client {
    http: Http,
    base: String,
    /// The server that credentials are for.
    origin: Origin,
    repository: Repository,
    /// Looked up when the registry first asks for it.
    credentials: RefCell<Option<Option<Credentials>>>,
    authorizations: RefCell<BTreeMap<Right, String>>,
}

impl Client {
    /// A client for a repository. Whether a registry on this machine speaks TLS is found out here; of
    /// any other, TLS is expected.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub(crate) fn new(repository: &Repository, access: &Access) -> Result<Client, Error> {
        let host = repository.host();
        let http = Http::new(access, host)?;
        let server = match host {
            "docker.io" => "registry-1.docker.io",
            host => host,
        };
        let is_plain = access.plain_http.iter().any(|plain| plain == host)
            || (is_loopback(host) && !speaks_tls(&http, host)?);
        let scheme = if is_plain { "http" } else { "https" };
        let base = format!("{scheme}://{server}/v2/");
        let address: Uri = base
            .parse()
            .map_err(|_| Error::answer(host, "it is no address"))?;
        Ok(Client {
            http,
            origin: Origin::of(&address),
            base,
            repository: repository.clone(),
            credentials: RefCell::default(),
            authorizations: RefCell::default(),
        })
    }

    /// The digest of the manifest that a tag names now; none where there is no such tag.
    ///
    /// # Errors
    /// When the registry refuses, is out of reach or answers nonsense.
    pub(crate) fn resolve(&self, tag: &str) -> Result<Option<Digest>, Error> {
        let what = format!("{}:{tag}", self.repository);
        let answer = self.exchange(
            Right::Pull,
            Method::HEAD,
            &format!("manifests/{tag}"),
            &what,
        )?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = self.successful(answer, &what)?;
        match http::header(&answer, &CONTENT_DIGEST) {
            Some(digest) => digest
                .parse()
                .map(Some)
                .map_err(|error| Error::answer(&what, format!("its digest: {error}"))),
            // Not every registry says it; the manifest itself tells.
            None => Ok(self.manifest_by(tag, &what)?.map(|fetched| fetched.digest)),
        }
    }

    /// The manifest that a tag names; none where there is no such tag.
    ///
    /// # Errors
    /// When it is a list, too large, or not what the registry says of it.
    pub(crate) fn manifest_of_tag(&self, tag: &str) -> Result<Option<Fetched>, Error> {
        self.manifest_by(tag, &format!("{}:{tag}", self.repository))
    }

    /// The manifest of that digest.
    ///
    /// # Errors
    /// As [`Client::manifest_of_tag`], and when it is not there or has another digest.
    pub(crate) fn manifest(&self, digest: Digest) -> Result<Fetched, Error> {
        let what = self.repository.at(digest).to_string();
        let fetched = self.manifest_by(&digest.to_string(), &what)?;
        let fetched = fetched.ok_or_else(|| Error::NotFound { what: what.clone() })?;
        if fetched.digest != digest {
            return Err(Error::Digest {
                what,
                found: fetched.digest,
                expected: digest,
            });
        }
        Ok(fetched)
    }

    fn manifest_by(&self, name: &str, what: &str) -> Result<Option<Fetched>, Error> {
        let answer = self.exchange(Right::Pull, Method::GET, &format!("manifests/{name}"), what)?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = self.successful(answer, what)?;
        let media_type = answer.body().mime_type().unwrap_or_default().to_owned();
        if INDEXES.contains(&media_type.as_str()) {
            let reference: Reference = what.parse()?;
            return Err(Error::Index {
                reference: Box::new(reference),
                media_type,
            });
        }
        let said = http::header(&answer, &CONTENT_DIGEST);
        let bytes = http::body(answer, what, MOST_MANIFEST)?;
        let digest = Digest::of(&bytes);
        if let Some(said) = said {
            let expected: Digest = said
                .parse()
                .map_err(|error| Error::answer(what, format!("its digest: {error}")))?;
            if expected != digest {
                return Err(Error::Digest {
                    what: what.to_owned(),
                    found: digest,
                    expected,
                });
            }
        }
        Ok(Some(Fetched { digest, bytes }))
    }

    /// Gives a blob piece by piece to `sink`, with its size and digest checked on the way: more than was
    /// announced is never taken, and a success means that all of it has come.
    ///
    /// # Errors
    /// When it is not there, not what its descriptor says, or the connection breaks.
    pub(crate) fn blob(&self, of: &Descriptor, sink: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let what = self.repository.at(of.digest).to_string();
        let path = format!("blobs/{}", of.digest);
        let place = self.address(&path)?;
        let patience = http::patience(of.size);
        let answer = self.exchange_at(Right::Pull, Method::GET, place, &what, None, patience)?;
        let answer = self.successful(answer, &what)?;
        let wrong_size = |found: String| Error::Size {
            what: what.clone(),
            found,
            expected: of.size,
        };
        if let Some(length) = answer.body().content_length()
            && length != of.size
        {
            return Err(wrong_size(length.to_string()));
        }
        let mut reader = answer.into_body().into_reader();
        let mut hasher = Sha256::new();
        let mut piece = vec![0; PIECE];
        let mut come = 0;
        loop {
            let n = match reader.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) => {
                    return Err(Error::Cut {
                        what,
                        bytes: come,
                        reason: shown(&error.to_string()),
                    });
                }
            };
            come += n as u64;
            if come > of.size {
                return Err(wrong_size(format!("more than {}", of.size)));
            }
            hasher.update(&piece[..n]);
            sink(&piece[..n]);
        }
        if come < of.size {
            return Err(wrong_size(come.to_string()));
        }
        let found = Digest::finished(hasher);
        if found != of.digest {
            return Err(Error::Digest {
                what,
                found,
                expected: of.digest,
            });
        }
        Ok(())
    }

    /// The whole of a small blob.
    ///
    /// # Errors
    /// As [`Client::blob`], and when it is larger than `limit`.
    pub(crate) fn small_blob(&self, of: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        if of.size > limit {
            return Err(Error::TooLarge {
                what: self.repository.at(of.digest).to_string(),
                bytes: of.size,
                limit,
            });
        }
        let mut bytes = Vec::new();
        self.blob(of, &mut |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    /// Uploads a blob, unless the registry has it.
    ///
    /// # Errors
    /// When the registry refuses or is out of reach.
    pub(crate) fn put_blob(&self, blob: &Blob) -> Result<(), Error> {
        let digest = blob.descriptor.digest;
        let what = self.repository.at(digest).to_string();
        let there = self.exchange(Right::Push, Method::HEAD, &format!("blobs/{digest}"), &what)?;
        if there.status().is_success() {
            return Ok(());
        }
        let begun = self.exchange(Right::Push, Method::POST, "blobs/uploads/", &what)?;
        let begun = self.successful(begun, &what)?;
        let registry = self.address("blobs/uploads/")?;
        let place = http::location(&begun, &registry, &what)?;
        let place = self.http.allowed(&registry, place, &what)?;
        let joint = if place.query().is_some() { '&' } else { '?' };
        let place = format!("{place}{joint}digest={digest}");
        let place = place
            .parse()
            .map_err(|_| Error::answer(&what, "it points to no usable address"))?;
        let body = Some(("application/octet-stream", blob.bytes.as_slice()));
        let patience = http::patience(blob.descriptor.size);
        let answer = self.exchange_at(Right::Push, Method::PUT, place, &what, body, patience)?;
        self.successful(answer, &what).map(drop)
    }

    /// Uploads a manifest, whose blobs must be there, under a tag.
    ///
    /// # Errors
    /// When the registry refuses, is out of reach, or has taken something else.
    pub(crate) fn put_manifest(&self, tag: &str, bytes: &[u8]) -> Result<Digest, Error> {
        let what = format!("{}:{tag}", self.repository);
        let place = self.address(&format!("manifests/{tag}"))?;
        let (body, patience) = (Some((MANIFEST, bytes)), http::patience(MOST_MANIFEST));
        let answer = self.exchange_at(Right::Push, Method::PUT, place, &what, body, patience)?;
        let answer = self.successful(answer, &what)?;
        let digest = Digest::of(bytes);
        if let Some(said) = http::header(&answer, &CONTENT_DIGEST)
            && said != digest.to_string()
        {
            let reason = format!("it has taken {}, not {digest}", shown(&said));
            return Err(Error::answer(&what, reason));
        }
        Ok(digest)
    }

    fn address(&self, path: &str) -> Result<Uri, Error> {
        let text = format!("{}{}/{path}", self.base, self.repository.name());
        text.parse()
            .map_err(|_| Error::answer(&text, "it is no address"))
    }

    fn exchange(
        &self,
        right: Right,
        method: Method,
        path: &str,
        what: &str,
    ) -> Result<Response<Body>, Error> {
        let place = self.address(path)?;
        self.exchange_at(
            right,
            method,
            place,
            what,
            None,
            http::patience(MOST_MANIFEST),
        )
    }

    /// Asks, and once more with what the registry demands where it refuses.
    fn exchange_at(
        &self,
        right: Right,
        method: Method,
        address: Uri,
        what: &str,
        body: Option<(&str, &[u8])>,
        patience: Duration,
    ) -> Result<Response<Body>, Error> {
        let known = self.authorizations.borrow().get(&right).cloned();
        let ask = |authorization: Option<&str>| {
            self.http.ask(&Ask {
                method: method.clone(),
                address: address.clone(),
                what,
                accept: Some(ACCEPTED),
                body,
                authorization,
                registry: &self.origin,
                patience,
            })
        };
        let Answer {
            response: answer,
            is_of_registry,
        } = ask(known.as_deref())?;
        // Whoever else demands credentials gets none.
        if answer.status() != StatusCode::UNAUTHORIZED || known.is_some() || !is_of_registry {
            return Ok(answer);
        }
        let demands = answer.headers().get_all(WWW_AUTHENTICATE).iter();
        let demand = demands
            .filter_map(|demand| demand.to_str().ok())
            .find_map(Demand::read);
        let Some(demand) = demand else {
            return Ok(answer);
        };
        if self.credentials.borrow().is_none() {
            let found = Credentials::of(self.repository.host())?;
            *self.credentials.borrow_mut() = Some(found);
        }
        let credentials = self.credentials.borrow();
        let credentials = credentials.as_ref().and_then(Option::as_ref);
        let scope = format!("repository:{}:{}", self.repository.name(), right.actions());
        let given = auth::authorization(&self.http, &demand, credentials, &self.origin, &scope)?;
        let Some(given) = given else {
            return Ok(answer);
        };
        let answer = ask(Some(&given))?.response;
        if answer.status() != StatusCode::UNAUTHORIZED {
            self.authorizations.borrow_mut().insert(right, given);
        }
        Ok(answer)
    }

    /// The answer, if it is a success; else what it means.
    fn successful(&self, answer: Response<Body>, what: &str) -> Result<Response<Body>, Error> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let what = what.to_owned();
        let credentials = self.credentials.borrow();
        let credentials = credentials.as_ref().and_then(Option::as_ref);
        let host = self.repository.host().to_owned();
        Err(match status.as_u16() {
            404 => Error::NotFound { what },
            status @ (401 | 403) => Error::Refused {
                host,
                what,
                status,
                user: credentials.map(|credentials| credentials.user().to_owned()),
            },
            status => Error::Status {
                host,
                what,
                status,
                words: http::words(answer),
            },
        })
    }
}

/// Whether a registry on this machine speaks TLS. One that is not there does not: what is asked next
/// tells.
fn speaks_tls(http: &Http, host: &str) -> Result<bool, Error> {
    let address: Uri = format!("https://{host}/v2/")
        .parse()
        .map_err(|_| Error::answer(host, "it is no address"))?;
    let origin = Origin::of(&address);
    let outcome = http.ask(&Ask {
        method: Method::GET,
        address,
        what: host,
        accept: None,
        body: None,
        authorization: None,
        registry: &origin,
        patience: http::patience(0),
    });
    Ok(match outcome {
        Err(Error::Unreachable { .. } | Error::NoTls { .. }) => false,
        // Whatever it answers, it was encrypted.
        _ => true,
    })
}
