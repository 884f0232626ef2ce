//! How many resources are in which condition, for the metric.

use std::collections::BTreeMap;

use crate::crd::{ConditionType, Reason};
use crate::engine::index::Index;
use crate::runtime::metrics::ConditionState;

/// How many resources are in which condition, for the metric.
pub fn census(index: &Index) -> BTreeMap<ConditionState, usize> {
    let mut counts = BTreeMap::new();
    index.for_each(|_, resource| {
        for condition in resource
            .status()
            .iter()
            .flat_map(|status| &status.conditions)
        {
            let known = ConditionType::ALL
                .iter()
                .find(|known| known.as_str() == condition.type_);
            let reason = Reason::ALL
                .iter()
                .find(|known| known.as_str() == condition.reason);
            let status = ["True", "False", "Unknown"]
                .into_iter()
                .find(|known| *known == condition.status);
            if let (Some(known), Some(reason), Some(status)) = (known, reason, status) {
                let state = ConditionState {
                    kind: resource.kind.name,
                    condition: known.as_str(),
                    status,
                    reason: reason.as_str(),
                };
                *counts.entry(state).or_default() += 1;
            }
        }
    });
    counts
}
