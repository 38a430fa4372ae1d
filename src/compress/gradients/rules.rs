//! How relevance is shared out among the operands of one operation.
//!
//! What moves elements about hands on their relevance, and so does a function of one element, whatever constants it
//! takes: these take no relevance. Sums share it out by what each operand adds. So do products with weights, by all
//! products or by those above zero alone; both factors of a product of computed tensors get half.

use super::loss::numbers;
use super::{GradientError, RelevanceRule};
use crate::autograd::{Bindings, Engine};
use crate::ir::{DType, Tensor};
use crate::program::{Binary, Id, Literal, NumberKind, Op, Program, Step};

/// What a sum is kept away from zero by, as a share of the root mean square of all sums.
const EPSILON: f64 = 1e-6;

/// A step with its operands.
pub(super) struct Given<'a> {
    pub engine: Engine,
    pub step: &'a Step,
    /// The steps of the operands and their values; literals have none.
    pub operands: Vec<(&'a Step, Option<&'a Tensor>)>,
    /// Which operands are made of the samples.
    pub made: Vec<bool>,
    pub result: Option<&'a Tensor>,
}

/// The relevance of each operand that is made of the samples, by its slot.
pub(super) fn shared(
    given: &Given,
    relevance: &[f64],
    rule: RelevanceRule,
) -> Result<Vec<(usize, Vec<f64>)>, GradientError> {
    let slots: Vec<usize> = (0..given.made.len()).filter(|&slot| given.made[slot]).collect();
    let only = if let [one] = slots[..] { Some(one) } else { None };
    match (&given.step.op, only) {
        (Op::Map(_) | Op::Shift(_) | Op::Scale(_) | Op::Power(_) | Op::Clamp(..) | Op::Cast(_), Some(slot)) => {
            Ok(vec![(slot, relevance.to_vec())])
        }
        (Op::Binary(_), Some(slot)) => given.repeated(slot, relevance),
        (Op::Binary(Binary::Div | Binary::Pow | Binary::Remainder), None) => given.repeated(0, relevance),
        (Op::MatMul | Op::Conv(_) | Op::ConvTranspose(..), Some(slot)) if rule == RelevanceRule::Positive => {
            Ok(vec![(slot, given.positive(slot, relevance)?)])
        }
        (Op::Binary(Binary::Mul) | Op::MatMul | Op::Conv(_) | Op::ConvTranspose(..), None) => {
            given.by_shares(&slots, relevance, 0.5)
        }
        (Op::Binary(_) | Op::Sum(_) | Op::RunningSum(_) | Op::MeanPool(_) | Op::AddAlong(_), _)
        | (Op::MatMul | Op::Conv(_) | Op::ConvTranspose(..), _) => given.by_shares(&slots, relevance, 1.0),
        (Op::Product(axis), _) => {
            let factors = given.operands[0].0.shape[*axis].max(1);
            given.by_shares(&slots, relevance, 1.0 / factors as f64)
        }
        _ => given.moved(&slots, relevance),
    }
}

