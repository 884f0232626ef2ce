//! The growth as a picture: what a resource costs, over how many there are. A line that stays level is a cost that grows with the
//! number of resources and no faster.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::table::Row;

const PANEL: (f64, f64) = (300.0, 220.0);
const MARGIN: (f64, f64) = (44.0, 40.0);

/// How many lines have a colour of their own in [`STYLE`].
const COLOURS: usize = 5;

/// Light or dark, as the reader has chosen.
const STYLE: &str = "<style>
text { font: 12px system-ui, 'DejaVu Sans', sans-serif; fill: #24292f }
.title { font-weight: bold }
.tick { fill: #57606a }
.paper { fill: #ffffff }
.axis { fill: none; stroke: #94a3b8 }
polyline.line { fill: none; stroke-width: 2 }
text.name { stroke: none }
.line0 { fill: #0b62d0; stroke: #0b62d0 } .line1 { fill: #c2410c; stroke: #c2410c } .line2 { fill: #15803d; stroke: #15803d }
.line3 { fill: #7c3aed; stroke: #7c3aed } .line4 { fill: #be123c; stroke: #be123c }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.tick { fill: #a6b0bb }
.paper { fill: #0d1117 }
.axis { stroke: #6e7681 }
.line0 { fill: #6aa5f8; stroke: #6aa5f8 } .line1 { fill: #fb923c; stroke: #fb923c } .line2 { fill: #4ade80; stroke: #4ade80 }
.line3 { fill: #c4a5fd; stroke: #c4a5fd } .line4 { fill: #fb7185; stroke: #fb7185 }
}
</style>
";

/// What a phase has cost in all.
type Cost = fn(&Row) -> f64;

/// What is drawn: a panel for each.
const PANELS: [(&str, Cost); 3] = [
    ("operator's CPU, ms for each resource", |row| {
        row.cpu * 1000.0
    }),
    ("requests to both APIs for each resource", |row| {
        number(row.requests.values().sum::<u64>())
    }),
    ("requests to Kubernetes for each resource", |row| {
        number(row.kubernetes.values().sum::<u64>())
    }),
];

/// One line: of each number of resources, the cost of one.
type Line = BTreeMap<usize, f64>;

/// An SVG of the phases that do something with every resource, at the lowest latency that was measured.
pub fn render(rows: &[Row]) -> String {
    let latency = rows
        .iter()
        .filter(|row| row.resources > 0)
        .map(|row| row.latency_ms)
        .min();
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| row.limit.is_some() && Some(row.latency_ms) == latency)
        .collect();
    let mut phases: Vec<&str> = Vec::new();
    for row in &rows {
        if !phases.contains(&row.phase.as_str()) {
            phases.push(&row.phase);
        }
    }
    phases.truncate(COLOURS);
    let width = (PANEL.0 + MARGIN.0) * number(PANELS.len()) + 32.0;
    let height = PANEL.1 + MARGIN.1 * 2.0 + 18.0 * number(phases.len());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         aria-label=\"What a resource costs, over how many there are\">\n{STYLE}\
         <rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n"
    );
    for (place, (title, cost)) in PANELS.iter().enumerate() {
        let lines: Vec<Line> = phases
            .iter()
            .map(|phase| line(&rows, phase, *cost))
            .collect();
        let left = MARGIN.0 + (PANEL.0 + MARGIN.0) * number(place);
        let _ = writeln!(
            svg,
            "<g transform=\"translate({left:.0} {:.0})\">",
            MARGIN.1
        );
        panel(&mut svg, title, &lines);
        svg.push_str("</g>\n");
    }
    for (place, phase) in phases.iter().enumerate() {
        let y = PANEL.1 + MARGIN.1 * 2.0 + 18.0 * number(place);
        let _ = writeln!(
            svg,
            "<text class=\"name line{place}\" x=\"{:.0}\" y=\"{y:.0}\">● {phase}</text>",
            MARGIN.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// A count as a number to reckon with; none here comes near the bound.
fn number(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}

fn line(rows: &[&Row], phase: &str, cost: Cost) -> Line {
    let of_phase = rows.iter().filter(|row| row.phase == phase);
    of_phase
        .map(|row| (row.resources, cost(row) / number(row.resources)))
        .collect()
}

fn panel(svg: &mut String, title: &str, lines: &[Line]) {
    let points = || lines.iter().flatten();
    let decades = |resources: usize| number(resources).log10();
    let first = points().map(|(resources, _)| *resources).min().unwrap_or(1);
    let last = points().map(|(resources, _)| *resources).max().unwrap_or(1);
    let span = (decades(last) - decades(first)).max(1.0);
    let top = points().map(|(_, cost)| *cost).fold(0.1, f64::max) * 1.15;
    let x = |resources: usize| (decades(resources) - decades(first)) / span * PANEL.0;
    let y = |cost: f64| PANEL.1 * (1.0 - cost / top);

    let _ = writeln!(svg, "<text class=\"title\" y=\"-14\">{title}</text>");
    let _ = writeln!(
        svg,
        "<path class=\"axis\" d=\"M0 0V{:.0}H{:.0}\"/>",
        PANEL.1, PANEL.0
    );
    for part in [0.0, 0.5, 1.0] {
        let cost = top / 1.15 * part;
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"-6\" y=\"{:.0}\" text-anchor=\"end\">{cost:.1}</text>",
            y(cost) + 4.0
        );
    }
    let mut numbers: Vec<_> = points().map(|(resources, _)| *resources).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for resources in numbers {
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{resources}</text>",
            x(resources),
            PANEL.1 + 16.0
        );
    }
    for (place, line) in lines.iter().enumerate() {
        let path: Vec<_> = line
            .iter()
            .map(|(resources, cost)| format!("{:.1},{:.1}", x(*resources), y(*cost)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline class=\"line line{place}\" points=\"{}\"/>",
            path.join(" ")
        );
        for point in path {
            let (x, y) = point.split_once(',').unwrap_or_default();
            let _ = writeln!(
                svg,
                "<circle class=\"line{place}\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>"
            );
        }
    }
}
