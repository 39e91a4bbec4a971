//! Inputs that strategies trip over.

use rand::Rng;
use sc_core::candidate::{Candidate, Group, Verdict};
use sc_core::choice::Objective;
use sc_core::history::PromptHistory;
use sc_core::metrics::{Metric, RoundMetrics, Share};
use sc_core::plan::{PlanBounds, PlanDefaults, Sampling};
use sc_core::prompt::{Prompt, Tag};
use sc_core::rng::stream;
use sc_core::role::Role;

use super::case::{Body, Case, CaseContext, CurriculumCase, GateCase, Groups, SelectionCase};

/// Very many candidates or prompts.
const MANY: u32 = 100_000;
/// Candidates of a prompt where there are very many.
const OF_ONE: u32 = 8;

/// An input with what is awkward about it.
pub struct Awkward {
    /// In a few words.
    pub name: String,
    /// The input, without an expected answer.
    pub case: Case,
}

/// Inputs for a role that are awkward.
pub fn awkward(role: Role) -> Vec<Awkward> {
    match role {
        Role::Curriculum => curricula(),
        Role::DataFilter => of_groups()
            .into_iter()
            .map(|(name, groups)| {
                let expected = None;
                let input = Groups { groups };
                made(name.into(), Body::DataFilter { input, expected })
            })
            .collect(),
        // One objective of each kind that there is.
        Role::PairSelection => [Objective::Sigmoid, Objective::Sft, Objective::Kto]
            .into_iter()
            .flat_map(|objective| {
                of_groups().into_iter().map(move |(name, groups)| {
                    let expected = None;
                    let input = SelectionCase { groups, objective };
                    let name = format!("{name}, {objective}");
                    made(name, Body::PairSelection { input, expected })
                })
            })
            .collect(),
        Role::QualityGate => gates(),
    }
}

fn made(name: String, body: Body) -> Awkward {
    Awkward {
        name,
        case: Case {
            context: CaseContext {
                seed: 1,
                round: 2,
                rounds: 3,
                epoch: 1,
                state: Vec::new(),
            },
            parameters: Default::default(),
            body,
        },
    }
}

fn prompt(id: u32) -> Prompt {
    Prompt {
        id,
        text: format!("a red circle above a blue square, number {id}"),
        category: ["colour", "spatial", "numeracy"][id as usize % 3].into(),
        tags: vec![Tag {
            key: "kind".into(),
            value: format!("kind {}", id % 5),
        }],
    }
}

fn candidate(index: u32, p_yes: f64) -> Candidate {
    Candidate {
        index,
        p_yes,
        verdict: if p_yes > 0.5 {
            Verdict::Accepted
        } else {
            Verdict::Rejected
        },
        answer: String::new(),
        log_prob: -1.5,
        image_hash: u64::MAX - u64::from(index),
    }
}

fn group(id: u32, candidates: Vec<Candidate>) -> Group {
    Group {
        prompt: prompt(id),
        history: history(id),
        candidates,
    }
}

fn history(id: u32) -> PromptHistory {
    match id % 3 {
        0 => PromptHistory::default(),
        kind => PromptHistory {
            attempts: 8,
            accepted: (kind - 1) * 3,
            mean_p_yes: 0.25,
            best_p_yes: 0.75,
            last_round: Some(1),
            times_trained: kind - 1,
        },
    }
}

/// `count` groups of `size` candidates by chance: all verdicts, equal images, ties.
pub(crate) fn random_groups(count: u32, size: u32) -> Vec<Group> {
    let mut random = stream(3, "generated groups", &[]);
    (0..count)
        .map(|id| {
            let candidates = (0..size).map(|index| {
                let p_yes = f64::from(random.random_range(0..=20_u32)) / 20.0;
                let unparsed = random.random_ratio(1, 10);
                Candidate {
                    p_yes: if unparsed { 0.5 } else { p_yes },
                    verdict: match p_yes {
                        _ if unparsed => Verdict::Unparsed,
                        p if p > 0.5 => Verdict::Accepted,
                        _ => Verdict::Rejected,
                    },
                    log_prob: -random.random_range(0.5..3.0),
                    image_hash: random.random_range(0..20),
                    ..candidate(index, p_yes)
                }
            });
            let candidates = candidates.collect();
            group(id, candidates)
        })
        .collect()
}

