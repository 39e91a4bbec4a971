//! The imports of contract 0.1.0.

use tracing::Level;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::sc::strategy::{candidate, log, model, random, types};
use super::convert;
use crate::services::Question;
use crate::wasm::session::{AskRefusal, HostState};

/// Offers the services to guests.
///
/// # Errors
/// When the bindings contradict each other.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    fn state(state: &mut HostState) -> &mut HostState {
        state
    }
    types::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    log::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    random::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    candidate::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    model::add_to_linker::<_, HasSelf<_>>(linker, state)
}

impl types::Host for HostState {}

impl log::Host for HostState {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
        };
        self.log(level, &message)
    }
}

impl random::Host for HostState {
    fn next(&mut self) -> wasmtime::Result<u64> {
        self.next_random()
    }
}

impl candidate::Host for HostState {
    fn pixels(
        &mut self,
        group: u32,
        index: u32,
    ) -> wasmtime::Result<Result<candidate::Image, String>> {
        let image = HostState::pixels(self, group, index)?;
        Ok(image.map(|image| candidate::Image {
            width: image.width,
            height: image.height,
            rgb: image.rgb,
        }))
    }

    fn tokens(&mut self, group: u32, index: u32) -> wasmtime::Result<Result<Vec<u32>, String>> {
        HostState::tokens(self, group, index)
    }
}

impl model::Host for HostState {
    fn ask(
        &mut self,
        questions: Vec<model::Question>,
    ) -> wasmtime::Result<Result<Vec<model::Reply>, model::Refusal>> {
        let questions = questions
            .into_iter()
            .map(|question| Question {
                group: question.group,
                index: question.index,
                text: question.text,
            })
            .collect();
        let replies = HostState::ask(self, questions)?;
        Ok(match replies {
            Ok(replies) => Ok(replies
                .into_iter()
                .map(|reply| model::Reply {
                    p_yes: reply.p_yes,
                    verdict: convert::verdict(reply.verdict),
                    answer: (!reply.answer.is_empty()).then_some(reply.answer),
                })
                .collect()),
            Err(AskRefusal::Quota(left)) => Err(model::Refusal::Quota(left)),
            Err(AskRefusal::Invalid(text)) => Err(model::Refusal::Invalid(text)),
            Err(AskRefusal::Unavailable(text)) => Err(model::Refusal::Unavailable(text)),
        })
    }

    fn remaining(&mut self) -> wasmtime::Result<u32> {
        self.questions_left()
    }
}
