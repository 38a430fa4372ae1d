//! Arguments about what runs models, and how they are timed.

use super::Failure;
use crate::job::keys;
use crate::job::verification::{checked, checked_timed};
use crate::oracle::{Lookup, Runtime, RuntimeError, Setup};
use clap::Args;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The environment variable that says what runs models where no argument does.
const VARIABLE: &str = "SECATEUR_RUNTIME";

/// What runs models.
#[derive(Args, Clone, Default)]
pub(super) struct Running {
    /// What runs models: auto (ONNX Runtime where its library is found, else tract), tract or ort (ONNX Runtime)
    /// [default: SECATEUR_RUNTIME, else auto]
    #[arg(long, value_name = "NAME")]
    runtime: Option<Asked>,
    /// Threads [default: all cores where many samples are run, and one where a model is timed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// ONNX Runtime's library, or the folder that it is in, instead of the one that is found (`secateur doctor` says which)
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
    ort_library: Option<PathBuf>,
}

impl Running {
    /// What runs the models, which need not be there.
    pub(super) fn unchecked(&self) -> Result<Setup, Failure> {
        let runtime = match self.runtime {
            None => usual()?,
            Some(Asked::One(runtime)) => runtime,
            Some(Asked::Both) => {
                return Err(Failure::usage("--runtime both: only `secateur verify` compares runtimes"));
            }
        };
        let threads = self.threads.and_then(|n| NonZeroUsize::new(n.into()));
        let library = self.ort_library.clone().map_or(Lookup::Usual, Lookup::At);
        Ok(Setup { runtime, threads, library })
    }

    /// Whether both runtimes are to be compared; then models are run by the best one from here on.
    pub(super) fn take_both(&mut self) -> bool {
        let is_both = matches!(self.runtime, Some(Asked::Both));
        if is_both {
            self.runtime = Some(Asked::One(Runtime::Auto));
        }
        is_both
    }

    /// The same, once it is sure that what is asked for by name is there.
    pub(super) fn setup(&self) -> Result<Setup, Failure> {
        Ok(checked(&self.unchecked()?)?)
    }

    /// The same for models that are timed.
    pub(super) fn timed(&self) -> Result<Setup, Failure> {
        Ok(checked_timed(&self.unchecked()?)?)
    }
}

/// What runs models, or all that can.
#[derive(Clone, Copy, Debug)]
enum Asked {
    One(Runtime),
    Both,
}

impl FromStr for Asked {
    type Err = RuntimeError;

    fn from_str(name: &str) -> Result<Asked, RuntimeError> {
        if name == "both" { Ok(Asked::Both) } else { name.parse().map(Asked::One) }
    }
}

/// The runtime that the environment names, or the best there is.
fn usual() -> Result<Runtime, Failure> {
    let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else { return Ok(Runtime::Auto) };
    name.to_string_lossy().parse().map_err(|e| Failure::usage(format!("{VARIABLE}: {e}")))
}

/// A time in seconds, as arguments say it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seconds, String> {
        keys::seconds(text).map(Seconds)
    }
}
