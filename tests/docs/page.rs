//! A page of the documentation, as far as the tests read it.

use anyhow::Result;

/// What stands before a block that no test runs.
const EXCUSE: &str = "<!-- not run: ";

/// A page.
pub struct Page {
    /// Its path in the repository.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// Number of its first line.
    pub line: usize,
    /// What it is written in.
    pub language: String,
    /// What it says, without the indentation of the list that it may stand in.
    pub text: String,
    /// Why it is not run.
    pub excuse: Option<String>,
}

impl Page {
    pub fn read(path: &str) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            text: super::read(path)?,
        })
    }

    /// The path in the repository of what this page calls `target`.
    pub fn beside(&self, target: &str) -> String {
        let mut parts: Vec<_> = self.path.split('/').collect();
        parts.pop();
        for part in target.split('/') {
            match part {
                "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        parts.join("/")
    }

    /// Every link to a file or a heading, as the two.
    pub fn links(&self) -> Vec<(String, Option<String>)> {
        let prose = self.prose();
        let targets = prose.split("](").skip(1);
        let targets = targets.filter_map(|rest| rest.split(')').next());
        targets
            .filter(|target| !target.contains("://"))
            .map(|target| match target.split_once('#') {
                Some((file, anchor)) => (file.to_owned(), Some(anchor.to_owned())),
                None => (target.to_owned(), None),
            })
            .collect()
    }

    /// What a link can name after `#`.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.prose().lines().map(str::to_owned).collect::<Vec<_>>();
        headings
            .iter()
            .filter(|line| line.starts_with('#'))
            .map(|line| {
                let title = line.trim_start_matches('#').trim().to_lowercase();
                let kept = title.chars().filter_map(|c| match c {
                    ' ' => Some('-'),
                    c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
                    _ => None,
                });
                kept.collect()
            })
            .collect()
    }

    /// Why no block of the page is run: said right below its title.
    pub fn excuse(&self) -> Option<String> {
        let mut below = self.text.lines().skip(1).filter(|line| !line.is_empty());
        below.next().and_then(excuse)
    }

    /// The fenced blocks.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(usize, Block)> = None;
        let mut reason = None;
        for (number, line) in (1..).zip(self.text.lines()) {
            let (bare, indentation) = (line.trim_start(), line.len() - line.trim_start().len());
            match (&mut open, bare.strip_prefix("```")) {
                (None, Some(language)) => {
                    let block = Block {
                        line: number + 1,
                        language: language.to_owned(),
                        text: String::new(),
                        excuse: reason.take(),
                    };
                    open = Some((indentation, block));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indentation, block)), None) => {
                    block
                        .text
                        .push_str(line.get(*indentation..).unwrap_or_default());
                    block.text.push('\n');
                }
                (None, None) => {
                    reason = excuse(bare);
                }
            }
        }
        blocks
    }

    /// The text without its fenced blocks.
    fn prose(&self) -> String {
        let mut inside = false;
        let lines = self.text.lines().filter(|line| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            !inside && !fence
        });
        lines.flat_map(|line| [line, "\n"]).collect()
    }
}

/// The reason in `<!-- not run: reason -->`.
fn excuse(line: &str) -> Option<String> {
    let reason = line.strip_prefix(EXCUSE)?.strip_suffix(" -->")?;
    Some(reason.to_owned())
}
