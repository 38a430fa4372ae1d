//! Models and feeds of 16-bit floats, in 32 bits: the same numbers, without the rounding of every step between.
//!
//! tract computes halves one number at a time, and rounding at every step hides what a cut or a repair did. So whatever is
//! measured, refitted or proved runs in 32 bits; what the model's own type makes of it is told apart.
//!
//! Constants, declared types and the attributes that name a type all change. A Cast to 16 bits becomes one to 32: it rounds
//! nothing, and numbers beyond 65504 stay what they are.

use crate::feed::Feed;
use crate::ir::{Attribute, DType, Extra, Form, Graph, Model, Node, Tensor, Type, ValueInfo};
use std::borrow::Cow;

/// The model with 32-bit floats where it has 16-bit ones; as it is where it has none. Local functions stay as they are.
pub(crate) fn widened(model: &Model) -> Cow<'_, Model> {
    if !is_narrow(&model.graph) {
        return Cow::Borrowed(model);
    }
    let mut wide = model.clone();
    widen(&mut wide.graph, model.ir_version);
    Cow::Owned(wide)
}

/// The feed with 32-bit floats where it has 16-bit ones.
pub(crate) fn widened_feed(feed: &Feed) -> Cow<'_, Feed> {
    if !feed.iter().any(|(_, t)| is_half(t.dtype)) {
        return Cow::Borrowed(feed);
    }
    let wide = feed.iter().map(|(name, t)| (name.clone(), wide(t).unwrap_or_else(|| t.clone())));
    Cow::Owned(Feed::new(wide.collect()))
}

/// The tensor in 32 bits, where it has 16-bit floats.
pub(crate) fn widened_tensor(tensor: Tensor) -> Tensor {
    wide(&tensor).unwrap_or(tensor)
}

/// Attributes that name the type of what is computed.
const TYPES: &[&str] = &["to", "dtype", "output_dtype", "output_datatype", "softmax_precision", "stash_type"];

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// The type that an attribute names, if it is one of 16 bits.
fn names_half(name: &str, attribute: &Attribute) -> bool {
    let Attribute::Int(code) = attribute else { return false };
    TYPES.contains(&name) && i32::try_from(*code).ok().and_then(DType::from_code).is_some_and(is_half)
}

fn is_narrow(graph: &Graph) -> bool {
    let declared = |info: &ValueInfo| info.ty.tensor().is_some_and(|t| is_half(t.dtype));
    let attribute = |(name, a): (&String, &Attribute)| match a {
        Attribute::Tensor(t) => is_half(t.dtype),
        a => names_half(name, a) || a.graphs().iter().any(is_narrow),
    };
    graph.nodes().into_iter().any(|node| match graph.node(node) {
        Node::Input(input) => declared(&input.info),
        Node::Constant(constant) => is_half(constant.tensor.dtype),
        Node::Call(call) => call.attributes.iter().any(attribute),
        Node::Output(output) => declared(&output.info),
    })
}

fn widen(graph: &mut Graph, ir_version: i64) {
    graph.value_info.iter_mut().for_each(declare);
    for node in graph.nodes() {
        match graph.node_mut(node) {
            Node::Input(input) => {
                declare(&mut input.info);
                input.default.iter_mut().for_each(|t| *t = wide(t).unwrap_or_else(|| t.clone()));
            }
            Node::Constant(constant) => {
                let Some(tensor) = wide(&constant.tensor) else { continue };
                constant.tensor = tensor;
                match &mut constant.form {
                    Form::InputInitializer { info, .. } => declare(info),
                    Form::Sparse { .. } if ir_version >= 4 => constant.form = Form::Initializer,
                    Form::Sparse { .. } => constant.form = Form::Node { extra: Extra::new(), original: None },
                    Form::Initializer | Form::Node { .. } => {}
                }
            }
            Node::Call(call) => {
                for (name, attribute) in &mut call.attributes {
                    if names_half(name, attribute) {
                        *attribute = Attribute::Int(i64::from(DType::F32.code()));
                    }
                    if let Attribute::Tensor(tensor) = attribute {
                        *tensor = wide(tensor).unwrap_or_else(|| tensor.clone());
                    }
                    attribute.graphs_mut().iter_mut().for_each(|inner| widen(inner, ir_version));
                }
            }
            Node::Output(output) => declare(&mut output.info),
        }
    }
}

fn declare(info: &mut ValueInfo) {
    if let Type::Tensor(ty) = &mut info.ty
        && is_half(ty.dtype)
    {
        ty.dtype = DType::F32;
    }
}

/// The same numbers in 32 bits; `None` for tensors of other types, and those whose data is not at hand.
fn wide(tensor: &Tensor) -> Option<Tensor> {
    let numbers = is_half(tensor.dtype).then(|| tensor.to_f64().ok()).flatten()?;
    Tensor::from_f64(DType::F32, tensor.shape.clone(), &numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer;
    use crate::ir::{parse, print};

    #[test]
    fn constants_types_and_casts_change() {
        let text = "g (f16[2] x, bool c) => (f16[2] y) {
            f16[2] w = {1.0, 2.5}
            a = Cast<to=10>(w)
            b = Mul(x, a)
            y = If<then_branch = t () => (p) { p = Cast<to=10>(b) }, else_branch = e () => (q) { q = Neg(b) }>(c)
        }";
        let model = parse(text, &|_| None).unwrap();
        let wide = widened(&model);
        insta::assert_snapshot!(print(&wide), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2] x, bool[] c) => (f32[2] y) {
          f32[2] w = {1.0, 2.5}
          a = Cast<to=1>(w)
          b = Mul(x, a)
          y = If<
            then_branch=t (captured b) => (p) {
              p = Cast<to=1>(b)
            },
            else_branch=e (captured b) => (q) {
              q = Neg(b)
            }
          >(c)
        }
        "#);
        assert!(infer::infer(&wide).contradictions.is_empty());
        assert!(matches!(widened(&wide), Cow::Borrowed(_)));
    }

    #[test]
    fn feeds_change_with_the_model() {
        let feed = Feed::new(vec![
            ("x".into(), Tensor::from_f64(DType::BF16, vec![2], &[1.5, -2.0]).unwrap()),
            ("ids".into(), Tensor::from_i64(vec![1], &[7])),
        ]);
        let wide = widened_feed(&feed);
        assert_eq!(wide.get("x").unwrap().to_f64().unwrap(), [1.5, -2.0]);
        assert_eq!([wide.get("x").unwrap().dtype, wide.get("ids").unwrap().dtype], [DType::F32, DType::I64]);
    }
}
