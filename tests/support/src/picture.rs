//! Draws what a terminal showed as an SVG: the lines come one after the other where pictures may move, and all at once elsewhere.

use std::fmt::Write as _;

/// Characters in a row; what is longer is broken, as a terminal does.
const COLUMNS: usize = 112;

/// In pixels: a character's width, a row's height, and the room around.
const CHARACTER: f32 = 8.4;
const ROW: f32 = 20.0;
const MARGIN: f32 = 16.0;
const TITLE_BAR: f32 = 30.0;

/// Seconds from one row to the next.
const PAUSE: f32 = 0.35;

/// A piece of a row in one style.
#[derive(Debug, PartialEq)]
struct Piece {
    class: &'static str,
    text: String,
}

/// The picture of `screen`, with the colours that its escape sequences ask for.
pub fn draw(title: &str, screen: &str) -> String {
    let rows: Vec<Vec<Piece>> = screen.trim_end().lines().flat_map(row).collect();
    let columns = u16::try_from(COLUMNS).expect("a few");
    let height = rows
        .iter()
        .fold(TITLE_BAR + 2.0 * MARGIN, |height, _| height + ROW);
    let width = f32::from(columns) * CHARACTER + 2.0 * MARGIN;
    let title = escaped(title);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" role="img" aria-label="{title}" xml:space="preserve">
<style>
text {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 14px; fill: #d5dbe3; white-space: pre }}
.typed {{ fill: #ffffff; font-weight: bold }}
.good {{ fill: #6cc788 }}
.bad {{ fill: #ef7d7d }}
.unknown {{ fill: #e5c269 }}
.title {{ fill: #8a94a3; text-anchor: middle }}
@media (prefers-reduced-motion: no-preference) {{
g {{ animation: come 0.1s both }}
@keyframes come {{ from {{ opacity: 0 }} }}
}}
</style>
<rect width="100%" height="100%" rx="8" fill="#1c2128"/>
<circle cx="20" cy="16" r="6" fill="#ef6a5e"/><circle cx="40" cy="16" r="6" fill="#f5bf4f"/><circle cx="60" cy="16" r="6" fill="#61c554"/>
<text class="title" x="50%" y="21">{title}</text>
"##
    );
    let (mut y, mut delay) = (TITLE_BAR + MARGIN, 0.0);
    for row in rows {
        y += ROW;
        delay += PAUSE;
        let _ = write!(
            svg,
            r#"<g style="animation-delay: {delay:.2}s"><text x="{MARGIN:.0}" y="{:.0}">"#,
            y - ROW / 3.0
        );
        for Piece { class, text } in row {
            let text = escaped(&text);
            let _ = match class {
                "" => write!(svg, "{text}"),
                class => write!(svg, r#"<tspan class="{class}">{text}</tspan>"#),
            };
        }
        svg.push_str("</text></g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

/// The rows that a line takes. A line that begins with a prompt is one that was typed.
fn row(line: &str) -> Vec<Vec<Piece>> {
    let line = line.trim_end_matches('\r');
    let mut class = if line.starts_with("$ ") { "typed" } else { "" };
    let mut rows = vec![Vec::new()];
    let mut column = 0;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            let code: String = characters
                .by_ref()
                .skip(1)
                .take_while(|c| !c.is_ascii_alphabetic())
                .collect();
            class = match code.as_str() {
                "1" => "typed",
                "31" => "bad",
                "32" => "good",
                "33" => "unknown",
                _ => "",
            };
            continue;
        }
        if column == COLUMNS {
            rows.push(Vec::new());
            column = 0;
        }
        column += 1;
        let row = rows.last_mut().expect("there is a row");
        match row.last_mut() {
            Some(Piece { class: same, text }) if *same == class => text.push(character),
            _ => row.push(Piece {
                class,
                text: character.to_string(),
            }),
        }
    }
    rows
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes_and_long_lines_are_broken() {
        let piece = |class, text: &str| Piece {
            class,
            text: text.to_owned(),
        };
        assert_eq!(
            row("\u{1b}[32mok\u{1b}[0m: done\r"),
            [[piece("good", "ok"), piece("", ": done")]]
        );
        let long = row(&"x".repeat(COLUMNS + 1));
        assert_eq!(long.len(), 2);
        assert_eq!(long[1], [piece("", "x")]);
    }

    #[test]
    fn what_the_terminal_showed_cannot_break_the_picture() {
        let svg = draw("a <b>", "$ x <y> & z\n");
        assert!(svg.contains("$ x &lt;y> &amp; z"), "{svg}");
        assert!(svg.contains("aria-label=\"a &lt;b>\""), "{svg}");
    }
}
