//! Terms: values of a program that is being written, with the arithmetic to write it.

use super::{Binary, Builder, Compare, Id, Kernel, Map, NumberKind, Op, Span, Window};
use std::ops::{Add, Div, Mul, Neg, Not, Sub};

/// A value of the program that a [`Builder`] writes. Operators broadcast as in ONNX: ranks are aligned at the end.
#[derive(Clone, Copy)]
pub struct Term<'b> {
    builder: &'b Builder,
    id: Id,
}

impl<'b> Term<'b> {
    pub(super) fn new(builder: &'b Builder, id: Id) -> Term<'b> {
        Term { builder, id }
    }

    pub fn id(self) -> Id {
        self.id
    }

    pub fn builder(self) -> &'b Builder {
        self.builder
    }

    pub fn kind(self) -> NumberKind {
        self.builder.see(self.id, |s| s.kind)
    }

    pub fn shape(self) -> Vec<usize> {
        self.builder.see(self.id, |s| s.shape.clone())
    }

    pub fn rank(self) -> usize {
        self.builder.see(self.id, |s| s.shape.len())
    }

    /// The size of an axis; 1 where there is no such axis, which is a mistake elsewhere.
    pub fn size(self, axis: usize) -> usize {
        self.builder.see(self.id, |s| s.shape.get(axis).copied().unwrap_or(1))
    }

    /// How many elements there are.
    pub fn count(self) -> usize {
        self.builder.see(self.id, |s| s.shape.iter().product())
    }

    fn apply(self, op: Op, more: &[Term<'b>]) -> Term<'b> {
        let operands: Vec<Term> = std::iter::once(self).chain(more.iter().copied()).collect();
        self.builder.apply(op, &operands)
    }

    // ------------------------------------------------------------ element by element

    /// A function of every element.
    pub fn map(self, map: Map) -> Term<'b> {
        self.apply(Op::Map(map), &[])
    }

    pub fn abs(self) -> Term<'b> {
        self.map(Map::Abs)
    }

