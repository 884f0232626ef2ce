//! Spans of time as the resources write them: `90s`, `30m`, `1h30m`.

use std::time::Duration;

/// The span; none for what the definition does not let in.
pub fn parse(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut number = String::new();
    for char in text.chars() {
        let unit = match char {
            '0'..='9' => {
                number.push(char);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return None,
        };
        let count: u64 = number.parse().ok()?;
        number.clear();
        total = total.checked_add(Duration::from_secs(count.checked_mul(unit)?))?;
    }
    number.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_sums_of_hours_minutes_and_seconds() {
        assert_eq!(parse("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(parse("5"), None);
        assert_eq!(parse("h"), None);
        assert_eq!(parse("1d"), None);
        assert_eq!(parse("99999999999999999999h"), None);
    }
}
