//! One exchange with a registry: encrypted, bounded, and nowhere else than allowed.
//!
//! Redirects are followed here, one by one. The crate oci-client follows ten of them to whatever host and
//! scheme, without a way to say otherwise, and reads manifests of any length; so the few requests of the
//! distribution protocol are made by the HTTP library itself.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION,
};
use ureq::http::{Method, Request, Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, Body};

use super::Access;
use crate::address::{Origin, authority, is_loopback, is_redirect, joined, keeps_encryption};
use crate::error::{Error, shown};
use crate::reference::is_host;

/// How long a connection may take, and how long nothing may come over it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes a second of the slowest line that is waited for.
const SLOWEST: u64 = 32 << 10;
/// Redirects that are followed for one file.
const MOST_REDIRECTS: usize = 5;
/// Most bytes of a file of certificates.
const MOST_CERTIFICATES: u64 = 16 << 20;
/// Most bytes of what a registry says about an error.
const MOST_WORDS: u64 = 16 << 10;

/// What is asked.
pub(super) struct Ask<'a> {
    pub method: Method,
    pub address: Uri,
    /// What messages call it.
    pub what: &'a str,
    pub accept: Option<&'a str>,
    /// Media type and bytes to send.
    pub body: Option<(&'a str, &'a [u8])>,
    /// The value of the header Authorization, for the registry alone.
    pub authorization: Option<&'a str>,
    /// The server that the authorization is for.
    pub registry: &'a Origin,
    /// How long it may take, the answer's body included.
    pub patience: Duration,
}

/// How long an exchange may take whose answer has so many bytes at most: half a minute, and as long as a slow
/// line needs.
pub(super) fn patience(bytes: u64) -> Duration {
    PATIENCE + Duration::from_secs(10 + bytes / SLOWEST)
}

/// An answer, and whether it is of the server that was asked, and of no other that it points to.
pub(super) struct Answer {
    pub response: Response<Body>,
    pub is_of_registry: bool,
}

/// Connections to one registry, and to where it may point.
pub(super) struct Http {
    agent: Agent,
    redirects: Vec<String>,
}

impl Http {
    /// Connections to the registry at `host`.
    pub(super) fn new(access: &Access, host: &str) -> Result<Http, Error> {
        let mut config = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_resolve(Some(PATIENCE))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .user_agent(concat!("sc-host/", env!("CARGO_PKG_VERSION")));
        if is_loopback(host) {
            // What is for this machine does not leave it.
            config = config.proxy(None);
        }
        if let Some(file) = &access.certificates {
            let roots = RootCerts::Specific(Arc::new(certificates(file)?));
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Http {
            agent: config.build().into(),
            redirects: access.redirects_of(host),
        })
    }

    /// Asks, and asks again wherever the answer of a `GET` or `HEAD` may point.
    pub(super) fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let mut place = ask.address.clone();
        let follows = ask.method == Method::GET || ask.method == Method::HEAD;
        for _ in 0..=MOST_REDIRECTS {
            let is_of_registry = Origin::of(&place) == *ask.registry;
            let response = self.once(ask, &place, is_of_registry)?;
            if !follows || !is_redirect(response.status()) {
                return Ok(Answer {
                    response,
                    is_of_registry,
                });
            }
            let to = location(&response, &place, ask.what)?;
            place = self.allowed(&ask.address, to, ask.what)?;
        }
        Err(Error::answer(
            ask.what,
            format!("it points elsewhere more than {MOST_REDIRECTS} times"),
        ))
    }

    /// An address that an answer of the registry at `registry` names, if it may be used.
    pub(super) fn allowed(&self, registry: &Uri, to: Uri, what: &str) -> Result<Uri, Error> {
        let origin = Origin::of(&to);
        if origin == Origin::of(registry) {
            return Ok(to);
        }
        let host = authority(&to);
        if !is_host(&host) {
            return Err(Error::answer(what, "it points to no usable address"));
        }
        let host_is_allowed = self.redirects.contains(&host);
        let keeps_encryption = keeps_encryption(registry, &to);
        if host_is_allowed && keeps_encryption {
            return Ok(to);
        }
        Err(Error::Redirect {
            from: shown(&authority(registry)),
            to: format!("{}://{host}", shown(origin.scheme())),
            host: keeps_encryption.then_some(host),
            what: what.to_owned(),
        })
    }

    fn once(&self, ask: &Ask<'_>, place: &Uri, at_registry: bool) -> Result<Response<Body>, Error> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(place.clone())
            // What is compressed on the way has neither the length nor the digest of the file.
            .header(ACCEPT_ENCODING, "identity");
        if let Some(accept) = ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(value) = ask.authorization.filter(|_| at_registry) {
            request = request.header(AUTHORIZATION, value);
        }
        let unusable = |error: ureq::http::Error| Error::answer(ask.what, error);
        let answer = match ask.body {
            Some((media_type, bytes)) => {
                let request = request.header(CONTENT_TYPE, media_type);
                self.run(ask, request.body(bytes).map_err(unusable)?)
            }
            None if ask.method == Method::POST => {
                self.run(ask, request.body(&[][..]).map_err(unusable)?)
            }
            None => self.run(ask, request.body(()).map_err(unusable)?),
        };
        let answer = answer.map_err(|error| failed(place, &error))?;
        if let Some(encoding) = answer.headers().get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(Error::answer(ask.what, "it is compressed"));
        }
        Ok(answer)
    }

    fn run(
        &self,
        ask: &Ask<'_>,
        request: Request<impl AsSendBody>,
    ) -> Result<Response<Body>, ureq::Error> {
        let request = self.agent.configure_request(request);
        self.agent
            .run(request.timeout_global(Some(ask.patience)).build())
    }
}

