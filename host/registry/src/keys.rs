//! Key pairs in cosign's files: ECDSA on the curve P-256, the private key encrypted by a password
//! (sigstore/cosign, pkg/cosign/keys.go; secure-systems-lab/go-securesystemslib, encrypted/encrypted.go).

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::der::pem;
use p256::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
    LineEnding,
};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::Error;

/// Labels of private keys; the second is that of cosign before its version 2.
const LABELS: [&str; 2] = [
    "ENCRYPTED SIGSTORE PRIVATE KEY",
    "ENCRYPTED COSIGN PRIVATE KEY",
];
const SCRYPT: &str = "scrypt";
const SECRETBOX: &str = "nacl/secretbox";
/// Costs of the key derivation that are accepted, as powers of two: those that cosign knows. A file
/// could ask for any time and memory otherwise.
const COSTS: std::ops::RangeInclusive<u32> = 15..=17;
/// The cost that new keys have.
const COST: u32 = 16;
const BLOCK: u32 = 8;
const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// Most bytes of a file with a key.
const MOST_KEY: u64 = 64 << 10;

/// A private key, as its file holds it.
#[derive(Serialize, Deserialize)]
struct Encrypted {
    kdf: Derivation,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Derivation {
    name: String,
    params: Parameters,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct Parameters {
    #[serde(rename = "N")]
    cost: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// A new pair, as its two files are written.
pub struct NewPair {
    /// The encrypted private key, as PEM.
    pub private: String,
    /// The public key, as PEM.
    pub public: String,
}

impl NewPair {
    /// Makes a pair whose private key is encrypted by `password`.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate(password: &[u8]) -> Result<NewPair, getrandom::Error> {
        let key = loop {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes)?;
            // All but one in 2³² of such numbers are keys.
            if let Ok(key) = SigningKey::from_slice(&bytes) {
                break key;
            }
        };
        let mut salt = [0; SALT_BYTES];
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut salt)?;
        getrandom::fill(&mut nonce)?;
        Ok(NewPair {
            private: encrypt(&key, password, salt, nonce),
            public: PublicKey(*key.verifying_key()).pem(),
        })
    }
}

fn encrypt(
    key: &SigningKey,
    password: &[u8],
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
) -> String {
    // Neither of these fails for a key and buffers of these sizes.
    let plain = key.to_pkcs8_der().expect("a key has an encoding");
    let derived = derive(password, &salt, COST).expect("the cost is one of those accepted");
    let ciphertext = XSalsa20Poly1305::new(&derived)
        .encrypt(&Nonce::from(nonce), plain.as_bytes())
        .expect("a short text is encrypted");
    let encrypted = Encrypted {
        kdf: Derivation {
            name: SCRYPT.into(),
            params: Parameters {
                cost: 1 << COST,
                r: BLOCK,
                p: 1,
            },
            salt: STANDARD.encode(salt),
        },
        cipher: Cipher {
            name: SECRETBOX.into(),
            nonce: STANDARD.encode(nonce),
        },
        ciphertext: STANDARD.encode(ciphertext),
    };
    let json = serde_json::to_vec(&encrypted).expect("texts and numbers have a JSON form");
    pem::encode_string(LABELS[0], LineEnding::LF, &json).expect("any bytes have a PEM form")
}

/// The key that a password stands for.
fn derive(password: &[u8], salt: &[u8], cost: u32) -> Option<Key> {
    let parameters = scrypt::Params::new(u8::try_from(cost).ok()?, BLOCK, 1, 32).ok()?;
    let mut key = [0; 32];
    scrypt::scrypt(password, salt, &parameters, &mut key).ok()?;
    Some(Key::from(key))
}

/// A private key that can sign.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// Reads an encrypted private key; `password` is asked for when the file is one.
    ///
    /// # Errors
    /// When it is no such file, or the password is another.
    pub fn read<E: From<Error>>(
        path: &Path,
        password: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<PrivateKey, E> {
        let text = read(path)?;
        let encrypted = encrypted(&text).map_err(|reason| Error::key(path, reason))?;
        let key = encrypted
            .open(&password()?)
            .map_err(|opening| match opening {
                Opening::Password => Error::Password {
                    path: path.to_owned(),
                },
                Opening::File(reason) => Error::key(path, reason),
            })?;
        Ok(PrivateKey(key))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }

    /// The signature of `message`, in DER. The same message always has the same (RFC 6979).
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.0.sign(message);
        signature.as_bytes().to_vec()
    }
}

/// Why an encrypted key does not open.
enum Opening {
    Password,
    File(String),
}

fn encrypted(text: &str) -> Result<Encrypted, String> {
    let (label, json) = pem::decode_vec(text.trim().as_bytes())
        .map_err(|error| format!("it is no PEM file: {error}"))?;
    if !LABELS.contains(&label) {
        return Err(format!("it holds a {label}; expected an {}", LABELS[0]));
    }
    let encrypted: Encrypted =
        serde_json::from_slice(&json).map_err(|error| format!("it is damaged: {error}"))?;
    if encrypted.kdf.name != SCRYPT || encrypted.cipher.name != SECRETBOX {
        return Err(format!("it is not encrypted by {SCRYPT} and {SECRETBOX}"));
    }
    Ok(encrypted)
}

