//! Two workflows, each on a line.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let (asked, shown) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    fuzz::compared(asked, shown);
});
