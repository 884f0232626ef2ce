//! How long the service asks to be left alone.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::clock;

/// What `Retry-After` asks for. A date is read against the answer's own `Date`: our clock may be wrong.
pub(super) fn retry_after(headers: &HeaderMap, longest: Duration) -> Option<Duration> {
    let date = headers
        .get(DATE)
        .and_then(|date| http_date(date.to_str().ok()?));
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    parse_retry_after(value, date.unwrap_or_else(clock::now), longest)
}

/// Seconds or an HTTP date, as a time from `now`, at most `longest`.
fn parse_retry_after(value: &str, now: Timestamp, longest: Duration) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(longest));
    }
    let wait = http_date(value)?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or_default().min(longest))
}

fn http_date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAP: Duration = Duration::from_mins(15);

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_more_than_the_cap() {
        let now = http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let table = [
            ("30", seconds(30)),
            (" 0 ", seconds(0)),
            ("99999999999999999999999999", Some(CAP)),
            ("Sun, 06 Nov 1994 08:50:00 GMT", seconds(23)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", seconds(0)),
            ("Sat, 31 Dec 9999 23:59:59 GMT", None),
            ("Fri, 01 Jan 2100 00:00:00 GMT", Some(CAP)),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
        ];
        for (value, expected) in table {
            assert_eq!(parse_retry_after(value, now, CAP), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_retry_after_panics_or_exceeds_the_cap(value in "\\PC{0,40}|[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{8} GMT") {
            let pause = parse_retry_after(&value, Timestamp::UNIX_EPOCH, CAP);
            prop_assert!(pause.is_none_or(|pause| pause <= CAP));
        }
    }
}
