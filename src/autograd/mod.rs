//! Automatic differentiation: runs programs, and tells how their results depend on what goes in.
//!
//! The engine is burn's (`burn-autodiff` over `burn-flex`, pure Rust, on the CPU), behind the cargo feature
//! `gradients`, and nothing outside this folder names it. It is given a [`Program`], the inputs and the constants, and
//! returns tensors; no state is kept between runs, and results do not depend on the number of threads.

#[cfg(feature = "gradients")]
mod exchange;
#[cfg(feature = "gradients")]
mod execute;
#[cfg(all(test, feature = "gradients", feature = "tract"))]
mod fixtures_tests;
#[cfg(feature = "gradients")]
mod kernels;
#[cfg(feature = "gradients")]
mod numbers;
#[cfg(all(test, feature = "gradients"))]
pub mod testing;

use crate::ir::{DType, NodeId, Tensor};
use crate::panics::caught;
use crate::program::{Id, Program};

/// Runs programs and differentiates them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Engine {
    /// How many bits floats have.
    pub precision: Precision,
    /// Whether cheap steps are computed again for the derivative, so that fewer of their results are kept.
    pub recompute: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    #[default]
    Single,
    Double,
}

/// What a run is given.
#[derive(Clone, Copy)]
pub struct Bindings<'a, 't> {
    /// The inputs of the program, by name.
    pub input: &'a dyn Fn(&str) -> Option<&'t Tensor>,
    /// The constants of the model.
    pub constant: &'a dyn Fn(NodeId) -> Option<&'t Tensor>,
}

/// The results of a program, and derivatives.
#[derive(Clone, Debug)]
pub struct Derived {
    pub results: Vec<Tensor>,
    /// The derivative of the sum of the first result's elements by each value that was asked for, in its shape; zeros
    /// where nothing depends on it.
    pub gradients: Vec<Tensor>,
}

/// Why a program does not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("this build can't differentiate; build it with `--features gradients`")]
    Absent,
    #[error("nothing is given for the input {0:?}")]
    NoInput(String),
    #[error("the constant {0} is not given")]
    NoConstant(usize),
    #[error("{what} has shape {found:?}, but {expected:?} is expected")]
    Shape { what: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("{what} has elements of type {dtype}, which can't be read")]
    Elements { what: String, dtype: DType },
    #[error("the step `{step}` failed: {message}")]
    Step { step: String, message: String },
    #[error("the derivative is asked for by `{0}`, which is no leaf of floats")]
    Leaf(String),
    #[error("the engine broke down: {0}")]
    Panic(String),
}

impl Engine {
    /// Runs a program. The results are 32-bit floats (64-bit in double precision), 64-bit integers and booleans.
    pub fn run(&self, program: &Program, bindings: Bindings) -> Result<Vec<Tensor>, EngineError> {
        guarded(|| self.forward(program, bindings))
    }

    /// Runs a program and differentiates the sum of its first result by these leaves (inputs, constants and literals
    /// of floats).
    pub fn differentiate(&self, program: &Program, bindings: Bindings, by: &[Id]) -> Result<Derived, EngineError> {
        guarded(|| self.forward_and_back(program, bindings, by))
    }

    #[cfg(feature = "gradients")]
    fn forward(&self, program: &Program, bindings: Bindings) -> Result<Vec<Tensor>, EngineError> {
        execute::run::<burn_flex::Flex>(program, bindings, self.precision)
    }

    #[cfg(feature = "gradients")]
    fn forward_and_back(&self, program: &Program, bindings: Bindings, by: &[Id]) -> Result<Derived, EngineError> {
        use burn_autodiff::Autodiff;
        use burn_autodiff::checkpoint::strategy::BalancedCheckpointing;
        use burn_flex::Flex;
        match self.recompute {
            false => execute::differentiate::<Autodiff<Flex>>(program, bindings, by, self.precision),
            true => {
                execute::differentiate::<Autodiff<Flex, BalancedCheckpointing>>(program, bindings, by, self.precision)
            }
        }
    }

    #[cfg(not(feature = "gradients"))]
    fn forward(&self, _: &Program, _: Bindings) -> Result<Vec<Tensor>, EngineError> {
        Err(EngineError::Absent)
    }

    #[cfg(not(feature = "gradients"))]
    fn forward_and_back(&self, _: &Program, _: Bindings, _: &[Id]) -> Result<Derived, EngineError> {
        Err(EngineError::Absent)
    }
}

/// A panic of the engine as an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    caught(work, EngineError::Panic)
}
