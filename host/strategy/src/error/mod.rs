//! What can go wrong with a strategy, when it is loaded and when it is called.

mod call;
mod load;
mod request;

pub use call::{CallError, CallFailure};
pub use load::LoadError;
pub use request::{GrantError, RequestError, SettingError};

/// Longest text of a strategy that is shown, in characters.
const MAX_SHOWN: usize = 400;

/// A strategy's text as it may be shown.
pub(crate) fn shown(text: &str) -> String {
    sc_core::text::printable(text, MAX_SHOWN)
}

/// `did you mean …`, or else what there is.
fn did_you_mean(suggestion: Option<&String>, otherwise: impl FnOnce() -> String) -> String {
    suggestion.map_or_else(otherwise, |name| format!("did you mean `{name}`?"))
}
