//! What the API server takes for the name and the note of an event.

use crate::clock;

/// Bytes of a note.
pub const NOTE_LIMIT: usize = 1024;
/// Bytes of the name of the reporting instance.
pub const INSTANCE_LIMIT: usize = 128;
const NAME_LIMIT: usize = 253;

/// `<object>.<16 hex digits>`, a DNS subdomain whatever the object is called. The digits are the time in nanoseconds, as client-go
/// does it: events are listed by name, and `kubectl describe` shows them as they are listed, so they tell a story only in order.
pub fn event_name(object: &str) -> String {
    let suffix = format!(".{:016x}", clock::now().as_nanosecond());
    let usable = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let object = if object.chars().all(usable) {
        object
    } else {
        "event"
    };
    let object = cut(object, NAME_LIMIT - suffix.len()).trim_end_matches(['-', '.']);
    format!(
        "{}{suffix}",
        if object.is_empty() { "event" } else { object }
    )
}

/// Cuts a note that the API server would refuse, and shows that it was cut.
pub fn shorten(note: &mut String) {
    const ELLIPSIS: char = '…';
    if note.len() > NOTE_LIMIT {
        note.truncate(note.floor_char_boundary(NOTE_LIMIT - ELLIPSIS.len_utf8()));
        note.push(ELLIPSIS);
    }
}

pub fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}
