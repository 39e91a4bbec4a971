use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::Device;
use sc_core::plan::Sampling;
use sc_model::{DrawRequest, Drawing, Parameters};
use sc_world::PartQuestion;

use super::*;

/// A model that answers each question with a p-yes that is laid down, and remembers what it was asked.
struct Scripted {
    p_yes: BTreeMap<&'static str, f64>,
    asked: RefCell<Vec<String>>,
}

impl Scripted {
    fn new(p_yes: &[(&'static str, f64)]) -> Scripted {
        Scripted {
            p_yes: p_yes.iter().copied().collect(),
            asked: RefCell::default(),
        }
    }
}

impl UnifiedModel for Scripted {
    fn device(&self) -> &Device {
        &Device::Cpu
    }
    fn image_tokens(&self) -> usize {
        1
    }
    fn image_size(&self) -> usize {
        1
    }
    fn image_codes(&self) -> usize {
        1
    }
    fn parameters(&self) -> &Parameters {
        unreachable!("judges do not train")
    }
    fn draw(&self, _: &[DrawRequest], _: &Sampling) -> sc_model::Result<Vec<Drawing>> {
        unreachable!("judges do not draw")
    }
    fn decode(&self, _: &[Vec<u32>]) -> sc_model::Result<Tensor> {
        unreachable!("judges are given pixels")
    }
    fn judge(&self, pixels: &Tensor, prompts: &[String]) -> sc_model::Result<Vec<Answer>> {
        let questions: Vec<String> = prompts.iter().map(|p| format!("match {p}")).collect();
        self.ask(pixels, &questions)
    }
    fn ask(&self, pixels: &Tensor, questions: &[String]) -> sc_model::Result<Vec<Answer>> {
        assert_eq!(pixels.dim(0)?, questions.len());
        self.asked.borrow_mut().extend(questions.iter().cloned());
        let answers = questions.iter().map(|question| {
            let Some(p_yes) = self.p_yes.get(&**question) else {
                return Answer::Text {
                    text: "maybe".into(),
                    score_one: Some(0.9),
                };
            };
            Answer::YesNo {
                yes: (p_yes / (1.0 - p_yes)).ln() as f32,
                no: 0.0,
            }
        });
        Ok(answers.collect())
    }
    fn verdict_log_probs(&self, _: &Tensor, _: &[String], _: &[bool]) -> sc_model::Result<Tensor> {
        unreachable!("judges do not train")
    }
    fn token_log_probs(&self, _: &[(&str, &[u32])], _: &[bool]) -> sc_model::Result<Tensor> {
        unreachable!("judges do not train")
    }
}

/// Two paraphrases, an opposite, and three parts of which the third hangs on the first.
struct FewQuestions;

impl Questions for FewQuestions {
    fn paraphrases(&self, prompt: &str) -> Vec<String> {
        vec![format!("show {prompt}"), format!("picture {prompt}")]
    }
    fn contradiction(&self, prompt: &str) -> String {
        format!("contradict {prompt}")
    }
    fn parts(&self, prompt: &str) -> Result<Vec<PartQuestion>, RunError> {
        let part = |name: &str, depends_on: &[usize]| PartQuestion {
            text: format!("{name} of {prompt}"),
            depends_on: depends_on.to_vec(),
        };
        Ok(vec![
            part("first", &[]),
            part("second", &[]),
            part("third", &[0]),
        ])
    }
}

fn judged(judge: &dyn Judge, model: &Scripted, prompts: &[&str]) -> Vec<Judgement> {
    let pixels = Tensor::zeros(
        (prompts.len(), 3, 1, 1),
        candle_core::DType::F32,
        &Device::Cpu,
    );
    let prompts: Vec<String> = prompts.iter().map(|prompt| (*prompt).to_owned()).collect();
    let pixels = pixels.expect("pixels");
    judge.judge(model, &pixels, &prompts).expect("judgements")
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-6
}

#[test]
fn wordings_are_averaged() {
    let model = Scripted::new(&[("match a", 0.9), ("show a", 0.6), ("picture a", 0.3)]);
    let found = judged(&Wordings(&FewQuestions), &model, &["a"]);
    assert!(close(found[0].p_yes, 0.6), "{found:?}");
    assert_eq!(
        (found[0].verdict, found[0].questions),
        (Verdict::Accepted, 3)
    );
}

#[test]
fn clashing_answers_are_no_verdict() {
    let model = Scripted::new(&[
        ("match a", 0.9),
        ("contradict a", 0.2),
        ("match b", 0.9),
        ("contradict b", 0.7),
        ("match c", 0.1),
        ("contradict c", 0.7),
    ]);
    let found = judged(&Consistency(&FewQuestions), &model, &["a", "b", "c"]);
    let verdicts: Vec<Verdict> = found.iter().map(|judgement| judgement.verdict).collect();
    assert_eq!(
        verdicts,
        [Verdict::Accepted, Verdict::Unparsed, Verdict::Rejected]
    );
    assert!(close(found[0].p_yes, 0.85) && found[1].p_yes == 0.5 && close(found[2].p_yes, 0.2));
}

/// A part that hangs on one that is denied is not asked, and counts as denied.
#[test]
fn parts_are_asked_where_they_have_a_meaning() {
    let model = Scripted::new(&[
        ("first of a", 0.9),
        ("second of a", 0.8),
        ("third of a", 0.7),
        ("first of b", 0.3),
        ("second of b", 0.8),
    ]);
    let found = judged(&Decomposed(&FewQuestions), &model, &["a", "b"]);
    assert!(
        close(found[0].p_yes, 0.7) && close(found[1].p_yes, 0.3),
        "{found:?}"
    );
    assert_eq!(found[0].verdict, Verdict::Accepted);
    assert_eq!(found[1].verdict, Verdict::Rejected);
    assert_eq!((found[0].questions, found[1].questions), (3, 2));
    assert!(!model.asked.borrow().contains(&"third of b".to_owned()));
}

/// An answer that cannot be read is no verdict, and no rejection either.
#[test]
fn unread_answers_are_no_rejections() {
    let model = Scripted::new(&[
        ("show b", 0.8),
        ("first of a", 0.9),
        ("first of b", 0.2),
        ("second of b", 0.9),
    ]);
    let verdicts = |judge: &dyn Judge| -> Vec<Verdict> {
        let found = judged(judge, &model, &["a", "b"]);
        found.iter().map(|judgement| judgement.verdict).collect()
    };
    let wordings = verdicts(&Wordings(&FewQuestions));
    assert_eq!(wordings, [Verdict::Unparsed, Verdict::Accepted]);
    let decomposed = verdicts(&Decomposed(&FewQuestions));
    assert_eq!(decomposed, [Verdict::Unparsed, Verdict::Rejected]);
    assert_eq!(
        verdicts(&Consistency(&FewQuestions)),
        [Verdict::Unparsed; 2]
    );
}

#[test]
fn a_bare_verdict_has_no_doubt() {
    let model = Scripted::new(&[("match a", 0.6), ("match b", 0.4)]);
    let found = judged(&Certain(OwnVerdict), &model, &["a", "b"]);
    assert_eq!((found[0].p_yes, found[1].p_yes), (1.0, 0.0));
}

#[test]
fn answers_become_verdicts() {
    let read = |yes, no| Judgement::read(Answer::YesNo { yes, no });
    assert_eq!(read(1.0, 0.0).verdict, Verdict::Accepted);
    assert_eq!(read(0.0, 0.0).verdict, Verdict::Rejected, "p-yes of 0.5");
    let nonsense = read(f32::NAN, 0.0);
    assert_eq!((nonsense.verdict, nonsense.p_yes), (Verdict::Unparsed, 0.5));
    let text = Judgement::read(Answer::Text {
        text: "The score is 1.".into(),
        score_one: None,
    });
    assert_eq!((text.verdict, text.p_yes), (Verdict::Accepted, 1.0));
    assert_eq!(text.answer, "The score is 1.");
}

#[test]
fn only_opposite_answers_to_opposite_questions_agree() {
    let all = [Verdict::Accepted, Verdict::Rejected, Verdict::Unparsed];
    let agreeing = all.iter().flat_map(|a| all.map(|b| (*a, b)));
    let agreeing: Vec<_> = agreeing.filter(|&(a, b)| agree(a, b)).collect();
    assert_eq!(
        agreeing,
        [
            (Verdict::Accepted, Verdict::Rejected),
            (Verdict::Rejected, Verdict::Accepted)
        ]
    );
}

#[test]
fn names_are_those_of_files() {
    for judge in JudgeName::ALL {
        assert_eq!(JudgeName::from_name(judge.name()), Some(judge));
        let written = serde_json::to_value(judge).ok();
        assert_eq!(written, Some(judge.name().into()));
    }
}