    pub fn exp(self) -> Term<'b> {
        self.map(Map::Exp)
    }

    pub fn ln(self) -> Term<'b> {
        self.map(Map::Log)
    }

    pub fn recip(self) -> Term<'b> {
        self.map(Map::Reciprocal)
    }

    pub fn relu(self) -> Term<'b> {
        self.map(Map::Relu)
    }

    pub fn sigmoid(self) -> Term<'b> {
        self.map(Map::Sigmoid)
    }

    pub fn sqrt(self) -> Term<'b> {
        self.map(Map::Sqrt)
    }

    pub fn tanh(self) -> Term<'b> {
        self.map(Map::Tanh)
    }

    pub fn erf(self) -> Term<'b> {
        self.map(Map::Erf)
    }

    pub fn square(self) -> Term<'b> {
        self * self
    }

    /// `ln(1 + exp(x))`, without overflow, and without a kink at 0.
    pub fn softplus(self) -> Term<'b> {
        let most = self.relu().detach();
        most + ((-most).exp() + (self - most).exp()).ln()
    }

    pub fn powf(self, exponent: f64) -> Term<'b> {
        self.apply(Op::Power(exponent), &[])
    }

    /// `min(max(x, low), high)`; infinities leave a side open.
    pub fn clamp(self, low: f64, high: f64) -> Term<'b> {
        self.apply(Op::Clamp(low, high), &[])
    }

    /// Two terms, element by element.
    pub fn binary(self, op: Binary, other: Term<'b>) -> Term<'b> {
        let (a, b) = aligned(self, other);
        a.apply(Op::Binary(op), &[b])
    }

    pub fn compare(self, op: Compare, other: Term<'b>) -> Term<'b> {
        let (a, b) = aligned(self, other);
        a.apply(Op::Compare(op), &[b])
    }

    /// `self < other`.
    pub fn less(self, other: Term<'b>) -> Term<'b> {
        self.compare(Compare::Less, other)
    }

    /// The larger of two, element by element; the other one has no derivative there.
    pub fn max(self, other: Term<'b>) -> Term<'b> {
        self.less(other).select(other, self)
    }

    /// The smaller of two, element by element.
    pub fn min(self, other: Term<'b>) -> Term<'b> {
        other.less(self).select(other, self)
    }

    pub fn and(self, other: Term<'b>) -> Term<'b> {
        let (a, b) = aligned(self, other);
        a.apply(Op::And, &[b])
    }

    pub fn or(self, other: Term<'b>) -> Term<'b> {
        let (a, b) = aligned(self, other);
        a.apply(Op::Or, &[b])
    }

    /// Where this boolean is true the first, else the second.
    pub fn select(self, yes: Term<'b>, no: Term<'b>) -> Term<'b> {
        let rank = self.rank().max(yes.rank()).max(no.rank());
        self.at_rank(rank).apply(Op::Select, &[yes.at_rank(rank), no.at_rank(rank)])
    }

    pub fn cast(self, kind: NumberKind) -> Term<'b> {
        if kind == self.kind() { self } else { self.apply(Op::Cast(kind), &[]) }
    }

    /// The same number, which nothing is learned through.
    pub fn detach(self) -> Term<'b> {
        self.apply(Op::Detach, &[])
    }

    // ------------------------------------------------------------ shapes

    /// The same elements in another shape.
    pub fn reshape(self, shape: &[usize]) -> Term<'b> {
        let before = self.shape();
        if before == shape {
            return self;
        }
        if self.count() != shape.iter().product::<usize>() {
            self.builder.fail(format!("{before:?} can't be reshaped to {shape:?}"));
        }
        self.builder.step(Op::Reshape, &[self], self.kind(), shape.to_vec())
    }

    /// The same with axes of size 1 in front.
    pub fn at_rank(self, rank: usize) -> Term<'b> {
        let mut shape = vec![1; rank.saturating_sub(self.rank())];
        shape.extend(self.shape());
        self.reshape(&shape)
    }

    /// The same with an axis of size 1 before this one.
    pub fn unsqueeze(self, axis: usize) -> Term<'b> {
        let mut shape = self.shape();
        shape.insert(axis.min(shape.len()), 1);
        self.reshape(&shape)
    }

    /// The same without axes, which have size 1.
    pub fn squeeze(self, axes: &[usize]) -> Term<'b> {
        let shape: Vec<usize> =
            self.shape().into_iter().enumerate().filter(|(a, _)| !axes.contains(a)).map(|(_, n)| n).collect();
        self.reshape(&shape)
    }

    /// Axis `i` of the result is axis `order[i]`.
    pub fn permute(self, order: &[usize]) -> Term<'b> {
        if order.iter().copied().eq(0..self.rank()) { self } else { self.apply(Op::Permute(order.to_vec()), &[]) }
    }

    /// Two axes changed for one another.
    pub fn swap(self, a: usize, b: usize) -> Term<'b> {
        let mut order: Vec<usize> = (0..self.rank()).collect();
        match a < order.len() && b < order.len() {
            true => order.swap(a, b),
            false => self.builder.fail(format!("axes {a} and {b} of {:?}", self.shape())),
        }
        self.permute(&order)
    }

    /// Axes of size 1 repeated, and axes added in front, to this shape.
    pub fn expand(self, shape: &[usize]) -> Term<'b> {
        let term = self.at_rank(shape.len());
        let before = term.shape();
        if before == shape {
            return term;
        }
        if before.len() != shape.len() || before.iter().zip(shape).any(|(a, b)| a != b && *a != 1) {
            self.builder.fail(format!("{before:?} can't be repeated to {shape:?}"));
        }
        self.builder.step(Op::Expand, &[term], term.kind(), shape.to_vec())
    }

    /// Elements of each axis.
    pub fn slice(self, spans: &[Span]) -> Term<'b> {
        let all = self.shape().iter().zip(spans).all(|(&n, s)| *s == Span { start: 0, count: n, step: 1 });
        if all && spans.len() == self.rank() { self } else { self.apply(Op::Slice(spans.to_vec()), &[]) }
    }

    /// Elements `start..start + count` of one axis.
    pub fn narrow(self, axis: usize, start: usize, count: usize) -> Term<'b> {
        let mut spans: Vec<Span> = self.shape().into_iter().map(|count| Span { start: 0, count, step: 1 }).collect();
        match spans.get_mut(axis) {
            Some(span) => *span = Span { start, count, step: 1 },
            None => self.builder.fail(format!("axis {axis} of {:?}", self.shape())),
        }
        self.slice(&spans)
    }

    /// Parts of one axis, of these sizes.
    pub fn split(self, axis: usize, sizes: &[usize]) -> Vec<Term<'b>> {
        let starts = sizes.iter().scan(0, |at, &n| {
            *at += n;
            Some(*at - n)
        });
        starts.zip(sizes).map(|(start, &count)| self.narrow(axis, start, count)).collect()
    }

    /// A number before and behind each axis.
    pub fn pad(self, widths: &[(usize, usize)], value: f64) -> Term<'b> {
        if widths.iter().all(|&w| w == (0, 0)) && widths.len() == self.rank() {
            return self;
        }
        self.apply(Op::Pad(widths.to_vec(), value), &[])
    }

    /// Terms one behind the other along an axis.
    pub fn concat(parts: &[Term<'b>], axis: usize) -> Term<'b> {
        match parts {
            [one] => *one,
            [first, rest @ ..] => first.apply(Op::Concat(axis), rest),
            [] => unreachable!("nothing can't be joined"),
        }
    }

    // ------------------------------------------------------------ along axes

    /// Sums over axes, which stay with size 1.
    pub fn sum(self, axes: &[usize]) -> Term<'b> {
        if axes.is_empty() { self } else { self.apply(Op::Sum(axes.to_vec()), &[]) }
    }

    /// Means over axes, which stay with size 1.
    pub fn mean(self, axes: &[usize]) -> Term<'b> {
        let count: usize = axes.iter().map(|&a| self.size(a)).product();
        self.sum(axes) * (count as f64).recip()
    }

    /// The mean of squares of what is off the mean.
    pub fn variance(self, axes: &[usize]) -> Term<'b> {
        (self - self.mean(axes)).square().mean(axes)
    }

    /// The sum of everything, as a tensor of rank 0.
    pub fn total(self) -> Term<'b> {
        self.reshape(&[self.count()]).sum(&[0]).reshape(&[])
    }

    /// The largest along axes, which stay with size 1.
    pub fn largest(self, axes: &[usize]) -> Term<'b> {
        axes.iter().fold(self, |t, &a| t.apply(Op::Max(a), &[]))
    }

    /// Products along axes, which stay with size 1.
    pub fn product(self, axes: &[usize]) -> Term<'b> {
        axes.iter().fold(self, |t, &a| t.apply(Op::Product(a), &[]))
    }

    /// Sums of all up to each element.
    pub fn running_sum(self, axis: usize) -> Term<'b> {
        self.apply(Op::RunningSum(axis), &[])
    }

    /// The indices of the largest along an axis, largest first.
    pub fn top(self, axis: usize, count: usize) -> Term<'b> {
        self.apply(Op::Top(axis, count), &[])
    }

    /// `x - ln Σ exp(x)` along axes.
    pub fn log_softmax(self, axes: &[usize]) -> Term<'b> {
        let shifted = self - self.largest(axes).detach();
        shifted - shifted.exp().sum(axes).ln()
    }

    /// `exp(x) / Σ exp(x)` along axes.
    pub fn softmax(self, axes: &[usize]) -> Term<'b> {
        let powers = (self - self.largest(axes).detach()).exp();
        powers / powers.sum(axes)
    }

    /// Slices along an axis by a vector of indices, which may count from the end.
    pub fn take(self, axis: usize, indices: Term<'b>) -> Term<'b> {
        self.apply(Op::Take(axis), &[wrapped(indices, self.size(axis))])
    }

    /// Elements along an axis, by an index for each element of the result.
    pub fn take_along(self, axis: usize, indices: Term<'b>) -> Term<'b> {
        self.apply(Op::TakeAlong(axis), &[wrapped(indices, self.size(axis))])
    }

    /// With elements added along an axis, at these indices.
    pub fn add_along(self, axis: usize, indices: Term<'b>, more: Term<'b>) -> Term<'b> {
        self.apply(Op::AddAlong(axis), &[wrapped(indices, self.size(axis)), more])
    }

    // ------------------------------------------------------------ products and windows

    /// Products of matrices in the last two axes, both at least of rank 2; the others are broadcast.
    pub fn matmul(self, other: Term<'b>) -> Term<'b> {
        let (a, b) = aligned(self, other);
        a.apply(Op::MatMul, &[b])
    }

    /// A convolution over two or three axes; see [`Op::Conv`].
    pub fn conv(self, kernel: Term<'b>, window: Window) -> Term<'b> {
        self.apply(Op::Conv(window), &[kernel])
    }

    /// A transposed convolution over two or three axes; see [`Op::ConvTranspose`].
    pub fn conv_transpose(self, kernel: Term<'b>, window: Window, extra: Vec<usize>) -> Term<'b> {
        self.apply(Op::ConvTranspose(window, extra), &[kernel])
    }

    pub fn max_pool(self, kernel: Kernel) -> Term<'b> {
        self.apply(Op::MaxPool(kernel), &[])
    }

    pub fn mean_pool(self, kernel: Kernel) -> Term<'b> {
        self.apply(Op::MeanPool(kernel), &[])
    }
}

/// Two terms of one rank.
fn aligned<'b>(a: Term<'b>, b: Term<'b>) -> (Term<'b>, Term<'b>) {
    let rank = a.rank().max(b.rank());
    (a.at_rank(rank), b.at_rank(rank))
}

