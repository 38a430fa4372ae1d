//! From a model to a program: each call by what its operator's rule says that it is made of.

use crate::facts::{Content, Element, Fact, Facts};
use crate::infer::infer;
use crate::ir::Signature;
use crate::ir::{Call, Dim, Input, Model, Node, NodeId, Tensor, TensorType, Type, ValueId};
use crate::ops::{self, Site};
use crate::program::{Args, BatchMoments, Builder, Literal, NumberKind, Statistics, Term, kind_of};
use std::collections::HashMap;

/// A model, written into a program.
pub(crate) struct Lowered<'b> {
    /// The graph's outputs in the file's order; those that are no numbers are missing.
    pub outputs: Vec<(String, Term<'b>)>,
    /// The terms of inner values. Values that only say sizes have none.
    pub values: HashMap<ValueId, Term<'b>>,
    /// The batch's moments, where [`Statistics::Batch`] was asked for.
    pub moments: Vec<BatchMoments<'b>>,
}

/// Why a model has no program.
#[derive(Debug, thiserror::Error)]
pub enum LowerError {
    #[error("{operator} {node:?} can't be differentiated: {why}")]
    Call { operator: String, node: String, why: String },
    #[error("the input {0:?} has elements that are not numbers")]
    Input(String),
    #[error("no size is given for the input {0:?}")]
    NoInput(String),
}

/// Writes a model into a program, for inputs of these sizes. Element types of the signature are not looked at.
pub(crate) fn lower<'b>(
    builder: &'b Builder,
    model: &Model,
    inputs: &[Signature],
    statistics: Statistics,
) -> Result<Lowered<'b>, LowerError> {
    let model = sized(model, inputs)?;
    let facts = infer(&model);
    let mut lowered = Lowered { outputs: vec![], values: HashMap::new(), moments: vec![] };
    for node in model.graph.topological() {
        builder.set_origin(Some(node));
        match model.graph.node(node) {
            Node::Input(input) => {
                let term = input_term(builder, &model, node, input)?;
                lowered.values.insert(only(&model, node), term);
            }
            Node::Constant(c) => {
                if let Some(kind) = kind_of(c.tensor.dtype) {
                    lowered.values.insert(only(&model, node), builder.constant(node, kind, &c.tensor.shape));
                }
            }
            Node::Call(call) => lower_call(builder, &model, &facts, node, call, statistics, &mut lowered)?,
            Node::Output(output) => {
                let term = model.graph.operand(node, 0).and_then(|v| lowered.values.get(&v));
                lowered.outputs.extend(term.map(|t| (output.info.name.clone(), *t)));
            }
        }
    }
    builder.set_origin(None);
    let position = |name: &str| model.graph.outputs().iter().position(|&o| model.graph.label(o) == name);
    lowered.outputs.sort_by_key(|(name, _)| position(name));
    Ok(lowered)
}

/// The one value of an input or a constant.
fn only(model: &Model, node: NodeId) -> ValueId {
    model.graph.results(node).next().expect("inputs and constants have one result")
}

/// The model with inputs of fixed sizes. Weights are shared with it.
fn sized(model: &Model, inputs: &[Signature]) -> Result<Model, LowerError> {
    let mut model = model.clone();
    for node in model.graph.inputs() {
        let Node::Input(input) = model.graph.node_mut(node) else { continue };
        let Some(dtype) = input.info.ty.tensor().map(|t| t.dtype) else {
            return Err(LowerError::Input(input.info.name.clone()));
        };
        let given = inputs.iter().find(|(name, ..)| *name == input.info.name).map(|(.., shape)| shape);
        let Some(shape) = given.or(input.default.as_ref().map(|d| &d.shape)) else {
            return Err(LowerError::NoInput(input.info.name.clone()));
        };
        input.info.ty = Type::Tensor(TensorType::new(dtype, shape.iter().map(|&d| Dim::from(d)).collect()));
    }
    Ok(model)
}

fn input_term<'b>(builder: &'b Builder, model: &Model, node: NodeId, input: &Input) -> Result<Term<'b>, LowerError> {
    if let Some(default) = &input.default {
        return literal(builder, default).ok_or_else(|| LowerError::Input(input.info.name.clone()));
    }
    let ty = input.info.ty.tensor();
    let kind = ty.and_then(|t| kind_of(t.dtype));
    let shape = ty.and_then(|t| numbers(t.shape.as_deref()?));
    match (kind, shape) {
        (Some(kind), Some(shape)) => Ok(builder.input(&input.info.name, kind, &shape)),
        _ => Err(LowerError::Input(model.graph.label(node).to_owned())),
    }
}

