//! Generators of calls, one file a family of operators.

mod broadcast;
mod contraction;
mod elementwise;
mod features;
mod fused;
mod indexing;
mod integer;
mod movement;
mod normalization;
mod pooling;
mod qlinear;
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
    features::CASES,
    fused::CASES,
    indexing::CASES,
    integer::CASES,
    movement::CASES,
    normalization::CASES,
    pooling::CASES,
    qlinear::CASES,
    quantization::CASES,
    reduction::CASES,
    resampling::CASES,
    sequence::CASES,
    shaping::CASES,
];

/// Operators without cases, with the reason.
pub const EXEMPT: &[(&str, &str)] = &[
    ("Bernoulli", RANDOM),
    ("BlackmanWindow", SHAPED),
    ("ConstantOfShape", "its operand is a shape: there is no data to feed, or to cut"),
    ("EyeLike", "its result is made of a shape alone"),
    ("HammingWindow", SHAPED),
    ("HannWindow", SHAPED),
    ("If", "it holds graphs, not numbers: only what its branches return is known"),
    ("LinearAttention", TYPED),
    ("MaxUnpool", TYPED),
    ("MelWeightMatrix", SHAPED),
    ("Multinomial", RANDOM),
    ("NegativeLogLikelihoodLoss", TYPED),
    ("NonMaxSuppression", "boxes choose each other: it is pinned as a whole"),
    ("RandomNormal", RANDOM),
    ("RandomNormalLike", RANDOM),
    ("RandomUniform", RANDOM),
    ("RandomUniformLike", RANDOM),
    ("SoftmaxCrossEntropyLoss", TYPED),
    ("ai.onnx.ml.CategoryMapper", TYPED),
    ("ai.onnx.ml.LinearClassifier", TYPED),
    ("ai.onnx.ml.SVMClassifier", TYPED),
    ("ai.onnx.ml.SVMRegressor", TYPED),
    ("ai.onnx.ml.TreeEnsemble", TYPED),
    ("ai.onnx.ml.TreeEnsembleClassifier", TYPED),
    ("ai.onnx.ml.TreeEnsembleRegressor", TYPED),
    ("ai.onnx.ml.ZipMap", TYPED),
    ("secateur.body.Enter", BOUNDARY),
    ("secateur.body.If", BOUNDARY),
    ("secateur.body.Loop", BOUNDARY),
    ("secateur.body.Scan", BOUNDARY),
    ("Unique", "elements choose each other: it is pinned as a whole"),
];

const SHAPED: &str = "its operands are numbers that make a shape: there is no data to cut";

const TYPED: &str = "only its types are known; tests/conformance checks them";

const RANDOM: &str = "two runs differ";

const BOUNDARY: &str = "it stands for a part of a call: the nets have such calls";

/// Operators that the oracle can't run: their cases check the laws of types and shapes only.
pub const UNRUN: &[&str] = &[
    "AffineGrid",
    "BitCast",
    "CausalConvWithState",
    "CenterCropPad",
    "Col2Im",
    "Compress",
    "CumProd",
    "Det",
    "ReverseSequence",
    "DeformConv",
    "LpPool",
    "MaxRoiPool",
    "RoiAlign",
    "TensorScatter",
    "Upsample",
    "ai.onnx.ml.LabelEncoder",
    "ai.onnx.ml.OneHotEncoder",
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
    "com.microsoft.DynamicQuantizeMatMul",
    "com.microsoft.NhwcMaxPool",
    "com.microsoft.QAttention",
    "com.microsoft.QGemm",
    "com.microsoft.QLinearAdd",
    "com.microsoft.QLinearAveragePool",
    "com.microsoft.QLinearConcat",
    "com.microsoft.QLinearConv",
    "com.microsoft.QLinearGlobalAveragePool",
    "com.microsoft.QLinearLeakyRelu",
    "com.microsoft.QLinearMul",
    "com.microsoft.QLinearReduceMean",
    "com.microsoft.QLinearSigmoid",
    "com.microsoft.QLinearSoftmax",
    "com.microsoft.QLinearWhere",
];

/// Operators of which the oracle runs less than there is: what it refuses of a cut call is no failure.
pub const LIMITED: &[(&str, &str)] =
    &[("com.microsoft.MultiHeadAttention", "tract wants values to be as wide as queries")];

/// Operators that nothing can be cut of.
pub const PINNED: &[&str] = &[
    "Acosh",
    "Log",
    "LpNormalization",
    "MeanVarianceNormalization",
    "NonZero",
    "Range",
    "Reciprocal",
    "ReduceLogSum",
    "Size",
];
