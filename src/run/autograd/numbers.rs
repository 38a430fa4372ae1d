//! What each operation computes, on a backend.

use super::Precision;
use super::exchange::{Placement, Value, held};
use super::kernels::Kernels;
use crate::program::{Binary, Compare, Kernel, Map, NumberKind, Op, Span, Step, Window};
use burn_backend::ops::{ConvOptions, ConvTransposeOptions, PadMode};
use burn_backend::tensor::{BoolTensor, FloatTensor, IndexingUpdateOp, IntTensor};
use burn_backend::{Backend, BoolDType, FloatDType, IntDType, Scalar, Shape, Slice};

/// Integers have 64 bits.
const INT: IntDType = IntDType::I64;

/// The value of a step that has operands.
pub(super) fn apply<B: Kernels>(
    step: &Step,
    operands: Vec<Value<B>>,
    place: &Placement<B>,
) -> Result<Value<B>, String> {
    let shape = || Shape::from(held(&step.shape));
    let mut operands = operands.into_iter();
    let mut next = || operands.next().ok_or("an operand is missing");
    let value = match &step.op {
        Op::Concat(axis) => return concat(operands.collect(), *axis),
        Op::Map(map) => Value::Float(mapped::<B>(*map, float(next()?)?)),
        Op::Shift(c) => match next()? {
            Value::Float(t) => Value::Float(B::float_add_scalar(t, Scalar::Float(*c))),
            other => Value::Int(B::int_add_scalar(int(other)?, Scalar::Int(*c as i64))),
        },
        Op::Scale(c) => match next()? {
            Value::Float(t) => Value::Float(B::float_mul_scalar(t, Scalar::Float(*c))),
            other => Value::Int(B::int_mul_scalar(int(other)?, Scalar::Int(*c as i64))),
        },
        Op::Power(c) => Value::Float(B::float_powf_scalar(float(next()?)?, Scalar::Float(*c))),
        Op::Clamp(low, high) => clamp(next()?, *low, *high)?,
        Op::Binary(op) => match (next()?, next()?) {
            (Value::Float(a), Value::Float(b)) => Value::Float(binary::<B>(*op, a, b)),
            (a, b) => Value::Int(int_binary::<B>(*op, int(a)?, int(b)?)?),
        },
        Op::Compare(op) => Value::Bool(compare(*op, next()?, next()?, place.booleans)?),
        Op::And => Value::Bool(B::bool_and(boolean(next()?)?, boolean(next()?)?)),
        Op::Or => Value::Bool(B::bool_or(boolean(next()?)?, boolean(next()?)?)),
        Op::Not => Value::Bool(B::bool_not(boolean(next()?)?)),
        Op::Select => select(boolean(next()?)?, next()?, next()?, &step.shape)?,
        Op::Cast(kind) => cast(next()?, *kind, place),
        Op::Reshape => match next()? {
            Value::Float(t) => Value::Float(B::float_reshape(t, shape())),
            Value::Int(t) => Value::Int(B::int_reshape(t, shape())),
            Value::Bool(t) => Value::Bool(B::bool_reshape(t, shape())),
        },
        Op::Permute(order) => match next()? {
            Value::Float(t) => Value::Float(B::float_permute(t, order)),
            Value::Int(t) => Value::Int(B::int_permute(t, order)),
            Value::Bool(t) => Value::Bool(B::bool_permute(t, order)),
        },
        Op::Expand => expand(next()?, &step.shape),
        Op::Slice(spans) => slice(next()?, spans),
        Op::Pad(widths, value) => match next()? {
            Value::Float(t) => Value::Float(B::float_pad(t, widths, PadMode::Constant(*value as f32))),
            other => Value::Int(B::int_pad(int(other)?, widths, PadMode::Constant(*value as f32))),
        },
        Op::Sum(axes) => match next()? {
            Value::Float(t) => Value::Float(axes.iter().fold(t, |t, &a| B::float_sum_dim(t, a))),
            other => Value::Int(axes.iter().try_fold(int(other)?, |t, &a| Ok::<_, String>(B::int_sum_dim(t, a)))?),
        },
        Op::Max(axis) => match next()? {
            Value::Float(t) => Value::Float(B::float_max_dim(t, *axis)),
            other => Value::Int(B::int_max_dim(int(other)?, *axis)),
        },
        Op::Product(axis) => match next()? {
            Value::Float(t) => Value::Float(B::float_prod_dim(t, *axis)),
            other => Value::Int(B::int_prod_dim(int(other)?, *axis)),
        },
        Op::RunningSum(axis) => match next()? {
            Value::Float(t) => Value::Float(B::float_cumsum(t, *axis)),
            other => Value::Int(B::int_cumsum(int(other)?, *axis)),
        },
        Op::Top(axis, count) => match next()? {
            Value::Float(t) => Value::Int(B::float_argtopk(t, *axis, *count, INT)),
            other => Value::Int(B::int_argtopk(int(other)?, *axis, *count)),
        },
        Op::MatMul => Value::Float(B::float_matmul(float(next()?)?, float(next()?)?)),
        Op::Conv(window) => Value::Float(conv::<B>(float(next()?)?, float(next()?)?, window)?),
        Op::ConvTranspose(window, extra) => {
            Value::Float(conv_transpose::<B>(float(next()?)?, float(next()?)?, window, extra)?)
        }
        Op::MaxPool(k) => Value::Float(max_pool::<B>(float(next()?)?, k)),
        Op::MeanPool(k) => Value::Float(B::avg_pool2d(float(next()?)?, k.size, k.stride, k.padding, true, false)),
        Op::Take(axis) => take(next()?, *axis, int(next()?)?, place.booleans),
        Op::TakeAlong(axis) => take_along(next()?, *axis, int(next()?)?, place.booleans),
        Op::AddAlong(axis) => match (next()?, int(next()?)?, next()?) {
            (Value::Float(t), at, Value::Float(v)) => {
                Value::Float(B::float_scatter(*axis, t, at, v, IndexingUpdateOp::Add))
            }
            (t, at, v) => Value::Int(B::int_scatter(*axis, int(t)?, at, int(v)?, IndexingUpdateOp::Add)),
        },
        Op::Detach => match next()? {
            Value::Float(t) => Value::Float(B::float_detach(t)),
            other => other,
        },
        Op::Input(_) | Op::Constant(_) | Op::Literal(_) => return Err("it has no operands".into()),
    };
    Ok(value)
}

