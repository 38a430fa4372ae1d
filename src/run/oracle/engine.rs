//! tract: parse, prepare, run.

use super::blame::{self, Blame, blame};
use super::branch;
use super::convert::{datum_type, from_tract, to_tract};
use super::examine::{self, Operators};
use super::guarded as caught;
use super::{OracleError, Plan, given, rewrite, scatter, sparse};
use crate::feed::Feed;
use crate::ir::{Signature, Tensor};
use prost::Message;
use std::path::Path;
use std::time::{Duration, Instant};
use tract_onnx::model::{Onnx, ParseResult};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

/// A prepared model.
pub(super) struct Engine {
    runnable: Arc<TypedRunnableModel>,
    plan: Plan,
    /// What tract asks for, in its order.
    inputs: Vec<Signature>,
    /// Names of what to return, each with its place among tract's outputs.
    outputs: Vec<(String, usize)>,
    operators: Operators,
}

impl Engine {
    pub(super) fn new(
        model: &[u8],
        dir: Option<&Path>,
        inputs: &[Signature],
        own: bool,
        extra: &[String],
    ) -> Result<Engine, OracleError> {
        let mut proto = ModelProto::decode(model).map_err(|e| OracleError::Decode(e.to_string()))?;
        let mut onnx = tract_onnx::onnx();
        onnx.op_register.insert("If", branch::branches);
        onnx.op_register.insert("ScatterND", scatter::scatter);
        let opset = proto.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx"));
        let opset = opset.map_or(1, |o| o.version);
        let graph = proto.graph.as_mut().ok_or_else(|| OracleError::Decode("it has no graph".into()))?;
        sparse::fill(graph);
        let operators = examine::operators(graph)?;
        rewrite::rewrite(graph, opset);
        examine::check_empty(graph, inputs)?;
        examine::check_nodes(graph, &|name| onnx.op_register.0.contains_key(name))?;
        let dir = dir.map(directory).transpose()?;
        let own = proto.graph.iter().filter(|_| own).flat_map(|g| &g.output).map(|o| o.name.clone());
        let outputs: Vec<String> = own.chain(extra.iter().cloned()).collect();
        // Declared inner types may contradict the sizes that we set, but sometimes inference needs them.
        let attempt = |ignore: bool| {
            let onnx = onnx.clone().with_ignore_value_info(ignore);
            caught(|| Prepared::new(&onnx, &proto, dir, inputs, &outputs, &operators))
        };
        let Prepared { typed, inputs, outputs } = attempt(true).or_else(|e| attempt(false).map_err(|_| e))?;
        drop(proto);
        let (runnable, plan) = finish(typed, &operators)?;
        Ok(Engine { runnable, plan, inputs, outputs, operators })
    }

    pub(super) fn run(&self, feed: &Feed) -> Result<Vec<(String, Tensor)>, OracleError> {
        let values = self.runnable.run(self.values(feed)?).map_err(|e| self.failed(&e))?;
        let convert = |(name, at): &(String, usize)| Ok((name.clone(), from_tract(&values[*at], name)?));
        self.outputs.iter().map(convert).collect()
    }

    pub(super) fn time(&self, feed: &Feed) -> Result<Duration, OracleError> {
        let values = self.values(feed)?;
        let mut state = self.runnable.spawn().map_err(|e| self.failed(&e))?;
        let start = Instant::now();
        state.run(values).map_err(|e| self.failed(&e))?;
        Ok(start.elapsed())
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan
    }

    /// The feed as tract wants it: in its order, and of the sizes that the plan was made for.
    fn values(&self, feed: &Feed) -> Result<TVec<TValue>, OracleError> {
        let value = |input| Ok(to_tract(given(feed, input)?, &input.0)?.into_tvalue());
        self.inputs.iter().map(value).collect()
    }

    fn failed(&self, error: &TractError) -> OracleError {
        let chain = blame::chain(error.as_ref());
        match blame(&chain, &self.operators) {
            Some(Blame { operator, node, message }) => OracleError::Run { operator, node, message },
            None => OracleError::Run { operator: "?".into(), node: String::new(), message: blame::root(&chain) },
        }
    }
}

/// A model with inputs of fixed types and known outputs.
struct Prepared {
    typed: TypedModel,
    inputs: Vec<Signature>,
    outputs: Vec<(String, usize)>,
}

