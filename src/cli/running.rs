//! Arguments about what runs models, and how they are timed.

use super::Failure;
use crate::oracle::{OracleError, Runtime, Setup};
use clap::Args;
use std::str::FromStr;
use std::time::Duration;

/// What runs models.
#[derive(Args)]
pub struct Running {
    /// The runtime: tract, or ort (ONNX Runtime, in builds with the feature `ort`; ORT_DYLIB_PATH says where its
    /// library is)
    #[arg(long, default_value_t = Runtime::Tract, value_name = "NAME")]
    runtime: Runtime,
    /// Threads for running one model; tract uses one
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
}

impl Running {
    /// The runtime, once it is sure that it is there.
    pub fn setup(&self) -> Result<Setup, Failure> {
        let setup = Setup { runtime: self.runtime, threads: usize::from(self.threads) };
        setup.check().map(|()| setup).map_err(|e| match e {
            OracleError::Threads(_) => Failure::usage("--threads: tract runs on one thread")
                .hint("take --threads 1, or ONNX Runtime with --runtime ort"),
            OracleError::NoOrt => Failure::usage("--runtime ort: this build has no ONNX Runtime")
                .hint("build secateur with `--features ort`"),
            OracleError::NoLibrary(why) => Failure::new(format!("--runtime ort: {why}")).hint(
                "set ORT_DYLIB_PATH to ONNX Runtime's library (libonnxruntime.so, libonnxruntime.dylib or onnxruntime.dll)",
            ),
            e => Failure::new(e),
        })
    }
}

/// A time in seconds, as arguments say it.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seconds, String> {
        let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
        let time = seconds.filter(|s| *s >= 0.0).and_then(|s| Duration::try_from_secs_f64(s).ok());
        time.map(Seconds).ok_or_else(|| format!("`{text}` is not a number of seconds"))
    }
}