fn literal<'b>(builder: &'b Builder, tensor: &Tensor) -> Option<Term<'b>> {
    let literal = match kind_of(tensor.dtype)? {
        NumberKind::Float => Literal::Floats(tensor.to_f64().ok()?),
        NumberKind::Int => Literal::Ints(tensor.to_i64()?),
        NumberKind::Bool => Literal::Bools(tensor.to_i64()?.into_iter().map(|v| v != 0).collect()),
    };
    Some(builder.literal(literal, &tensor.shape))
}

/// Sizes, if all are numbers.
fn numbers(shape: &[Dim]) -> Option<Vec<usize>> {
    shape.iter().map(|d| d.fixed().and_then(|n| usize::try_from(n).ok())).collect()
}

/// More elements than a tensor can have.
fn is_huge(shape: &[usize]) -> bool {
    shape.iter().try_fold(1_usize, |count, &n| count.checked_mul(n)).is_none_or(|count| count > 1 << 31)
}

fn lower_call<'b>(
    builder: &'b Builder,
    model: &Model,
    facts: &Facts,
    node: NodeId,
    call: &Call,
    statistics: Statistics,
    lowered: &mut Lowered<'b>,
) -> Result<(), LowerError> {
    let results: Vec<ValueId> = model.graph.results(node).collect();
    let known: Option<Vec<Term>> = results.iter().map(|&v| known(builder, facts.get(v))).collect();
    let terms = match known {
        Some(terms) => terms,
        None => by_rule(builder, model, facts, node, call, statistics, lowered)
            .map_err(|why| failed(model, node, call, why))?,
    };
    lowered.values.extend(results.into_iter().zip(terms));
    Ok(())
}

/// Why a call has no program. What an open body begins with is told as the call that the body is of.
fn failed(model: &Model, node: NodeId, call: &Call, why: String) -> LowerError {
    let (node, call) = match ops::body::owner(&model.graph, node) {
        Some(owner) => (owner, model.graph.call(owner).unwrap_or(call)),
        None => (node, call),
    };
    let why = match call.graphs().next() {
        Some(_) => "which of its bodies runs, or how often, is known in a run only".into(),
        None => why,
    };
    LowerError::Call { operator: call.op.clone(), node: model.graph.label(node).to_owned(), why }
}

/// Integers and booleans that are known before the run.
fn known<'b>(builder: &'b Builder, fact: &Fact) -> Option<Term<'b>> {
    let Content(elements) = fact.content.as_deref()?;
    let shape = numbers(fact.shape.as_deref()?)?;
    let ints = || elements.iter().map(|e| if let Element::Int(d) = e { d.fixed() } else { None }).collect();
    let bools = || elements.iter().map(|e| if let Element::Bool(b) = e { Some(*b) } else { None }).collect();
    let literal = match kind_of(fact.dtype?)? {
        NumberKind::Float => None,
        NumberKind::Int => Option::<Vec<i64>>::map(ints(), Literal::Ints),
        NumberKind::Bool => Option::<Vec<bool>>::map(bools(), Literal::Bools),
    };
    Some(builder.literal(literal?, &shape))
}

/// The results as the operator's rule makes them, in the shapes that inference expects.
fn by_rule<'b>(
    builder: &'b Builder,
    model: &Model,
    facts: &Facts,
    node: NodeId,
    call: &Call,
    statistics: Statistics,
    lowered: &mut Lowered<'b>,
) -> Result<Vec<Term<'b>>, String> {
    // Rules may rely on what inference has checked.
    if let Some(contradiction) = facts.contradictions.iter().find(|c| c.node == node) {
        return Err(contradiction.what.clone());
    }
    let shapes = model.graph.results(node).filter_map(|v| numbers(facts.get(v).shape.as_deref()?));
    if let Some(shape) = shapes.into_iter().find(|shape| is_huge(shape)) {
        return Err(format!("its result of shape {shape:?} has too many elements"));
    }
    let unknowns = crate::facts::Unknowns::of_questions();
    let site = Site::new(model, &model.graph, node, call, facts, &unknowns);
    let values: Vec<Option<ValueId>> = model.graph.operands(node).into_iter().take(call.arity.into()).collect();
    let constant = |v: &ValueId| model.graph.constant(v.node).map(|_| v.node);
    let operands = values.iter().map(|v| v.and_then(|v| lowered.values.get(&v).copied())).collect();
    let constants = values.iter().map(|v| v.as_ref().and_then(constant)).collect();
    let args = Args::new(builder, node, operands, constants, statistics);
    let terms = (ops::rule_of(model, call).lower)(&site, &args)?;
    if let Some(mistake) = builder.take_mistake() {
        return Err(mistake);
    }
    for (value, term) in model.graph.results(node).zip(&terms) {
        let expected = facts.get(value).shape.as_deref().and_then(numbers);
        if expected.as_ref().is_some_and(|shape| *shape != term.shape()) {
            return Err(format!("its result has shape {:?}, not {:?}", term.shape(), expected.unwrap_or_default()));
        }
    }
    lowered.moments.extend(args.into_moments());
    Ok(terms)
}
