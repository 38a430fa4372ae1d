//! Arguments about what runs models, and how they are timed.

use super::Failure;
use crate::job::keys;
use crate::job::verification::checked;
use crate::oracle::{Runtime, Setup};
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
    /// What runs the models, which need not be there.
    pub fn unchecked(&self) -> Setup {
        Setup { runtime: self.runtime, threads: usize::from(self.threads) }
    }

    /// The runtime, once it is sure that it is there.
    pub fn setup(&self) -> Result<Setup, Failure> {
        Ok(checked(self.unchecked())?)
    }
}

/// A time in seconds, as arguments say it.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seconds, String> {
        keys::seconds(text).map(Seconds)
    }
}
