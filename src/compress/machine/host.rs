//! Which machine this is.

use crate::oracle::Setup;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What times depend on, beside the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The processor's name.
    pub cpu: String,
    /// How many cores the process may use.
    pub cores: usize,
    /// What runs the models.
    pub runtime: String,
    pub threads: usize,
    /// The version of secateur that measured.
    pub secateur: String,
}

impl Host {
    /// This machine, with models run in this way.
    pub fn here(setup: &Setup) -> Host {
        Host {
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            runtime: setup.ran().map_or_else(|_| setup.runtime.to_string(), |ran| ran.id()),
            threads: setup.timed_threads(),
            secateur: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Host { cpu, cores, runtime, threads, .. } = self;
        write!(f, "{cpu}, {cores} cores; {runtime} on {threads} of them")
    }
}

/// The processor's name as the system tells it, else its architecture.
fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().filter_map(|line| line.split_once(':'));
    let name = named.filter(|(key, _)| matches!(key.trim(), "model name" | "Hardware" | "Model"));
    let name = name.map(|(_, value)| value.trim().to_owned()).next();
    // Windows tells it in the environment.
    let name = name.or_else(|| std::env::var("PROCESSOR_IDENTIFIER").ok());
    name.filter(|n| !n.is_empty()).unwrap_or_else(|| format!("{} {}", std::env::consts::OS, std::env::consts::ARCH))
}