/// Indices that count from 0.
fn wrapped(indices: Term, size: usize) -> Term {
    let builder = indices.builder;
    let from_zero = |v: i64| if v < 0 { v + size as i64 } else { v };
    if let Some(known) = builder.known_ints(indices.id) {
        return match known.iter().all(|&v| v >= 0) {
            true => indices,
            false => builder.ints(known.into_iter().map(from_zero).collect(), &indices.shape()),
        };
    }
    let zero = builder.ints(vec![0], &vec![1; indices.rank()]);
    indices.less(zero).select(indices + size as f64, indices)
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:expr) => {
        impl<'b> $trait for Term<'b> {
            type Output = Term<'b>;

            fn $method(self, other: Term<'b>) -> Term<'b> {
                self.binary($op, other)
            }
        }
    };
}

operator!(Add, add, Binary::Add);
operator!(Sub, sub, Binary::Sub);
operator!(Mul, mul, Binary::Mul);
operator!(Div, div, Binary::Div);

impl<'b> Add<f64> for Term<'b> {
    type Output = Term<'b>;

    fn add(self, number: f64) -> Term<'b> {
        if number == 0.0 { self } else { self.apply(Op::Shift(number), &[]) }
    }
}

impl<'b> Sub<f64> for Term<'b> {
    type Output = Term<'b>;

    fn sub(self, number: f64) -> Term<'b> {
        self + -number
    }
}

impl<'b> Mul<f64> for Term<'b> {
    type Output = Term<'b>;

    fn mul(self, factor: f64) -> Term<'b> {
        if factor == 1.0 { self } else { self.apply(Op::Scale(factor), &[]) }
    }
}

impl<'b> Div<f64> for Term<'b> {
    type Output = Term<'b>;

    #[allow(clippy::suspicious_arithmetic_impl, reason = "there is no step that divides by a number")]
    fn div(self, divisor: f64) -> Term<'b> {
        Mul::mul(self, divisor.recip())
    }
}

impl<'b> Not for Term<'b> {
    type Output = Term<'b>;

    fn not(self) -> Term<'b> {
        self.apply(Op::Not, &[])
    }
}

impl<'b> Neg for Term<'b> {
    type Output = Term<'b>;

    fn neg(self) -> Term<'b> {
        self * -1.0
    }
}
