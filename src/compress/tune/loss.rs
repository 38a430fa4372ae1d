//! Losses: how far a student's outputs are from the teacher's, and from labels.

use super::TuneError;
use crate::ir::Tensor;
use crate::program::{Compare, NumberKind, Term};

/// What the numbers of an output say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meaning {
    /// Scores of classes (logits) along this axis.
    Scores(usize),
    /// Probabilities of classes along this axis.
    Chances(usize),
    /// Quantities, whose squares are so large on average.
    Numbers(f64),
}

/// Which losses there are to choose from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// What suits the teacher's outputs.
    #[default]
    Auto,
    /// The Kullback-Leibler divergence from the teacher's distribution; Hinton et al. 2015.
    Kl,
    /// Mean squared differences, in units of the teacher's mean squares.
    Mse,
}

impl Meaning {
    /// What an output says, judged by one that was computed. `of_tokens` says that the model reads integers.
    pub(super) fn of(output: &Tensor, loss: Loss, of_tokens: bool) -> Result<Meaning, TuneError> {
        let elements = output.to_f64().map_err(|e| TuneError::Output(e.to_string()))?;
        let rank = output.shape.len();
        let axis = if rank == 3 { 2 } else { 1 };
        let classes = output.shape.get(axis).copied().unwrap_or(1);
        let likely = loss == Loss::Kl || (loss == Loss::Auto && (rank == 2 || (rank == 3 && of_tokens)));
        if !likely || classes < 2 {
            let squares = elements.iter().map(|v| v * v).sum::<f64>() / elements.len().max(1) as f64;
            return Ok(Meaning::Numbers(squares.max(1e-12)));
        }
        let inner: usize = output.shape[axis + 1..].iter().product();
        let sum = |start: usize| (0..classes).map(|c| elements[start + c * inner]).sum::<f64>();
        let starts = (0..elements.len()).filter(|at| (at / inner).is_multiple_of(classes));
        let chances = elements.iter().all(|&v| v >= 0.0) && { starts }.all(|at| (sum(at) - 1.0).abs() < 1e-3);
        Ok(if chances { Meaning::Chances(axis) } else { Meaning::Scores(axis) })
    }

    /// The axis of classes.
    pub(super) fn classes(self) -> Option<usize> {
        match self {
            Meaning::Scores(axis) | Meaning::Chances(axis) => Some(axis),
            Meaning::Numbers(_) => None,
        }
    }

    /// Scores of classes, from an output.
    fn scores<'b>(self, output: Term<'b>) -> Term<'b> {
        match self {
            Meaning::Chances(_) => output.clamp(1e-7, f64::INFINITY).ln(),
            _ => output,
        }
    }

    /// How far the student's output is from the teacher's, at a temperature: on average over all positions.
    pub(super) fn distance<'b>(self, student: Term<'b>, teacher: Term<'b>, temperature: f64) -> Term<'b> {
        let Some(axis) = self.classes() else {
            let Meaning::Numbers(squares) = self else { unreachable!("all else has classes") };
            return mean(student - teacher) / squares;
        };
        let logs = |t: Term<'b>| (self.scores(t) / temperature).log_softmax(&[axis]);
        let (ours, theirs) = (logs(student), logs(teacher));
        let positions = student.count() / student.size(axis);
        // The square of the temperature keeps gradients as large as those of labels.
        (theirs.exp() * (theirs - ours)).total() * (temperature * temperature / positions as f64)
    }

    /// The cross entropy of labels, a class for each position; negative labels don't count. For numbers the mean
    /// squared difference.
    pub(super) fn error<'b>(self, student: Term<'b>, labels: Term<'b>) -> Result<Term<'b>, TuneError> {
        let Some(axis) = self.classes() else {
            let Meaning::Numbers(squares) = self else { unreachable!("all else has classes") };
            return match labels.count() == student.count() {
                true => Ok(mean(student - labels.cast(NumberKind::Float).reshape(&student.shape())) / squares),
                false => Err(TuneError::Labels(labels.shape(), student.shape())),
            };
        };
        let mut shape = student.shape();
        shape[axis] = 1;
        if labels.kind() != NumberKind::Int || labels.count() != shape.iter().product::<usize>() {
            return Err(TuneError::Labels(labels.shape(), student.shape()));
        }
        let labels = labels.reshape(&shape);
        let zero = labels.builder().ints(vec![0], &vec![1; shape.len()]);
        let counts = zero.compare(Compare::LessEqual, labels).cast(NumberKind::Float);
        let logs = self.scores(student).log_softmax(&[axis]);
        let chosen = logs.take_along(axis, labels.clamp(0.0, student.size(axis) as f64 - 1.0));
        Ok(-(chosen * counts).total() / counts.total().clamp(1.0, f64::INFINITY))
    }
}

