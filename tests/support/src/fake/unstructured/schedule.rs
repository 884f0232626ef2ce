//! Schedules: a phrase goes in, a cron expression comes out.

const PHRASES: &[(&str, &str)] = &[
    ("every 15 minutes", "*/15 * * * *"),
    ("every hour", "0 * * * *"),
    ("every 2 hours", "0 */2 * * *"),
    ("every 4 hours", "0 */4 * * *"),
    ("every 6 hours", "0 */6 * * *"),
    ("every 8 hours", "0 */8 * * *"),
    ("every 10 hours", "0 */10 * * *"),
    ("every 12 hours", "0 */12 * * *"),
    ("daily", "0 0 * * *"),
    ("weekly", "0 0 * * 0"),
    ("monthly", "0 0 1 * *"),
];

/// The cron expression of a phrase that the service knows.
pub(super) fn cron(phrase: &str) -> Option<String> {
    let mut known = PHRASES.iter();
    let (_, cron) = known.find(|(known, _)| *known == phrase)?;
    Some((*cron).to_owned())
}

/// Every phrase that it knows.
pub(super) fn phrases() -> impl Iterator<Item = &'static str> {
    PHRASES.iter().map(|(phrase, _)| *phrase)
}
