//! Products of two computed tensors over a label that lost units: an attention's logits, the sums over a head's inner
//! dimension of queries times keys.
//!
//! Nothing but the product sees in which basis queries and keys are given. So they are not cut to some of their
//! numbers, but written in the basis in which the products over the kept number of dimensions come nearest to those over
//! all. With `G` the second moments of the queries and `H` those of the keys, and `V` the first eigenvectors of
//! `H^½ G H^½`, the queries become `Vᵀ H^½ q`, and the keys `Vᵀ H^-½ k`: of all bilinear forms of this rank theirs has the
//! least error, where queries and keys are thought of as independent. Several heads of queries may share one of keys.
//!
//! Source: Wong et al., A3: an Analytical Low-Rank Approximation Framework for Attention, 2025 (arXiv 2505.12942).
//!
//! **Products of two computed tensors** over a cut label, such as queries times keys over a head's dimensions
//! (`logits.rs`), are found from the bindings. Nothing else sees in which basis the operands are given, so these are not cut to
//! some of their numbers, but written in the basis that keeps most of the products: eigenvectors of `H^½ G H^½`, with the
//! second moments of both (Wong et al., A3, 2025, arXiv 2505.12942). The call that makes an operand must be linear with
//! constant weights, and what is between must only move, scale and shift its outputs. That is not derived but tried
//! (`trace.rs`): with weights of zero and biases that number the outputs the model shows which of them stands where, and a
//! rotation by position, a norm or an activation shows as what it is. The outputs so made are combinations of the
//! original's (`mix.rs`), and the fits of later stages aim at these combinations.

use super::mix::Mix;
use super::trace::{Place, Source, Trace};
use super::{RepairError, Repaired, Step};
use crate::analysis::Analysis;
use crate::axes::{Axes, KeepSets, Kept, Shape, Var};
use crate::contraction::{Contraction, View};
use crate::ir::{NodeId, ValueId};
use crate::ops::{self, Site};
use crate::stats::{Draw, Probe, RunOptions, Samples, StatsError, rows};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A product, and its two operands.
struct Product {
    node: NodeId,
    label: Var,
    kept: Vec<usize>,
    operands: [Operand; 2],
}

struct Operand {
    slot: u16,
    value: ValueId,
    axis: usize,
    view: View,
    /// Which of the sources it is computed from.
    source: usize,
}

/// What is found of an operand: its heads, each a row of outputs of its source, and which head each position has.
struct Heads {
    rows: Vec<Vec<Place>>,
    of: Vec<usize>,
}

/// The combinations that products ask for, by the call whose outputs they are.
type Mixes = BTreeMap<NodeId, Mix>;

/// Combinations, and how the products fare with them.
type Mixed = (Vec<Mix>, Vec<(NodeId, Repaired)>);

/// Finds the products over cut labels and how to rewrite the calls that their operands come from.
pub(super) fn mixes(
    analysis: &Analysis,
    keep: &KeepSets,
    samples: &dyn Samples,
    execution: &RunOptions,
    may_change: &dyn Fn(&Contraction, usize) -> bool,
) -> Result<Mixed, RepairError> {
    let all = Contraction::every(analysis);
    let mut sources: Vec<Source> = vec![];
    let products: Vec<Product> = products(analysis, keep, &all, may_change, &mut sources);
    let (mut mixes, mut told) = (Mixes::new(), vec![]);
    let Some(feed) = samples.feeds().next().filter(|_| !products.is_empty()) else { return Ok((vec![], told)) };
    let feed = feed.map_err(StatsError::Feed)?;
    let values: BTreeSet<ValueId> = sources.iter().flat_map(|s| s.ends.iter().map(|e| e.0)).collect();
    let values: Vec<ValueId> = values.into_iter().collect();
    // A model that can't be run with other weights is left as it is.
    let Ok(trace) = Trace::new(analysis, execution, &sources, &values, &feed) else { return Ok((vec![], told)) };
    let mut found: Vec<(Product, [Heads; 2])> = vec![];
    for product in products {
        if let Some(heads) = product.heads(&trace, &sources) {
            found.push((product, heads));
        }
    }
    let moments = measure(analysis, &found, samples, execution)?;
    for ((product, heads), moments) in found.iter().zip(&moments) {
        let row = product.rewrite(analysis, keep, &trace, &sources, heads, moments, &mut mixes);
        told.extend(row.map(|row| (product.node, row)));
    }
    Ok((mixes.into_values().collect(), told))
}

