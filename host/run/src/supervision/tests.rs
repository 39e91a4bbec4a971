use super::*;
use sc_core::candidate::Candidate;
use sc_core::history::PromptHistory;
use sc_core::prompt::Prompt;
use sc_core::rng::stream;

fn drawn(verdicts: &[Verdict]) -> DrawnGroup {
    let prompt = Prompt {
        id: 0,
        text: "a ring".into(),
        category: String::new(),
        tags: Vec::new(),
    };
    let mut drawn = DrawnGroup::new(prompt, PromptHistory::default());
    for (&verdict, index) in verdicts.iter().zip(0..) {
        drawn.group.candidates.push(Candidate {
            index,
            p_yes: match verdict {
                Verdict::Accepted => 0.9 - 0.01 * f64::from(index),
                Verdict::Rejected => 0.1 + 0.01 * f64::from(index),
                Verdict::Unparsed => 0.5,
            },
            verdict,
            answer: String::new(),
            log_prob: -1.0,
            image_hash: index.into(),
        });
        drawn.tokens.push(vec![index]);
    }
    drawn
}

const MIXED: [Verdict; 6] = [
    Verdict::Accepted,
    Verdict::Rejected,
    Verdict::Accepted,
    Verdict::Unparsed,
    Verdict::Rejected,
    Verdict::Rejected,
];

fn perturbed(texts: &[&str]) -> Supervision {
    let mut perturb = Perturbations::default();
    for text in texts {
        perturb.add(text).expect("a perturbation");
    }
    Supervision {
        perturb,
        ..Supervision::default()
    }
}

#[test]
fn names_are_read_and_told_alike() {
    let texts = ["sft-on-rejected", "swapped-pairs=0.5", "permissive=120"];
    assert_eq!(perturbed(&texts).changes(), texts);
    for bad in [
        "swapped-pairs",
        "swapped-pairs=0",
        "swapped-pairs=1.5",
        "swapped-pairs=NaN",
        "permissive=0",
        "permissive=x",
        "inverted=1",
        "nonsense",
    ] {
        let refused = Perturbations::default().add(bad).map_err(|e| e.to_string());
        let refused = refused.expect_err(bad);
        assert!(
            refused.contains(bad) && refused.contains("expected"),
            "{refused}"
        );
    }
}

#[test]
fn inverted_verdicts_are_turned_round() {
    let mut groups = [drawn(&MIXED)];
    let before = groups[0].group.candidates.clone();
    let changes = perturbed(&["inverted"]).change_verdicts(&mut groups, &mut stream(1, "t", &[]));
    assert_eq!(changes, [Change::new("inverted", 6, 6)]);
    for (after, before) in groups[0].group.candidates.iter().zip(&before) {
        assert_eq!(after.p_yes, 1.0 - before.p_yes);
        match before.verdict {
            Verdict::Unparsed => assert_eq!(after.verdict, Verdict::Unparsed),
            other => assert_ne!(after.verdict, other),
        }
    }
}

#[test]
fn random_verdicts_keep_their_number() {
    let mut groups = [drawn(&MIXED), drawn(&[Verdict::Accepted; 40])];
    let count = |groups: &[DrawnGroup]| {
        let all = groups.iter().flat_map(|group| &group.group.candidates);
        let mut p_yes: Vec<String> = all
            .map(|c| format!("{:?} {}", c.verdict, c.p_yes))
            .collect();
        p_yes.sort();
        p_yes
    };
    let before = count(&groups);
    let random = perturbed(&["random-verdicts"]);
    let changes = random.change_verdicts(&mut groups, &mut stream(1, "t", &[]));
    assert_eq!(count(&groups), before);
    assert!(changes[0].changed > 0, "{changes:?}");
}

fn pair(chosen: u32, rejected: u32) -> Choice {
    Choice::Pair {
        group: 0,
        chosen,
        rejected,
        weight: 2.0,
    }
}

#[test]
fn a_share_of_the_pairs_is_swapped() {
    let mut choices = vec![pair(0, 1), pair(2, 4), pair(0, 5), pair(2, 1)];
    let before = choices.clone();
    let half = perturbed(&["swapped-pairs=0.5"]);
    let mut random = stream(1, "t", &[]);
    let groups = [drawn(&MIXED).group];
    let groups = [&groups[0]];
    let both = (&groups[..], &groups[..]);
    let changes = half.change_choices(&mut choices, both, Objective::Sigmoid, &mut random);
    assert_eq!(changes, [Change::new("swapped-pairs", 2, 4)]);
    let same = choices.iter().zip(&before).filter(|(a, b)| a == b).count();
    assert_eq!(same, 2);
}

#[test]
fn rejected_images_take_the_targets_places() {
    let target = |candidate| Choice::Target {
        group: 0,
        candidate,
        weight: 1.0,
        desirable: true,
    };
    let mut choices = vec![target(0), target(2)];
    let groups = [drawn(&MIXED).group];
    let mut random = stream(1, "t", &[]);
    let supervision = perturbed(&["sft-on-rejected"]);
    let groups = [&groups[0]];
    let both = (&groups[..], &groups[..]);
    supervision.change_choices(&mut choices, both, Objective::Sft, &mut random);
    assert_eq!(choices.len(), 2);
    for choice in choices {
        let Choice::Target { candidate, .. } = choice else {
            panic!("a pair");
        };
        assert_eq!(MIXED[candidate as usize], Verdict::Rejected);
    }
}

#[test]
fn random_accepts_are_as_many_and_valid() {
    let control = Supervision {
        control: Some(Control::RandomAccepts),
        ..Supervision::default()
    };
    let groups = [drawn(&MIXED).group];
    let drawn = [&groups[0]];
    for (objective, mut choices) in [
        (Objective::Sigmoid, vec![pair(0, 1)]),
        (
            Objective::Sft,
            vec![Choice::Target {
                group: 0,
                candidate: 0,
                weight: 1.0,
                desirable: true,
            }],
        ),
    ] {
        let mut random = stream(3, "t", &[]);
        control.change_choices(&mut choices, (&drawn, &drawn), objective, &mut random);
        assert_eq!(choices.len(), 1);
        let (of_group, named) = match choices[0] {
            Choice::Target {
                group, candidate, ..
            } => (group, vec![candidate]),
            Choice::Pair {
                group,
                chosen,
                rejected,
                ..
            } => (group, vec![chosen, rejected]),
        };
        assert_eq!(of_group, 0);
        assert!(named.iter().all(|index| (*index as usize) < MIXED.len()));
        assert!(named.windows(2).all(|two| two[0] != two[1]));
    }
}

/// What a plan's objective has no use for changes nothing, and is not said to have.
#[test]
fn an_unfit_perturbation_changes_nothing() {
    let groups = [drawn(&MIXED).group];
    let groups = [&groups[0]];
    let mut choices = vec![pair(0, 1), pair(2, 4)];
    let before = choices.clone();
    let rejected = perturbed(&["sft-on-rejected"]);
    let mut random = stream(1, "t", &[]);
    let both = (&groups[..], &groups[..]);
    let changes = rejected.change_choices(&mut choices, both, Objective::Sigmoid, &mut random);
    assert_eq!(changes, [Change::new("sft-on-rejected", 0, 2)]);
    assert_eq!(choices, before);
}
