//! Generators of calls, one file a family of operators.

mod broadcast;
mod contraction;
mod elementwise;
mod fused;
mod integer;
mod movement;
mod normalization;
mod pooling;
mod quantization;
mod reduction;
mod resampling;
mod sequence;
mod shaping;
mod windows;

use crate::Generator;

/// All generators, by family.
pub const FAMILIES: &[&[(&str, Generator)]] = &[
    broadcast::CASES,
    contraction::CASES,
    elementwise::CASES,
    fused::CASES,
    integer::CASES,
    movement::CASES,
    normalization::CASES,
    pooling::CASES,
    quantization::CASES,
    reduction::CASES,
    resampling::CASES,
    sequence::CASES,
    shaping::CASES,
];

/// Operators without cases, with the reason.
pub const EXEMPT: &[(&str, &str)] =
    &[("ConstantOfShape", "its operand is a shape: there is no data to feed, or to cut")];

/// Operators that the oracle can't run: their cases check the laws of types and shapes only.
pub const UNRUN: &[&str] =
    &["LpPool", "MaxRoiPool", "RoiAlign", "Upsample", "com.microsoft.DequantizeLinear", "com.microsoft.QuantizeLinear"];

/// Operators that nothing can be cut of.
pub const PINNED: &[&str] = &["DynamicQuantizeLinear", "Log", "Range", "Reciprocal", "Size"];
