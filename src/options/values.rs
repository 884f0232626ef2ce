//! Option values: what each may be. A refusal says what to write and never quotes what was written.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use jiff::SignedDuration;

use crate::hosts::{HostPattern, HostPatternError};

pub(crate) type Refusal = &'static str;

/// Beyond this a duration is a mistake, and sums of durations could overflow.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// `30s`, `10m`, `1h 30m`: more than nothing, at most a week.
pub(crate) fn duration(text: &str) -> Result<Duration, Refusal> {
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| "is not a duration: write it like 30s or 10m")?;
    match Duration::try_from(duration) {
        Ok(duration) if duration.is_zero() => Err("must be longer than zero"),
        Ok(duration) if duration > LONGEST => Err("must be at most a week (168h)"),
        Ok(duration) => Ok(duration),
        Err(_) => Err("must not be negative"),
    }
}

/// A span of time as resources write it: `90s`, `2h`, `1h30m`. It is sent as it is written.
pub(crate) fn span(text: &str) -> Result<String, Refusal> {
    let mut rest = text;
    while let Some(unit) = rest.find(|c: char| !c.is_ascii_digit()) {
        if unit == 0 || !matches!(rest.as_bytes()[unit], b's' | b'm' | b'h') {
            break;
        }
        rest = &rest[unit + 1..];
    }
    if rest.is_empty() && (1..=32).contains(&text.len()) {
        if text.contains(|digit| matches!(digit, '1'..='9')) {
            Ok(text.to_owned())
        } else {
            Err("must be longer than zero")
        }
    } else {
        Err("is not a duration: write it like 90s, 30m or 2h")
    }
}

/// A whole number from 1.
pub(crate) fn positive(text: &str) -> Result<NonZeroU32, Refusal> {
    text.parse()
        .map_err(|_| "must be a whole number from 1 to 4294967295")
}

/// Bytes, as Kubernetes writes them: `64Mi`, `1Gi`. At least one MiB.
pub(crate) fn memory(text: &str) -> Result<usize, Refusal> {
    const UNREADABLE: Refusal = "is not an amount of memory: write it like 256Mi or 1Gi";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        _ => return Err(UNREADABLE),
    };
    let number: usize = digits.parse().map_err(|_| UNREADABLE)?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes >= 1 << 20 => Ok(bytes),
        Some(_) => Err("must be at least 1Mi"),
        None => Err("is more memory than there can be"),
    }
}

/// `[::]:8080`, `127.0.0.1:8080`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, Refusal> {
    text.parse()
        .map_err(|_| "is not an address and port: write it like [::]:8080 or 127.0.0.1:8080")
}

/// Forty characters leave room in a connector's name for the namespace and the resource.
pub(crate) fn cluster_name(text: &str) -> Result<String, Refusal> {
    if is_dns_label(text) && text.len() <= 40 {
        Ok(text.to_owned())
    } else {
        Err(
            "must be 1 to 40 lower-case letters, digits or hyphens, with a letter or digit at either end",
        )
    }
}

/// The name of a namespace.
pub(crate) fn namespace(text: &str) -> Result<String, Refusal> {
    if is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err(
            "must be the name of one namespace: lower-case letters, digits and hyphens, with a letter or digit at either end",
        )
    }
}

/// One name of a list of namespaces.
pub(crate) fn listed_namespace(text: &str) -> Result<String, Refusal> {
    let name = text.trim();
    if is_dns_label(name) {
        Ok(name.to_owned())
    } else {
        Err("must be namespace names separated by commas")
    }
}

/// A host that resources may name, or all below a domain.
pub(crate) fn host_pattern(text: &str) -> Result<HostPattern, HostPatternError> {
    text.parse()
}

/// What the API server takes as `labelSelector`, checked for its syntax: the server's refusal would come after the start,
/// and only in a watch.
pub(crate) fn label_selector(text: &str) -> Result<String, Refusal> {
    if requirements(text).all(is_requirement) {
        Ok(text.to_owned())
    } else {
        Err("is not a label selector: write it like shard=1, tier in (a,b), !legacy")
    }
}

/// The parts between the commas that are not inside parentheses.
fn requirements(selector: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    selector.split(move |c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
}

fn is_requirement(text: &str) -> bool {
    let text = text.trim();
    if let Some(list) = text.strip_suffix(')') {
        let Some((key_and_operator, values)) = list.split_once('(') else {
            return false;
        };
        let mut words = key_and_operator.split_whitespace();
        let key = words.next().is_some_and(is_label_key);
        let operator = matches!(words.next(), Some("in" | "notin")) && words.next().is_none();
        return key && operator && values.split(',').map(str::trim).all(is_label_value);
    }
    // The longer operators first: `==` and `!=` hold `=`.
    for operator in ["==", "!=", "="] {
        if let Some((key, value)) = text.split_once(operator) {
            return is_label_key(key.trim()) && is_label_value(value.trim());
        }
    }
    is_label_key(text.strip_prefix('!').unwrap_or(text).trim())
}

/// `name` or `example.com/name`.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_subdomain = |prefix: &str| prefix.len() <= 253 && prefix.split('.').all(is_dns_label);
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && ends(value.chars().next())
        && ends(value.chars().next_back())
}

/// The name of a Kubernetes object.
pub(crate) fn object_name(text: &str) -> Result<String, Refusal> {
    if text.len() <= 253 && text.split('.').all(is_dns_label) {
        Ok(text.to_owned())
    } else {
        Err(
            "must be a Kubernetes name: lower-case letters, digits, hyphens and dots, with a letter or digit at either end",
        )
    }
}

fn is_dns_label(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.chars().all(|c| is_end(c) || c == '-')
        && text.starts_with(is_end)
        && text.ends_with(is_end)
}
