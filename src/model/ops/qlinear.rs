//! ONNX Runtime's quantized forms of other operators: each operand and the result come with a scale and a zero point.
//! But for these, a rule is that of the operator.

use super::pool::{global_shape, pool_shape};
use super::shared::dims::{broadcast, row};
use super::softmax::normalized;
use super::{AxisRule, End, Quantization, Rule, Site, ValueLaws, ZeroLaws, reduce, zero};
use crate::facts::Fact;
use crate::ir::Dim;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("com.microsoft.NhwcMaxPool", NHWC_MAX_POOL),
    ("com.microsoft.QLinearAdd", ADD),
    ("com.microsoft.QLinearAveragePool", AVERAGE_POOL),
    ("com.microsoft.QLinearConcat", CONCAT),
    ("com.microsoft.QLinearGlobalAveragePool", GLOBAL_AVERAGE_POOL),
    ("com.microsoft.QLinearLeakyRelu", LEAKY_RELU),
    ("com.microsoft.QLinearMul", MUL),
    ("com.microsoft.QLinearReduceMean", REDUCE_MEAN),
    ("com.microsoft.QLinearSigmoid", SIGMOID),
    ("com.microsoft.QLinearSoftmax", SOFTMAX),
    ("com.microsoft.QLinearWhere", WHERE),
];

const WINDOW: &str = "a window runs along it";

/// The sum: a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero.
const ADD: Rule = Rule {
    infer: |site| broadcast_fact(site, &[0, 3]),
    axes: |_| Some(AxisRule::new("..., _*, _*, ..., _*, _*, _*, _* -> ...")),
    zeros: ZeroLaws { results: |_, at| on(at, 0) && on(at, 3), ..ZeroLaws::OPAQUE },
    quantization: Quantization {
        zero_point: |end| match end {
            End::Operand(slot @ (0 | 3)) => Some(End::Operand(slot + 2)),
            End::Result(_) => Some(End::Operand(7)),
            _ => None,
        },
        ..Quantization::NONE
    },
    ..Rule::OPAQUE
};

/// The product, with operands as ADD has them.
const MUL: Rule = Rule { zeros: ZeroLaws { results: |_, at| on(at, 0) || on(at, 3), ..ADD.zeros }, ..ADD };

/// `condition ? x : y`: condition, x, x_scale, x_zero, y, y_scale, y_zero, z_scale, z_zero.
const WHERE: Rule = Rule {
    infer: |site| broadcast_fact(site, &[1, 4, 0]),
    axes: |_| Some(AxisRule::new("..., ..., _*, _*, ..., _*, _*, _*, _* -> ...")),
    zeros: ZeroLaws { results: |_, at| on(at, 1) && on(at, 4), ..ZeroLaws::OPAQUE },
    quantization: Quantization {
        zero_point: |end| match end {
            End::Operand(slot @ (1 | 4)) => Some(End::Operand(slot + 2)),
            End::Result(_) => Some(End::Operand(8)),
            _ => None,
        },
        ..Quantization::NONE
    },
    ..Rule::OPAQUE
};

/// One after the other along `axis`: y_scale, y_zero, and then each operand with its scale and its zero point.
const CONCAT: Rule = Rule {
    infer: |site| {
        let shapes: Option<Vec<&[Dim]>> = joined(site).map(|slot| site.shape(slot)).collect();
        let Some(shapes) = shapes.filter(|s| !s.is_empty()) else { return Ok(vec![Fact::maybe(site.dtype(1), None)]) };
        let mut shape = shapes[0].to_vec();
        let axis = site.axis("axis", 0, shape.len())?;
        if shapes.iter().any(|s| s.len() != shape.len()) || axis >= shape.len() {
            return Err("operands of different ranks, or without axes".into());
        }
        shape[axis] = shapes.iter().map(|s| s[axis].clone()).sum();
        Ok(vec![Fact::maybe(site.dtype(1), Some(shape))])
    },
    axes: |site| {
        let rank = site.rank(2)?;
        let axis = site.axis("axis", 0, rank).ok()?;
        let with = |own: &str| row(rank, |i| if i == axis { own.to_owned() } else { format!("x{i}") });
        let operands: Vec<String> = joined(site).map(|slot| format!("{}, _*, _*", with(&format!("a{slot}")))).collect();
        let sum: Vec<String> = joined(site).map(|slot| format!("a{slot}")).collect();
        Some(AxisRule::new(format!("_*, _*, {} -> {}", operands.join(", "), with(&sum.join("+")))))
    },
    zeros: ZeroLaws { results: |site, at| joined(site).all(|slot| on(at, slot)), ..ZeroLaws::OPAQUE },
    quantization: Quantization {
        zero_point: |end| match end {
            End::Operand(slot) if slot >= 2 && slot % 3 == 2 => Some(End::Operand(slot + 2)),
            End::Result(_) => Some(End::Operand(1)),
            _ => None,
        },
        ..Quantization::NONE
    },
    ..Rule::OPAQUE
};

