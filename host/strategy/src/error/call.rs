//! What can go wrong when a strategy is called.

use std::time::Duration;

use sc_core::role::Role;
use sc_core::validate::InvalidAnswer;
use thiserror::Error;

/// Why a call failed, apart from who was called.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum CallFailure {
    /// The strategy's code trapped; the reason is the runtime's.
    #[error("it trapped: {0}")]
    Trap(String),
    /// It computed for longer than its fuel lasts.
    #[error("it ran out of fuel ({fuel} units)")]
    OutOfFuel {
        /// The fuel that it was given.
        fuel: u64,
    },
    /// It took longer than its deadline.
    #[error("it ran past its deadline of {} s", deadline.as_secs_f64())]
    Deadline {
        /// The time that it was given.
        deadline: Duration,
    },
    /// It asked for more memory than it may have.
    #[error("it asked for more than its {} MiB of memory", limit >> 20)]
    Memory {
        /// The cap, in bytes.
        limit: usize,
    },
    /// It handed over more data than an answer may hold.
    #[error("it handed over more than {limit} bytes")]
    OutputTooLarge {
        /// The cap for this call, in bytes.
        limit: usize,
    },
    /// Its state is larger than is stored.
    #[error("its state is {bytes} bytes long; at most {limit} are kept")]
    StateTooLarge {
        /// Size of the state.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
    /// The machine could not give it what the limits allow.
    #[error("this machine could not give it memory: {0}")]
    Machine(String),
    /// The script failed, or threw; the text says where.
    #[error("its script failed: {0}")]
    Script(String),
    /// It said itself that it cannot answer.
    #[error("it refused: {0}")]
    Refused(String),
    /// Its answer breaks the contract.
    #[error("its answer is invalid: {0}")]
    Invalid(#[from] InvalidAnswer),
}

impl CallFailure {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            CallFailure::Trap(_) => {
                "a trap is a crash inside the strategy: mend it, or run without it"
            }
            CallFailure::OutOfFuel { .. } | CallFailure::Deadline { .. } => {
                "look for a loop that does not end, or for work that grows with the square of the candidates"
            }
            CallFailure::Memory { .. } => {
                "keep less at once; a call's memory is freed when it ends"
            }
            CallFailure::OutputTooLarge { .. } => {
                "answer with what the contract asks for, in short texts"
            }
            CallFailure::StateTooLarge { .. } => "keep only what the next round needs",
            CallFailure::Machine(_) => {
                "this is not the strategy's fault: end other programs, or raise the limit on memory (`ulimit`)"
            }
            CallFailure::Script(_) => {
                "mend the script at that place; what it throws is its own way to refuse"
            }
            CallFailure::Refused(_) => {
                "the reason is the strategy's own: ask its author, or run without it"
            }
            CallFailure::Invalid(_) => "`wit/README.md` says what each role must answer",
        }
    }
}

/// A call of a role that failed.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("strategy `{strategy}`, asked as {role} in round {round}, failed: {failure}")]
pub struct CallError {
    /// What it was asked for.
    pub role: Role,
    /// The strategy's name.
    pub strategy: String,
    /// The round, from 1.
    pub round: u32,
    /// What happened.
    pub failure: CallFailure,
}

impl CallError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(self.failure.hint().to_owned())
    }
}
