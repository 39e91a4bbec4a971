//! The images of a stage, and the model, as its strategies may ask about them.

use std::collections::{HashMap, HashSet};

use sc_model::UnifiedModel;
use sc_strategy::{CandidateServices, Image, ModelReply, Question};
use sc_world::Picture;

use crate::error::RunError;
use crate::generation::DrawnGroup;
use crate::judge::Judgement;

/// Images asked about at a time. Bounds the memory for pixels.
const CHUNK: usize = 512;

/// What was drawn at the beginning of a round, or again in the middle of its training, with the
/// model that drew it. Each question is put to the model once.
pub(crate) struct Drawn<'a> {
    model: &'a dyn UnifiedModel,
    pub(crate) groups: Vec<DrawnGroup>,
    /// Weight in the loss of what comes from each group.
    pub(crate) weights: Vec<f64>,
    known: HashMap<Question, ModelReply>,
    /// Questions in the order in which they were first asked.
    asked: Vec<Question>,
}

impl<'a> Drawn<'a> {
    pub(crate) fn new(
        model: &'a dyn UnifiedModel,
        groups: Vec<DrawnGroup>,
        weights: Vec<f64>,
    ) -> Drawn<'a> {
        Drawn {
            model,
            groups,
            weights,
            known: HashMap::new(),
            asked: Vec::new(),
        }
    }

    /// All questions that strategies have asked, with their answers.
    pub(crate) fn replies(&self) -> Vec<(Question, ModelReply)> {
        let replies = self.asked.iter().filter_map(|question| {
            let reply = self.known.get(question)?;
            Some((question.clone(), reply.clone()))
        });
        replies.collect()
    }

    fn image_tokens(&self, group: u32, index: u32) -> Result<&Vec<u32>, String> {
        self.groups
            .get(group as usize)
            .and_then(|group| group.tokens.get(index as usize))
            .ok_or_else(|| format!("there is no candidate {index} in group {group}"))
    }

    /// Asks what is not known yet.
    fn put(&mut self, new: &[Question]) -> Result<(), RunError> {
        for questions in new.chunks(CHUNK) {
            let mut tokens = Vec::with_capacity(questions.len());
            for question in questions {
                let found = self.image_tokens(question.group, question.index);
                tokens.push(found.cloned().map_err(|_| {
                    // What is asked about has been looked up in the same groups before.
                    candle_core::Error::Msg("a question about no candidate".into())
                })?);
            }
            let pixels = self.model.decode(&tokens)?;
            let texts: Vec<String> = questions.iter().map(|q| q.text.clone()).collect();
            for (question, answer) in questions.iter().zip(self.model.ask(&pixels, &texts)?) {
                let judgement = Judgement::read(answer);
                let reply = ModelReply {
                    p_yes: judgement.p_yes,
                    verdict: judgement.verdict,
                    answer: judgement.answer,
                };
                self.known.insert(question.clone(), reply);
                self.asked.push(question.clone());
            }
        }
        Ok(())
    }

    fn picture(&self, group: u32, index: u32) -> Result<Picture, RunError> {
        let tokens = self.image_tokens(group, index).cloned().unwrap_or_default();
        let size = self.model.image_size();
        let pixels = self.model.decode(&[tokens])?.flatten_all()?;
        Ok(Picture::from_planes(&pixels.to_vec1::<f32>()?, size, size)?)
    }
}

impl CandidateServices for Drawn<'_> {
    fn pixels(&mut self, group: u32, index: u32) -> Result<Image, String> {
        let picture = self
            .picture(group, index)
            .map_err(|error| error.to_string())?;
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        Ok(Image {
            width: side(picture.width()),
            height: side(picture.height()),
            rgb: picture.pixels().to_vec(),
        })
    }

    fn tokens(&mut self, group: u32, index: u32) -> Result<Vec<u32>, String> {
        self.image_tokens(group, index).cloned()
    }

    fn ask(&mut self, questions: &[Question]) -> Result<Vec<ModelReply>, String> {
        let mut seen = HashSet::new();
        let unknown = questions
            .iter()
            .filter(|question| !self.known.contains_key(question) && seen.insert(*question));
        let new: Vec<Question> = unknown.cloned().collect();
        self.put(&new).map_err(|error| error.to_string())?;
        questions
            .iter()
            .map(|question| {
                let reply = self.known.get(question).cloned();
                reply.ok_or_else(|| "the model gave no answer".to_owned())
            })
            .collect()
    }
}
