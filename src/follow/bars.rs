//! A line for the job and a bar for each node, on a terminal.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text::{all_of, of_node, phase};
use crate::crd::JobStatus;
use crate::scrub::one_line;

/// How often the time that has passed is drawn anew.
const TICK: Duration = Duration::from_millis(250);

/// Characters of a node's name that are shown.
const WIDEST: usize = 24;

/// What the terminal shows while the run is under way.
pub(super) struct Bars {
    all: MultiProgress,
    /// Phase and time.
    head: ProgressBar,
    /// One for each node, by name; two of the same name are told apart by their order.
    nodes: Vec<(String, ProgressBar)>,
}

impl Bars {
    pub fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let head = all.add(ProgressBar::new_spinner());
        head.set_style(style("{spinner} {elapsed} {wide_msg}"));
        head.enable_steady_tick(TICK);
        Self {
            all,
            head,
            nodes: Vec::new(),
        }
    }

    /// Shows the job as it is now.
    pub fn show(&mut self, status: &JobStatus) {
        self.head.set_message(phase(status));
        // The service shuffles the nodes: each keeps the place that it got first.
        let mut taken = vec![false; self.nodes.len()];
        for node in &status.nodes {
            let name = one_line(&node.name);
            let same = |&at: &usize| !taken[at] && self.nodes[at].0 == name;
            let place = (0..self.nodes.len()).find(same).unwrap_or_else(|| {
                let short: String = name.chars().take(WIDEST).collect();
                let bar = ProgressBar::new(1)
                    .with_style(style("{prefix} [{bar:20}] {wide_msg}"))
                    .with_prefix(format!("{short:<WIDEST$}"));
                self.nodes.push((name, self.all.add(bar)));
                taken.push(false);
                taken.len() - 1
            });
            taken[place] = true;
            let bar = &self.nodes[place].1;
            let all = all_of(status, node);
            // A bar of nothing would be full.
            bar.set_length(all.max(1));
            bar.set_position(node.success + node.failure);
            bar.set_message(of_node(node, all));
        }
    }

    /// Says a line above the bars.
    pub fn say(&self, line: &str) {
        // The terminal is gone if this fails, and nobody is left to see.
        let _ = self.all.println(line);
    }

    /// Takes all of it away.
    pub fn clear(&self) {
        self.head.finish_and_clear();
        let _ = self.all.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
