//! What a person sees while machines come and go: a live line a machine at a terminal, plain lines elsewhere.

use crate::config::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal,
    sync::LazyLock,
    time::{Duration, Instant},
};

static LINES: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));

/// The line of one machine, from its launch until it is ready.
#[derive(Debug)]
pub(crate) struct Line {
    name: String,
    shown: Shown,
    since: Instant,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Plain,
    Live(ProgressBar),
}

impl Line {
    /// Begins a line; `detail` says what is being launched.
    pub(crate) fn begin(progress: Progress, name: &str, detail: &str) -> Self {
        let live = progress == Progress::Auto && std::io::stderr().is_terminal();
        let shown = match progress {
            Progress::Off => Shown::Nothing,
            Progress::Auto | Progress::Plain if !live => Shown::Plain,
            _ => {
                let bar = LINES.add(ProgressBar::new_spinner());
                let style = ProgressStyle::with_template("  {spinner} {prefix:.bold} {msg} {elapsed:.dim}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                bar.set_prefix(name.to_owned());
                bar.enable_steady_tick(Duration::from_millis(100));
                Shown::Live(bar)
            }
        };
        let line = Self { name: name.to_owned(), shown, since: Instant::now() };
        line.phase(detail);
        line
    }

    /// Says what is waited for; only a live line shows it.
    pub(crate) fn phase(&self, phase: &str) {
        tracing::debug!(machine = self.name, elapsed = ?self.since.elapsed(), "{phase}");
        if let Shown::Live(bar) = &self.shown {
            bar.set_message(phase.to_owned());
        }
    }

    /// Says something that a person should know though it keeps nothing from going on.
    pub(crate) fn note(&self, what: &str) {
        let text = format!("ec2-harness: {} {what}", self.name);
        match &self.shown {
            Shown::Nothing => {}
            Shown::Plain => eprintln!("{text}"),
            Shown::Live(_) => drop(LINES.println(text)),
        }
    }

    /// Ends the line with what came of it.
    pub(crate) fn end(&self, outcome: &str) {
        let text = format!("ec2-harness: {} {outcome} after {}", self.name, seconds(self.since.elapsed()));
        match &self.shown {
            Shown::Nothing => {}
            Shown::Plain => eprintln!("{text}"),
            Shown::Live(bar) => {
                bar.finish_and_clear();
                LINES.remove(bar);
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Shown::Live(bar) = &self.shown {
            bar.finish_and_clear();
            LINES.remove(bar);
        }
    }
}

/// Says something that concerns no single machine.
pub(crate) fn tell(progress: Progress, what: &str) {
    let text = format!("ec2-harness: {what}");
    match progress {
        Progress::Off => {}
        Progress::Auto if std::io::stderr().is_terminal() => drop(LINES.println(text)),
        _ => eprintln!("{text}"),
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
