//! Progress on stderr: a bar on a terminal, a line every few seconds elsewhere, nothing when told so.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, plain lines elsewhere.
    Auto,
    /// A line every five seconds.
    Plain,
    /// One JSON object a step, in the schema of job events.
    Json,
    /// Nothing.
    None,
}

/// One stage of work.
pub struct Progress {
    mode: ProgressMode,
    bar: ProgressBar,
    name: &'static str,
    told: Instant,
    /// Steps begun by [`Self::next`].
    steps: u64,
}

const PLAIN_EVERY: Duration = Duration::from_secs(5);

impl Progress {
    /// A stage of `total` steps; 0 when that is not known.
    #[must_use]
    pub fn new(mode: ProgressMode, name: &'static str, total: u64) -> Self {
        let mode = match mode {
            ProgressMode::Auto if std::io::stderr().is_terminal() => ProgressMode::Auto,
            ProgressMode::Auto => ProgressMode::Plain,
            other => other,
        };
        let target =
            if mode == ProgressMode::Auto { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target((total > 0).then_some(total), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix:<10} {wide_bar} {percent:>3} %  {msg}  eta {eta}") {
            bar.set_style(style);
        }
        bar.set_prefix(name);
        Self { mode, bar, name, told: Instant::now(), steps: 0 }
    }

    /// There are `total` steps, as turned out later.
    pub fn of(&mut self, total: u64) {
        self.bar.set_length(total);
    }

    /// The work stands at `done`; `message` says what that means.
    pub fn at(&mut self, done: u64, message: impl FnOnce() -> String) {
        let due = self.told.elapsed() >= PLAIN_EVERY;
        match self.mode {
            ProgressMode::Auto => {
                self.bar.set_position(done);
                if self.told.elapsed() >= Duration::from_millis(200) {
                    self.bar.set_message(message());
                    self.told = Instant::now();
                }
            }
            ProgressMode::Plain if due => {
                self.told = Instant::now();
                eprintln!("{}: {:.0} %, {}", self.name, self.fraction(done) * 100.0, message());
            }
            ProgressMode::Json if due => {
                self.told = Instant::now();
                let event = serde_json::json!({"step": self.name, "state": "running", "fraction": self.fraction(done)});
                eprintln!("{event}");
            }
            ProgressMode::Plain | ProgressMode::Json | ProgressMode::None => {}
        }
    }

    /// One step more is done; `message` says what comes now.
    pub fn next(&mut self, message: impl FnOnce() -> String) {
        let done = self.steps;
        self.steps += 1;
        self.at(done, message);
    }

    fn fraction(&self, done: u64) -> f64 {
        self.bar.length().filter(|t| *t > 0).map_or(0.0, |t| (done as f64 / t as f64).min(1.0))
    }

    /// The stage is over.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
