//! What is said on stderr, how much of it, and in which form.
//!
//! The library emits events (`tracing`); here is the one who listens. Warnings, errors and hints go the same way, so that
//! with `--log-format json` every line on stderr is an object.

use clap::ValueEnum;
use std::io::{IsTerminal, Write, stderr};
use std::sync::OnceLock;
use tracing::Level;

/// How much is said, and how; flags of every verb.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Talk {
    /// Say nothing on stderr but errors, and show no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Tell each stage on stderr; twice, each pass too
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// How stderr is written
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

static TALK: OnceLock<Talk> = OnceLock::new();

fn talk() -> Talk {
    TALK.get().copied().unwrap_or_default()
}

/// Whether this process is the command line. Who calls [`crate::build`] from a program hears of events only.
fn is_command_line() -> bool {
    TALK.get().is_some()
}

impl Talk {
    /// Listens from now on. The first one in a process counts.
    pub fn listen(self) {
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
        _ = TALK.set(self);
    }
}

/// Whether progress may be shown: on a terminal, where nobody asked for silence and nothing else is written between.
pub fn shows_progress() -> bool {
    let Talk { quiet, verbose, log_format } = talk();
    is_command_line() && !quiet && verbose == 0 && log_format == Format::Text && stderr().is_terminal()
}

/// Says that the verb failed, and what can be done about it.
pub fn failure(message: &str, hint: Option<&str>) {
    match talk().log_format {
        Format::Json => tracing::error!(hint, "{message}"),
        Format::Text => {
            line(&format!("error: {message}"));
            hint.iter().for_each(|hint| line(&format!("  hint: {hint}")));
        }
    }
}

/// Says something to a person. Nobody listening is no error.
pub fn say(text: &str) {
    match talk() {
        Talk { quiet: true, .. } => {}
        _ if !is_command_line() => tracing::warn!("{text}"),
        Talk { log_format: Format::Json, .. } => tracing::warn!("{text}"),
        _ => line(text),
    }
}

fn line(text: &str) {
    _ = stderr().write_all(format!("{text}\n").as_bytes());
}
