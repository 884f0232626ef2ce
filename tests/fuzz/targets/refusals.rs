//! A line with the status, `object` or `collection`, and a `Retry-After`; then the body.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (head, body) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let mut words = head.splitn(3, |byte| *byte == b' ');
    let status = words
        .next()
        .and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    let object = words.next() == Some(b"object");
    if let Some(status) = status {
        fuzz::refusal(status, object, words.next().unwrap_or_default(), body);
    }
});
