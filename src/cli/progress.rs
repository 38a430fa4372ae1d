//! A progress bar for what takes longer than a second, on a terminal; silent elsewhere.

use super::talk;
use crate::tune::Tick;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// What takes no longer is not worth a bar.
const SOON: Duration = Duration::from_secs(1);

/// How often a bar that is shown moves at least.
const TICK: Duration = Duration::from_millis(100);

/// Shows that something goes on, until it is dropped. One at a time: two would write over each other.
pub struct Progress {
    bar: ProgressBar,
    waits: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Nothing is done yet of `total` steps of `what`.
    pub fn new(what: &str, total: usize) -> Progress {
        Progress::styled(what, Some(total as u64), "{spinner} {msg} [{bar:30}] {pos}/{len}, {left}")
    }

    /// Steps of which nobody knows how many there will be.
    pub fn open(what: &str) -> Progress {
        Progress::styled(what, None, "{spinner} {msg}: {pos} runs, {elapsed}")
    }

    /// Steps of a training, with its loss.
    pub fn training() -> Progress {
        Progress::styled("training", Some(1), "training [{bar:30}] {pos}/{len}, {eta} left, {msg}")
    }

    /// Another step of a training.
    pub fn tick(&self, tick: Tick) {
        self.bar.set_length(tick.of as u64);
        let metric = tick.metric.map_or(String::new(), |m| format!(" ({:.1} %)", 100.0 * m));
        let held_out = tick.held_out.map_or(String::new(), |l| format!(", held out {l:.4}{metric}"));
        self.bar.set_message(format!("loss {:.4}{held_out}", tick.loss));
        self.step(tick.step.saturating_sub(self.bar.position() as usize));
    }

    /// Something that tells no steps.
    pub fn waiting(what: &str) -> Progress {
        Progress::styled(what, None, "{spinner} {msg}, {elapsed}")
    }

    fn styled(what: &str, total: Option<u64>, template: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        if !talk::shows_progress() {
            return Progress { bar, waits: None };
        }
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bar.with_message(what.to_owned()).with_style(style.with_key("left", left));
        let (done, waits) = mpsc::channel();
        let shown = bar.clone();
        let thread = std::thread::spawn(move || {
            if waits.recv_timeout(SOON) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(TICK);
            }
        });
        Progress { bar, waits: Some((done, thread)) }
    }

    /// So many steps more are done.
    pub fn step(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    /// So many steps of so many are done.
    pub fn at(&self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }
}

/// An estimate of the time that is left; nothing before the first step is done.
fn left(state: &ProgressState, out: &mut dyn Write) {
    _ = match state.pos() {
        0 => write!(out, "{} so far", HumanDuration(state.elapsed())),
        _ => write!(out, "{} left", HumanDuration(state.eta())),
    };
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.waits.take() {
            drop(done);
            _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}
