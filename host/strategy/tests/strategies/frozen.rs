//! A component that was built against contract 0.1.0 once, and is kept as it was: what it decides
//! must not change, whatever versions come after.

use crate::common::{context, file, groups, runtime};
use sc_core::choice::FilterDecision;
use sc_strategy::{NoServices, StrategyRequest, StrategySet, inspect};

const FROZEN: &str = "tests/fixtures/plugins/contract-0.1.0.wasm";

#[test]
fn a_component_of_contract_0_1_0_goes_on_working() {
    let inspection = inspect(&file(FROZEN), runtime()).unwrap();
    assert_eq!(inspection.contract.as_deref(), Some("0.1.0"));
    let settings = ["data-filter.min_margin=0.3".to_owned()];
    let request = StrategyRequest::of(&[file(FROZEN)], &settings);
    let set = StrategySet::load(&request, runtime()).unwrap();
    let groups = groups(20, 4);
    let filter = set.data_filters[0].strategy();
    let reply = filter
        .filter(&context(1), &groups, &mut NoServices)
        .unwrap();
    let candidates = groups.iter().flat_map(|group| &group.candidates);
    for (candidate, decision) in candidates.zip(reply.answer.iter().flatten()) {
        let undecided = (candidate.p_yes - 0.5).abs() < 0.3;
        let expected = if undecided {
            FilterDecision::Drop("undecided".into())
        } else {
            FilterDecision::Keep
        };
        assert_eq!(*decision, expected);
    }
}
