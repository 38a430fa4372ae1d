//! Forms of a case: the same computation, of which more or less is known before the run.

use super::case::{Case, inputs};
use secateur::ir::{Constant, Dim, Form as Stored, Model, Node, NodeId, Origin, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub inputs: Inputs,
    /// Dimensions of what is still an input are symbols, and outputs of any shape.
    pub open: bool,
}

/// Which inputs stay inputs; the others are constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inputs {
    All,
    /// The first one, as weights and shapes mostly are constants.
    First,
    Nothing,
}

/// As the case is written.
pub(crate) const GIVEN: Form = Form { inputs: Inputs::All, open: false };

/// All inputs are constants.
pub(crate) const CONSTANTS: Form = Form { inputs: Inputs::Nothing, open: false };

/// The forms that can be run.
pub(crate) const RUN: &[Form] = &[
    GIVEN,
    Form { inputs: Inputs::First, open: false },
    Form { inputs: Inputs::All, open: true },
    Form { inputs: Inputs::First, open: true },
];

impl Form {
    /// The case's model in this form.
    pub(crate) fn of(self, case: &Case) -> Model {
        let mut model = case.model.clone();
        let kept = match self.inputs {
            Inputs::All => usize::MAX,
            Inputs::First => 1,
            Inputs::Nothing => 0,
        };
        let nodes: Vec<NodeId> = inputs(&case.model).map(|(node, _)| node).collect();
        for (i, &node) in nodes.iter().enumerate() {
            let name = model.graph.label(node).to_owned();
            match case.feed.as_ref().and_then(|f| f.get(&name)) {
                Some(tensor) if i >= kept => {
                    let (tensor, origin) = (tensor.clone(), Origin::File(name.clone()));
                    let constant = Constant { name, tensor, form: Stored::Initializer, origin };
                    *model.graph.node_mut(node) = Node::Constant(constant);
                }
                Some(_) if self.open => open(&mut model, node, i),
                _ => {}
            }
        }
        if self.open {
            forget_shapes(&mut model);
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

/// Takes away the declared shapes of all values but the inputs.
fn forget_shapes(model: &mut Model) {
    model.graph.value_info.clear();
    for node in model.graph.outputs() {
        if let Node::Output(o) = model.graph.node_mut(node)
            && let Type::Tensor(ty) = &mut o.info.ty
        {
            ty.shape = None;
        }
    }
}

/// The length that a symbol of an open form stands for.
pub(crate) fn length(case: &Case, symbol: &str) -> Option<i64> {
    let (input, axis) = symbol.strip_prefix('d')?.split_once('_')?;
    let (input, axis): (usize, usize) = (input.parse().ok()?, axis.parse().ok()?);
    let (_, info) = inputs(&case.model).nth(input)?;
    Some(*case.feed.as_ref()?.get(&info.name)?.shape.get(axis)? as i64)
}