impl Encrypted {
    fn open(&self, password: &[u8]) -> Result<SigningKey, Opening> {
        let file = |reason: &str| Opening::File(reason.to_owned());
        let decoded = |text: &str| STANDARD.decode(text).map_err(|_| file("it is damaged"));
        let Parameters { cost, r, p } = self.kdf.params;
        let exponent = cost.checked_ilog2().unwrap_or_default();
        if !cost.is_power_of_two() || !COSTS.contains(&exponent) || (r, p) != (BLOCK, 1) {
            return Err(Opening::File(format!(
                "its key derivation is of N = {cost}, r = {r}, p = {p}; expected N of 2^15 to 2^17, r = {BLOCK}, p = 1"
            )));
        }
        let nonce: [u8; NONCE_BYTES] = decoded(&self.cipher.nonce)?
            .try_into()
            .map_err(|_| file("its nonce has another length than 24 bytes"))?;
        let ciphertext = decoded(&self.ciphertext)?;
        let key = derive(password, &decoded(&self.kdf.salt)?, exponent)
            .ok_or_else(|| file("its key derivation cannot be done"))?;
        let plain = XSalsa20Poly1305::new(&key)
            .decrypt(&Nonce::from(nonce), ciphertext.as_slice())
            .map_err(|_| Opening::Password)?;
        SigningKey::from_pkcs8_der(&plain)
            .map_err(|_| file("it is not of the curve P-256, which alone is known here"))
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a public key from a PEM file.
    ///
    /// # Errors
    /// When it is none, or of another kind than ECDSA on P-256.
    pub fn read(path: &Path) -> Result<PublicKey, Error> {
        PublicKey::from_pem(&read(path)?).map_err(|reason| Error::key(path, reason))
    }

    fn from_pem(text: &str) -> Result<PublicKey, String> {
        if text.contains("PRIVATE KEY") {
            return Err("it is a private key; expected the public one".into());
        }
        VerifyingKey::from_public_key_pem(text.trim())
            .map(PublicKey)
            .map_err(|error| {
                format!("it is no public key of ECDSA on P-256 in PEM, which alone is known here: {error}")
            })
    }

    /// As PEM.
    pub fn pem(&self) -> String {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .expect("a key has an encoding")
    }

    /// What names it: the digest of its encoding (SubjectPublicKeyInfo, DER).
    pub fn id(&self) -> Digest {
        let der = self.0.to_public_key_der().expect("a key has an encoding");
        Digest::of(der.as_bytes())
    }

    /// Whether `signature`, in DER, is of `message` and this key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        DerSignature::try_from(signature)
            .is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let length = fs::metadata(path).map_err(Error::io("read", path))?;
    if !length.is_file() || length.len() > MOST_KEY {
        return Err(Error::key(
            path,
            format!("expected a file of at most {MOST_KEY} bytes"),
        ));
    }
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    String::from_utf8(bytes).map_err(|_| Error::key(path, "it is no text; expected PEM"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn opened(pem: &str, password: &str) -> Result<SigningKey, Opening> {
        encrypted(pem)
            .map_err(Opening::File)?
            .open(password.as_bytes())
    }

    #[test]
    fn a_pair_is_made_opened_and_signs() {
        let pair = NewPair::generate(b"secret").unwrap();
        assert!(
            pair.private
                .starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
        );
        assert!(pair.public.starts_with("-----BEGIN PUBLIC KEY-----\n"));
        let key = PrivateKey(opened(&pair.private, "secret").ok().unwrap());
        let public = PublicKey::from_pem(&pair.public).unwrap();
        assert_eq!(
            (public.id(), public.pem()),
            (key.public().id(), pair.public)
        );
        let signature = key.sign(b"a message");
        assert_eq!(signature, key.sign(b"a message"));
        assert!(public.verifies(b"a message", &signature));
        assert!(!public.verifies(b"a messagE", &signature));
        assert!(!public.verifies(b"a message", &signature[1..]));
        assert!(!public.verifies(b"a message", b""));
        let other = NewPair::generate(b"").unwrap().public;
        assert!(
            !PublicKey::from_pem(&other)
                .unwrap()
                .verifies(b"a message", &signature)
        );
        assert!(matches!(
            opened(&pair.private, "Secret"),
            Err(Opening::Password)
        ));
    }

    #[test]
    fn a_file_cannot_ask_for_any_cost() {
        let pair = NewPair::generate(b"x").unwrap();
        let (label, json) = pem::decode_vec(pair.private.as_bytes()).unwrap();
        let json = String::from_utf8(json).unwrap();
        for (from, to) in [
            ("\"N\":65536", "\"N\":1073741824"),
            ("\"N\":65536", "\"N\":65537"),
            ("\"N\":65536", "\"N\":0"),
            ("\"r\":8", "\"r\":4294967295"),
            ("\"p\":1", "\"p\":1000"),
            ("\"scrypt\"", "\"none\""),
            ("nacl/secretbox", "none"),
            ("\"nonce\":\"", "\"nonce\":\"AAAA"),
        ] {
            let changed = json.replace(from, to);
            assert_ne!(changed, json);
            let text = pem::encode_string(label, LineEnding::LF, changed.as_bytes()).unwrap();
            assert!(matches!(opened(&text, "x"), Err(Opening::File(_))), "{to}");
        }
        for text in ["", "x", &pair.public, &pair.private[..100]] {
            assert!(matches!(opened(text, "x"), Err(Opening::File(_))), "{text}");
        }
    }
}
