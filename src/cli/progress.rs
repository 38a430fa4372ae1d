//! What goes on, for what takes longer than a moment: a bar on a terminal, elsewhere a line now and then.

use super::log::{self, Shows};
use crate::job::{Event, Monitor, Steps};
use crate::tune::Tick;
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{LazyLock, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What takes no longer is not worth a bar.
const SOON: Duration = Duration::from_secs(1);

/// How often a bar that is shown moves at least.
const TICK: Duration = Duration::from_millis(100);

/// How long it is silent at most where lines take the place of bars.
const SILENCE: Duration = Duration::from_millis(1900);

/// All bars that are shown.
static BARS: LazyLock<MultiProgress> = LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));

/// How many there are, one within the other. Only the innermost one writes lines.
static DEPTH: AtomicUsize = AtomicUsize::new(0);

/// Shows that something goes on, until it is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    waits: Option<(Sender<()>, JoinHandle<()>)>,
}

/// Writes to stdout or stderr without bars in between.
pub(super) fn without_bars<T>(write: impl FnOnce() -> T) -> T {
    match log::shows() {
        Shows::Bars => BARS.suspend(write),
        Shows::Lines | Shows::Nothing => write(),
    }
}

/// Shows what a job tells.
pub(super) fn monitor() -> Monitor {
    let work = Mutex::new(Vec::<Progress>::new());
    Monitor::new(move |event| {
        let Ok(mut work) = work.lock() else { return };
        match (event, work.last()) {
            (Event::Begin { what, steps }, _) => work.push(Progress::of(what, steps)),
            (Event::End, _) => drop(work.pop()),
            (Event::Note(text), _) => log::note(text),
            (Event::Step(steps), Some(inner)) => inner.step(steps),
            (Event::At(done, total), Some(inner)) => inner.at(done, total),
            (Event::Trained(tick), Some(inner)) => inner.tick(tick),
            _ => {}
        }
    })
}

impl Progress {
    /// Nothing is done yet of `total` steps of `what`.
    pub(super) fn new(what: &str, total: usize) -> Progress {
        Progress::styled(what, Some(total as u64), "{spinner} {msg} [{bar:30}] {pos}/{len}, {left}")
    }

    /// Steps of which nobody knows how many there will be.
    pub(super) fn open(what: &str) -> Progress {
        Progress::styled(what, None, "{spinner} {msg}: {pos} runs, {elapsed}")
    }

    /// Steps of a training, with its loss.
    pub(super) fn training() -> Progress {
        Progress::styled("training", Some(1), "training [{bar:30}] {pos}/{len}, {eta} left, {msg}")
    }

    /// Another step of a training.
    pub(super) fn tick(&self, tick: Tick) {
        self.bar.set_length(tick.of as u64);
        let metric = tick.metric.map_or(String::new(), |m| format!(" ({:.1} %)", 100.0 * m));
        let held_out = tick.held_out.map_or(String::new(), |l| format!(", held out {l:.4}{metric}"));
        self.bar.set_message(format!("loss {:.4}{held_out}", tick.loss));
        self.step(tick.step.saturating_sub(self.bar.position() as usize));
    }

    /// Something that tells no steps.
    pub(super) fn waiting(what: &str) -> Progress {
        Progress::styled(what, None, "{spinner} {msg}, {elapsed}")
    }

    /// Something of these steps.
    fn of(what: &str, steps: Steps) -> Progress {
        match steps {
            Steps::Of(total) => Progress::new(what, total),
            Steps::Open => Progress::open(what),
            Steps::None => Progress::waiting(what),
            Steps::Training => Progress::training(),
        }
    }

    fn styled(what: &str, total: Option<u64>, template: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()).with_message(what.to_owned());
        let shows = log::shows();
        if shows == Shows::Nothing {
            return Progress { bar, waits: None };
        }
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bar.with_style(style.with_key("left", left));
        let depth = DEPTH.fetch_add(1, Ordering::Relaxed) + 1;
        let (done, waits) = mpsc::channel::<()>();
        let shown = bar.clone();
        let over = move |time| waits.recv_timeout(time) != Err(RecvTimeoutError::Timeout);
        let thread = std::thread::spawn(move || match shows {
            Shows::Bars if !over(SOON) => {
                BARS.add(shown.clone());
                shown.enable_steady_tick(TICK);
            }
            Shows::Lines => lines(&shown, depth, over),
            Shows::Bars | Shows::Nothing => {}
        });
        Progress { bar, waits: Some((done, thread)) }
    }

    /// So many steps more are done.
    pub(super) fn step(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    /// So many steps of so many are done.
    pub(super) fn at(&self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }
}

/// Says how far it is whenever nothing was said for a while, until it is over.
fn lines(bar: &ProgressBar, depth: usize, over: impl Fn(Duration) -> bool) {
    let start = Instant::now();
    while !over(SILENCE.saturating_sub(log::silence()).max(TICK)) {
        if log::silence() >= SILENCE && DEPTH.load(Ordering::Relaxed) == depth {
            let steps = match (bar.position(), bar.length()) {
                (0, _) => String::new(),
                (at, Some(of)) => format!(" {at} of {of},"),
                (at, None) => format!(" {at} runs,"),
            };
            log::note(&format!("{}:{steps} {} s", bar.message(), start.elapsed().as_secs()));
        }
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
            DEPTH.fetch_sub(1, Ordering::Relaxed);
        }
        self.bar.finish_and_clear();
    }
}
