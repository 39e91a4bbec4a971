//! Docker's registry, for the length of a test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// User and password that a registry with authentication knows, and how its file has them (bcrypt).
pub const USER: (&str, &str) = ("team", "secret");
const HTPASSWD: &str = "team:$2y$05$dI8FBtiY2dxJ9U49xCjloeiIf80CzB5k5Z91Bcv5a3uANTUrA2UPS\n";

pub struct Registry {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Registry {
    /// Without encryption and authentication.
    pub fn plain() -> Registry {
        Registry::start(free_port(), "", |_| String::new())
    }

    /// With TLS, by a certificate of an authority of its own ([`Registry::authority`]), and basic
    /// authentication.
    pub fn guarded() -> Registry {
        let authentication = "auth: {htpasswd: {realm: test, path: FOLDER/htpasswd}}\n";
        Registry::start(free_port(), authentication, |folder| {
            fs::write(folder.path().join("htpasswd"), HTPASSWD).expect("written");
            certificates(folder);
            "  tls: {certificate: FOLDER/server.pem, key: FOLDER/server.key}\n".to_owned()
        })
    }

    fn start(port: u16, more: &str, tls: impl FnOnce(&TempDir) -> String) -> Registry {
        let folder = tempfile::tempdir().expect("a folder");
        let tls = tls(&folder);
        let configuration = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: FOLDER/data}}, delete: {{enabled: true}}}}\n{more}\
             http:\n  addr: 127.0.0.1:{port}\n{tls}"
        );
        let path = folder.path().display().to_string();
        let file = folder.path().join("config.yml");
        fs::write(&file, configuration.replace("FOLDER", &path)).expect("written");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("docker-registry (Debian's package of that name) does not start: {error}")
            });
        let registry = Registry {
            process,
            port,
            folder,
        };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "docker-registry does not answer"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        registry
    }

    /// Removes a manifest, and with it the tags that name it.
    pub fn removes(&self, repository: &str, digest: &str) {
        let address = format!("http://{}/v2/{repository}/manifests/{digest}", self.host());
        ureq::delete(address).call().expect("removed");
    }

    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The PEM file of the authority that has signed its certificate.
    pub fn authority(&self) -> String {
        self.folder
            .path()
            .join("authority.pem")
            .display()
            .to_string()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn certificates(folder: &TempDir) {
    let key = || KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, key()).expect("an authority");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server_key = key();
    let server = CertificateParams::new(names)
        .and_then(|parameters| parameters.signed_by(&server_key, &authority))
        .expect("a certificate");
    for (file, text) in [
        ("authority.pem", authority.pem()),
        ("server.pem", server.pem()),
        ("server.key", server_key.serialize_pem()),
    ] {
        fs::write(folder.path().join(file), text).expect("written");
    }
}
