//! Inputs that decide which branch a model takes, such as a sampling rate.
//!
//! Where the branches are of different sizes, a model fits no input while the choice is open, and tract can't run it. With
//! such an input as a constant there is one branch.

use super::compared::Each;
use super::{Options, Subjects, Verification, VerifyError, run};
use crate::feed::Feed;
use crate::ir::{DType, Model, Tensor};
use crate::passes;
use crate::sizes::{FedInput, Values};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// An input with more elements decides nothing.
const FEW: usize = 8;

/// Models and feeds without the inputs that are the same in all feeds.
pub(super) struct Decided {
    /// These inputs.
    constants: Vec<(String, Tensor)>,
    models: Each<Model>,
    feeds: Vec<Feed>,
}

impl Decided {
    /// `None` where there is no such input.
    pub(super) fn new(subjects: &Subjects, feeds: &[Feed]) -> Option<Decided> {
        let (first, others) = feeds.split_first()?;
        let is_same = |(name, tensor): &&(String, Tensor)| {
            let others = || others.iter().all(|f| f.get(name).is_some_and(|t| t.same(tensor)));
            is_choice(tensor.dtype) && tensor.count() <= FEW && others()
        };
        let constants: Vec<(String, Tensor)> = first.iter().filter(is_same).cloned().collect();
        if constants.is_empty() {
            return None;
        }
        let rest = |feed: &Feed| {
            let others = feed.iter().filter(|(name, _)| !constants.iter().any(|(n, _)| n == name));
            Feed::new(others.cloned().collect())
        };
        let model =
            |model: &Model, _| Ok::<_, Infallible>(passes::opened(&passes::frozen(model, &constants)).into_owned());
        let Ok(models) = Each::of(subjects, model);
        Some(Decided { models, feeds: feeds.iter().map(rest).collect(), constants })
    }

    pub(super) fn verify(&self, options: &Options, told: &dyn Fn(usize, usize)) -> Result<Verification, VerifyError> {
        let found = run(&self.models.subjects(), &self.feeds, options, told)?;
        Ok(Verification { constants: self.constants.iter().map(|(name, _)| name.clone()).collect(), ..found })
    }
}

/// The model with the inputs as constants that are made up of one number; `None` where there is none.
pub(super) fn decided(model: &Model, inputs: &[FedInput], values: &BTreeMap<String, Values>) -> Option<Model> {
    let constant = |input: &FedInput| {
        let Values::Just(n) = values[&input.name] else { return None };
        let shape = input.shape.iter().map(|d| d.size()).collect::<Option<Vec<usize>>>()?;
        let count = shape.iter().copied().fold(1, usize::saturating_mul);
        let is_one = is_choice(input.dtype) && count <= FEW;
        let tensor = is_one.then(|| Tensor::from_f64(input.dtype, shape, &vec![n as f64; count])).flatten()?;
        Some((input.name.clone(), tensor))
    };
    let constants: Vec<(String, Tensor)> = inputs.iter().filter_map(constant).collect();
    (!constants.is_empty()).then(|| passes::frozen(model, &constants))
}

fn is_choice(dtype: DType) -> bool {
    !dtype.is_float()
}