fn float<B: Backend>(value: Value<B>) -> Result<FloatTensor<B>, String> {
    match value {
        Value::Float(t) => Ok(t),
        _ => Err("an operand is no tensor of floats".into()),
    }
}

fn int<B: Backend>(value: Value<B>) -> Result<IntTensor<B>, String> {
    match value {
        Value::Int(t) => Ok(t),
        _ => Err("an operand is no tensor of integers".into()),
    }
}

fn boolean<B: Backend>(value: Value<B>) -> Result<BoolTensor<B>, String> {
    match value {
        Value::Bool(t) => Ok(t),
        _ => Err("an operand is no tensor of booleans".into()),
    }
}

fn mapped<B: Backend>(map: Map, t: FloatTensor<B>) -> FloatTensor<B> {
    match map {
        Map::Abs => B::float_abs(t),
        Map::Acos => B::float_acos(t),
        Map::Acosh => B::float_acosh(t),
        Map::Asin => B::float_asin(t),
        Map::Asinh => B::float_asinh(t),
        Map::Atan => B::float_atan(t),
        Map::Atanh => B::float_atanh(t),
        Map::Ceil => B::float_ceil(t),
        Map::Cos => B::float_cos(t),
        Map::Cosh => B::float_cosh(t),
        Map::Erf => B::float_erf(t),
        Map::Exp => B::float_exp(t),
        Map::Floor => B::float_floor(t),
        Map::Log => B::float_log(t),
        Map::Reciprocal => B::float_recip(t),
        Map::Relu => B::relu(t),
        Map::Round => B::float_round(t),
        Map::Sigmoid => B::sigmoid(t),
        Map::Sign => B::float_sign(t),
        Map::Sin => B::float_sin(t),
        Map::Sinh => B::float_sinh(t),
        Map::Sqrt => B::float_sqrt(t),
        Map::Tan => B::float_tan(t),
        Map::Tanh => B::float_tanh(t),
    }
}

fn clamp<B: Kernels>(value: Value<B>, low: f64, high: f64) -> Result<Value<B>, String> {
    Ok(match value {
        Value::Float(t) => {
            if let Some(clamped) = B::clamped(&t, low, high) {
                return Ok(Value::Float(clamped));
            }
            let t = if low > f64::NEG_INFINITY { B::float_clamp_min(t, Scalar::Float(low)) } else { t };
            Value::Float(if high < f64::INFINITY { B::float_clamp_max(t, Scalar::Float(high)) } else { t })
        }
        other => Value::Int(B::int_clamp(int(other)?, Scalar::Int(low as i64), Scalar::Int(high as i64))),
    })
}