/// A function of each element: x, x_scale, x_zero, y_scale, y_zero.
const LEAKY_RELU: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(site.dtype(0), site.shape(0).map(<[Dim]>::to_vec))]),
    axes: |_| Some(AxisRule::new("... -> ...")),
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    quantization: Quantization {
        zero_point: |end| match end {
            End::Operand(0) => Some(End::Operand(2)),
            End::Result(_) => Some(End::Operand(4)),
            _ => None,
        },
        ..Quantization::NONE
    },
    ..Rule::OPAQUE
};

/// As LEAKY_RELU, but not zero at zero.
const SIGMOID: Rule = Rule { zeros: ZeroLaws { results: zero::never, ..LEAKY_RELU.zeros }, ..LEAKY_RELU };

/// A share of all along an axis, by the operator set that `opset` names.
const SOFTMAX: Rule = Rule {
    infer: |site| {
        normalized(site, site.call.int("opset", 13))?;
        (LEAKY_RELU.infer)(site)
    },
    axes: |site| {
        let axes = normalized(site, site.call.int("opset", 13)).ok()??;
        let x = row(site.rank(0)?, |i| if axes.contains(&i) { format!("a{i}!") } else { format!("a{i}") });
        Some(AxisRule::new(format!("{x} -> {x}")).why("each is a share of all along it"))
    },
    ..SIGMOID
};

/// The mean over axes that an attribute lists.
const REDUCE_MEAN: Rule = Rule {
    infer: |site| reduce::infer(site, |_, _| None),
    axes: |site| reduce::axes(site, "!"),
    zeros: ZeroLaws { absorbing: zero::any, ..LEAKY_RELU.zeros },
    ..LEAKY_RELU
};

/// The mean over all positions.
const GLOBAL_AVERAGE_POOL: Rule = Rule {
    infer: |site| {
        let shape = reordered(site, is_channels_last(site), global_shape)?;
        Ok(vec![Fact::maybe(site.dtype(0), shape)])
    },
    axes: |site| {
        let ones = " 1".repeat(site.rank(0)?.checked_sub(2)?);
        let text = if is_channels_last(site) { format!("n _* c -> n{ones} c") } else { format!("n c _* -> n c{ones}") };
        Some(AxisRule::new(text).why("it is pooled along it"))
    },
    ..LEAKY_RELU
};

/// The mean over each window.
const AVERAGE_POOL: Rule = Rule {
    infer: |site| {
        let shape = reordered(site, is_channels_last(site), |x| pool_shape(site, x))?;
        Ok(vec![Fact::maybe(site.dtype(0), shape)])
    },
    axes: |site| {
        let text = if is_channels_last(site) { "n _* c -> n _* c" } else { "n c _* -> n c _*" };
        Some(AxisRule::new(text).why(WINDOW))
    },
    ..LEAKY_RELU
};

/// The maximum over each window, with the channels in the last axis.
const NHWC_MAX_POOL: Rule = Rule {
    infer: |site| {
        let shape = reordered(site, true, |x| pool_shape(site, x))?;
        Ok(vec![Fact::maybe(site.dtype(0), shape)])
    },
    axes: |_| Some(AxisRule::new("n _* c -> n _* c").why(WINDOW)),
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    values: ValueLaws::MOVED,
    ..Rule::OPAQUE
};

fn on(at: &[bool], slot: usize) -> bool {
    at.get(slot) == Some(&true)
}

/// Whether the channels are the last axis of the input and of the result.
pub(super) fn is_channels_last(site: &Site) -> bool {
    site.call.int("channels_last", 0) != 0
}

/// The result's shape, by a function that wants the channels behind the batch, of an input that may have them last.
pub(super) fn reordered(
    site: &Site,
    last: bool,
    shape: impl Fn(&[Dim]) -> Result<Vec<Dim>, String>,
) -> Result<Option<Vec<Dim>>, String> {
    let Some(x) = site.shape(0) else { return Ok(None) };
    match x {
        [n, space @ .., c] if last => {
            let first: Vec<Dim> = [n, c].into_iter().chain(space).cloned().collect();
            let mut y = shape(&first)?;
            y[1..].rotate_left(1);
            Ok(Some(y))
        }
        _ => shape(x).map(Some),
    }
}

/// The slots of the operands that are joined.
fn joined(site: &Site) -> impl Iterator<Item = usize> {
    (2..site.arity()).step_by(3)
}

