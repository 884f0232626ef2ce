//! A line with a secret, one with a digit that chooses its encoding, one with what comes before it, and what comes after.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let mut lines = input.splitn(4, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (secret, encoding, before, after) = (next(), next(), next(), next());
    fuzz::scrubbed(
        secret,
        encoding.bytes().next().unwrap_or_default(),
        before,
        after,
    );
});
