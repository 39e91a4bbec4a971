//! `sc-host strategy keygen`, `sign` and `verify`.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use sc_registry::{Digest, Error, NewPair, PrivateKey, PublicKey, Reference, Standing, checked};
use sc_strategy::Limits;
use serde::Serialize;

use crate::args::{KeygenArguments, SignArguments, SignatureArguments};
use crate::failure::Mistake;
use crate::sharing::{Sharing, typed_reference};
use crate::{new_file, report};

/// Gives the password of a key, as it does to cosign.
const PASSWORD: &str = "COSIGN_PASSWORD";

#[derive(Serialize)]
struct Made {
    private: String,
    public: String,
    key: Digest,
}

pub fn keygen(arguments: &KeygenArguments) -> anyhow::Result<ExitCode> {
    let file = |ending: &str| {
        let mut name = arguments.name.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    };
    let (private, public) = (file(".key"), file(".pub"));
    for file in [&private, &public] {
        new_file::check(&file.display().to_string(), file)?;
    }
    let password = new_password()?;
    let pair = NewPair::generate(&password)
        .map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    write_private(&private, pair.private.as_bytes())?;
    new_file::write(&public, pair.public.as_bytes()).inspect_err(|_| {
        // A private key without its public half is of no use, and in the way of the next.
        let _ = fs::remove_file(&private);
    })?;
    let made = Made {
        key: PublicKey::read(&public)?.id(),
        private: private.display().to_string(),
        public: public.display().to_string(),
    };
    if arguments.json {
        report::json_line(&made)?;
    } else {
        report::text(&format!(
            "private key  {}: keep it to yourself\npublic key   {}: give it to whoever is to trust you\n\
             its digest   {}\n",
            made.private, made.public, made.key
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that its owner alone can read.
fn write_private(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = || format!("cannot write `{}`", file.display());
    let mut new = options.open(file).with_context(failed)?;
    new.write_all(bytes).with_context(|| {
        // A part of a key is of no use.
        let _ = fs::remove_file(file);
        failed()
    })
}

/// The password of a new key, which must be one.
fn new_password() -> anyhow::Result<Vec<u8>> {
    let password = match env::var_os(PASSWORD) {
        Some(password) => password.into_encoded_bytes(),
        None => {
            let password = asked("password of the new key: ")?;
            if asked("the same again: ")? != password {
                return Err(Mistake::error(
                    "the two passwords differ",
                    "nothing is written; type the same twice",
                ));
            }
            password
        }
    };
    if password.is_empty() {
        return Err(Mistake::error(
            "the password is empty; expected one that protects the key",
            format!("{PASSWORD} gives it, or it is asked for"),
        ));
    }
    Ok(password)
}

/// The password of a key that is there.
fn password() -> anyhow::Result<Vec<u8>> {
    match env::var_os(PASSWORD) {
        Some(password) => Ok(password.into_encoded_bytes()),
        None => asked("password of the key: "),
    }
}

fn asked(question: &str) -> anyhow::Result<Vec<u8>> {
    if !std::io::stdin().is_terminal() {
        return Err(Mistake::error(
            "a password is needed, and there is no terminal to ask for it",
            format!("set {PASSWORD}"),
        ));
    }
    let password = rpassword::prompt_password(question).context("cannot read the password")?;
    Ok(password.into_bytes())
}

#[derive(Serialize)]
struct SignedOut {
    r#ref: Reference,
    digest: Digest,
    key: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

pub fn sign(arguments: &SignArguments) -> anyhow::Result<ExitCode> {
    let reference = typed_reference(&arguments.reference)?;
    let sharing = Sharing::here(&arguments.registry, &Limits::default())?;
    let Some(digest) = reference.digest() else {
        let now = sharing.registries.resolve(&reference)?;
        return Err(Mistake::error(
            format!(
                "`{reference}` has no digest; expected REF@sha256:…, so that nothing else is signed"
            ),
            format!(
                "`push` printed it; the tag names {} now",
                reference.repository().at(now)
            ),
        ));
    };
    let key = PrivateKey::read::<anyhow::Error>(&arguments.key, password)?;
    sharing.registries.sign(&reference, digest, &key)?;
    let signed = SignedOut {
        r#ref: reference.pinned(digest),
        digest,
        key: key.public().id(),
        file: None,
    };
    if arguments.json {
        report::json_line(&signed)?;
    } else {
        report::text(&format!(
            "{} is signed by key {}\n",
            signed.r#ref, signed.key
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub fn verify(arguments: &SignatureArguments) -> anyhow::Result<ExitCode> {
    let reference = typed_reference(&arguments.reference)?;
    let sharing = Sharing::here(&arguments.registry, &Limits::default())?;
    let digest = sharing.digest(&reference)?;
    let pinned = reference.pinned(digest);
    let outcome = match &arguments.key {
        Some(file) => {
            let key = PublicKey::read(file)?;
            let name = reference.repository().to_string();
            let judge = |signatures: &[_]| checked(&[&key], digest, &name, signatures);
            let signatures = sharing
                .registries
                .signatures(&reference, digest, |all| judge(all).is_ok())?;
            judge(&signatures).map(|_| (file.clone(), key.id()))
        }
        None => match sharing.standing(&reference, digest)? {
            Standing::Signed { file, key } => Ok((file, key)),
            Standing::NotSigned { reason } => Err(reason),
        },
    };
    let (file, key) = outcome.map_err(|reason| Error::NotSigned {
        reference: Box::new(pinned.clone()),
        reason,
    })?;
    if arguments.json {
        report::json_line(&SignedOut {
            r#ref: pinned,
            digest,
            key,
            file: Some(file),
        })?;
    } else {
        report::text(&format!(
            "{pinned} is signed by {}, key {key}\n",
            file.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
