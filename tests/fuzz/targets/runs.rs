//! A byte that says in how large pieces the rest arrives, which is a list of runs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((size, body)) = input.split_first() {
        fuzz::runs(body, *size);
    }
});
