//! Classification: accuracy, precision, recall, F1, confusion.

use super::{Figure, JudgeError, integers, largest, place, ratio, share};
use crate::ir::Tensor;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Gathers scores of classes. The class of a sample is the first of its largest scores; where a score is not a number,
/// the sample has no class and counts as wrong.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    classes: usize,
    samples: u64,
    right: u64,
    among_five: u64,
    no_class: u64,
    /// How many samples of a class (first) were taken for one (second).
    confusion: BTreeMap<(usize, usize), u64>,
    /// How many samples of a class had no class.
    lost: BTreeMap<usize, u64>,
}

/// What was found of a classifier.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassesReport {
    /// How many samples were judged.
    pub samples: u64,
    /// The share of samples whose class is right.
    pub accuracy: f64,
    /// The share of samples whose label is among the five classes with the largest scores; with 6 classes or more.
    pub top5: Option<f64>,
    /// The means of the classes' figures, over classes that occur (as a label or as an answer).
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    /// Samples with a score that is not a number.
    pub no_class: u64,
    pub classes: Vec<Class>,
    /// Label, answer, and how many samples there are of both; pairs that do not occur are left out.
    pub confusion: Vec<(usize, usize, u64)>,
}

/// What was found of a class that occurs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Class {
    pub class: usize,
    /// Samples with this label.
    pub samples: u64,
    /// The share of the samples taken for it that have the label.
    pub precision: f64,
    /// The share of the samples with the label that were taken for it.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
}

impl Classes {
    /// Adds scores, one row a sample, and the samples' labels. Further axes of length 1 do not matter.
    pub fn add(&mut self, scores: &Tensor, labels: &Tensor) -> Result<(), JudgeError> {
        let classes = match scores.shape[..] {
            [_, classes, ref rest @ ..] if classes > 1 && rest.iter().all(|&n| n == 1) => classes,
            _ => return Err(JudgeError::NotScores(scores.shape.clone())),
        };
        let numbers = scores.to_f64()?;
        let labels = match labels.count() == scores.shape[0] {
            true => integers(labels)?,
            false => {
                return Err(JudgeError::Labels { labels: labels.shape.clone(), output: scores.shape.clone() });
            }
        };
        self.classes = self.classes.max(classes);
        for (row, label) in numbers.chunks_exact(classes).zip(labels) {
            if let Some(label) = place(label, classes)? {
                self.sample(row, label);
            }
        }
        Ok(())
    }

    fn sample(&mut self, scores: &[f64], label: usize) {
        self.samples += 1;
        let Some(answer) = largest(scores) else {
            self.no_class += 1;
            *self.lost.entry(label).or_default() += 1;
            return;
        };
        let own = scores[label];
        let before = |(i, s): (usize, &f64)| *s > own || (*s == own && i < label);
        let rank = scores.iter().enumerate().filter(|&(i, s)| before((i, s))).count();
        self.among_five += u64::from(rank < 5);
        self.right += u64::from(answer == label);
        *self.confusion.entry((label, answer)).or_default() += 1;
    }

    /// The figures so far.
    pub fn finish(&self) -> ClassesReport {
        let share = |n: u64| ratio(n as f64, self.samples as f64);
        let classes = self.each();
        let mean = |f: fn(&Class) -> f64| ratio(classes.iter().map(f).sum(), classes.len() as f64);
        ClassesReport {
            samples: self.samples,
            accuracy: share(self.right),
            top5: (self.classes > 5).then(|| share(self.among_five)),
            precision: mean(|c| c.precision),
            recall: mean(|c| c.recall),
            f1: mean(|c| c.f1),
            no_class: self.no_class,
            confusion: self.confusion.iter().map(|(&(label, answer), &n)| (label, answer, n)).collect(),
            classes,
        }
    }

    fn each(&self) -> Vec<Class> {
        let (mut labels, mut answers) = (self.lost.clone(), BTreeMap::<usize, u64>::new());
        for (&(label, answer), n) in &self.confusion {
            *labels.entry(label).or_default() += n;
            *answers.entry(answer).or_default() += n;
        }
        let occurring: BTreeSet<usize> = labels.keys().chain(answers.keys()).copied().collect();
        let of = |counts: &BTreeMap<usize, u64>, class| counts.get(&class).copied().unwrap_or(0);
        let class = |class| {
            let right = self.confusion.get(&(class, class)).copied().unwrap_or(0) as f64;
            let (samples, taken) = (of(&labels, class), of(&answers, class));
            let (precision, recall) = (ratio(right, taken as f64), ratio(right, samples as f64));
            Class { class, samples, precision, recall, f1: ratio(2.0 * precision * recall, precision + recall) }
        };
        occurring.into_iter().map(class).collect()
    }
}

