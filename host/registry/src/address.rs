//! Addresses of servers: which are the same server's, and where a redirect leads.

use std::net::{Ipv4Addr, Ipv6Addr};

use ureq::http::{StatusCode, Uri};

/// Scheme, host and port: what decides whether two addresses are of the same server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// The server that an address is of.
    pub fn of(place: &Uri) -> Origin {
        let scheme = place.scheme_str().unwrap_or_default().to_ascii_lowercase();
        let usual = if scheme == "https" { 443 } else { 80 };
        Origin {
            host: place.host().unwrap_or_default().to_ascii_lowercase(),
            port: place.port_u16().unwrap_or(usual),
            scheme,
        }
    }

    /// `http`, `https` or another.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }
}

/// Whether an answer points elsewhere.
pub fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The whole address of a redirect, which may be relative: of HTTP with or without encryption, and without a user
/// before its host.
pub fn joined(from: &Uri, location: &str) -> Option<Uri> {
    let scheme = from.scheme_str()?;
    let text = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{}{location}", from.authority()?)
    } else {
        location.to_owned()
    };
    let next: Uri = text.parse().ok()?;
    let is_plain = next.authority()?.as_str().bytes().all(|byte| byte != b'@');
    (is_plain && matches!(next.scheme_str()?, "http" | "https")).then_some(next)
}

/// Whether a step from one address to another does not end encryption.
pub fn keeps_encryption(from: &Uri, to: &Uri) -> bool {
    to.scheme_str() == Some("https") || from.scheme_str() == Some("http")
}

/// Host and port of an address, in small letters; a user before the host is nobody's to see.
pub fn authority(place: &Uri) -> String {
    let text = place.authority().map_or("", |authority| authority.as_str());
    let host = text.rsplit('@').next().unwrap_or_default();
    host.to_ascii_lowercase()
}

/// Whether a host, with a port or without, is this machine itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.split(']').next().unwrap_or_default();
        return address
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback());
    }
    let name = host.split(':').next().unwrap_or_default();
    name == "localhost"
        || name
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_others() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]:1",
            "0.0.0.0",
            "example.org:5000",
            "local",
            "",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn redirects_lead_to_whole_addresses() {
        let next = |from: &str, location: &str| {
            let from = from.parse().expect("an address");
            joined(&from, location).map(|next| next.to_string())
        };
        let hub = "https://hub.example/a/b?c";
        for (location, expected) in [
            ("/x/y?z", Some("https://hub.example/x/y?z")),
            ("//cdn.example/x", Some("https://cdn.example/x")),
            (
                "https://cdn.example/x?s=1%2F",
                Some("https://cdn.example/x?s=1%2F"),
            ),
            ("http://hub.example/x", Some("http://hub.example/x")),
            ("ftp://hub.example/x", None),
            ("https://user@hub.example/x", None),
            ("x/y", None),
            ("", None),
            ("https://", None),
        ] {
            assert_eq!(next(hub, location).as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        let origin = |text: &str| Origin::of(&text.parse().expect("an address"));
        assert_eq!(
            origin("https://hub.example/a"),
            origin("https://HUB.example:443/b")
        );
        for other in [
            "http://hub.example",
            "https://hub.example:8443",
            "https://cdn.hub.example",
        ] {
            assert_ne!(origin("https://hub.example"), origin(other), "{other}");
        }
    }

    #[test]
    fn encryption_does_not_end_on_the_way() {
        let keeps = |from: &str, to: &str| {
            let parsed = |text: &str| text.parse::<Uri>().expect("an address");
            keeps_encryption(&parsed(from), &parsed(to))
        };
        assert!(keeps("https://a.b/", "https://c.d/") && keeps("http://a.b/", "https://c.d/"));
        assert!(keeps("http://a.b/", "http://c.d/") && !keeps("https://a.b/", "http://a.b/"));
    }
}
