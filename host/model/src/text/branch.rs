//! Several questions about one image: what they share, and what each adds.

use super::{IMAGE, QUESTION, Text};
use crate::error::{Error, Result};

/// A continuation of an image's row whose last tokens are predicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The continuation.
    pub ids: Vec<u32>,
    /// How many of its last tokens are predicted; at least one.
    pub predicted: usize,
}

impl Branch {
    /// What the model reads of it: the last token is only predicted.
    pub(crate) fn read(&self) -> &[u32] {
        self.ids.split_last().map_or(&[], |(_, read)| read)
    }
}

impl Text {
    /// Ids of what every question about an image begins with: the asking template up to the
    /// question, with the image.
    ///
    /// # Errors
    /// When the template has the image after the question, or cannot be tokenized.
    pub fn image_prefix_ids(&self) -> Result<Vec<u32>> {
        let ask = &self.templates.ask;
        let before = ask.split(QUESTION).next().unwrap_or_default();
        if !before.contains(IMAGE) {
            return Err(Error::argument(
                "asking template",
                format!("{ask:?}"),
                format!("a text with `{IMAGE}` before `{QUESTION}`, so that questions share it"),
            ));
        }
        // Many tokenizers join a blank to the word after it.
        let filled = self.fill(before.trim_end(), QUESTION, "")?;
        self.with_image(before, filled)
    }

    /// The branch that asks `question` and has `answer` predicted: what the whole conversation
    /// has after [`Text::image_prefix_ids`].
    ///
    /// # Errors
    /// When the answer is empty, either text holds a special token, the conversation does not fit
    /// the model's positions, or the tokenizer joins words of one part to the next.
    pub fn branch(&self, question: &str, answer: &str) -> Result<Branch> {
        let prefix = self.image_prefix_ids()?;
        let asked = self.ask_ids(question)?;
        let filled = self.fill(&self.templates.ask, QUESTION, question)?;
        self.refuse_special(answer)?;
        let ids = self.with_image(answer, format!("{filled} {answer}"))?;
        if !(asked.starts_with(&prefix) && ids.starts_with(&asked)) {
            return Err(Error::argument(
                "question with its answer",
                format!("{question:?}, {answer:?}"),
                "texts whose tokens follow the template's and one another's",
            ));
        }
        let predicted = ids.len() - asked.len();
        if predicted == 0 {
            return Err(Error::argument("answer", format!("{answer:?}"), "words"));
        }
        Ok(Branch {
            ids: ids[prefix.len()..].to_vec(),
            predicted,
        })
    }
}
