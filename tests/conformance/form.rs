//! Forms of a case: the same computation, of which more or less is known before the run.

use super::case::{Case, inputs};
use secateur::ir::{Constant, Dim, Form as Stored, Model, Node, NodeId, Origin, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Inputs from here on are constants.
    pub constant_from: usize,
    /// Dimensions of the other inputs are symbols.
    pub open: bool,
}

/// As the case is written.
pub const GIVEN: Form = Form { constant_from: usize::MAX, open: false };

/// All inputs but the first are constants, as weights and shapes mostly are.
pub const WEIGHTS: Form = Form { constant_from: 1, open: false };

/// All inputs are constants.
pub const CONSTANTS: Form = Form { constant_from: 0, open: false };

/// All forms in which types are inferred.
pub const ALL: &[Form] =
    &[GIVEN, WEIGHTS, CONSTANTS, Form { constant_from: usize::MAX, open: true }, Form { constant_from: 1, open: true }];

impl Form {
    /// The case's model in this form.
    pub fn of(self, case: &Case) -> Model {
        let mut model = case.model.clone();
        let nodes: Vec<NodeId> = inputs(&case.model).map(|(node, _)| node).collect();
        for (i, &node) in nodes.iter().enumerate() {
            let name = model.graph.label(node).to_owned();
            match case.feed.as_ref().and_then(|f| f.get(&name)) {
                Some(tensor) if i >= self.constant_from => {
                    let (tensor, origin) = (tensor.clone(), Origin::File(name.clone()));
                    let constant = Constant { name, tensor, form: Stored::Initializer, origin };
                    *model.graph.node_mut(node) = Node::Constant(constant);
                }
                Some(_) if self.open => open(&mut model, node, i),
                _ => {}
            }
        }
        model
    }
}

fn open(model: &mut Model, node: NodeId, input: usize) {
    let Node::Input(i) = model.graph.node_mut(node) else { return };
    if let Type::Tensor(ty) = &mut i.info.ty {
        let symbol = |(axis, dim): (usize, &mut Dim)| *dim = Dim::symbol(&format!("d{input}_{axis}"));
        ty.shape.iter_mut().flatten().enumerate().for_each(symbol);
    }
}

/// The length that a symbol of an open form stands for.
pub fn length(case: &Case, symbol: &str) -> Option<i64> {
    let (input, axis) = symbol.strip_prefix('d')?.split_once('_')?;
    let (input, axis): (usize, usize) = (input.parse().ok()?, axis.parse().ok()?);
    let (_, info) = inputs(&case.model).nth(input)?;
    Some(*case.feed.as_ref()?.get(&info.name)?.shape.get(axis)? as i64)
}
