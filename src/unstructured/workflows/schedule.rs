//! When the service runs a workflow by itself. It takes a phrase, and shows a cron expression.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A schedule that the service knows; there are no others, and no time zone: all start at minute 0, presumably in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Schedule {
    /// At minutes 0, 15, 30 and 45.
    Every15Minutes,
    /// At each full hour.
    EveryHour,
    /// At each second hour, from midnight on.
    Every2Hours,
    /// At each fourth hour, from midnight on.
    Every4Hours,
    /// At each sixth hour, from midnight on.
    Every6Hours,
    /// At each eighth hour, from midnight on.
    Every8Hours,
    /// At each tenth hour, from midnight on: at 0, 10 and 20.
    Every10Hours,
    /// At midnight and at noon.
    Every12Hours,
    /// At midnight.
    Daily,
    /// At midnight of each Sunday.
    Weekly,
    /// At midnight of each first day of a month.
    Monthly,
}

/// A string that is no [`Schedule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a schedule is \"every 15 minutes\", \"every hour\", \"every 2 hours\" (or 4, 6, 8, 10, 12), \"daily\", \"weekly\" or \
     \"monthly\""
)]
pub struct ScheduleError;

impl Schedule {
    /// Every one, the most frequent first.
    pub const ALL: [Self; 11] = [
        Self::Every15Minutes,
        Self::EveryHour,
        Self::Every2Hours,
        Self::Every4Hours,
        Self::Every6Hours,
        Self::Every8Hours,
        Self::Every10Hours,
        Self::Every12Hours,
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
    ];

    /// How it is written in a request.
    pub const fn phrase(self) -> &'static str {
        self.words().0
    }

    /// How an answer shows it.
    pub const fn cron(self) -> &'static str {
        self.words().1
    }

    /// As the vendor's documentation maps them.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Every15Minutes => ("every 15 minutes", "*/15 * * * *"),
            Self::EveryHour => ("every hour", "0 * * * *"),
            Self::Every2Hours => ("every 2 hours", "0 */2 * * *"),
            Self::Every4Hours => ("every 4 hours", "0 */4 * * *"),
            Self::Every6Hours => ("every 6 hours", "0 */6 * * *"),
            Self::Every8Hours => ("every 8 hours", "0 */8 * * *"),
            Self::Every10Hours => ("every 10 hours", "0 */10 * * *"),
            Self::Every12Hours => ("every 12 hours", "0 */12 * * *"),
            Self::Daily => ("daily", "0 0 * * *"),
            Self::Weekly => ("weekly", "0 0 * * 0"),
            Self::Monthly => ("monthly", "0 0 1 * *"),
        }
    }

    /// The last time at which the service began a run, or is beginning one.
    pub fn tick_before(self, now: Timestamp) -> Timestamp {
        self.tick_from(now, -self.step())
    }

    /// The next time at which the service begins a run.
    pub fn tick_after(self, now: Timestamp) -> Timestamp {
        self.tick_from(now + self.step(), self.step())
    }

    /// The first time that fits, step by step from the one that has begun.
    fn tick_from(self, now: Timestamp, step: SignedDuration) -> Timestamp {
        let unit = self.step().as_secs();
        let second = now.as_second().div_euclid(unit) * unit;
        let mut tick = Timestamp::from_second(second).unwrap_or(now);
        while !self.fits(TimeZone::UTC.to_datetime(tick)) {
            tick += step;
        }
        tick
    }

    /// Its runs begin at multiples of this, if not at each of them.
    const fn step(self) -> SignedDuration {
        match self {
            Self::Every15Minutes => SignedDuration::from_mins(15),
            Self::Daily | Self::Weekly | Self::Monthly => SignedDuration::from_hours(24),
            _ => SignedDuration::from_hours(1),
        }
    }

    /// Whether the service begins a run at this multiple.
    fn fits(self, at: DateTime) -> bool {
        match self {
            Self::Every15Minutes | Self::EveryHour | Self::Daily => true,
            Self::Every2Hours => at.hour() % 2 == 0,
            Self::Every4Hours => at.hour() % 4 == 0,
            Self::Every6Hours => at.hour() % 6 == 0,
            Self::Every8Hours => at.hour() % 8 == 0,
            Self::Every10Hours => at.hour() % 10 == 0,
            Self::Every12Hours => at.hour() % 12 == 0,
            Self::Weekly => at.weekday() == Weekday::Sunday,
            Self::Monthly => at.day() == 1,
        }
    }

    /// The schedule that an answer means which shows this.
    pub fn shown_as(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|schedule| schedule.is_shown_as(text))
    }

    /// Whether an answer that shows this means this schedule.
    pub(super) fn is_shown_as(self, text: &str) -> bool {
        text.split_whitespace().eq(self.cron().split(' ')) || text == self.phrase()
    }
}

