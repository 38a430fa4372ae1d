//! What runs models, and on how many threads.

use std::fmt;
use std::str::FromStr;

/// A library that runs models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// tract, which is built in.
    Tract,
    /// ONNX Runtime, which is loaded when it is asked for first.
    Ort,
}

impl Runtime {
    /// How many times as long a run in 16-bit floats takes as one in 32 bits, about.
    pub fn cost_of_halves(self) -> f64 {
        match self {
            // It computes them one number at a time.
            Runtime::Tract => 50.0,
            Runtime::Ort => 2.0,
        }
    }
}

/// How models are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub runtime: Runtime,
    pub threads: usize,
}

/// A name that no runtime has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no runtime `{0}`; there are tract and ort")]
pub struct RuntimeError(String);

impl Default for Setup {
    /// tract on one thread.
    fn default() -> Setup {
        Setup { runtime: Runtime::Tract, threads: 1 }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Runtime::Tract => "tract",
            Runtime::Ort => "ort",
        })
    }
}

impl FromStr for Runtime {
    type Err = RuntimeError;

    fn from_str(name: &str) -> Result<Runtime, RuntimeError> {
        let all = [Runtime::Tract, Runtime::Ort];
        all.into_iter().find(|r| r.to_string() == name).ok_or_else(|| RuntimeError(name.to_owned()))
    }
}