/// Why there was no answer.
fn failed(place: &Uri, error: &ureq::Error) -> Error {
    let (host, reason) = (shown(&authority(place)), shown(&error.to_string()));
    let is_tls = match error {
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => true,
        // The library gives what it cannot read of a handshake as a failure of the connection.
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
    };
    if is_tls && reason.contains("certificate") {
        Error::Certificate { host, reason }
    } else if is_tls {
        Error::NoTls { host, reason }
    } else {
        Error::Unreachable { host, reason }
    }
}

/// The whole body, which must not be longer than `limit`.
pub(super) fn body(answer: Response<Body>, what: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut reader = answer.into_body().into_reader().take(limit + 1);
    let outcome = reader.read_to_end(&mut bytes);
    let come = bytes.len() as u64;
    if come > limit {
        return Err(Error::TooLarge {
            what: what.to_owned(),
            bytes: come,
            limit,
        });
    }
    outcome.map_err(|error| Error::Cut {
        what: what.to_owned(),
        bytes: come,
        reason: shown(&error.to_string()),
    })?;
    Ok(bytes)
}

/// What a registry says about an error: its codes and messages, or nothing.
pub(super) fn words(answer: Response<Body>) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(bytes) = body(answer, "", MOST_WORDS) else {
        return String::new();
    };
    let said: Vec<String> = match serde_json::from_slice::<Said>(&bytes) {
        Ok(said) => said
            .errors
            .into_iter()
            .map(|one| format!("{} {}", one.code, one.message))
            .collect(),
        Err(_) => Vec::new(),
    };
    shown(said.join("; ").trim())
}

/// Where an answer points.
pub(super) fn location(answer: &Response<Body>, from: &Uri, what: &str) -> Result<Uri, Error> {
    let text = answer
        .headers()
        .get(LOCATION)
        .and_then(|text| text.to_str().ok());
    text.and_then(|text| joined(from, text))
        .ok_or_else(|| Error::answer(what, "it points to no usable address"))
}

/// A header as text.
pub(super) fn header(answer: &Response<Body>, name: &HeaderName) -> Option<String> {
    let value = answer.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

/// The certificates of authorities in a PEM file.
fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let metadata = std::fs::metadata(file).map_err(Error::io("read", file))?;
    if !metadata.is_file() || metadata.len() > MOST_CERTIFICATES {
        let reason = format!("expected a file of at most {MOST_CERTIFICATES} bytes");
        return Err(Error::settings(file, reason));
    }
    let pem = std::fs::read(file).map_err(Error::io("read", file))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) =
            item.map_err(|error| Error::settings(file, error))?
        {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(Error::settings(file, "it has no certificate; expected PEM"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Redirect;

    fn http(redirects: &[&str]) -> Http {
        let access = Access {
            redirects: redirects
                .iter()
                .map(|&host| Redirect {
                    from: None,
                    to: host.to_owned(),
                })
                .collect(),
            ..Access::default()
        };
        Http::new(&access, "registry.example").expect("a client")
    }

    #[track_caller]
    fn follows(http: &Http, from: &str, location: &str) -> Option<String> {
        let from: Uri = from.parse().expect("an address");
        let to = joined(&from, location)?;
        http.allowed(&from, to, "x").ok().map(|to| to.to_string())
    }

    #[test]
    fn redirects_stay_with_the_registry_unless_allowed() {
        let registry = "https://registry.example/v2/x";
        let strict = http(&[]);
        for location in [
            "/v2/y?z",
            "https://registry.example/v2/y",
            "https://REGISTRY.example:443/a",
        ] {
            assert!(follows(&strict, registry, location).is_some(), "{location}");
        }
        let elsewhere = [
            "https://cdn.example/y",
            "//cdn.example/y",
            "http://registry.example/v2/y",
            "https://registry.example:8443/y",
            "http://registry.example:443/y",
            "ftp://registry.example/",
            "https://registry.example@cdn.example/y",
            "https://x@registry.example/",
            "y",
            "",
            "file:///etc/passwd",
        ];
        for location in elsewhere {
            assert_eq!(follows(&strict, registry, location), None, "{location}");
        }
        let open = http(&["cdn.example", "registry.example"]);
        assert!(follows(&open, registry, "https://cdn.example/y").is_some());
        // Encryption is never given up, whatever is allowed.
        assert_eq!(follows(&open, registry, "http://cdn.example/y"), None);
        assert_eq!(follows(&open, registry, "http://registry.example/y"), None);
        assert_eq!(follows(&open, registry, "https://cdn.example:8443/y"), None);
        let plain = "http://127.0.0.1:5000/v2/x";
        assert_eq!(follows(&strict, plain, "http://127.0.0.1:5001/y"), None);
        assert!(follows(&http(&["127.0.0.1:5001"]), plain, "http://127.0.0.1:5001/y").is_some());
    }
}
