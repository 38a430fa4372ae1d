//! Arguments for samples: where they come from, and how they are read.

use crate::feed;
use clap::Args;
use std::collections::HashMap;

/// Inputs to run; without any, random ones.
#[derive(Args)]
pub struct Inputs {
    /// Inputs to run: a `.npz` file with an array per model input, a `.npy` file, a folder of PNG and JPEG images or
    /// of encoded tensors (`.pb`), or `random:N`; else seeded random numbers
    #[arg(long, value_name = "SOURCE")]
    inputs: Option<String>,
    /// How images become inputs, such as `size=224 resize=256 mean=0.485,0.456,0.406 std=0.229,0.224,0.225
    /// layout=nchw scale=255 channels=rgb`; what is left out follows from the input's shape
    #[arg(long, value_name = "TEXT", requires = "inputs")]
    preprocess: Option<String>,
}

impl Inputs {
    /// Where samples come from, and how they are read.
    pub fn source(&self, seed: u64, sizes: &HashMap<String, i64>) -> Option<(String, feed::Options)> {
        let (preprocess, sizes) = (self.preprocess.clone(), sizes.clone());
        Some((self.inputs.clone()?, feed::Options { preprocess, seed, sizes, ..feed::Options::default() }))
    }
}