fn products(
    analysis: &Analysis,
    keep: &KeepSets,
    all: &[Contraction],
    may_change: &dyn Fn(&Contraction, usize) -> bool,
    sources: &mut Vec<Source>,
) -> Vec<Product> {
    let (graph, axes) = (&analysis.model.graph, &analysis.axes);
    let mut found = vec![];
    for node in graph.topological().into_iter().filter(|&n| graph.region(n) == 0) {
        for label in axes.bindings(node) {
            let &[a, b] = &label.operands[..] else { continue };
            let is_plain = !label.in_result && !label.unread && label.repeated.is_empty();
            let is_leaf = matches!(axes.solver().shape(label.var), Shape::Leaf);
            let Kept::Some(kept) = keep.of(axes, label.var) else { continue };
            if !is_plain || !is_leaf || !is_product(analysis, node, a, b) {
                continue;
            }
            let leaf = axes.solver().find(label.var);
            let operand = |slot: u16, sources: &mut Vec<Source>| {
                let value = graph.operand(node, usize::from(slot)).filter(|v| graph.tensor(*v).is_none())?;
                let (axis, view) = view(axes, value, leaf)?;
                let source = Source::of(analysis, all, value)?;
                may_change(&source.contraction, source.layout.row).then_some(())?;
                let known = sources.iter().position(|s| s.contraction.node == source.contraction.node);
                let source = known.unwrap_or_else(|| {
                    sources.push(source);
                    sources.len() - 1
                });
                Some(Operand { slot, value, axis, view, source })
            };
            if let (Some(a), Some(b)) = (operand(a, sources), operand(b, sources)) {
                found.push(Product { node, label: leaf, kept, operands: [a, b] });
            }
        }
    }
    found
}

/// Whether a zero in either operand is absorbing: both are factors.
fn is_product(analysis: &Analysis, node: NodeId, a: u16, b: u16) -> bool {
    let Some(call) = analysis.model.graph.call(node) else { return false };
    let unknowns = crate::facts::Unknowns::of_questions();
    let site = Site::new(&analysis.model, &analysis.model.graph, node, call, &analysis.facts, &unknowns);
    let alone = |slot: u16| (0..call.arity).map(|s| s == slot).collect::<Vec<bool>>();
    let absorbing = ops::rule_of(&analysis.model, call).zeros.absorbing;
    absorbing(&site, &alone(a)) && absorbing(&site, &alone(b))
}

/// The axis that a leaf is on, and where.
fn view(axes: &Axes, value: ValueId, leaf: Var) -> Option<(usize, View)> {
    let vars = axes.of(value)?;
    let mut on = (0..vars.len()).filter(|&a| axes.solver().leaves(vars[a]).contains(&leaf));
    let (axis, None) = (on.next()?, on.next()) else { return None };
    let units: Option<Vec<u32>> = axes.units_of(vars[axis], leaf).into_iter().collect();
    let units = units?;
    let length = axes.solver().size(leaf).size()?;
    let inner = units.iter().take_while(|u| **u == 0).count().max(1);
    let outer = units.len() / (length * inner).max(1);
    let fits = units.iter().enumerate().all(|(i, &u)| i / inner % length == u as usize);
    (fits && outer * length * inner == units.len()).then_some((axis, View { var: leaf, outer, length, inner }))
}

impl Product {
    /// The heads of both operands, if nothing else reads the outputs that they are made of.
    fn heads(&self, trace: &Trace, sources: &[Source]) -> Option<[Heads; 2]> {
        let [a, b] = &self.operands;
        let heads = [Heads::of(trace.rows(a.value, a.axis, a.view)?), Heads::of(trace.rows(b.value, b.axis, b.view)?)];
        for (operand, heads) in self.operands.iter().zip(&heads) {
            let mine: BTreeSet<usize> = heads.rows.iter().flatten().map(|p| p.output).collect();
            let count: usize = heads.rows.iter().map(Vec::len).sum();
            if mine.len() < count {
                return None;
            }
            for (value, at) in &sources[operand.source].ends {
                let is_mine = (at.node, at.slot) == (self.node, operand.slot);
                if !is_mine && trace.outputs(*value)?.iter().any(|o| mine.contains(o)) {
                    return None;
                }
            }
        }
        Some(heads)
    }

