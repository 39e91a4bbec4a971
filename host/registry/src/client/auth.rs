//! What a registry demands of those who ask: basic authentication, or a token from its authorization
//! server (distribution/distribution, "Token Authentication"; "OAuth2 Token Authentication" for identity
//! tokens).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_auth::parser::ChallengeParser;
use serde::Deserialize;
use ureq::http::{Method, Uri};

use super::credentials::Credentials;
use super::http::{self, Ask, Http};
use crate::address::Origin;
use crate::error::{Error, shown};

/// Most bytes of an authorization server's answer.
const MOST_TOKEN: u64 = 64 << 10;
const FORM: &str = "application/x-www-form-urlencoded";

/// How a registry wants to be asked, by the header `WWW-Authenticate` of its refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Demand {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Demand {
    /// The first demand of a header that can be met.
    pub(super) fn read(header: &str) -> Option<Demand> {
        ChallengeParser::new(header).find_map(|challenge| {
            let challenge = challenge.ok()?;
            let parameters: BTreeMap<String, String> = challenge
                .params
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_unescaped()))
                .collect();
            match challenge.scheme.to_ascii_lowercase().as_str() {
                "basic" => Some(Demand::Basic),
                "bearer" => Some(Demand::Bearer {
                    realm: parameters.get("realm")?.clone(),
                    service: parameters.get("service").cloned(),
                }),
                _ => None,
            }
        })
    }
}

#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
}

/// The value of the header Authorization that meets a registry's demand. `registry` is the server
/// that was asked, `scope` what is to be done there.
///
/// # Errors
/// When the authorization server refuses, is out of reach, or would be asked without encryption.
pub(super) fn authorization(
    http: &Http,
    demand: &Demand,
    credentials: Option<&Credentials>,
    registry: &Origin,
    scope: &str,
) -> Result<Option<String>, Error> {
    let (realm, service) = match (demand, credentials) {
        (Demand::Basic, Some(Credentials::Password { user, password })) => {
            return Ok(Some(basic(user, password)));
        }
        (Demand::Basic, _) => return Ok(None),
        (Demand::Bearer { realm, service }, _) => (realm, service),
    };
    let what = format!("a token for {scope}");
    let patience = http::patience(MOST_TOKEN);
    let address: Uri = realm
        .parse()
        .map_err(|_| Error::answer(&what, format!("its realm `{}` is no address", shown(realm))))?;
    // The server may be another host, but credentials are not sent to it in the clear.
    let is_encrypted = address.scheme_str() == Some("https");
    if !is_encrypted {
        let registry_is_too = registry.scheme() == "https";
        if registry_is_too || Origin::of(&address) != *registry {
            return Err(Error::answer(
                &what,
                format!("its realm `{}` is not encrypted", shown(realm)),
            ));
        }
    }
    // The credentials go to the server that the registry names for them, and no further.
    let server = Origin::of(&address);
    let mut query = vec![("scope", scope)];
    query.extend(service.as_deref().map(|service| ("service", service)));
    let (address, body, header);
    let ask = match credentials {
        Some(Credentials::Identity(token)) => {
            query.extend([
                ("grant_type", "refresh_token"),
                ("client_id", "sc-host"),
                ("refresh_token", token),
            ]);
            address = realm.clone();
            body = encoded(&query);
            Ask {
                method: Method::POST,
                address: parsed(&address, &what)?,
                what: &what,
                accept: None,
                body: Some((FORM, body.as_bytes())),
                authorization: None,
                registry: &server,
                patience,
            }
        }
        _ => {
            header = match credentials {
                Some(Credentials::Password { user, password }) => Some(basic(user, password)),
                _ => None,
            };
            let joint = if realm.contains('?') { '&' } else { '?' };
            address = format!("{realm}{joint}{}", encoded(&query));
            Ask {
                method: Method::GET,
                address: parsed(&address, &what)?,
                what: &what,
                accept: None,
                body: None,
                authorization: header.as_deref(),
                registry: &server,
                patience,
            }
        }
    };
    let answer = http.ask(&ask)?.response;
    let status = answer.status().as_u16();
    if !answer.status().is_success() {
        let host = ask.address.host().unwrap_or_default().to_owned();
        let user = credentials.map(|credentials| credentials.user().to_owned());
        return Err(match status {
            400 | 401 | 403 => Error::Refused {
                host,
                what,
                status,
                user,
            },
            _ => Error::Status {
                host,
                words: http::words(answer),
                what,
                status,
            },
        });
    }
    let bytes = http::body(answer, &what, MOST_TOKEN)?;
    let answer: Given =
        serde_json::from_slice(&bytes).map_err(|error| Error::answer(&what, error))?;
    let token = answer.token.or(answer.access_token);
    let token = token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    match token {
        Some(token) => Ok(Some(format!("Bearer {token}"))),
        None => Err(Error::answer(&what, "it has no token")),
    }
}

fn parsed(address: &str, what: &str) -> Result<Uri, Error> {
    address
        .parse()
        .map_err(|_| Error::answer(what, "its realm is no address"))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Names and values as a query.
fn encoded(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    pairs.join("&")
}

/// A text as a part of a query (RFC 3986, section 2).
fn escaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                plain.push(char::from(byte));
            }
            _ => plain.push_str(&format!("%{byte:02X}")),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_are_read() {
        let bearer = |realm: &str, service: Option<&str>| Demand::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        };
        for (header, expected) in [
            (r#"Basic realm="Registry""#, Some(Demand::Basic)),
            (
                r#"Bearer realm="https://auth.example/token",service="registry.example",scope="a:b:pull""#,
                Some(bearer(
                    "https://auth.example/token",
                    Some("registry.example"),
                )),
            ),
            (
                r#"Negotiate, bearer REALM="https://auth.example/token""#,
                Some(bearer("https://auth.example/token", None)),
            ),
            (r#"Bearer service="x""#, None),
            ("Digest realm=\"x\", nonce=\"y\"", None),
            ("", None),
            ("\u{1}", None),
        ] {
            assert_eq!(Demand::read(header), expected, "{header}");
        }
    }

    #[test]
    fn queries_hold_any_text() {
        assert_eq!(
            encoded(&[("scope", "repository:a/b:pull,push"), ("x", "é &=")]),
            "scope=repository%3Aa%2Fb%3Apull%2Cpush&x=%C3%A9%20%26%3D"
        );
    }
}
