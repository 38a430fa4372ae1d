//! Automatic differentiation: runs programs, and tells how their results depend on what goes in.
//!
//! The engine is burn's (`burn-autodiff` over `burn-flex`, pure Rust, on the CPU), behind the cargo feature
//! `gradients`, and nothing outside this folder names it. It is given a [`Program`], the inputs and the constants, and
//! returns tensors; no state is kept between runs, and results do not depend on the number of threads. With the feature
//! `cuda` the same programs run on a GPU too ([`Device`]), where results need not have the same bits each time.
//!
//! # How
//!
//! **The engine** (`src/run/autograd/`) is burn's tensors and tape, on the CPU. It is *stateless*: program, inputs and
//! constants go in, results and gradients come out, and nothing is kept between runs. There is no module, no parameter and
//! no optimizer of its own, so all state of a training is in one place that can be written to a file. A value is let go
//! after the last step that reads it. Without the feature `gradients` everything but these few files is compiled all the
//! same, and a run says how to build.
//!
//! A few operations have kernels of our own (`kernels/`), because the backend's were measured to take most of an epoch:
//! convolutions over two axes are products of matrices of patches by faer, several samples side by side (depthwise ones sums
//! of rows); pools and bounds keep what their derivatives need. To train is to convolve, so this is the one place where the
//! library is not enough: an epoch on letters_mobilenet went from 5.4 to 1.5 times PyTorch's. What a kernel does not know
//! goes to the backend. Laws compare them with the backend's and, for derivatives, with their transposes.
//!
//! The code is generic over burn's backends. A `Device` chooses one (with the feature `cuda` there is a GPU's), and a `Placement`
//! says how it stores elements: there a GPU has no booleans of its own, and no floats of 64 bits. What is said of bits holds
//! for the CPU; a GPU adds in any order.
//!
//! Forward is checked against tract and backward against differences, per operator (`autograd::testing::Trial`), and on
//! whole models: those of `fixtures/` by a test, any others by the sweep in CONTRIBUTING.md.

mod device;
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
pub(crate) mod testing;

pub(crate) use device::Device;

use crate::ir::{DType, NodeId, Tensor};
use crate::panics::caught_abroad;
use crate::program::{Id, Program};
#[cfg(feature = "gradients")]
use burn_autodiff::{Autodiff, checkpoint::strategy::BalancedCheckpointing};
#[cfg(feature = "gradients")]
use burn_backend::Backend;
#[cfg(feature = "cuda")]
use burn_cuda::Cuda;
#[cfg(feature = "gradients")]
use burn_flex::{Flex, FlexDevice};
#[cfg(feature = "gradients")]
use exchange::Placement;
#[cfg(feature = "gradients")]
use kernels::Kernels;

/// Runs programs and differentiates them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Engine {
    /// How many bits floats have.
    pub precision: Precision,
    /// Whether cheap steps are computed again for the derivative, so that fewer of their results are kept.
    pub recompute: bool,
    pub device: Device,
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
    #[error("this build has no GPU; build it with `--features cuda`")]
    NoGpu,
    #[error("no CUDA device: the driver is not there, or it knows no GPU of the number {0} (counted from 0)")]
    NoDevice(usize),
    #[error("no CUDA device: {0} does not start: {1}")]
    NoStart(Device, String),
    #[error("{0} does not compute in double precision")]
    NoDouble(Device),
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
    #[error("the derivative is asked for by `{0}`, which is not an input or constant of floats")]
    Leaf(String),
    #[error("the gradient engine failed: {0}")]
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
        match self.device {
            Device::Cpu => execute::run::<Flex>(program, bindings, &self.place(FlexDevice)?),
            #[cfg(feature = "cuda")]
            Device::Cuda(index) => execute::run::<Cuda>(program, bindings, &self.place(device::cuda(index)?)?),
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(_) => Err(EngineError::NoGpu),
        }
    }

    #[cfg(feature = "gradients")]
    fn forward_and_back(&self, program: &Program, bindings: Bindings, by: &[Id]) -> Result<Derived, EngineError> {
        match self.device {
            Device::Cpu => self.back::<Flex>(FlexDevice, program, bindings, by),
            #[cfg(feature = "cuda")]
            Device::Cuda(index) => self.back::<Cuda>(device::cuda(index)?, program, bindings, by),
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(_) => Err(EngineError::NoGpu),
        }
    }

    #[cfg(feature = "gradients")]
    fn back<B: Backend>(
        &self,
        device: B::Device,
        program: &Program,
        bindings: Bindings,
        by: &[Id],
    ) -> Result<Derived, EngineError>
    where
        Autodiff<B>: Kernels<Device = B::Device>,
        Autodiff<B, BalancedCheckpointing>: Kernels<Device = B::Device>,
    {
        match self.recompute {
            false => execute::differentiate::<Autodiff<B>>(program, bindings, by, &self.place(device)?),
            true => {
                type Twice<B> = Autodiff<B, BalancedCheckpointing>;
                execute::differentiate::<Twice<B>>(program, bindings, by, &self.place(device)?)
            }
        }
    }

    /// A device of the backend with the types of elements there.
    #[cfg(feature = "gradients")]
    fn place<B: Backend>(&self, device: B::Device) -> Result<Placement<B>, EngineError> {
        Placement::new(device, self.precision).ok_or(EngineError::NoDouble(self.device))
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

/// How the names of the threads begin on which the engine speaks to GPUs.
pub(crate) const THREADS: &[&str] = &["DSD-", "DSU-"];

/// A panic of the engine as an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    caught_abroad(THREADS, work, EngineError::Panic)
}