    /// Which heads of one operand meet which of the other.
    fn meetings(&self, analysis: &Analysis, trace: &Trace, heads: &[Heads; 2]) -> Option<BTreeSet<(usize, usize)>> {
        let axes = &analysis.axes;
        let leaves = |o: &Operand| -> BTreeSet<Var> {
            axes.of(o.value).into_iter().flatten().flat_map(|v| axes.solver().leaves(*v)).collect()
        };
        let [a, b] = &self.operands;
        let shared: BTreeSet<Var> = leaves(a).intersection(&leaves(b)).copied().filter(|&l| l != self.label).collect();
        let mut at: BTreeMap<Vec<(Var, usize)>, BTreeSet<usize>> = BTreeMap::new();
        for (key, head) in positions(axes, a, trace.shape(a.value)?, &shared)?.into_iter().zip(&heads[0].of) {
            at.entry(key).or_default().insert(*head);
        }
        let mut out = BTreeSet::new();
        for (key, head) in positions(axes, b, trace.shape(b.value)?, &shared)?.into_iter().zip(&heads[1].of) {
            out.extend(at.get(&key).into_iter().flatten().map(|h| (*h, *head)));
        }
        Some(out)
    }

    #[allow(clippy::too_many_arguments)]
    fn rewrite(
        &self,
        analysis: &Analysis,
        keep: &KeepSets,
        trace: &Trace,
        sources: &[Source],
        heads: &[Heads; 2],
        moments: &[Vec<Mat<f64>>; 2],
        mixes: &mut Mixes,
    ) -> Option<Repaired> {
        let met = self.meetings(analysis, trace, heads)?;
        let (mut before, mut after, mut whole) = (0.0, 0.0, 0.0);
        let mut changes = vec![];
        for (firsts, seconds) in components(&met) {
            // The operand with one head takes the part of the keys.
            let (many, one, swapped) = match (&firsts[..], &seconds[..]) {
                (_, [one]) => (&firsts, *one, false),
                ([one], _) => (&seconds, *one, true),
                _ => return None,
            };
            let (left, right) = if swapped { (1, 0) } else { (0, 1) };
            let d = self.operands[0].view.length;
            let mut g = Mat::zeros(d, d);
            many.iter().for_each(|&h| g += &moments[left][h]);
            let basis = Basis::new(&g, &moments[right][one], &self.kept)?;
            before += basis.before;
            after += basis.after;
            whole += basis.whole;
            many.iter().for_each(|&h| changes.push((left, h, basis.left.clone())));
            changes.push((right, one, basis.right));
        }
        for (side, head, matrix) in changes {
            let source = &sources[self.operands[side].source];
            self.change(analysis, keep, source, &heads[side].rows[head], &matrix, mixes)?;
        }
        let weight = mixes.get(&sources[self.operands[0].source].contraction.node)?.weight(analysis);
        Some(Repaired {
            step: Step::Logits,
            node: analysis.model.graph.label(self.node).to_owned(),
            weight,
            before: before / f64::max(whole, f64::MIN_POSITIVE),
            after: after / f64::max(whole, f64::MIN_POSITIVE),
            rows: 0,
            reads: 0,
        })
    }

    /// Puts a head into another basis.
    fn change(
        &self,
        analysis: &Analysis,
        keep: &KeepSets,
        source: &Source,
        row: &[Place],
        matrix: &Mat<f64>,
        mixes: &mut Mixes,
    ) -> Option<()> {
        let (c, layout) = (&source.contraction, &source.layout);
        let var = analysis.axes.of(ValueId { node: c.node, port: 0 })?[layout.output];
        let Kept::Some(left) = keep.of(&analysis.axes, var) else { return None };
        let mix = mixes.entry(c.node).or_insert_with(|| Mix::choice(c, &left, layout.output, layout.row));
        for (i, &unit) in self.kept.iter().enumerate() {
            let to = row[unit];
            // Heads that are gone need nothing.
            let Ok(at) = left.binary_search(&to.output) else { continue };
            let part = |(j, from): (usize, &Place)| (from.output, matrix[(i, j)] * from.factor / to.factor);
            let constant: f64 = row.iter().enumerate().map(|(j, from)| matrix[(i, j)] * from.constant).sum();
            mix.parts[at] = (row.iter().enumerate().map(part).collect(), (constant - to.constant) / to.factor);
        }
        Some(())
    }
}