fn binary<B: Backend>(op: Binary, a: FloatTensor<B>, b: FloatTensor<B>) -> FloatTensor<B> {
    match op {
        Binary::Add => B::float_add(a, b),
        Binary::Sub => B::float_sub(a, b),
        Binary::Mul => B::float_mul(a, b),
        Binary::Div => B::float_div(a, b),
        Binary::Pow => B::float_powf(a, b),
        Binary::Remainder => B::float_remainder(a, b),
    }
}

fn int_binary<B: Backend>(op: Binary, a: IntTensor<B>, b: IntTensor<B>) -> Result<IntTensor<B>, String> {
    Ok(match op {
        Binary::Add => B::int_add(a, b),
        Binary::Sub => B::int_sub(a, b),
        Binary::Mul => B::int_mul(a, b),
        Binary::Div => B::int_div(a, b),
        Binary::Remainder => B::int_remainder(a, b),
        Binary::Pow => return Err("powers of integers are not computed".into()),
    })
}

fn compare<B: Backend>(op: Compare, a: Value<B>, b: Value<B>, bools: BoolDType) -> Result<BoolTensor<B>, String> {
    Ok(match (a, b, op) {
        (Value::Float(a), Value::Float(b), Compare::Equal) => B::float_equal(a, b, bools),
        (Value::Float(a), Value::Float(b), Compare::Less) => B::float_lower(a, b, bools),
        (Value::Float(a), Value::Float(b), Compare::LessEqual) => B::float_lower_equal(a, b, bools),
        (Value::Int(a), Value::Int(b), Compare::Equal) => B::int_equal(a, b, bools),
        (Value::Int(a), Value::Int(b), Compare::Less) => B::int_lower(a, b, bools),
        (Value::Int(a), Value::Int(b), Compare::LessEqual) => B::int_lower_equal(a, b, bools),
        (Value::Bool(a), Value::Bool(b), Compare::Equal) => B::bool_equal(a, b),
        _ => return Err("numbers of different kinds can't be compared".into()),
    })
}

/// The engine wants all operands in one shape.
fn select<B: Backend>(
    condition: BoolTensor<B>,
    yes: Value<B>,
    no: Value<B>,
    shape: &[usize],
) -> Result<Value<B>, String> {
    let condition = boolean(expand(Value::<B>::Bool(condition), shape))?;
    Ok(match (expand(yes, shape), expand(no, shape)) {
        (Value::Float(yes), Value::Float(no)) => Value::Float(B::float_mask_where(no, condition, yes)),
        (Value::Int(yes), Value::Int(no)) => Value::Int(B::int_mask_where(no, condition, yes)),
        (yes, no) => Value::Bool(B::bool_mask_where(boolean(no)?, condition, boolean(yes)?)),
    })
}

fn cast<B: Backend>(value: Value<B>, kind: NumberKind, place: &Placement<B>) -> Value<B> {
    let bools = place.booleans;
    let float = match place.precision {
        Precision::Single => FloatDType::F32,
        Precision::Double => FloatDType::F64,
    };
    match (value, kind) {
        (Value::Float(t), NumberKind::Int) => Value::Int(B::float_into_int(t, INT)),
        (Value::Float(t), NumberKind::Bool) => Value::Bool(B::float_not_equal_elem(t, Scalar::Float(0.0), bools)),
        (Value::Int(t), NumberKind::Float) => Value::Float(B::int_into_float(t, float)),
        (Value::Int(t), NumberKind::Bool) => Value::Bool(B::int_not_equal_elem(t, Scalar::Int(0), bools)),
        (Value::Bool(t), NumberKind::Float) => Value::Float(B::bool_into_float(t, float)),
        (Value::Bool(t), NumberKind::Int) => Value::Int(B::bool_into_int(t, INT)),
        (same, _) => same,
    }
}

fn expand<B: Backend>(value: Value<B>, shape: &[usize]) -> Value<B> {
    let shape = Shape::from(held(shape));
    match value {
        Value::Float(t) => Value::Float(B::float_expand(t, shape)),
        Value::Int(t) => Value::Int(B::int_expand(t, shape)),
        Value::Bool(t) => Value::Bool(B::bool_expand(t, shape)),
    }
}

fn slice<B: Backend>(value: Value<B>, spans: &[Span]) -> Value<B> {
    let slices: Vec<Slice> = spans.iter().map(cut).collect();
    match value {
        Value::Float(t) => Value::Float(B::float_slice(t, &slices)),
        Value::Int(t) => Value::Int(B::int_slice(t, &slices)),
        Value::Bool(t) => Value::Bool(B::bool_slice(t, &slices)),
    }
}

