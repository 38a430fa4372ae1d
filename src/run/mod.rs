//! Running models: on which inputs, by which runtime, how fast, and how what comes out compares.
//!
//! The order is that of a proof: inputs are read or made up (`feed`), a runtime runs both models (`oracle`), the outputs
//! are compared (`compare`, `verify`) or judged by labels (`judge`, `figures`), and both are timed (`latency`). Programs
//! that can be differentiated run in `autograd`.

pub(crate) mod autograd;
pub(crate) mod compare;
pub mod feed;
pub(crate) mod figures;
pub mod judge;
pub(crate) mod latency;
pub mod oracle;
pub mod pipelines;
pub mod verify;
pub(crate) mod widen;
