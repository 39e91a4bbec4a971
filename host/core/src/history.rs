//! What the run remembers of each prompt.

use serde::{Deserialize, Serialize};

use crate::candidate::{Group, Verdict};

/// The past of one training prompt, over all rounds that were kept or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptHistory {
    /// Images drawn so far.
    pub attempts: u32,
    /// Images that the model accepted and that the filter kept.
    pub accepted: u32,
    /// Mean p-yes over all attempts; 0 without attempts.
    pub mean_p_yes: f64,
    /// Best p-yes over all attempts; 0 without attempts.
    pub best_p_yes: f64,
    /// The last round that drew for this prompt, from 1.
    pub last_round: Option<u32>,
    /// Kept rounds that trained on an image of this prompt.
    pub times_trained: u32,
}

impl PromptHistory {
    /// Adds one round's group: `drawn` as it was judged, `kept` what the filter left of it.
    pub fn record(&mut self, round: u32, drawn: &Group, kept: &Group) {
        for candidate in &drawn.candidates {
            let attempts = f64::from(self.attempts);
            self.mean_p_yes = (self.mean_p_yes * attempts + candidate.p_yes) / (attempts + 1.0);
            self.best_p_yes = self.best_p_yes.max(candidate.p_yes);
            self.attempts += 1;
        }
        let accepted = kept
            .candidates
            .iter()
            .filter(|candidate| candidate.verdict == Verdict::Accepted)
            .count();
        self.accepted += u32::try_from(accepted).unwrap_or(u32::MAX);
        self.last_round = Some(round);
    }

    /// Whether images were drawn and none was accepted: what the paper calls a hard prompt.
    pub fn failed_so_far(&self) -> bool {
        self.attempts > 0 && self.accepted == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::Candidate;
    use crate::prompt::Prompt;

    fn group(candidates: &[(f64, Verdict)]) -> Group {
        Group {
            prompt: Prompt {
                id: 0,
                text: "a red circle".into(),
                category: "colour".into(),
                tags: Vec::new(),
            },
            history: PromptHistory::default(),
            candidates: candidates
                .iter()
                .zip(0..)
                .map(|(&(p_yes, verdict), index)| Candidate {
                    index,
                    p_yes,
                    verdict,
                    answer: String::new(),
                    log_prob: -1.0,
                    image_hash: u64::from(index),
                })
                .collect(),
        }
    }

    #[test]
    fn counts_attempts_and_what_the_filter_kept() {
        let mut history = PromptHistory::default();
        let drawn = group(&[(0.2, Verdict::Rejected), (0.8, Verdict::Accepted)]);
        history.record(1, &drawn, &group(&[]));
        assert!(history.failed_so_far());
        assert_eq!((history.attempts, history.last_round), (2, Some(1)));
        assert!((history.mean_p_yes - 0.5).abs() < 1e-12);
        assert_eq!(history.best_p_yes, 0.8);
        history.record(2, &drawn, &drawn);
        assert_eq!((history.attempts, history.accepted), (4, 1));
        assert!(!history.failed_so_far());
    }
}
