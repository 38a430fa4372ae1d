//! The operations that programs are made of.

use crate::ir::NodeId;
use std::fmt;
use std::sync::Arc;

/// What a tensor holds. Floats have one precision in a run, and integers 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NumberKind {
    Float,
    Int,
    Bool,
}

/// One operation on tensors of known shapes. Operands that are combined element by element have one rank, and sizes
/// that are equal or 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A tensor that every run is given, by name.
    Input(String),
    /// A constant of the model.
    Constant(NodeId),
    /// A tensor that the lowering made up.
    Literal(Arc<Literal>),
    /// A function of every float.
    Map(Map),
    /// `x + c`, of floats or integers.
    Shift(f64),
    /// `x · c`, of floats or integers.
    Scale(f64),
    /// `x ^ c`.
    Power(f64),
    /// `min(max(x, low), high)`.
    Clamp(f64, f64),
    /// Two floats or two integers.
    Binary(Binary),
    /// Two floats or two integers, to a boolean.
    Compare(Compare),
    And,
    Or,
    Not,
    /// The second operand where the first, a boolean, is true; else the third.
    Select,
    Cast(NumberKind),
    /// The same elements in row-major order, in the step's shape.
    Reshape,
    /// Axis `i` of the result is axis `order[i]` of the operand.
    Permute(Vec<usize>),
    /// Axes of size 1 repeated to the step's shape.
    Expand,
    /// Elements `start + i · step` of each axis.
    Slice(Vec<Span>),
    /// A number before and behind each axis.
    Pad(Vec<(usize, usize)>, f64),
    /// All operands, one behind the other along an axis.
    Concat(usize),
    /// Sums over axes, which stay with size 1.
    Sum(Vec<usize>),
    /// The largest along an axis, which stays with size 1.
    Max(usize),
    /// The product along an axis, which stays with size 1.
    Product(usize),
    /// Sums of all up to each element along an axis.
    RunningSum(usize),
    /// The indices of the largest along an axis, largest first; so many.
    Top(usize, usize),
    /// Products of matrices in the last two axes; the others are broadcast.
    MatMul,
    /// `x [n, c, *d]`, `w [o, c / groups, *k]`; two or three axes slide.
    Conv(Window),
    /// `x [n, c, *d]`, `w [c, o / groups, *k]`; the last field is what is added at the ends.
    ConvTranspose(Window, Vec<usize>),
    /// The largest in each window over the last two axes of `[n, c, h, w]`; what pads is less than all.
    MaxPool(Kernel),
    /// The mean over each window, zeros that pad included.
    MeanPool(Kernel),
    /// Slices of the first operand along an axis, by a vector of indices from 0 on.
    Take(usize),
    /// Elements of the first operand along an axis, by an index for each element of the result.
    TakeAlong(usize),
    /// The first operand, with the third operand's elements added along an axis at the second operand's indices.
    AddAlong(usize),
    /// The operand, as a number that nothing is learned through.
    Detach,
}

/// A function of every element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceil,
    Cos,
    Cosh,
    Erf,
    Exp,
    Floor,
    Log,
    Reciprocal,
    Relu,
    Round,
    Sigmoid,
    Sign,
    Sin,
    Sinh,
    Sqrt,
    Tan,
    Tanh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    /// Integers are divided towards zero.
    Div,
    /// The exponent on the right; floats only.
    Pow,
    /// The remainder with the sign of the divisor.
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Equal,
    Less,
    LessEqual,
}

/// Elements of one axis: `start + i · step`, before `end` where the step is positive, and behind it where negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub count: usize,
    pub step: isize,
}

/// How a kernel slides: a number for each sliding axis. The same zeros lie before and behind an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub stride: Vec<usize>,
    pub padding: Vec<usize>,
    pub dilation: Vec<usize>,
    pub groups: usize,
}

/// The window of a pool over two axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub size: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
}

/// The elements of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Floats(Vec<f64>),
    Ints(Vec<i64>),
    Bools(Vec<bool>),
}

impl Literal {
    pub fn kind(&self) -> NumberKind {
        match self {
            Literal::Floats(_) => NumberKind::Float,
            Literal::Ints(_) => NumberKind::Int,
            Literal::Bools(_) => NumberKind::Bool,
        }
    }

    pub fn count(&self) -> usize {
        match self {
            Literal::Floats(v) => v.len(),
            Literal::Ints(v) => v.len(),
            Literal::Bools(v) => v.len(),
        }
    }
}

impl fmt::Display for NumberKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            NumberKind::Float => "float",
            NumberKind::Int => "int",
            NumberKind::Bool => "bool",
        })
    }
}