fn of_groups() -> Vec<(&'static str, Vec<Group>)> {
    let of_p = |p_yes: &[f64]| -> Vec<Candidate> {
        (0..)
            .zip(p_yes)
            .map(|(index, &p_yes)| candidate(index, p_yes))
            .collect()
    };
    let unparsed = |index| Candidate {
        verdict: Verdict::Unparsed,
        answer: "I cannot tell.".into(),
        ..candidate(index, 0.5)
    };
    let mut odd_text = group(0, of_p(&[0.9, 0.1]));
    odd_text.prompt = Prompt {
        text: "火 \u{1f525} ".repeat(500),
        category: String::new(),
        tags: Vec::new(),
        ..odd_text.prompt
    };
    let equal_images = (0..4)
        .map(|index| Candidate {
            image_hash: 7,
            ..candidate(index, 0.9)
        })
        .collect();
    let mut gaps = of_p(&[0.9, 0.1, 0.8, 0.2, 0.7]);
    gaps.retain(|candidate| candidate.index % 2 == 1 || candidate.index == 4);
    vec![
        ("no groups", Vec::new()),
        ("a group without candidates", vec![group(0, Vec::new())]),
        ("one candidate, accepted", vec![group(0, of_p(&[0.9]))]),
        ("one candidate, rejected", vec![group(0, of_p(&[0.1]))]),
        ("all accepted", vec![group(0, of_p(&[0.9, 0.8, 0.7]))]),
        ("all rejected", vec![group(0, of_p(&[0.1, 0.2, 0.3]))]),
        ("ties", vec![group(0, of_p(&[0.9, 0.9, 0.1, 0.1]))]),
        ("p-yes 0, ½ and 1", vec![group(0, of_p(&[0.0, 0.5, 1.0]))]),
        (
            "all unparsed",
            vec![group(0, (0..3).map(unparsed).collect())],
        ),
        ("equal images", vec![group(0, equal_images)]),
        ("gaps in the indices", vec![group(4, gaps)]),
        ("long and strange text", vec![odd_text]),
        ("100 prompts by chance", random_groups(100, OF_ONE)),
        ("100,000 candidates", random_groups(MANY / OF_ONE, OF_ONE)),
    ]
}

fn curricula() -> Vec<Awkward> {
    let case = |name: &str, histories: Vec<PromptHistory>, wanted: u32, most: u32| {
        let count = histories.len() as u32;
        let input = CurriculumCase {
            prompts: (0..count).map(prompt).collect(),
            histories,
            past: vec![past_round(0), past_round(1)],
            bounds: PlanBounds {
                prompt_count: count,
                max_images: most,
                max_epochs: 8,
            },
            defaults: PlanDefaults {
                prompts: wanted,
                images_per_prompt: 5,
                sampling: Sampling::default(),
                objective: Objective::Sft,
                epochs: 2,
            },
        };
        let expected = None;
        made(name.into(), Body::Curriculum { input, expected })
    };
    let failed = PromptHistory {
        attempts: 10,
        mean_p_yes: 0.1,
        best_p_yes: 0.3,
        last_round: Some(1),
        ..PromptHistory::default()
    };
    let accepted = PromptHistory {
        accepted: 9,
        mean_p_yes: 0.9,
        best_p_yes: 0.99,
        times_trained: 1,
        ..failed
    };
    let mut first = case(
        "the first round",
        vec![PromptHistory::default(); 50],
        10,
        200,
    );
    first.case.context.round = 1;
    if let Body::Curriculum { input, .. } = &mut first.case.body {
        input.past.truncate(1);
    }
    let mut last = case("the last round", (0..50).map(history).collect(), 10, 200);
    last.case.context.round = last.case.context.rounds;
    vec![
        first,
        last,
        case("one prompt", vec![failed], 1, 20),
        case(
            "nothing ever tried",
            vec![PromptHistory::default(); 50],
            10,
            200,
        ),
        case("all failed", vec![failed; 50], 10, 200),
        case("all accepted", vec![accepted; 50], 10, 200),
        case(
            "fewer prompts than a round asks for",
            vec![failed; 5],
            10,
            200,
        ),
        case("room for one image only", vec![failed; 50], 1, 5),
        case(
            "100,000 prompts",
            (0..MANY).map(history).collect(),
            600,
            12_000,
        ),
    ]
}

fn past_round(round: u32) -> RoundMetrics {
    RoundMetrics {
        round,
        kept: true,
        metrics: figures(500, 980),
    }
}

/// Figures of which `rejected` and `right` of 1,000 trials each.
fn figures(rejected: u64, right: u64) -> Vec<Metric> {
    vec![
        Metric::new("nonunified", Share::of(rejected, 1000)),
        Metric::new("nonunified/spatial", Share::of(rejected / 4, 250)),
        Metric::new("generation_accuracy", Share::of(1000 - rejected, 1000)),
        Metric::new("understanding_accuracy", Share::of(right, 1000)),
        Metric::new(
            "weak_generation_share",
            Share::of(rejected, rejected.max(1)),
        ),
    ]
}

fn gates() -> Vec<Awkward> {
    let case = |name: &str, before: Vec<Metric>, after: Vec<Metric>, rounds: u32| {
        let input = GateCase {
            before,
            after,
            past: (0..rounds).map(past_round).collect(),
        };
        let expected = None;
        made(name.into(), Body::QualityGate { input, expected })
    };
    let unknown = vec![Metric::new("a_name_of_the_future", Share::of(1, 2))];
    let only = |metrics: Vec<Metric>, name: &str| -> Vec<Metric> {
        let named = metrics.into_iter().filter(|metric| metric.name == name);
        named.collect()
    };
    vec![
        case("nothing changed", figures(500, 980), figures(500, 980), 2),
        case("much better", figures(500, 980), figures(300, 985), 2),
        case("much worse", figures(300, 980), figures(700, 700), 2),
        case(
            "a better score, worse understanding",
            figures(500, 980),
            figures(100, 600),
            2,
        ),
        case("no figures", Vec::new(), Vec::new(), 1),
        case(
            "the score alone",
            only(figures(500, 980), "nonunified"),
            only(figures(400, 980), "nonunified"),
            1,
        ),
        case("figures before alone", figures(500, 980), Vec::new(), 1),
        case("unknown names", unknown.clone(), unknown, 1),
        case(
            "1,000 past rounds",
            figures(500, 980),
            figures(450, 980),
            1000,
        ),
    ]
}
