#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ec2_local::fuzzing::state(bytes));
