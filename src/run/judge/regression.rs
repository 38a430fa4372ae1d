//! Regression: how far numbers are from their targets.

use super::{Figure, JudgeError, number, ratio};
use crate::ir::Tensor;
use serde::Serialize;

/// Gathers predictions and targets. A prediction that is not finite is infinitely far off.
#[derive(Clone, Debug, Default)]
pub struct Regression {
    samples: u64,
    columns: Vec<Column>,
}

/// One number of a sample, over all samples.
#[derive(Clone, Debug, Default)]
struct Column {
    count: f64,
    squared: f64,
    absolute: f64,
    /// Of the targets: mean, and sum of squared deviations from it (Welford).
    mean: f64,
    spread: f64,
}

/// What was found of a regression.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegressionReport {
    pub samples: u64,
    /// The mean squared error, and its root.
    pub mse: f64,
    pub rmse: f64,
    /// The mean absolute error.
    pub mae: f64,
    /// The share of the targets' variance that is explained, the mean over a sample's numbers; 0 for one that has no
    /// variance.
    pub r2: f64,
}

impl Regression {
    /// Adds predictions and targets of the same number for each sample. A target that is not a number does not count.
    pub fn add(&mut self, output: &Tensor, targets: &Tensor) -> Result<(), JudgeError> {
        let fits = output.shape.first() == targets.shape.first() && output.count() == targets.count();
        let (true, Some(&rows)) = (fits, output.shape.first()) else {
            return Err(JudgeError::Labels { labels: targets.shape.clone(), output: output.shape.clone() });
        };
        let columns = output.count().checked_div(rows).unwrap_or(0);
        if self.columns.is_empty() {
            self.columns = vec![Column::default(); columns];
        }
        if self.columns.len() != columns {
            return Err(JudgeError::Labels { labels: targets.shape.clone(), output: output.shape.clone() });
        }
        for (i, (y, t)) in output.to_f64()?.into_iter().zip(targets.to_f64()?).enumerate() {
            if t.is_finite() {
                self.columns[i % columns].add(y, t);
            }
        }
        self.samples += rows as u64;
        Ok(())
    }

    /// The figures so far.
    pub fn finish(&self) -> RegressionReport {
        let sum = |f: fn(&Column) -> f64| self.columns.iter().map(f).sum::<f64>();
        let count = sum(|c| c.count);
        let mse = ratio(sum(|c| c.squared), count);
        RegressionReport {
            samples: self.samples,
            mse,
            rmse: mse.sqrt(),
            mae: ratio(sum(|c| c.absolute), count),
            r2: ratio(sum(Column::r2), self.columns.len() as f64),
        }
    }
}

impl Column {
    fn add(&mut self, prediction: f64, target: f64) {
        let off = if prediction.is_finite() { (prediction - target).abs() } else { f64::INFINITY };
        self.count += 1.0;
        self.squared += off * off;
        self.absolute += off;
        let from_mean = target - self.mean;
        self.mean += from_mean / self.count;
        self.spread += from_mean * (target - self.mean);
    }

    fn r2(&self) -> f64 {
        if self.spread == 0.0 { 0.0 } else { 1.0 - self.squared / self.spread }
    }
}

impl RegressionReport {
    pub(super) fn figures(&self) -> Vec<Figure> {
        vec![number("rmse", self.rmse), number("mse", self.mse), number("mae", self.mae), number("r2", self.r2)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(columns: usize, batches: &[(&[f32], &[f32])]) -> RegressionReport {
        let mut judge = Regression::default();
        for (y, t) in batches {
            let shape = vec![y.len() / columns, columns];
            judge.add(&Tensor::from_f32(shape.clone(), y), &Tensor::from_f32(shape, t)).unwrap();
        }
        judge.finish()
    }

    #[test]
    fn figures_add_up_over_batches() {
        let report = judged(1, &[(&[2.5, 0.0], &[3.0, -0.5]), (&[2.0, 8.0], &[2.0, 7.0])]);
        assert_eq!((report.samples, report.mse, report.mae), (4, 0.375, 0.5));
        assert_eq!(report.rmse, 0.375f64.sqrt());
        // Targets have the mean 2.875 and the sum of squares 29.1875.
        assert!((report.r2 - (1.0 - 1.5 / 29.1875)).abs() < 1e-12);
    }

    #[test]
    fn columns_count_alike_and_one_without_variance_is_zero() {
        let report = judged(2, &[(&[1.0, 5.0, 3.0, 5.0], &[1.0, 5.0, 3.0, 5.0])]);
        assert_eq!((report.mse, report.r2), (0.0, 0.5));
        assert_eq!(judged(1, &[]).rmse, 0.0);
    }

    #[test]
    fn what_is_not_finite() {
        let report = judged(1, &[(&[f32::NAN, 1.0], &[1.0, 2.0])]);
        assert_eq!((report.mse, report.mae, report.r2), (f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY));
        assert_eq!(judged(1, &[(&[1.0, 1.0], &[f32::NAN, 3.0])]).mae, 2.0);
    }

    #[test]
    fn shapes_must_agree_but_for_ones() {
        let mut judge = Regression::default();
        let y = Tensor::from_f32(vec![2, 1], &[1.0, 2.0]);
        assert_eq!(judge.add(&y, &Tensor::from_f32(vec![2], &[1.0, 2.0])), Ok(()));
        assert!(matches!(judge.add(&y, &Tensor::from_f32(vec![1], &[1.0])), Err(JudgeError::Labels { .. })));
        let wide = Tensor::from_f32(vec![1, 2], &[1.0, 2.0]);
        assert!(matches!(judge.add(&wide, &wide), Err(JudgeError::Labels { .. })));
        let scalar = Tensor::from_f32(vec![], &[1.0]);
        assert!(matches!(judge.add(&scalar, &scalar), Err(JudgeError::Labels { .. })));
    }
}