/// The engine counts a range from its low end also where it is walked backwards.
fn cut(span: &Span) -> Slice {
    if span.count == 0 {
        return Slice { start: 0, end: Some(0), step: 1 };
    }
    let reach = (span.count as isize - 1) * span.step.abs() + 1;
    let low = if span.step > 0 { span.start as isize } else { span.start as isize + 1 - reach };
    Slice { start: low, end: Some(low + reach), step: span.step }
}

fn concat<B: Backend>(parts: Vec<Value<B>>, axis: usize) -> Result<Value<B>, String> {
    Ok(match parts.first() {
        Some(Value::Float(_)) => {
            Value::Float(B::float_cat(parts.into_iter().map(float).collect::<Result<_, _>>()?, axis))
        }
        Some(Value::Int(_)) => Value::Int(B::int_cat(parts.into_iter().map(int).collect::<Result<_, _>>()?, axis)),
        _ => Value::Bool(B::bool_cat(parts.into_iter().map(boolean).collect::<Result<_, _>>()?, axis)),
    })
}

fn take<B: Backend>(value: Value<B>, axis: usize, at: IntTensor<B>, bools: BoolDType) -> Value<B> {
    match value {
        Value::Float(t) => Value::Float(B::float_select(t, axis, at)),
        Value::Int(t) => Value::Int(B::int_select(t, axis, at)),
        Value::Bool(t) => through_ints::<B>(t, bools, |t| B::int_select(t, axis, at)),
    }
}

fn take_along<B: Backend>(value: Value<B>, axis: usize, at: IntTensor<B>, bools: BoolDType) -> Value<B> {
    match value {
        Value::Float(t) => Value::Float(B::float_gather(axis, t, at)),
        Value::Int(t) => Value::Int(B::int_gather(axis, t, at)),
        Value::Bool(t) => through_ints::<B>(t, bools, |t| B::int_gather(axis, t, at)),
    }
}

/// Booleans by way of integers: the engine's CPU backend picks booleans as bytes, which it takes for no booleans then.
fn through_ints<B: Backend>(
    t: BoolTensor<B>,
    bools: BoolDType,
    pick: impl FnOnce(IntTensor<B>) -> IntTensor<B>,
) -> Value<B> {
    Value::Bool(B::int_not_equal_elem(pick(B::bool_into_int(t, INT)), Scalar::Int(0), bools))
}

fn conv<B: Kernels>(x: FloatTensor<B>, w: FloatTensor<B>, window: &Window) -> Result<FloatTensor<B>, String> {
    if let Some(convolved) = B::convolved(&x, &w, window) {
        return Ok(convolved);
    }
    Ok(match window.stride.len() {
        2 => B::conv2d(x, w, None, options::<2>(window)?),
        _ => B::conv3d(x, w, None, options::<3>(window)?),
    })
}

fn options<const N: usize>(window: &Window) -> Result<ConvOptions<N>, String> {
    let padding = array::<N>(&window.padding)?.map(|p| (p, p));
    Ok(ConvOptions {
        stride: array(&window.stride)?,
        padding,
        dilation: array(&window.dilation)?,
        groups: window.groups,
    })
}

fn conv_transpose<B: Backend>(
    x: FloatTensor<B>,
    w: FloatTensor<B>,
    window: &Window,
    extra: &[usize],
) -> Result<FloatTensor<B>, String> {
    Ok(match window.stride.len() {
        2 => B::conv_transpose2d(x, w, None, transpose_options::<2>(window, extra)?),
        _ => B::conv_transpose3d(x, w, None, transpose_options::<3>(window, extra)?),
    })
}

fn transpose_options<const N: usize>(window: &Window, extra: &[usize]) -> Result<ConvTransposeOptions<N>, String> {
    let (stride, padding) = (array(&window.stride)?, array(&window.padding)?);
    Ok(ConvTransposeOptions::new(stride, padding, array(extra)?, array(&window.dilation)?, window.groups))
}

fn array<const N: usize>(numbers: &[usize]) -> Result<[usize; N], String> {
    numbers.try_into().map_err(|_| format!("a window over {} axes", numbers.len()))
}

fn max_pool<B: Kernels>(x: FloatTensor<B>, k: &Kernel) -> FloatTensor<B> {
    B::max_pooled(&x, k).unwrap_or_else(|| B::max_pool2d(x, k.size, k.stride, k.padding, k.dilation, false))
}
