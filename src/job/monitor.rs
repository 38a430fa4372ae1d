//! How a job goes on, for whoever wants to know, and how it is ended early.

use crate::tune::Tick;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What happens.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Some work begins, within that which is going on.
    Begin { what: &'a str, steps: Steps },
    /// So many more steps of the innermost work are done.
    Step(usize),
    /// So many steps of so many are done.
    At(usize, usize),
    /// A step of training is done.
    Trained(Tick),
    /// The innermost work is over.
    End,
    /// Something that should be known.
    Note(&'a str),
}

/// How many steps some work takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    Of(usize),
    /// Nobody knows how many there will be.
    Open,
    /// None of which it tells.
    None,
    /// Those of a training, with its loss.
    Training,
}

/// A job that somebody asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// Who hears of a job, and who may stop it. Without anybody, notes become warnings of `tracing`.
///
/// ```
/// use secateur::job::{Event, Monitor, Options};
/// use std::sync::Arc;
/// use std::sync::atomic::AtomicBool;
///
/// let stop = Arc::new(AtomicBool::new(false));
/// let monitor = Monitor::new(|event| if let Event::Begin { what, .. } = event { println!("{what} …") });
/// let options = Options { monitor: monitor.stopped_by(stop.clone()), ..Options::default() };
/// ```
#[derive(Clone, Default)]
pub struct Monitor {
    listener: Option<Arc<Listener>>,
    stop: Option<Arc<AtomicBool>>,
}

type Listener = dyn Fn(Event) + Send + Sync;

impl Monitor {
    /// One who hears of all that happens.
    pub fn new(listener: impl Fn(Event) + Send + Sync + 'static) -> Monitor {
        Monitor { listener: Some(Arc::new(listener)), stop: None }
    }

    /// The same with a flag: once it is set, the job ends before its next piece of work, as [`Cancelled`].
    pub fn stopped_by(self, stop: Arc<AtomicBool>) -> Monitor {
        Monitor { stop: Some(stop), ..self }
    }

    /// Fails once somebody asked to stop.
    pub(crate) fn check(&self) -> Result<(), Cancelled> {
        match &self.stop {
            Some(stop) if stop.load(Ordering::Relaxed) => Err(Cancelled),
            _ => Ok(()),
        }
    }

    /// Begins some work, unless somebody asked to stop. It ends when what is returned is dropped.
    pub(crate) fn begin(&self, what: &str, steps: Steps) -> Result<Work<'_>, Cancelled> {
        self.check()?;
        self.emit(Event::Begin { what, steps });
        Ok(Work(self))
    }

    /// Tells something that should be known.
    pub(crate) fn note(&self, text: &str) {
        match &self.listener {
            Some(listener) => listener(Event::Note(text)),
            None => tracing::warn!("{text}"),
        }
    }

    fn emit(&self, event: Event) {
        self.listener.iter().for_each(|listener| listener(event));
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (listener, stop) = (self.listener.is_some(), self.check().is_err());
        f.debug_struct("Monitor").field("listener", &listener).field("stop", &stop).finish()
    }
}

/// Work that is going on.
pub(crate) struct Work<'a>(&'a Monitor);

impl Work<'_> {
    /// So many steps more are done.
    pub(crate) fn step(&self, steps: usize) {
        self.0.emit(Event::Step(steps));
    }

    /// So many steps of so many are done.
    pub(crate) fn at(&self, done: usize, total: usize) {
        self.0.emit(Event::At(done, total));
    }

    /// A step of a training is done.
    pub(crate) fn trained(&self, tick: Tick) {
        self.0.emit(Event::Trained(tick));
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.emit(Event::End);
    }
}
