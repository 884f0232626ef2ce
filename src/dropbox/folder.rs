//! A folder inside of what a Dropbox app can see: as people write it, as Dropbox names it, and as Unstructured does.

use std::fmt;
use std::str::FromStr;

/// What a `remoteUrl` begins with.
const SCHEME: &str = "dropbox://";

/// A `remoteUrl` may not be longer, in characters.
const LONGEST: usize = 1024;

/// A folder below the root of an app folder, such as `/contracts/2026`: the root itself cannot be read by Unstructured.
///
/// Parsed from `contracts/2026`, `/contracts/2026` or `dropbox://contracts/2026`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subfolder(String);

/// Why a text names no subfolder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubfolderError {
    /// `/`, `dropbox://` or nothing.
    #[error(
        "this is the root of the app folder, which Unstructured cannot read; name a folder inside of it, for example contracts"
    )]
    Root,
    /// `https://…`.
    #[error(
        "this is a web address; give only the path inside of the app folder: of https://www.dropbox.com/home/Apps/<app>/contracts that is contracts"
    )]
    WebAddress,
    /// White space at an end, `.` or `..`, empty parts, control characters.
    #[error(
        "this is not a folder's path; write it like contracts/2026, without empty parts, . or .., control characters, or white space at either end"
    )]
    Malformed,
    /// Longer than the resource takes.
    #[error("the path is too long: dropbox:// and the path may have 1024 characters")]
    TooLong,
}

impl Subfolder {
    /// The path as Dropbox's API takes it: `/contracts/2026`.
    pub fn path(&self) -> &str {
        &self.0
    }

    /// The path as a resource and Unstructured take it: `dropbox://contracts/2026`.
    pub fn remote_url(&self) -> String {
        format!("{SCHEME}{}", &self.0[1..])
    }

    /// The folder's own name: `2026`.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl FromStr for Subfolder {
    type Err = SubfolderError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("https://") || text.starts_with("http://") {
            return Err(SubfolderError::WebAddress);
        }
        let path = text.strip_prefix(SCHEME).unwrap_or(text);
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        // ASCII only, as the rules of the definition have it: both are to admit the same.
        if path.trim_ascii().is_empty() {
            return Err(SubfolderError::Root);
        }
        let malformed = |part: &str| {
            matches!(part, "" | "." | "..") || part.contains(|char: char| char.is_ascii_control())
        };
        if path.trim_ascii() != path || path.split('/').any(malformed) {
            return Err(SubfolderError::Malformed);
        }
        if SCHEME.len() + path.chars().count() > LONGEST {
            return Err(SubfolderError::TooLong);
        }
        Ok(Self(format!("/{path}")))
    }
}

impl fmt::Display for Subfolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0[1..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_a_subfolder_is_written_it_is_one() {
        for text in [
            "contracts/2026",
            "/contracts/2026",
            "contracts/2026/",
            "dropbox://contracts/2026",
            "dropbox://contracts/2026/",
        ] {
            let folder: Subfolder = text.parse().unwrap();
            assert_eq!(folder.path(), "/contracts/2026", "{text}");
            assert_eq!(folder.remote_url(), "dropbox://contracts/2026", "{text}");
            assert_eq!(folder.name(), "2026", "{text}");
        }
    }

    #[test]
    fn what_is_no_subfolder_is_refused_for_what_it_is() {
        for (text, expected) in [
            ("", SubfolderError::Root),
            ("/", SubfolderError::Root),
            ("dropbox://", SubfolderError::Root),
            ("dropbox:///", SubfolderError::Root),
            (
                "https://www.dropbox.com/home/Apps/a/b",
                SubfolderError::WebAddress,
            ),
            ("a//b", SubfolderError::Malformed),
            ("a/../b", SubfolderError::Malformed),
            (" a", SubfolderError::Malformed),
            ("a /", SubfolderError::Malformed),
            ("a\u{7}", SubfolderError::Malformed),
        ] {
            assert_eq!(text.parse::<Subfolder>(), Err(expected), "{text:?}");
        }
        assert_eq!(
            "x".repeat(1015).parse::<Subfolder>(),
            Err(SubfolderError::TooLong)
        );
        assert!("ü".repeat(1014).parse::<Subfolder>().is_ok());
        assert!(
            "a\u{2003}".parse::<Subfolder>().is_ok(),
            "as the definition"
        );
    }
}