impl ClassesReport {
    pub(super) fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![share("accuracy", self.accuracy)];
        figures.extend(self.top5.map(|value| share("top5", value)));
        figures.extend([share("precision", self.precision), share("recall", self.recall), share("f1", self.f1)]);
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::DType;
    use crate::judge::IGNORED;

    fn judged(classes: usize, scores: &[f64], labels: &[i64]) -> Result<ClassesReport, JudgeError> {
        let scores = Tensor::from_f64(DType::F64, vec![scores.len() / classes, classes], scores).unwrap();
        let mut judge = Classes::default();
        judge.add(&scores, &Tensor::from_i64(vec![labels.len()], labels))?;
        Ok(judge.finish())
    }

    /// Scores that answer with these classes.
    fn answers(classes: usize, of: &[usize]) -> Vec<f64> {
        of.iter().flat_map(|&a| (0..classes).map(move |c| if c == a { 1.0 } else { 0.0 })).collect()
    }

    #[test]
    fn figures_of_three_classes() {
        // Class 0: 2 of 3 found, 1 taken for 1. Class 1: 1 of 2 found. Class 2 is answered once and never right.
        let report = judged(3, &answers(3, &[0, 0, 1, 1, 2]), &[0, 0, 0, 1, 1]).unwrap();
        assert_eq!((report.samples, report.accuracy, report.top5), (5, 0.6, None));
        let class = |class, samples, precision, recall, f1| Class { class, samples, precision, recall, f1 };
        assert_eq!(
            report.classes,
            [class(0, 3, 1.0, 2.0 / 3.0, 0.8), class(1, 2, 0.5, 0.5, 0.5), class(2, 0, 0.0, 0.0, 0.0)]
        );
        assert_eq!((report.precision, report.f1), (0.5, (0.8 + 0.5) / 3.0));
        assert_eq!(report.confusion, [(0, 0, 2), (0, 1, 1), (1, 1, 1), (1, 2, 1)]);
    }

    #[test]
    fn classes_that_do_not_occur_are_left_out() {
        let report = judged(4, &answers(4, &[1, 3]), &[1, 3]).unwrap();
        assert_eq!(report.classes.iter().map(|c| c.class).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((report.precision, report.recall, report.f1), (1.0, 1.0, 1.0));
    }

    #[test]
    fn the_first_of_equal_scores_is_the_answer() {
        assert_eq!(judged(2, &[0.5, 0.5, 0.5, 0.5], &[0, 1]).unwrap().accuracy, 0.5);
        // Of six equal scores the last one is not among the first five.
        let report = judged(6, &[1.0; 18], &[0, 4, 5]).unwrap();
        assert_eq!((report.accuracy, report.top5), (1.0 / 3.0, Some(2.0 / 3.0)));
    }

    #[test]
    fn what_is_not_a_number_is_wrong() {
        let report = judged(2, &[f64::NAN, 1.0, f64::INFINITY, 0.0, f64::NEG_INFINITY, -1.0], &[1, 0, 1]).unwrap();
        assert_eq!((report.accuracy, report.no_class), (2.0 / 3.0, 1));
        assert_eq!((report.classes[1].samples, report.classes[1].recall), (2, 0.5));
    }

    #[test]
    fn nothing_judged_is_zero() {
        let report = judged(2, &[0.0, 1.0], &[IGNORED]).unwrap();
        assert_eq!((report.samples, report.accuracy, report.f1), (0, 0.0, 0.0));
        assert!(report.classes.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert_eq!(judged(2, &[0.0, 1.0], &[2]), Err(JudgeError::Range { label: 2, classes: 2 }));
        assert_eq!(judged(2, &[0.0, 1.0], &[-1]), Err(JudgeError::Range { label: -1, classes: 2 }));
        assert!(matches!(judged(2, &[0.0, 1.0], &[0, 1]), Err(JudgeError::Labels { .. })));
        assert!(matches!(judged(1, &[0.0], &[0]), Err(JudgeError::NotScores(_))));
        let (pixels, labels) = (Tensor::from_f32(vec![1, 2, 2], &[0.0; 4]), Tensor::from_i64(vec![1], &[0]));
        assert!(matches!(Classes::default().add(&pixels, &labels), Err(JudgeError::NotScores(_))));
        let (pooled, floats) = (Tensor::from_f32(vec![1, 2, 1], &[0.0; 2]), Tensor::from_f32(vec![1], &[0.0]));
        assert_eq!(Classes::default().add(&pooled, &labels), Ok(()));
        assert_eq!(Classes::default().add(&pooled, &floats), Err(JudgeError::LabelType(DType::F32)));
    }
}
