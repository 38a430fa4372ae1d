//! What is said on stderr, how much of it, and in which form.
//!
//! The library emits events (`tracing`); here is the one who listens. Warnings, errors and hints go the same way, so
//! that with `--log-format json` every line on stderr is an object.

use super::progress;
use clap::ValueEnum;
use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};
use tracing::Level;

/// How much is said, and how; flags of every verb.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(super) struct LogArgs {
    /// Write nothing but errors to stderr, and show no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Log each stage to stderr; given twice, each pass too
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Format of what is written to stderr
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    /// A JSON object a line
    Json,
}

static LOG: OnceLock<LogArgs> = OnceLock::new();

fn args() -> LogArgs {
    LOG.get().copied().unwrap_or_default()
}

/// Whether this process is the command line. Who calls [`crate::build`] from a program hears of events only.
fn is_command_line() -> bool {
    LOG.get().is_some()
}

impl LogArgs {
    /// Listens from now on. The first one in a process counts.
    pub(super) fn init(self) {
        let level = match self.verbose {
            _ if self.quiet => Level::ERROR,
            0 => Level::WARN,
            1 => Level::INFO,
            _ => Level::DEBUG,
        };
        let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(stderr).with_target(false);
        // A process that embeds the command line may listen itself.
        _ = match self.log_format {
            Format::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
            Format::Text => builder.with_ansi(stderr().is_terminal()).without_time().compact().try_init(),
        };
        _ = LOG.set(self);
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    /// As bars: on a terminal where nothing else is written.
    Bars,
    /// As a line now and then.
    Lines,
    /// Not at all: somebody asked for silence, or the process has a command line of its own.
    Nothing,
}

/// How progress is shown.
pub(super) fn shows() -> Shows {
    let LogArgs { quiet, verbose, log_format } = args();
    let bars = verbose == 0 && log_format == Format::Text && stderr().is_terminal();
    match is_command_line() && !quiet {
        true if bars => Shows::Bars,
        true => Shows::Lines,
        false => Shows::Nothing,
    }
}

/// When the last line was written, since the first time that anybody asked.
static LAST: AtomicU64 = AtomicU64::new(0);

fn clock() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

/// Notes that something was written just now.
pub(super) fn written() {
    LAST.store(clock().as_millis() as u64, Ordering::Relaxed);
}

/// How long nothing was said.
pub(super) fn silence() -> Duration {
    clock().saturating_sub(Duration::from_millis(LAST.load(Ordering::Relaxed)))
}

/// Says that the verb failed, and what can be done about it.
pub(super) fn failure(message: &str, hint: Option<&str>) {
    match args().log_format {
        Format::Json => tracing::error!(hint, "{message}"),
        Format::Text => {
            line(&format!("error: {message}"));
            hint.iter().for_each(|hint| line(&format!("  hint: {hint}")));
        }
    }
}

/// Says something to a person. Nobody listening is no error.
pub(super) fn note(text: &str) {
    match args() {
        LogArgs { quiet: true, .. } => {}
        _ if !is_command_line() => tracing::warn!("{text}"),
        LogArgs { log_format: Format::Json, .. } => {
            written();
            tracing::warn!("{text}");
        }
        _ => line(text),
    }
}

fn line(text: &str) {
    written();
    _ = progress::without_bars(|| stderr().write_all(format!("{text}\n").as_bytes()));
}
