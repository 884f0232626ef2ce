//! A line with a `Retry-After`, and one with a `Date`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let (value, date) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    fuzz::retry_after(value, date);
});
