//! What a run comes to where not all nodes run: of the branches of an If, one does.

use crate::ir::{Graph, NodeId};
use crate::ops::body;
use std::collections::HashMap;
use std::iter::Sum;

/// The sum of what nodes cost, where of an If's open branches only the dearest counts. Bodies of loops count once.
pub fn of_a_run<N: Copy + PartialOrd + Sum + Default>(graph: &Graph, costs: impl Iterator<Item = (NodeId, N)>) -> N {
    let mut calls: HashMap<u32, Vec<NodeId>> = HashMap::new();
    for n in graph.calls().into_iter().filter(|&n| graph.call(n).is_some_and(body::is_open)) {
        calls.entry(graph.region(n)).or_default().push(n);
    }
    let mut regions: HashMap<u32, N> = HashMap::new();
    for (node, cost) in costs {
        let known = regions.entry(graph.region(node)).or_default();
        *known = [*known, cost].into_iter().sum();
    }
    let root = total(graph, &calls, &mut regions, 0);
    // Whatever belongs to no body any more runs as well.
    let mut left: Vec<(u32, N)> = regions.into_iter().collect();
    left.sort_by_key(|(region, _)| *region);
    std::iter::once(root).chain(left.into_iter().map(|(_, cost)| cost)).sum()
}

/// How many Ifs have open branches.
pub(super) fn choices(graph: &Graph) -> u64 {
    graph.calls().into_iter().filter(|&n| graph.call(n).is_some_and(body::is_choice)).count() as u64
}

/// What a region comes to with the bodies in it. Takes what it counts out of `regions`.
fn total<N: Copy + PartialOrd + Sum + Default>(
    graph: &Graph,
    calls: &HashMap<u32, Vec<NodeId>>,
    regions: &mut HashMap<u32, N>,
    region: u32,
) -> N {
    let mut all = vec![regions.remove(&region).unwrap_or_default()];
    for call in calls.get(&region).into_iter().flatten().filter_map(|&n| graph.call(n)) {
        let bodies: Vec<N> = body::regions(call).into_iter().map(|r| total(graph, calls, regions, r)).collect();
        all.push(match body::is_choice(call) {
            true => bodies.into_iter().fold(N::default(), |most, n| if n > most { n } else { most }),
            false => bodies.into_iter().sum(),
        });
    }
    all.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use crate::cost::{OpenDims, sums};
    use crate::passes::{Pipeline, Settings};
    use crate::{infer, ir};
    use std::collections::HashMap;

    fn macs(text: &str) -> u64 {
        let mut model = ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
        "open-bodies".parse::<Pipeline>().unwrap().run(&mut model, Settings::default()).unwrap();
        sums(&model, &infer::infer(&model), &OpenDims::of(&model, HashMap::new())).macs
    }

    #[test]
    fn the_dearer_branch_counts() {
        let text = |rest: &str| {
            format!(
                "g (bool c, bool d, f32[1,2] x) => (f32[1,2] y) {{
                f32[2,2] w = {{1.0, 2.0, 3.0, 4.0}}
                z = MatMul(x, w)
                y = If<
                    then_branch = t () => (a) {{ a = MatMul(z, w) }},
                    else_branch = e () => (b) {{ p = MatMul(z, w) {rest} }}
                >(c)
            }}"
            )
        };
        assert_eq!(macs(&text("b = Relu(p)")), 8);
        assert_eq!(macs(&text("b = MatMul(p, w)")), 12);
        let inner =
            "b = If<then_branch = t () => (q) { q = MatMul(p, w) }, else_branch = e () => (r) { r = Relu(p) }>(d)";
        assert_eq!(macs(&text(inner)), 12);
    }
}