/// The fact of a result that these operands broadcast to, with the first one's element type.
fn broadcast_fact(site: &Site, slots: &[usize]) -> Result<Vec<Fact>, String> {
    let mut shape = Some(vec![]);
    for &slot in slots {
        shape = match (shape, site.shape(slot)) {
            (Some(a), Some(b)) => Some(broadcast(site, &a, b)?),
            _ => None,
        };
    }
    Ok(vec![Fact::maybe(site.dtype(slots[0]), shape)])
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    fn case(op: &str, attributes: &str, operands: &[&str]) -> Case {
        Case::new(&format!("com.microsoft.{op}"), 1, attributes, operands, 1)
    }

    #[test]
    fn two_operands() {
        let operands = ["u8:=2 8 5 5", "=", "u8:=", "u8:=8 1 1", "=", "u8:=", "=", "u8:="];
        assert_snapshot!(case("QLinearAdd", "", &operands).show(), @"[c0:2, c1:8, c2:5, c3:5], [], [], [c1:8, 1, 1], [], [], [], [] -> u8[c0:2, c1:8, c2:5, c3:5]");
        let at = [true, false, false, false, false, false, false, false];
        assert!(!case("QLinearAdd", "", &operands).zero(&at));
        assert!(case("QLinearMul", "", &operands).zero(&at));
        let operands = ["bool:=2 8", "u8:=2 8", "=", "u8:=", "u8:=8", "=", "u8:=", "=", "u8:="];
        assert_snapshot!(case("QLinearWhere", "", &operands).show(), @"[c0:2, c1:8], [c0:2, c1:8], [], [], [c1:8], [], [], [], [] -> u8[c0:2, c1:8]");
        let uneven = ["u8:=2 8", "=", "", "u8:=7", "=", "", "=", ""];
        assert_snapshot!(case("QLinearAdd", "", &uneven).show(), @"error: axes of length 8 and 7 do not broadcast");
    }

    #[test]
    fn one_after_the_other() {
        let operands = ["=", "u8:=", "u8:=2 8 5", "=", "u8:=", "u8:=2 3 5", "=", "u8:="];
        assert_snapshot!(case("QLinearConcat", "axis=1", &operands).show(), @"[], [], [c0:2, c1:8, c2:5], [], [], [c0:2, c3:3, c2:5], [], [] -> u8[c0:2, c1:8+c3:3, c2:5]");
        assert_snapshot!(case("QLinearConcat", "axis=3", &operands).show(), @"error: axis 3 of a tensor of rank 3");
    }

    #[test]
    fn functions_of_one() {
        let of = |op: &str, attributes: &str, x: &str| case(op, attributes, &[x, "=", "u8:=", "=", "u8:="]).show();
        assert_snapshot!(of("QLinearLeakyRelu", "alpha=0.1", "u8:=2 8"), @"[c0:2, c1:8], [], [], [], [] -> u8[c0:2, c1:8]");
        assert_snapshot!(of("QLinearSigmoid", "", "u8:=2 8"), @"[c0:2, c1:8], [], [], [], [] -> u8[c0:2, c1:8]");
        assert_snapshot!(of("QLinearSoftmax", "axis=-1 opset=13", "u8:=2 8"), @"[c0:2, c1!:8], [], [], [], [] -> u8[c0:2, c1!:8]");
        assert_snapshot!(of("QLinearSoftmax", "axis=1 opset=11", "u8:=2 8 5"), @"[c0:2, c1!:8, c2!:5], [], [], [], [] -> u8[c0:2, c1!:8, c2!:5]");
        assert_snapshot!(of("QLinearReduceMean", "axes=[2] keepdims=1", "u8:=2 8 5"), @"[c0:2, c1:8, c2!:5], [], [], [], [] -> u8[c0:2, c1:8, 1]");
        let at = [true, false, false, false, false];
        let zero = |op: &str| case(op, "", &["u8:=2 8", "=", "u8:=", "=", "u8:="]).zero(&at);
        assert!(zero("QLinearLeakyRelu") && !zero("QLinearSigmoid"));
    }

    #[test]
    fn pools() {
        let of = |op: &str, attributes: &str, x: &str| case(op, attributes, &[x, "=", "u8:=", "=", "u8:="]).show();
        assert_snapshot!(of("QLinearGlobalAveragePool", "", "u8:=2 8 5 5"), @"[c0:2, c1:8, 5, 5], [], [], [], [] -> u8[c0:2, c1:8, 1, 1]");
        assert_snapshot!(of("QLinearGlobalAveragePool", "channels_last=1", "u8:=2 5 5 8"), @"[c0:2, 5, 5, c3:8], [], [], [], [] -> u8[c0:2, 1, 1, c3:8]");
        assert_snapshot!(of("QLinearAveragePool", "kernel_shape=[2,2]", "u8:=2 8 5 5"), @"[c0:2, c1:8, 5, 5], [], [], [], [] -> u8[c0:2, c1:8, 4, 4]");
        assert_snapshot!(of("QLinearAveragePool", "kernel_shape=[2,2] channels_last=1", "u8:=2 5 5 8"), @"[c0:2, 5, 5, c3:8], [], [], [], [] -> u8[c0:2, 4, 4, c3:8]");
        assert_snapshot!(show("com.microsoft.NhwcMaxPool", 1, "kernel_shape=[2,2]", &["u8:=2 5 5 8"]), @"[c0:2, 5, 5, c3:8] -> u8[c0:2, 4, 4, c3:8]");
        assert_snapshot!(of("QLinearGlobalAveragePool", "", "u8:=8"), @"error: it needs axes for batch and channels");
    }
}
