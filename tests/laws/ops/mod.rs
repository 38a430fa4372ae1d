//! Generators of calls, one file a family of operators.

mod contraction;
mod normalization;
mod pooling;
mod quantization;
mod resampling;
mod windows;

use crate::Generator;

/// All generators, by family.
pub const FAMILIES: &[&[(&str, Generator)]] =
    &[contraction::CASES, normalization::CASES, pooling::CASES, quantization::CASES, resampling::CASES];

/// Operators without cases, with the reason.
pub const EXEMPT: &[(&str, &str)] = &[];

/// Operators that the oracle can't run: their cases check the laws of types and shapes only.
pub const UNRUN: &[(&str, &str)] = &[];

/// Operators that nothing can be cut of.
pub const PINNED: &[&str] = &[];
