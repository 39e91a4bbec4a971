//! The most positive accepted image of each prompt against its most negative rejected one, from
//! records and from columns.

wit_bindgen::generate!({
    path: ["../../wit/0.1.0", "shapes.wit"],
    world: "bench:shapes/shapes",
    generate_all,
});

use exports::bench::shapes::selection::{Columns, Group, Guest, Pair, Verdict};

struct Shapes;

/// What is seen of a candidate: index, p-yes and verdict.
type Seen = (u32, f64, Verdict);

fn best_against_worst(group: usize, candidates: impl Iterator<Item = Seen>) -> Option<Pair> {
    let (mut best, mut worst): (Option<(u32, f64)>, Option<(u32, f64)>) = (None, None);
    for (index, p_yes, verdict) in candidates {
        match verdict {
            Verdict::Accepted if best.is_none_or(|(_, best)| p_yes > best) => {
                best = Some((index, p_yes));
            }
            Verdict::Rejected if worst.is_none_or(|(_, worst)| p_yes < worst) => {
                worst = Some((index, p_yes));
            }
            _ => {}
        }
    }
    Some(Pair {
        group: group as u32,
        chosen: best?.0,
        rejected: worst?.0,
    })
}

impl Guest for Shapes {
    fn of_records(groups: Vec<Group>) -> Vec<Pair> {
        groups
            .iter()
            .enumerate()
            .filter_map(|(position, group)| {
                let candidates = group.candidates.iter();
                best_against_worst(position, candidates.map(|c| (c.index, c.p_yes, c.verdict)))
            })
            .collect()
    }

    fn of_columns(columns: Columns) -> Vec<Pair> {
        let mut start = 0;
        columns
            .candidate_ends
            .iter()
            .enumerate()
            .filter_map(|(position, end)| {
                let range = start..*end as usize;
                start = range.end;
                let seen = |at| (columns.index[at], columns.p_yes[at], columns.verdict[at]);
                best_against_worst(position, range.map(seen))
            })
            .collect()
    }
}

export!(Shapes);