impl Given<'_> {
    /// The relevance of each element is that of where it went.
    fn moved(&self, slots: &[usize], relevance: &[f64]) -> Result<Vec<(usize, Vec<f64>)>, GradientError> {
        let back = self.back(self.step, &[], slots, relevance)?;
        Ok(slots.iter().copied().zip(back).collect())
    }

    /// All relevance goes to one operand of two, summed where that was broadcast.
    fn repeated(&self, slot: usize, relevance: &[f64]) -> Result<Vec<(usize, Vec<f64>)>, GradientError> {
        let sum = Step { op: Op::Binary(Binary::Add), ..self.step.clone() };
        Ok(vec![(slot, self.back(&sum, &[], &[slot], relevance)?.remove(0))])
    }

    /// By what each element adds, as a share of the sum; times a factor.
    fn by_shares(
        &self,
        slots: &[usize],
        relevance: &[f64],
        factor: f64,
    ) -> Result<Vec<(usize, Vec<f64>)>, GradientError> {
        let sums = self.result.map(|t| numbers("a sum", t)).transpose()?.unwrap_or_default();
        let back = self.back(self.step, &[], slots, &ratios(relevance, &sums))?;
        let mut shares = vec![];
        for (&slot, back) in slots.iter().zip(back) {
            let elements = self.numbers(slot)?;
            shares.push((slot, elements.iter().zip(back).map(|(x, b)| factor * x * b).collect()));
        }
        Ok(shares)
    }

    /// By products above zero: of both factors' positive parts, and of their negative parts.
    fn positive(&self, slot: usize, relevance: &[f64]) -> Result<Vec<f64>, GradientError> {
        let other = 1 - slot;
        let (data, weights) = (self.numbers(slot)?, self.numbers(other)?);
        let part = |numbers: &[f64], sign: f64| numbers.iter().map(|n| (n * sign).max(0.0) * sign).collect::<Vec<_>>();
        let signs: &[f64] = if data.iter().any(|x| *x < 0.0) { &[1.0, -1.0] } else { &[1.0] };
        let mut sums = vec![0.0; relevance.len()];
        let mut parts = vec![];
        for &sign in signs {
            let replaced = [(slot, part(&data, sign)), (other, part(&weights, sign))];
            let found = self.run(self.step, &replaced)?;
            sums.iter_mut().zip(found).for_each(|(s, f)| *s += f);
            parts.push(replaced);
        }
        let ratios = ratios(relevance, &sums);
        let mut shares = vec![0.0; data.len()];
        for replaced in parts {
            let back = self.back(self.step, &replaced, &[slot], &ratios)?.remove(0);
            shares.iter_mut().zip(&replaced[0].1).zip(back).for_each(|((s, x), b)| *s += x * b);
        }
        Ok(shares)
    }

    fn numbers(&self, slot: usize) -> Result<Vec<f64>, GradientError> {
        match (&self.operands[slot].0.op, self.operands[slot].1) {
            (Op::Literal(literal), _) => Ok(if let Literal::Floats(v) = &**literal { v.clone() } else { vec![] }),
            (_, tensor) => tensor.map_or_else(|| Ok(vec![]), |t| numbers("an operand", t)),
        }
    }

    /// The operands as inputs of a program; literals stay.
    fn operand_steps(&self) -> Vec<Step> {
        let leaf = |(slot, (step, _)): (usize, &(&Step, Option<&Tensor>))| {
            let op = match &step.op {
                Op::Literal(literal) => Op::Literal(literal.clone()),
                _ => Op::Input(slot.to_string()),
            };
            Step { op, operands: vec![], kind: step.kind, shape: step.shape.clone(), origin: None }
        };
        self.operands.iter().enumerate().map(leaf).collect()
    }

    /// What the step makes of its operands, with other numbers for some.
    fn run(&self, step: &Step, replaced: &[(usize, Vec<f64>)]) -> Result<Vec<f64>, GradientError> {
        let mut program = Program { steps: self.operand_steps(), results: vec![] };
        let result = append(&mut program, step);
        program.results.push(result);
        let tensors = self.tensors(replaced);
        let bindings = Bindings { input: &|name| self.tensor(name, &tensors), constant: &|_| None };
        numbers("a sum", &self.engine.run(&program, bindings)?[0])
    }

    /// What changes of the result, weighted with these numbers, mean for operands: `Jᵀ · weights`.
    fn back(
        &self,
        step: &Step,
        replaced: &[(usize, Vec<f64>)],
        slots: &[usize],
        weights: &[f64],
    ) -> Result<Vec<Vec<f64>>, GradientError> {
        let mut program = Program { steps: self.operand_steps(), results: vec![] };
        let result = append(&mut program, step);
        let (kind, shape) = (NumberKind::Float, step.shape.clone());
        let name = "weights".to_owned();
        program.steps.push(Step { op: Op::Input(name), operands: vec![], kind, shape: shape.clone(), origin: None });
        let operands = vec![result, Id(result.0 + 1)];
        program.steps.push(Step { op: Op::Binary(Binary::Mul), operands, kind, shape, origin: None });
        program.results.push(Id(result.0 + 2));
        let mut tensors = self.tensors(replaced);
        tensors.push(("weights".to_owned(), tensor(&step.shape, weights)));
        let bindings = Bindings { input: &|name| self.tensor(name, &tensors), constant: &|_| None };
        let leaves: Vec<Id> = slots.iter().map(|&slot| Id(slot as u32)).collect();
        let derived = self.engine.differentiate(&program, bindings, &leaves)?;
        derived.gradients.iter().map(|t| numbers("a derivative", t)).collect()
    }

    fn tensors(&self, replaced: &[(usize, Vec<f64>)]) -> Vec<(String, Tensor)> {
        let with =
            |(slot, numbers): &(usize, Vec<f64>)| (slot.to_string(), tensor(&self.operands[*slot].0.shape, numbers));
        replaced.iter().map(with).collect()
    }

    /// The value of an operand, or what takes its place.
    fn tensor<'t>(&'t self, name: &str, replaced: &'t [(String, Tensor)]) -> Option<&'t Tensor> {
        let replaced = replaced.iter().find(|(n, _)| n == name).map(|(_, t)| t);
        replaced.or_else(|| self.operands.get(name.parse::<usize>().ok()?)?.1)
    }
}

/// Adds a step on all that is there.
fn append(program: &mut Program, step: &Step) -> Id {
    let count = program.steps.len() as u32;
    program.steps.push(Step { operands: (0..count).map(Id).collect(), ..step.clone() });
    Id(count)
}

/// Relevance for each unit of a sum.
fn ratios(relevance: &[f64], sums: &[f64]) -> Vec<f64> {
    let size = (sums.iter().map(|s| s * s).sum::<f64>() / sums.len().max(1) as f64).sqrt();
    let epsilon = (EPSILON * size).max(f64::from(f32::MIN_POSITIVE));
    let ratio = |(r, s): (&f64, &f64)| if *r == 0.0 { 0.0 } else { r / (s + epsilon.copysign(*s)) };
    relevance.iter().zip(sums).map(ratio).collect()
}

fn tensor(shape: &[usize], numbers: &[f64]) -> Tensor {
    Tensor::from_f64(DType::F64, shape.to_vec(), numbers).expect("64-bit floats are floats")
}
