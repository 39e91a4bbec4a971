//! How a strategy's questions reach the model: the guest runs on a thread of its own and waits, while
//! the thread that owns the model answers.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};

use sc_core::candidate::Group;

use crate::services::{CandidateServices, Image, ModelReply, Question};

/// What a guest wants to know.
enum Request {
    Pixels(u32, u32, Sender<Result<Image, String>>),
    Tokens(u32, u32, Sender<Result<Vec<u32>, String>>),
    Ask(Vec<Question>, Sender<Result<Vec<ModelReply>, String>>),
}

/// The guest's side.
pub(crate) struct Desk(Sender<Request>);

/// The model's side.
pub(crate) struct Requests(Receiver<Request>);

/// Both sides of a desk for one call.
pub(crate) fn open() -> (Desk, Requests) {
    let (sender, receiver) = mpsc::channel();
    (Desk(sender), Requests(receiver))
}

impl Desk {
    pub(crate) fn pixels(&self, group: u32, index: u32) -> Result<Image, String> {
        self.request(|reply| Request::Pixels(group, index, reply))
    }

    pub(crate) fn tokens(&self, group: u32, index: u32) -> Result<Vec<u32>, String> {
        self.request(|reply| Request::Tokens(group, index, reply))
    }

    pub(crate) fn ask(&self, questions: Vec<Question>) -> Result<Vec<ModelReply>, String> {
        let count = questions.len();
        let replies = self.request(|reply| Request::Ask(questions, reply))?;
        if replies.len() == count {
            Ok(replies)
        } else {
            Err(format!(
                "{} answers came to {count} questions",
                replies.len()
            ))
        }
    }

    fn request<T>(
        &self,
        request: impl FnOnce(Sender<Result<T, String>>) -> Request,
    ) -> Result<T, String> {
        let (sender, receiver) = mpsc::channel();
        // Both fail only when the other side has ended before the guest.
        let gone = || "nobody answers any more".to_owned();
        self.0.send(request(sender)).map_err(|_| gone())?;
        receiver.recv().map_err(|_| gone())?
    }
}

impl Requests {
    /// Answers until the guest's side is dropped.
    pub(crate) fn answer(self, services: &mut dyn CandidateServices) {
        // A reply that nobody waits for any more is lost, as it should be.
        for request in self.0 {
            match request {
                Request::Pixels(group, index, reply) => {
                    let _ = reply.send(services.pixels(group, index));
                }
                Request::Tokens(group, index, reply) => {
                    let _ = reply.send(services.tokens(group, index));
                }
                Request::Ask(questions, reply) => {
                    let _ = reply.send(services.ask(&questions));
                }
            }
        }
    }
}

/// What a strategy has used of the services that are counted by the round.
#[derive(Default)]
pub(crate) struct RoundAccount(Mutex<Account>);

#[derive(Default)]
struct Account {
    round: u32,
    images: u32,
    /// What was asked: the image's hash and the question.
    asked: HashSet<(u64, String)>,
}

impl RoundAccount {
    fn of_round<T>(&self, round: u32, read: impl FnOnce(&mut Account) -> T) -> T {
        let mut account = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if account.round != round {
            *account = Account {
                round,
                ..Account::default()
            };
        }
        read(&mut account)
    }

    /// Takes one image from the allowance; whether it was there.
    pub(crate) fn take_image(&self, round: u32, allowance: u32) -> bool {
        self.of_round(round, |account| {
            let within = account.images < allowance;
            account.images += u32::from(within);
            within
        })
    }

    /// Questions left of the allowance.
    pub(crate) fn questions_left(&self, round: u32, allowance: u32) -> u32 {
        self.of_round(round, |account| account.left(allowance))
    }

    /// Charges the questions that were not asked before about the same image: how many they are,
    /// or how many there is room for.
    pub(crate) fn charge(
        &self,
        round: u32,
        allowance: u32,
        questions: Vec<(u64, String)>,
    ) -> Result<u64, u32> {
        self.of_round(round, |account| {
            let new: HashSet<(u64, String)> = questions
                .into_iter()
                .filter(|question| !account.asked.contains(question))
                .collect();
            let left = account.left(allowance);
            if new.len() > left as usize {
                return Err(left);
            }
            let charged = new.len() as u64;
            account.asked.extend(new);
            Ok(charged)
        })
    }
}

impl Account {
    fn left(&self, allowance: u32) -> u32 {
        allowance.saturating_sub(u32::try_from(self.asked.len()).unwrap_or(u32::MAX))
    }
}

/// The hash of the image of a candidate, if there is such a candidate.
pub(crate) fn image_hash(groups: &[Vec<(u32, u64)>], group: u32, index: u32) -> Option<u64> {
    let candidates = groups.get(group as usize)?;
    let position = candidates
        .binary_search_by_key(&index, |(index, _)| *index)
        .ok()?;
    Some(candidates[position].1)
}

/// Index and image hash of each candidate of each group: what a call may be asked about.
pub(crate) fn images(groups: &[Group]) -> Vec<Vec<(u32, u64)>> {
    groups
        .iter()
        .map(|group| {
            group
                .candidates
                .iter()
                .map(|candidate| (candidate.index, candidate.image_hash))
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_charged_once_a_round() {
        let account = RoundAccount::default();
        let questions = |texts: &[&str]| texts.iter().map(|text| (7, (*text).to_owned())).collect();
        assert_eq!(account.charge(1, 3, questions(&["a", "b", "a"])), Ok(2));
        assert_eq!(account.charge(1, 3, questions(&["b", "c"])), Ok(1));
        assert_eq!(account.charge(1, 3, questions(&["c", "d"])), Err(0));
        assert_eq!(account.questions_left(1, 3), 0);
        assert_eq!(account.charge(2, 3, questions(&["c", "d"])), Ok(2));
    }
}
