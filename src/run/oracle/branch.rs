//! If for tract, in place of its own, which calls all of them by one name, and unifies the shapes of both branches even
//! where the condition decides between them.

use super::steps::attribute;
use indexmap::IndexSet;
use std::collections::HashMap;
use tract_onnx::model::{ParseResult, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::logic::IfThenElse;
use tract_onnx::tract_hir::internal::*;

/// An If: the branch of a true condition, and that of a false one.
#[derive(Clone, Debug)]
struct Branches([Body; 2]);

/// A branch, and which operands of the call are its inputs.
#[derive(Clone, Debug)]
struct Body {
    model: InferenceModel,
    captured: Vec<usize>,
}

/// Makes the operator of an If. Returns the names of what its branches capture too.
pub(super) fn branches(cx: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let mut names: IndexSet<String> = IndexSet::new();
    let mut body = |key: &str| {
        let graph = attribute(node, key).and_then(|a| a.g.as_ref()).with_context(|| format!("it has no {key}"))?;
        let ParseResult { model, unresolved_inputs, .. } = cx.parse_graph(graph)?;
        // The condition comes before what is captured.
        let captured = unresolved_inputs.into_iter().map(|name| names.insert_full(name).0 + 1).collect();
        Ok::<Body, TractError>(Body { model, captured })
    };
    let both = [body("then_branch")?, body("else_branch")?];
    let counts: Vec<usize> = both.iter().map(|b| Ok(b.model.output_outlets()?.len())).collect::<TractResult<_>>()?;
    ensure!(counts[0] == counts[1], "its branches return {} and {} values", counts[0], counts[1]);
    Ok((Box::new(Branches(both)), names.into_iter().collect()))
}

impl Branches {
    /// Which branch is taken, where the condition is known.
    fn taken(condition: &InferenceFact) -> TractResult<Option<usize>> {
        let known = condition.value.concretize().map(|c| c.cast_to_scalar::<bool>()).transpose()?;
        Ok(known.map(|condition| usize::from(!condition)))
    }
}

impl Body {
    /// The facts of what the branch returns, given those of the call's operands.
    fn analyse(&mut self, operands: &[InferenceFact]) -> TractResult<TVec<InferenceFact>> {
        for (at, &outer) in self.captured.iter().enumerate() {
            self.model.input_fact_mut(at)?.unify_with(&operands[outer])?;
        }
        self.model.analyse(false)?;
        self.model.output_outlets()?.iter().map(|o| self.model.outlet_fact(*o).cloned()).collect()
    }

    /// Puts the branch's nodes into the graph around it; their names begin with the call's.
    fn inline(&self, name: &str, target: &mut TypedModel, operands: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let model = self.model.clone().into_typed()?;
        let inputs = model.input_outlets()?.iter().zip(&self.captured);
        let mut outer: HashMap<OutletId, OutletId> = inputs.map(|(own, &at)| (*own, operands[at])).collect();
        for id in model.eval_order()? {
            let node = model.node(id);
            if outer.contains_key(&id.into()) {
                continue;
            }
            let inputs: TVec<OutletId> = node.inputs.iter().map(|o| outer[o]).collect();
            let made = target.wire_node(format!("{name}.{}", node.name), node.op.clone(), &inputs)?;
            outer.extend(made.into_iter().enumerate().map(|(port, o)| (OutletId::new(id, port), o)));
        }
        Ok(model.output_outlets()?.iter().map(|o| outer[o]).collect())
    }
}

/// What two facts have in common.
fn common(a: &InferenceFact, b: &InferenceFact) -> InferenceFact {
    let rank = |f: &InferenceFact| f.shape.rank().concretize();
    let dims = || a.shape.dims().zip(b.shape.dims()).map(|(a, b)| if a == b { a.clone() } else { GenericFactoid::Any });
    InferenceFact {
        datum_type: if a.datum_type == b.datum_type { a.datum_type } else { GenericFactoid::Any },
        shape: match rank(a).is_some() && rank(a) == rank(b) {
            true => ShapeFactoid::closed(dims().collect()),
            false => ShapeFactoid::default(),
        },
        value: if a.value == b.value { a.value.clone() } else { GenericFactoid::Any },
    }
}

impl PartialEq for Branches {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Branches {}

impl Op for Branches {
    fn name(&self) -> StaticName {
        "If".into()
    }

    not_a_typed_op!();
}

impl EvalOp for Branches {
    not_out_of_plan!();
}

impl InferenceOp for Branches {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let owned = |facts: TVec<&InferenceFact>| facts.into_iter().cloned().collect::<TVec<InferenceFact>>();
        let (inputs, mut outputs) = (owned(inputs), owned(outputs));
        let taken = Branches::taken(&inputs[0])?;
        let mut returned = vec![];
        let mut failed = None;
        for (_, body) in self.0.iter_mut().enumerate().filter(|(which, _)| taken.is_none_or(|t| t == *which)) {
            // Only one of them needs to be possible with these operands.
            match body.analyse(&inputs) {
                Ok(facts) => returned.push(facts),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let Some((first, others)) = returned.split_first() else {
            return Err(failed.unwrap_or_else(|| format_err!("no branch is possible")));
        };
        for (at, output) in outputs.iter_mut().enumerate() {
            output.unify_with(&others.iter().fold(first[at].clone(), |a, b| common(&a, &b[at])))?;
        }
        Ok((inputs, outputs, owned(observed)))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.0[0].model.output_outlets()?.len())
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let operands: TVec<OutletId> = node.inputs.iter().map(|o| mapping[o]).collect();
        if let Some(which) = Branches::taken(source.outlet_fact(node.inputs[0])?)? {
            return self.0[which].inline(&node.name, target, &operands);
        }
        let [then, other] = &self.0;
        let op = IfThenElse {
            then_body: then.model.clone().into_typed()?,
            then_input_mapping: then.captured.clone(),
            else_body: other.model.clone().into_typed()?,
            else_input_mapping: other.captured.clone(),
        };
        target.wire_node(&*node.name, op, &operands)
    }

    as_op!();
}