/// The phrase.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phrase())
    }
}

/// Reads the phrase.
impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|schedule| schedule.phrase() == text)
            .ok_or(ScheduleError)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_schedule_is_read_from_its_phrase_and_known_by_its_cron_expression() {
        let crons: BTreeSet<_> = Schedule::ALL.iter().map(|each| each.cron()).collect();
        assert_eq!(crons.len(), Schedule::ALL.len());
        for schedule in Schedule::ALL {
            assert_eq!(schedule.to_string().parse(), Ok(schedule));
            for other in Schedule::ALL {
                assert_eq!(schedule.is_shown_as(other.cron()), schedule == other);
            }
        }
        assert!(Schedule::Daily.is_shown_as(" 0 0  * * * "));
        assert_eq!(
            Schedule::shown_as("0 */2 * * *"),
            Some(Schedule::Every2Hours)
        );
        assert_eq!(Schedule::shown_as("5 0 * * *"), None);
        for bad in ["", "Daily", "0 0 * * *", "every 3 hours"] {
            assert_eq!(bad.parse::<Schedule>(), Err(ScheduleError), "{bad}");
        }
    }

    #[test]
    fn the_ticks_around_a_moment_are_those_of_the_cron_expression() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-30T19:07:31Z");
        for (schedule, before, after) in [
            (
                Schedule::Every15Minutes,
                "2026-11-30T19:00:00Z",
                "2026-11-30T19:15:00Z",
            ),
            (
                Schedule::EveryHour,
                "2026-11-30T19:00:00Z",
                "2026-11-30T20:00:00Z",
            ),
            (
                Schedule::Every2Hours,
                "2026-11-30T18:00:00Z",
                "2026-11-30T20:00:00Z",
            ),
            (
                Schedule::Every4Hours,
                "2026-11-30T16:00:00Z",
                "2026-11-30T20:00:00Z",
            ),
            (
                Schedule::Every6Hours,
                "2026-11-30T18:00:00Z",
                "2026-12-01T00:00:00Z",
            ),
            (
                Schedule::Every8Hours,
                "2026-11-30T16:00:00Z",
                "2026-12-01T00:00:00Z",
            ),
            (
                Schedule::Every10Hours,
                "2026-11-30T10:00:00Z",
                "2026-11-30T20:00:00Z",
            ),
            (
                Schedule::Every12Hours,
                "2026-11-30T12:00:00Z",
                "2026-12-01T00:00:00Z",
            ),
            (
                Schedule::Daily,
                "2026-11-30T00:00:00Z",
                "2026-12-01T00:00:00Z",
            ),
            (
                Schedule::Weekly,
                "2026-11-29T00:00:00Z",
                "2026-12-06T00:00:00Z",
            ),
            (
                Schedule::Monthly,
                "2026-11-01T00:00:00Z",
                "2026-12-01T00:00:00Z",
            ),
        ] {
            assert_eq!(schedule.tick_before(now), at(before), "{schedule}");
            assert_eq!(schedule.tick_after(now), at(after), "{schedule}");
            let tick = at(after);
            assert_eq!(schedule.tick_before(tick), tick, "{schedule}");
            assert!(schedule.tick_after(tick) > tick, "{schedule}");
        }
    }
}
