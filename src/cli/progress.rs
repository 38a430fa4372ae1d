//! A progress bar for what takes longer than a second, on a terminal; silent elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Counts steps towards a total.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    shown: Cell<bool>,
}

impl Progress {
    /// Nothing is done yet of `total` steps of `what`.
    pub fn new(what: &str, total: usize) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}, {eta} left");
        let bar = bar.with_message(what.to_owned()).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress { bar, start: Instant::now(), shown: Cell::new(false) }
    }

    /// So many steps more are done.
    pub fn step(&self, steps: usize) {
        if !self.shown.get() && self.start.elapsed() > Duration::from_secs(1) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown.set(true);
        }
        self.bar.inc(steps as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
