//! `sc-host strategy push` and `pull`: to a registry and back.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use sc_registry::{About, Digest, Error, Kind, Reference, pack};
use sc_strategy::{Inspection, Limits, Runtime};
use semver::Version;
use serde::Serialize;

use crate::args::{PullArguments, PushArguments};
use crate::failure::Mistake;
use crate::sharing::{Sharing, Signed, typed_reference};
use crate::terminal::say;
use crate::{new_file, report};

#[derive(Serialize)]
struct Pushed {
    r#ref: Reference,
    digest: Digest,
}

pub fn push(arguments: &PushArguments) -> anyhow::Result<ExitCode> {
    if typed_reference(&arguments.file).is_ok() && !Path::new(&arguments.file).exists() {
        return Err(Mistake::error(
            format!(
                "FILE is `{}`; expected PATH.wasm or PATH.rhai, and REF after it",
                arguments.file
            ),
            "`sc-host strategy pull REF --to FILE` makes a file of what a registry has",
        ));
    }
    let reference = typed_reference(&arguments.reference)?;
    if reference.digest().is_some() {
        return Err(Mistake::error(
            format!("`{reference}` has a digest; expected a tag alone"),
            "the digest is what pushing tells",
        ));
    }
    let runtime = Runtime::new(Limits::default())?;
    // What could not be loaded is no strategy: it is not pushed.
    let inspection = sc_strategy::inspect(&arguments.file, &runtime)?;
    let kind = match inspection.kind {
        sc_strategy::Kind::Component => Kind::Component,
        sc_strategy::Kind::Script => Kind::Script,
        sc_strategy::Kind::Builtin => {
            return Err(Mistake::error(
                format!(
                    "`{}` is built into the program; expected a file",
                    arguments.file
                ),
                "PATH.wasm and PATH.rhai can be pushed",
            ));
        }
    };
    if Version::parse(&inspection.version).is_err() {
        say(&format!(
            "`{}` has the version `{}`: only with one such as 1.2.3 can an update tell newer from older",
            arguments.file, inspection.version
        ));
    }
    let bytes = std::fs::read(&arguments.file)
        .with_context(|| format!("cannot read `{}`", arguments.file))?;
    if inspection.digest.as_deref() != Some(Digest::of(&bytes).to_string().as_str()) {
        return Err(Mistake::error(
            format!("`{}` has changed while it was looked at", arguments.file),
            "push it when it is finished",
        ));
    }
    let packed = pack(kind, bytes, &about(&inspection, arguments.source.clone())?)?;
    let sharing = Sharing::here(&arguments.registry, runtime.limits())?;
    match sharing.registries.resolve(&reference) {
        Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(there) if there == packed.digest() || arguments.move_tag => {}
        Ok(there) => {
            return Err(Mistake::error(
                format!(
                    "`{reference}` is there already, as {there}; this strategy would be {}",
                    packed.digest()
                ),
                "give it another tag, such as its version; `--move-tag` moves this one, which stops whoever \
                 has it in a lock file",
            ));
        }
    }
    let digest = sharing.registries.push(&reference, &packed)?;
    if arguments.json {
        report::json_line(&Pushed {
            r#ref: reference,
            digest,
        })?;
    } else {
        report::text(&format!("{}\n", reference.pinned(digest)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the annotations tell of a strategy.
fn about(inspection: &Inspection, source: Option<String>) -> anyhow::Result<About> {
    Ok(About {
        name: inspection.name.clone(),
        version: inspection.version.clone(),
        description: inspection.summary.clone(),
        authors: inspection.authors.clone(),
        licence: inspection.licence.clone(),
        source,
        roles: names(&inspection.roles, |role| role.name()),
        services: names(&inspection.services, |service| service.name()),
        contract: inspection.contract.clone().unwrap_or_default(),
        parameters: serde_json::to_string(&inspection.parameters)?,
        imports: inspection.imports.clone(),
        exports: inspection.exports.clone(),
    })
}

fn names<T>(of: &[T], name: impl Fn(&T) -> &'static str) -> Vec<String> {
    of.iter().map(|one| name(one).to_owned()).collect()
}

#[derive(Serialize)]
struct PulledOut<'a> {
    r#ref: &'a Reference,
    digest: Digest,
    kind: Kind,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    from_cache: bool,
    signature: Signed,
}

pub fn pull(arguments: &PullArguments) -> anyhow::Result<ExitCode> {
    let reference = typed_reference(&arguments.reference)?;
    let given = arguments.to.as_ref().map(|file| file.display().to_string());
    if let (Some(file), Some(given)) = (&arguments.to, &given) {
        new_file::check(given, file)?;
    }
    let sharing = Sharing::here(&arguments.registry, &Limits::default())?;
    let pulled = sharing.pull(&reference)?;
    if let (Some(file), Some(given)) = (&arguments.to, &given) {
        let extension = pulled.kind.extension();
        if file.extension().is_none_or(|found| found != extension) {
            return Err(Mistake::error(
                format!("`--to` is `{given}`; expected a name that ends in .{extension}"),
                "the ending tells components from scripts",
            ));
        }
        new_file::write(file, &pulled.bytes)?;
    }
    let signature = sharing.signature(&pulled);
    if arguments.json {
        report::json_line(&PulledOut {
            r#ref: &reference,
            digest: pulled.digest,
            kind: pulled.kind,
            bytes: pulled.bytes.len(),
            file: given,
            from_cache: pulled.from_cache,
            signature,
        })?;
    } else {
        let to = given.map(|file| format!("file       {file}\n"));
        report::text(&format!(
            "artifact   {}\nkind       {}, {} bytes\n{}signature  {signature}\n",
            pulled.reference,
            kind(pulled.kind),
            pulled.bytes.len(),
            to.unwrap_or_default(),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Component => "component",
        Kind::Script => "script",
    }
}
