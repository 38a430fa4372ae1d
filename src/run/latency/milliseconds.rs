//! Latency as reports write it.

use super::{Latency, Timing};
use serde::{Serialize, Serializer};

/// Latency in milliseconds, as reports write it.
#[derive(Serialize)]
pub struct LatencyMs {
    runtime: String,
    version: &'static str,
    threads: usize,
    before: TimingMs,
    after: Option<TimingMs>,
    /// How many times as long the original takes: the median turn.
    speedup: Option<f64>,
    speedup_quartiles: Option<(f64, f64)>,
    /// The confidence interval of the median, and how sure it is.
    speedup_interval: Option<(f64, f64)>,
    confidence: Option<f64>,
}

#[derive(Serialize)]
struct TimingMs {
    median_ms: f64,
    quartiles_ms: (f64, f64),
    runs: usize,
}

impl LatencyMs {
    /// The same figures in milliseconds.
    pub fn of(latency: &Latency) -> LatencyMs {
        let second = latency.second.as_ref();
        LatencyMs {
            runtime: latency.ran.runtime.to_string(),
            version: latency.ran.version,
            threads: latency.threads,
            before: TimingMs::of(&latency.first),
            after: second.map(|(t, _)| TimingMs::of(t)),
            speedup: second.map(|(_, r)| r.median),
            speedup_quartiles: second.map(|(_, r)| r.quartiles),
            speedup_interval: second.map(|(_, r)| r.interval),
            confidence: second.map(|(_, r)| r.confidence),
        }
    }

    /// How many times as long the original takes.
    pub fn speedup(&self) -> Option<f64> {
        self.speedup
    }
}

impl TimingMs {
    fn of(t: &Timing) -> TimingMs {
        let ms = |d: std::time::Duration| d.as_secs_f64() * 1e3;
        TimingMs { median_ms: ms(t.median), quartiles_ms: (ms(t.quartiles.0), ms(t.quartiles.1)), runs: t.runs() }
    }
}

/// Serializes a latency in milliseconds.
pub(crate) fn latency_in_ms<S: Serializer>(latency: &Option<Latency>, s: S) -> Result<S::Ok, S::Error> {
    latency.as_ref().map(LatencyMs::of).serialize(s)
}
