//! Faults that the operator once had, as patches. `.ci/planted` plants them back, one at a time, and demands that a seed finds each.
//! Here it is only seen that they still fit.

use std::fs;
use std::path::Path;

#[test]
fn each_fault_can_still_be_planted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for patch in fs::read_dir(root.join("tests/simulation/planted")).expect("the patches") {
        let patch = patch.expect("a patch").path();
        let text = fs::read_to_string(&patch).expect("a patch");
        let changed: Vec<_> = files(&text).collect();
        assert!(!changed.is_empty(), "{} changes nothing", patch.display());
        for (file, hunks) in changed {
            let source = fs::read_to_string(root.join(file)).unwrap_or_default();
            for hunk in hunks {
                let times = source.matches(&before(hunk)).count();
                assert_eq!(
                    times,
                    1,
                    "{} does not fit {file} any more:\n{hunk}",
                    patch.display()
                );
            }
        }
        count += 1;
    }
    assert!(count > 10, "only {count} faults");
}

/// The files that a patch changes, each with its hunks.
fn files(patch: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    patch.split("\n--- a/").skip(1).map(|part| {
        let (file, rest) = part.split_once('\n').unwrap_or_default();
        let hunks = rest.split("\n@@ ").skip(1);
        let bodies = hunks.filter_map(|hunk| Some(hunk.split_once('\n')?.1));
        (file, bodies.collect())
    })
}

/// What stands where a hunk changes something.
fn before(hunk: &str) -> String {
    let lines = hunk.lines().filter(|line| !line.starts_with('+'));
    let lines: Vec<_> = lines.filter_map(|line| line.get(1..)).collect();
    lines.join("\n") + "\n"
}
