//! Generators of calls, a file for each family of operators by the name that it has in `src/model/ops`.

mod attention;
mod broadcast;
mod contrib_attention;
mod conv;
mod einsum;
mod elementwise;
mod fused;
mod gather;
mod integer;
mod layer_norm;
mod matmul;
mod ml;
mod movement;
mod norm;
mod packed;
mod pool;
mod qlinear;
mod quantize;
mod recurrent;
mod reduce;
mod reshape;
mod resize;
mod rotary;
mod scan;
mod scatter;
mod select;
mod shape;
mod signal;
mod slice;
mod softmax;

use crate::Generator;

/// Families by the names of their files.
macro_rules! families {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name::CASES)),*] };
}

/// Calls by operator.
type Cases = &'static [(&'static str, Generator)];

/// All generators, by family.
pub(crate) const FAMILIES: &[(&str, Cases)] = families![
    attention,
    broadcast,
    contrib_attention,
    conv,
    einsum,
    elementwise,
    fused,
    gather,
    integer,
    layer_norm,
    matmul,
    ml,
    movement,
    norm,
    packed,
    pool,
    qlinear,
    quantize,
    recurrent,
    reduce,
    reshape,
    resize,
    rotary,
    scan,
    scatter,
    select,
    shape,
    signal,
    slice,
    softmax,
];

/// Operators without cases, with the reason.
pub(crate) const EXEMPT: &[(&str, &str)] = &[
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
pub(crate) const UNRUN: &[&str] = &[
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
pub(crate) const LIMITED: &[(&str, &str)] =
    &[("com.microsoft.MultiHeadAttention", "tract wants values to be as wide as queries")];

/// Operators that nothing can be cut of.
pub(crate) const PINNED: &[&str] = &[
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