/// The mean of squares.
fn mean(t: Term<'_>) -> Term<'_> {
    t.square().total() / t.count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(shape: &[usize], numbers: &[f32], of_tokens: bool) -> Meaning {
        Meaning::of(&Tensor::from_f32(shape.to_vec(), numbers), Loss::Auto, of_tokens).expect("numbers")
    }

    #[test]
    fn outputs_say_what_they_are() {
        assert_eq!(meaning(&[2, 2], &[3.0, -1.0, 0.5, 0.5], false), Meaning::Scores(1));
        assert_eq!(meaning(&[2, 2], &[0.25, 0.75, 1.0, 0.0], false), Meaning::Chances(1));
        // One number a sample, and maps, are quantities; their squares are 2.5 on average.
        assert_eq!(meaning(&[2, 1], &[1.0, 2.0], false), Meaning::Numbers(2.5));
        assert_eq!(meaning(&[1, 1, 2], &[1.0, 2.0], false), Meaning::Numbers(2.5));
        assert_eq!(meaning(&[1, 1, 2], &[1.0, 2.0], true), Meaning::Scores(2));
        let asked = Meaning::of(&Tensor::from_f32(vec![1, 2, 1, 1], &[0.25, 0.75]), Loss::Kl, false);
        assert_eq!(asked.expect("numbers").classes(), Some(1));
    }

    #[cfg(feature = "gradients")]
    mod computed {
        use super::*;
        use crate::autograd::{Bindings, Engine};
        use crate::program::Builder;

        fn value(make: impl for<'b> Fn(&'b Builder) -> Term<'b>) -> f64 {
            let builder = Builder::new();
            let program = builder.finish(&[make(&builder)]).expect("a program");
            let nothing = Bindings { input: &|_| None, constant: &|_| None };
            Engine::default().run(&program, nothing).expect("it runs")[0].to_f64().expect("numbers")[0]
        }

        #[test]
        fn a_distribution_is_as_far_as_its_divergence() {
            let far = |meaning: Meaning, ours: [f64; 2], theirs: [f64; 2], temperature| {
                value(|b| {
                    let (ours, theirs) = (b.floats(ours.to_vec(), &[1, 2]), b.floats(theirs.to_vec(), &[1, 2]));
                    meaning.distance(ours, theirs, temperature)
                })
            };
            // 0.75 ln(0.75 / 0.5) + 0.25 ln(0.25 / 0.5)
            let divergence = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
            assert!((far(Meaning::Chances(1), [0.5, 0.5], [0.75, 0.25], 1.0) - divergence).abs() < 1e-6);
            assert!((far(Meaning::Scores(1), [1.0, 1.0], [3f64.ln(), 0.0], 1.0) - divergence).abs() < 1e-6);
            // Scores twice as far apart at twice the temperature are as far, times its square.
            let soft = far(Meaning::Scores(1), [1.0, 1.0], [2.0 * 3f64.ln(), 0.0], 2.0);
            assert!((soft - 4.0 * divergence).abs() < 1e-5, "{soft}");
            assert!(far(Meaning::Scores(1), [5.0, 2.0], [4.0, 1.0], 3.0).abs() < 1e-6);
            assert!((far(Meaning::Numbers(2.0), [1.0, 2.0], [1.0, 4.0], 9.0) - 1.0).abs() < 1e-6);
        }

        #[test]
        fn labels_below_zero_do_not_count() {
            let error = |labels: [i64; 2]| {
                value(|b| {
                    let scores = b.floats(vec![0.0, 3f64.ln(), 9.0, -9.0], &[2, 2]);
                    Meaning::Scores(1).error(scores, b.ints(labels.to_vec(), &[2])).expect("labels fit")
                })
            };
            assert!((error([1, -100]) - (4.0f64 / 3.0).ln()).abs() < 1e-6);
            assert_eq!(error([-1, -100]), 0.0);
            assert!(error([1, 1]) > 8.0);
        }
    }
}