impl Heads {
    fn of(rows: Vec<Vec<Place>>) -> Heads {
        let mut heads = Heads { rows: vec![], of: vec![] };
        let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
        for row in rows {
            let outputs = row.iter().map(|p| p.output).collect();
            let head = *known.entry(outputs).or_insert_with(|| {
                heads.rows.push(row);
                heads.rows.len() - 1
            });
            heads.of.push(head);
        }
        heads
    }
}

/// For each position beside the view: its indices along the shared leaves.
fn positions(axes: &Axes, o: &Operand, shape: &[usize], shared: &BTreeSet<Var>) -> Option<Vec<Vec<(Var, usize)>>> {
    let vars = axes.of(o.value)?;
    let View { length, inner, .. } = o.view;
    let behind: usize = shape[o.axis + 1..].iter().product();
    let (stride, block) = (inner * behind, length * inner * behind);
    let total = shape.iter().product::<usize>() / length;
    let position = |row: usize| {
        let mut rest = (row / stride) * block + row % stride;
        let mut key = vec![];
        for axis in (0..shape.len()).rev() {
            indices(axes, vars[axis], rest % shape[axis], &mut key)?;
            rest /= shape[axis];
        }
        key.retain(|(leaf, _)| shared.contains(leaf));
        key.sort_unstable();
        Some(key)
    };
    (0..total).map(position).collect()
}

/// The indices along the leaves that an index of an axis stands for.
fn indices(axes: &Axes, var: Var, index: usize, out: &mut Vec<(Var, usize)>) -> Option<()> {
    match axes.solver().shape(var) {
        Shape::Leaf => out.push((axes.solver().find(var), index)),
        Shape::Sum(_) => {}
        Shape::Product(parts) => {
            let mut rest = index;
            for part in parts.iter().skip(1).rev() {
                let size = axes.solver().size(*part).size()?;
                indices(axes, *part, rest % size, out)?;
                rest /= size;
            }
            indices(axes, *parts.first()?, rest, out)?;
        }
    }
    Some(())
}

/// The heads that hang together, of both sides.
fn components(met: &BTreeSet<(usize, usize)>) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut parts: Vec<(BTreeSet<usize>, BTreeSet<usize>)> = vec![];
    for &(a, b) in met {
        let (mut firsts, mut seconds) = (BTreeSet::from([a]), BTreeSet::from([b]));
        parts.retain(|(f, s)| {
            let apart = !f.contains(&a) && !s.contains(&b);
            if !apart {
                firsts.extend(f);
                seconds.extend(s);
            }
            apart
        });
        parts.push((firsts, seconds));
    }
    parts.into_iter().map(|(f, s)| (f.into_iter().collect(), s.into_iter().collect())).collect()
}

/// Second moments of each head, of both operands of each product.
fn measure(
    analysis: &Analysis,
    found: &[(Product, [Heads; 2])],
    samples: &dyn Samples,
    execution: &RunOptions,
) -> Result<Vec<[Vec<Mat<f64>>; 2]>, RepairError> {
    let empty = |(p, heads): &(Product, [Heads; 2])| {
        let d = p.operands[0].view.length;
        [0, 1].map(|side: usize| vec![Mat::zeros(d, d); heads[side].rows.len()])
    };
    let mut out: Vec<[Vec<Mat<f64>>; 2]> = found.iter().map(empty).collect();
    if found.is_empty() {
        return Ok(out);
    }
    let values: Vec<ValueId> = found.iter().flat_map(|(p, _)| p.operands.iter().map(|o| o.value)).collect();
    let mut probe = Probe::new(execution.setup, &analysis.model, &values)?;
    for feed in samples.feeds() {
        let read = probe.run(&feed.map_err(StatsError::Feed)?)?;
        for ((product, heads), moments) in found.iter().zip(&mut out) {
            for side in [0, 1] {
                let o = &product.operands[side];
                let x = rows(&read[&o.value], o.axis, o.view, Draw::ALL).map_err(|e| probe.failed(o.value, e))?;
                add(&x, &heads[side], &mut moments[side]);
            }
        }
    }
    Ok(out)
}

/// Adds rows to the moments of their heads.
fn add(x: &Mat<f32>, heads: &Heads, moments: &mut [Mat<f64>]) {
    for (head, moments) in moments.iter_mut().enumerate() {
        let mine: Vec<usize> = (0..x.nrows()).filter(|&r| heads.of.get(r) == Some(&head)).collect();
        let block = Mat::from_fn(mine.len(), x.ncols(), |r, k| f64::from(x[(mine[r], k)]));
        matmul(moments.as_mut(), Accum::Add, block.transpose(), block.as_ref(), 1.0, Par::Seq);
    }
}

