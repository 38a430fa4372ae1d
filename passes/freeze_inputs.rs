//! `freeze-inputs` makes inputs that have a default constants of that value.
//!
//! ```text
//! g (f32[2] x, f32[2] w = #…) => …                g (f32[2] x) => …
//!                                        →          f32[2] w #…
//! ```
//!
//! Since version 4 of the IR an initializer that is listed as an input is no constant, but what the input is if nobody
//! gives another value; older exporters list all weights like that. This is for those who never give one. It is the one
//! pass that changes the interface, and for callers who do give a value what is computed; so it says that it is lossy.

use super::{Change, Context, Effect, Pass, PassError};
use crate::ir::{Constant, Form, Graph, Input, Model, Node, NodeId, Origin, Tensor, ValueId};

pub(super) struct FreezeInputs;

impl Pass for FreezeInputs {
    fn name(&self) -> &'static str {
        "freeze-inputs"
    }

    fn effect(&self) -> Effect {
        Effect::Lossy
    }

    fn run(&self, model: &mut Model, _: &mut Context) -> Result<Change, PassError> {
        let graph = &mut model.graph;
        let constant = |n: NodeId| match graph.node(n) {
            Node::Input(Input { info, default: Some(tensor), captured: false }) => {
                let origin = Origin::File(info.name.clone());
                let (name, tensor) = (info.name.clone(), tensor.clone());
                Some((n, Constant { name, tensor, form: Form::Initializer, origin }))
            }
            _ => None,
        };
        let frozen: Vec<(NodeId, Constant)> = graph.inputs().into_iter().filter_map(constant).collect();
        let count = frozen.len();
        freeze(graph, frozen);
        Ok(Change(count))
    }
}

/// The model with these tensors for the inputs of these names, which are inputs no longer.
pub fn frozen(model: &Model, tensors: &[(String, Tensor)]) -> Model {
    let mut model = model.clone();
    let constant = |node: NodeId| {
        let (name, tensor) = tensors.iter().find(|(name, _)| name == model.graph.label(node))?.clone();
        Some((node, Constant { name, tensor, form: Form::Initializer, origin: Origin::Here }))
    };
    let constants = model.graph.inputs().into_iter().filter_map(constant).collect();
    freeze(&mut model.graph, constants);
    model
}

fn freeze(graph: &mut Graph, constants: Vec<(NodeId, Constant)>) {
    for (input, constant) in constants {
        let node = graph.add_before(input, Node::Constant(constant));
        graph.replace(ValueId { node: input, port: 0 }, ValueId { node, port: 0 });
        graph.remove(input);
    }
}

#[cfg(test)]
mod tests {
    use crate::ir;
    use crate::passes::{Pipeline, Settings};

    #[test]
    fn defaults_become_constants() {
        let text = "g (f32[2] x, f32[2] w = {1.0, 2.0}) => (f32[2] y) {
            y = Mul(x, w)
        }";
        let mut model = ir::parse(text, &|_| None).unwrap();
        let pipeline: Pipeline = "freeze-inputs".parse().unwrap();
        let mut changes = || pipeline.run(&mut model, Settings::default()).unwrap().change().0;
        assert_eq!([changes(), changes()], [1, 0]);
        insta::assert_snapshot!(ir::print(&model), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[2] x) => (f32[2] y) {
          f32[2] w = {1.0, 2.0}
          y = Mul(x, w)
        }
        "#);
    }
}
