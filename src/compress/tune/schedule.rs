//! Schedules: the learning rate over the course of a training.

use serde::{Deserialize, Serialize};

/// Schedule of the learning rate, as a share of the rate that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Schedule {
    Constant,
    /// Half a cosine, from 1 to 0; Loshchilov and Hutter 2017.
    Cosine,
    /// Up from 1/25 to 1 over the first 30 % of the steps and down to almost 0, along cosines; Smith and Topin 2019.
    OneCycle,
    /// A tenth of the rate after half of the steps, and a tenth of that after three quarters.
    Step,
    /// A third of the rate whenever an epoch does not lower the held-out loss.
    Plateau,
}

impl Schedule {
    /// The share for step `step` of `total`, counted from 0, after so many epochs without progress. The first `warmup`
    /// steps rise from 0 on a line.
    pub fn share(self, step: usize, total: usize, warmup: usize, stalls: u32) -> f64 {
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let at = (step - warmup) as f64 / (total - warmup.min(total)).max(1) as f64;
        match self {
            Schedule::Constant => 1.0,
            Schedule::Cosine => half_cosine(at, 1.0, 0.0),
            Schedule::OneCycle if at < 0.3 => half_cosine(at / 0.3, 1.0 / 25.0, 1.0),
            Schedule::OneCycle => half_cosine((at - 0.3) / 0.7, 1.0, 1e-5),
            Schedule::Step => [1.0, 0.1, 0.01][usize::from(at >= 0.5) + usize::from(at >= 0.75)],
            Schedule::Plateau => (1.0f64 / 3.0).powi(stalls as i32),
        }
    }
}

/// From one number to another along half a cosine.
fn half_cosine(at: f64, from: f64, to: f64) -> f64 {
    to + (from - to) * (1.0 + (std::f64::consts::PI * at.min(1.0)).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall_as_they_should() {
        let at = |schedule: Schedule, step| schedule.share(step, 110, 10, 2);
        assert_eq!(at(Schedule::Cosine, 0), 0.1);
        assert_eq!(at(Schedule::Cosine, 9), 1.0);
        assert_eq!(at(Schedule::Cosine, 10), 1.0);
        assert!((at(Schedule::Cosine, 60) - 0.5).abs() < 1e-12);
        assert!((at(Schedule::OneCycle, 10) - 0.04).abs() < 1e-12);
        assert!((at(Schedule::OneCycle, 40) - 1.0).abs() < 1e-12);
        assert!(at(Schedule::OneCycle, 109) < 0.01);
        assert_eq!([59, 60, 85].map(|s| at(Schedule::Step, s)), [1.0, 0.1, 0.01]);
        assert!((at(Schedule::Plateau, 50) - 1.0 / 9.0).abs() < 1e-12);
        assert_eq!(Schedule::Constant.share(5, 5, 0, 0), 1.0);
    }
}
