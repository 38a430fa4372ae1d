//! Generators of calls, one file a family of operators.

mod broadcast;
mod contraction;
mod elementwise;
mod fused;
mod indexing;
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
    indexing::CASES,
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
pub const EXEMPT: &[(&str, &str)] = &[
    ("Bernoulli", RANDOM),
    ("ConstantOfShape", "its operand is a shape: there is no data to feed, or to cut"),
    ("EyeLike", "its result is made of a shape alone"),
    ("If", "it holds graphs, not numbers: only what its branches return is known"),
    ("Multinomial", RANDOM),
    ("NonMaxSuppression", "boxes choose each other: it is pinned as a whole"),
    ("RandomNormal", RANDOM),
    ("RandomNormalLike", RANDOM),
    ("RandomUniform", RANDOM),
    ("RandomUniformLike", RANDOM),
    ("secateur.body.Enter", BOUNDARY),
    ("secateur.body.If", BOUNDARY),
    ("secateur.body.Loop", BOUNDARY),
    ("secateur.body.Scan", BOUNDARY),
    ("Unique", "elements choose each other: it is pinned as a whole"),
];

const RANDOM: &str = "two runs differ";

const BOUNDARY: &str = "it stands for a part of a call: the nets have such calls";

/// Operators that the oracle can't run: their cases check the laws of types and shapes only.
pub const UNRUN: &[&str] = &[
    "Col2Im",
    "Compress",
    "CumProd",
    "Det",
    "ReverseSequence",
    "DeformConv",
    "LpPool",
    "MaxRoiPool",
    "RoiAlign",
    "Upsample",
    "com.microsoft.Attention",
    "com.microsoft.DequantizeLinear",
    "com.microsoft.EmbedLayerNormalization",
    "com.microsoft.FusedConv",
    "com.microsoft.FusedGemm",
    "com.microsoft.FusedMatMul",
    "com.microsoft.GridSample",
    "com.microsoft.MatMulIntegerToFloat",
    "com.microsoft.QuantizeLinear",
    "com.microsoft.TransposeMatMul",
];

/// Operators of which the oracle runs less than there is: what it refuses of a cut call is no failure.
pub const LIMITED: &[(&str, &str)] =
    &[("com.microsoft.MultiHeadAttention", "tract wants values to be as wide as queries")];

/// Operators that nothing can be cut of.
pub const PINNED: &[&str] =
    &["DynamicQuantizeLinear", "Log", "LpNormalization", "NonZero", "Range", "Reciprocal", "Size"];
