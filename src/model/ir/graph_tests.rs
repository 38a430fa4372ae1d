use super::{Call, Graph, Node, NodeId, Use, ValueId};
use proptest::prelude::*;

const PORTS: u16 = 9;

/// What is done to a graph: a node is replaced, or a slot is connected or left empty.
#[derive(Clone, Debug)]
enum Step {
    Renew(usize),
    Connect { from: usize, port: u16, to: usize, slot: u16 },
    Disconnect { to: usize, slot: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let (node, port) = (|| 0usize..4, || 0..PORTS);
    prop_oneof![
        1 => node().prop_map(Step::Renew),
        6 => (node(), port(), node(), port()).prop_map(|(from, port, to, slot)| Step::Connect { from, port, to, slot }),
        2 => (node(), port()).prop_map(|(to, slot)| Step::Disconnect { to, slot }),
    ]
}

fn add(graph: &mut Graph) -> NodeId {
    let results = (0..PORTS).map(|k| format!("v{k}")).collect();
    graph.add(Node::Call(Box::new(Call { results, arity: PORTS, ..Call::new("F") })))
}

proptest! {
    #[test]
    fn wires_are_found_from_both_ends(steps in prop::collection::vec(step(), 0..60)) {
        let mut graph = Graph::default();
        let mut nodes: Vec<NodeId> = (0..4).map(|_| add(&mut graph)).collect();
        for step in steps {
            match step {
                Step::Renew(at) => {
                    graph.remove(nodes[at]);
                    nodes[at] = add(&mut graph);
                }
                Step::Connect { from, port, to, slot } => {
                    graph.connect(ValueId { node: nodes[from], port }, Use { node: nodes[to], slot });
                }
                Step::Disconnect { to, slot } => graph.disconnect(Use { node: nodes[to], slot }),
            }
            let wires: Vec<(ValueId, Use)> = graph.wires().collect();
            for &node in &nodes {
                for k in 0..PORTS {
                    let at = Use { node, slot: k };
                    let value = wires.iter().find(|(_, to)| *to == at).map(|(from, _)| *from);
                    prop_assert_eq!(graph.operand(node, k.into()), value);
                    let value = ValueId { node, port: k };
                    let count = wires.iter().filter(|(from, _)| *from == value).count();
                    let uses = graph.uses(value);
                    prop_assert!(uses.len() == count && uses.iter().all(|u| wires.contains(&(value, *u))));
                }
            }
        }
    }
}