impl Prepared {
    fn new(
        onnx: &Onnx,
        proto: &ModelProto,
        dir: Option<&str>,
        inputs: &[Signature],
        outputs: &[String],
        operators: &Operators,
    ) -> Result<Prepared, OracleError> {
        let mut parsed = onnx.parse(proto, dir).map_err(|e| unsupported(&e, operators))?;
        if let Some(name) = parsed.unresolved_inputs.first() {
            return Err(OracleError::NoValue(name.clone()));
        }
        let inputs = set_inputs(&mut parsed.model, inputs)?;
        let outputs = select_outputs(&mut parsed, outputs.iter())?;
        Onnx::determinize(&mut parsed.model).map_err(|e| unsupported(&e, operators))?;
        let typed = parsed.model.into_typed().map_err(|e| unsupported(&e, operators))?;
        Ok(Prepared { typed, inputs, outputs })
    }
}

/// Gives every input of the model its type; returns them in the model's order.
fn set_inputs(model: &mut InferenceModel, given: &[Signature]) -> Result<Vec<Signature>, OracleError> {
    let prepare = |e: TractError| OracleError::Prepare(e.to_string());
    let outlets = model.input_outlets().map_err(prepare)?.to_vec();
    let mut inputs = Vec::with_capacity(outlets.len());
    for (i, outlet) in outlets.iter().enumerate() {
        let name = model.node(outlet.node).name.clone();
        let Some(signature) = given.iter().find(|(n, _, _)| *n == name) else {
            return Err(OracleError::NoInput { name, given: given.iter().map(|(n, _, _)| n.clone()).collect() });
        };
        let (_, dtype, shape) = signature;
        let declared = model.input_fact(i).map_err(prepare)?.datum_type.concretize();
        let datum = datum_type(*dtype, &name)?;
        if let Some(declared) = declared.filter(|d| *d != datum) {
            let expected = format!("{declared:?}").to_lowercase();
            return Err(OracleError::Input { name, expected, found: dtype.to_string() });
        }
        model.set_input_fact(i, InferenceFact::dt_shape(datum, shape)).map_err(prepare)?;
        inputs.push(signature.clone());
    }
    Ok(inputs)
}

/// Makes tract return the values of these names; returns each name with its place among tract's outputs.
fn select_outputs<'a>(
    parsed: &mut ParseResult,
    names: impl Iterator<Item = &'a String>,
) -> Result<Vec<(String, usize)>, OracleError> {
    let mut outlets: Vec<OutletId> = Vec::new();
    let mut outputs = Vec::new();
    for name in names {
        let outlet = *parsed.outlets_by_name.get(name).ok_or_else(|| OracleError::NoValue(name.clone()))?;
        let at = outlets.iter().position(|o| *o == outlet).unwrap_or_else(|| {
            outlets.push(outlet);
            outlets.len() - 1
        });
        outputs.push((name.clone(), at));
    }
    parsed.model.select_output_outlets(&outlets).map_err(|e| OracleError::Prepare(e.to_string()))?;
    Ok(outputs)
}

/// The fastest plan that tract can make.
fn finish(typed: TypedModel, operators: &Operators) -> Result<(Arc<TypedRunnableModel>, Plan), OracleError> {
    if !examine::may_optimize(&typed) {
        return Ok((typed.into_runnable().map_err(|e| unsupported(&e, operators))?, Plan::Plain));
    }
    let optimized = caught(|| {
        let optimized = typed.clone().into_optimized().and_then(IntoRunnable::into_runnable);
        optimized.map_err(|e| unsupported(&e, operators))
    });
    match optimized {
        Ok(runnable) => Ok((runnable, Plan::Optimized)),
        Err(first) => Ok((typed.into_runnable().map_err(|_| first)?, Plan::Plain)),
    }
}

fn unsupported(error: &TractError, operators: &Operators) -> OracleError {
    let chain = blame::chain(error.as_ref());
    match blame(&chain, operators) {
        Some(Blame { operator, node, message }) => OracleError::Unsupported { operator, node, message },
        None => OracleError::Prepare(blame::root(&chain)),
    }
}

/// The folder as tract takes it; the parent of a bare file name is here.
fn directory(dir: &Path) -> Result<&str, OracleError> {
    let text = dir.to_str().ok_or_else(|| OracleError::Prepare(format!("tract can't read the path {dir:?}")))?;
    Ok(if text.is_empty() { "." } else { text })
}
