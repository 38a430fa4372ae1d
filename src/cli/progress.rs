//! A progress bar for what takes longer than a second, on a terminal; silent elsewhere.

use super::talk;
use crate::tune::Tick;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What takes no longer is not worth a bar.
const SOON: Duration = Duration::from_secs(1);

/// Counts steps towards a total.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    shown: Cell<bool>,
}

impl Progress {
    /// Nothing is done yet of `total` steps of `what`.
    pub fn new(what: &str, total: usize) -> Progress {
        Progress::styled(what, Some(total as u64), "{msg} [{bar:30}] {pos}/{len}, {eta} left")
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

    fn styled(what: &str, total: Option<u64>, template: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bar.with_message(what.to_owned()).with_style(style);
        Progress { bar, start: Instant::now(), shown: Cell::new(!talk::shows_progress()) }
    }

    /// So many steps more are done.
    pub fn step(&self, steps: usize) {
        if !self.shown.get() && self.start.elapsed() > SOON {
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

/// Shows that something goes on that tells no steps, until it is dropped.
pub struct Waiting(Option<(Sender<()>, JoinHandle<()>)>);

impl Waiting {
    /// From now on.
    pub fn new(what: &'static str) -> Waiting {
        if !talk::shows_progress() {
            return Waiting(None);
        }
        let (done, waits) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            if waits.recv_timeout(SOON) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
            let bar = ProgressBar::new_spinner().with_message(what).with_elapsed(SOON);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            _ = waits.recv();
            bar.finish_and_clear();
        });
        Waiting(Some((done, thread)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.0.take() {
            drop(done);
            _ = thread.join();
        }
    }
}
