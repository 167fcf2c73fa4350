//! A pause in the middle of a test, for a person who wants to look at its machines.

use super::TestContext;
use crate::{
    engine,
    error::{Error, ErrorKind},
    task::{OnDrop, Operation},
    teardown::live,
};
use rustix::{
    process::getpgrp,
    termios::{isatty, tcgetpgrp},
};
use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    panic::Location,
};

/// Whether tests pause.
const PAUSE: &str = "EC2_HARNESS_PAUSE";

impl TestContext {
    /// With `EC2_HARNESS_PAUSE=1` the test stops here, tells at the terminal how to log in to each of its machines, and goes on with
    /// Enter; its `timeout` doesn't count meanwhile. Without, it goes on at once.
    ///
    /// A machine that is kept standing longer than its `lease` may be ended by anybody's sweep.
    ///
    /// # Errors
    ///
    /// There is no terminal to press Enter at, or another program has it, as under nextest.
    #[track_caller]
    pub fn pause(&self) -> Operation<()> {
        let (context, at) = (self.clone(), Location::caller());
        Operation::new("pause", OnDrop::Cancel, async move {
            if !env::var_os(PAUSE).is_some_and(|value| !value.is_empty() && value != "0") {
                return Ok(());
            }
            let _paused = context.ec2.scope.pause();
            let mut text = format!("\ntest `{}` pauses at {at}\n", context.name);
            let ways: Vec<String> = live::all().iter().filter_map(|owned| owned.log_in(&context.name)).collect();
            if ways.is_empty() {
                text.push_str("  it has no machines\n");
            }
            ways.iter().for_each(|way| text.push_str(&format!("  {way}\n")));
            text.push_str("press Enter to go on: ");
            let tried = format!("pause at {at}");
            engine::blocking("pause", move || Ok(ask(&text))).await?.map_err(|reason| {
                Error::new(ErrorKind::Configuration, tried)
                    .because(reason)
                    .advise(format!("run `cargo test NAME` at a terminal, or leave {PAUSE} out"))
            })
        })
    }
}

/// Shows a text at the terminal, whatever was made of the standard streams, and waits for a line.
fn ask(text: &str) -> Result<(), String> {
    let failed = |e: io::Error| format!("there is no terminal to press Enter at ({e})");
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(failed)?;
    // Who reads there in the background is stopped by the terminal.
    if isatty(&terminal) && tcgetpgrp(&terminal).ok() != Some(getpgrp()) {
        return Err("another program has the terminal: nextest, say, runs tests in the background".to_owned());
    }
    terminal.write_all(text.as_bytes()).map_err(failed)?;
    match BufReader::new(&terminal).read_line(&mut String::new()) {
        Ok(_) => Ok(()),
        Err(e) => Err(failed(e)),
    }
}
