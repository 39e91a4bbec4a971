//! How the program says that something is wrong: `error:`, then `hint:` where there is one.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::terminal::say;

/// A mistake in what was typed, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    /// What is wrong, with field and value.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Mistake {
    /// A mistake as an error.
    pub fn error(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Mistake {
            message: message.into(),
            hint: hint.into(),
        })
    }
}

/// Prints an error that clap found, or the help that was asked for.
pub fn usage(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // Nothing is left to do if stdout is gone.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let (message, _) = text
        .split_once("For more information")
        .unwrap_or((&text, ""));
    say(message.trim_end());
    if !message.contains("tip:") && !message.contains("hint:") {
        say("hint: `sc-host COMMAND --help` lists the options and what they take");
    }
    ExitCode::from(2)
}

/// Prints why a command failed.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        // Whoever read our output has seen enough.
        return ExitCode::SUCCESS;
    }
    let mut message = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // `#[error(transparent)]` and messages that quote their source would say it twice.
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    say(&format!("error: {message}"));
    let hint = hint(error).unwrap_or_else(|| general_hint(error));
    say(&format!("hint: {hint}"));
    ExitCode::FAILURE
}

fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(mistake) = cause.downcast_ref::<Mistake>() {
            return Some(mistake.hint.clone());
        }
        if let Some(error) = cause.downcast_ref::<sc_run::RunError>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<sc_strategy::LoadError>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<sc_strategy::GrantError>() {
            return Some(error.hint());
        }
        if let Some(error) = cause.downcast_ref::<sc_strategy::RequestError>() {
            return Some(error.hint());
        }
        if let Some(error) = cause.downcast_ref::<sc_strategy::CallError>() {
            return error.hint();
        }
        if cause.is::<sc_strategy::trial::CaseError>() {
            return Some(
                "`sc-host strategy test FILE --bless DIR` writes cases as they must be".into(),
            );
        }
        if let Some(error) = cause.downcast_ref::<sc_strategy::record::ReplayError>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<sc_registry::Error>() {
            return Some(error.hint());
        }
        if let Some(error) = cause.downcast_ref::<crate::hub::HubError>() {
            return Some(error.hint());
        }
        if let Some(error) = cause.downcast_ref::<sc_pretrain::PretrainError>() {
            return error.hint();
        }
        cause.downcast_ref::<sc_model::Error>()?.hint()
    })
}

/// What to do about an error that says nothing of its own.
fn general_hint(error: &anyhow::Error) -> String {
    let of_a_file = error.chain().any(|cause| cause.is::<std::io::Error>());
    let of_a_strategy = error
        .chain()
        .any(|cause| cause.is::<sc_strategy::LoadError>());
    if of_a_file {
        "check that the path is right and that you may use it"
    } else if of_a_strategy {
        "`wit/README.md` says how a strategy is written"
    } else {
        "`sc-host COMMAND --help` lists the options and what they take"
    }
    .to_owned()
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