/// Maps of both operands onto few dimensions, `[kept, all]`, and the energy of what the products lack.
struct Basis {
    left: Mat<f64>,
    right: Mat<f64>,
    before: f64,
    after: f64,
    whole: f64,
}

impl Basis {
    fn new(g: &Mat<f64>, h: &Mat<f64>, kept: &[usize]) -> Option<Basis> {
        let (d, r) = (g.nrows(), kept.len());
        let (root, inverse) = roots(h)?;
        let middle = &(&root * g) * &root;
        let eigen = middle.self_adjoint_eigen(Side::Lower).ok()?;
        // Ascending.
        let (values, vectors) = (eigen.S(), eigen.U());
        let value = |i: usize| f64::max(values[d - 1 - i], 0.0);
        let first = Mat::from_fn(d, r, |k, i| vectors[(k, d - 1 - i)]);
        // Both sides as large as each other.
        let scale = |i: usize| value(i).powf(0.25).max(f64::MIN_POSITIVE.sqrt());
        let scaled = |m: Mat<f64>, up: bool| {
            Mat::from_fn(r, d, |i, k| if up { m[(i, k)] * scale(i) } else { m[(i, k)] / scale(i) })
        };
        let lost = |i: usize| !kept.contains(&i);
        let pairs = (0..d).flat_map(|i| (0..d).map(move |j| (i, j)));
        let before = pairs.filter(|&(i, j)| lost(i) && lost(j)).map(|(i, j)| g[(i, j)] * h[(j, i)]).sum();
        Some(Basis {
            left: scaled(first.transpose() * &root, false),
            right: scaled(first.transpose() * &inverse, true),
            before,
            after: (r..d).map(value).sum(),
            whole: (0..d).map(value).sum(),
        })
    }
}

/// The square root of a matrix of moments, and the inverse of that.
fn roots(h: &Mat<f64>) -> Option<(Mat<f64>, Mat<f64>)> {
    let d = h.nrows();
    let eigen = h.self_adjoint_eigen(Side::Lower).ok()?;
    let (values, vectors) = (eigen.S(), eigen.U());
    let largest = (0..d).map(|i| values[i]).fold(0.0, f64::max);
    if largest <= 0.0 {
        return None;
    }
    let root = |i: usize| values[i].max(1e-8 * largest).sqrt();
    let with = |f: &dyn Fn(f64) -> f64| {
        let scaled = Mat::from_fn(d, d, |k, i| vectors[(k, i)] * f(root(i)));
        &scaled * vectors.transpose()
    };
    Some((with(&|x| x), with(&|x| 1.0 / x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Second moments of a few made-up rows of four numbers.
    fn moments(seed: usize) -> Mat<f64> {
        let x = Mat::from_fn(9, 4, |r, k| ((r * 5 + k * 7 + seed * (r + k * k)) % 11) as f64 - 4.0);
        x.transpose() * &x
    }

    #[test]
    fn a_basis_errs_by_what_it_says_and_less_than_any_choice() {
        let (g, h) = (moments(1), moments(2));
        for kept in [vec![0, 2], vec![1, 3], vec![0, 1, 2]] {
            let basis = Basis::new(&g, &h, &kept).unwrap();
            // E (q·k - Lq·Rk)² = tr(G D H Dᵀ) with D = I - Lᵀ R.
            let off = Mat::<f64>::identity(4, 4) - basis.left.transpose() * &basis.right;
            let error = &(&(&g * &off) * &h) * off.transpose();
            let error: f64 = (0..4).map(|i| error[(i, i)]).sum();
            assert!((error - basis.after).abs() < 1e-6 * basis.whole, "{error} {}", basis.after);
            assert!(basis.after < basis.before && basis.before < basis.whole);
        }
        let all = Basis::new(&g, &h, &[0, 1, 2, 3]).unwrap();
        assert!(all.after == 0.0 && all.before == 0.0);
    }

    #[test]
    fn heads_that_share_keys_hang_together() {
        let met = BTreeSet::from([(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)]);
        assert_eq!(components(&met), [(vec![0, 1], vec![0]), (vec![2, 3], vec![1]), (vec![4], vec![2])]);
    }
}
