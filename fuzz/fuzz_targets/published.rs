//! A table of a published HashDB, by whoever signed it: the first four bytes say how long its tail is, and how many rows it has.
//! Parquet's reader may give up on it (its panics are errors there); it must neither hang nor take memory without end.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static QUIET: std::sync::Once = std::sync::Once::new();
    // The hook of libFuzzer would end the process before the panic is caught.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let Some((head, table)) = bytes.split_first_chunk::<4>() else { return };
    let [a, b, c, d] = *head;
    let (tail, rows) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    let _ = hashget_published::read_unproven(table, tail.into(), rows.into());
});
