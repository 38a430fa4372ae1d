//! The laws of an operator's rule, checked on one case.

use super::case::{Case, call};
use super::draw::Draw;
use super::eval::{make_input, masked, results, same, select};
use super::ops::LIMITED;
use secateur::analysis::Analysis;
use secateur::analysis::{Binding, Group, KeepSets, Var};
use secateur::analysis::{Element, Facts};
use secateur::ir::{Atom, DType, Dim, Model, NodeId, Tensor, ValueId};
use secateur::ops::{End, Rule, Site, rule_of};
use secateur::oracle::OracleError;
use secateur::prune;
use std::collections::BTreeSet;

/// What was seen of an operator, to know that its laws were not vacuous.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    pub cases: usize,
    /// Cases that the oracle ran.
    pub run: usize,
    /// Cases that lost units.
    pub cut: usize,
    /// Times that the law of zeros had something to say.
    pub zeros: usize,
    /// Times that zeros were said to be absorbing in a contraction.
    pub absorbed: usize,
    /// Why the oracle did not run one.
    pub refused: String,
}

/// A case under test: its model, and what its results are in truth (nothing where the oracle does not know).
struct Trial<'a> {
    case: &'a Case,
    analysis: Analysis,
    call: NodeId,
    /// What is checked: the operator's rule, or a false one.
    rule: &'a Rule,
    truth: Option<Vec<Tensor>>,
    slot: usize,
    fed: Tensor,
}

/// Checks all laws.
pub(crate) fn laws(case: &Case, d: &mut Draw, seen: &mut Seen) -> Result<(), String> {
    let model = case.model()?;
    let rule = rule_of(&model, model.graph.call(call(&model)).expect("a call"));
    laws_of(rule, case, model, d, seen)
}

/// Checks the laws that a rule claims of a case. Facts and axes are those of the operator's own rule.
pub(crate) fn laws_of(rule: &Rule, case: &Case, model: Model, d: &mut Draw, seen: &mut Seen) -> Result<(), String> {
    seen.cases += 1;
    let (slot, fed) = case.first_data().map(|(i, t)| (i, t.clone())).expect("a case has data");
    let node = call(&model);
    let truth = match results(&model, node, slot, &fed) {
        Ok(truth) => {
            seen.run += 1;
            Some(truth)
        }
        Err(error) => {
            seen.refused = error.to_string();
            None
        }
    };
    let trial = Trial { case, analysis: Analysis::new(model.clone()), call: node, rule, truth, slot, fed };
    trial.shapes(&|_| None).map_err(|e| format!("law 1 (types): {e}"))?;
    trial.identity()?;
    trial.bypass()?;
    trial.cuts(d, seen)?;
    trial.zeros(d, seen).map_err(|e| format!("law of zeros: {e}"))?;
    trial.absorbing(d, seen).map_err(|e| format!("law of absorbing zeros: {e}"))?;
    open(trial, model, d, seen).map_err(|e| format!("with an open input: {e}"))
}

/// The same with the first operand as an input of which some lengths are open.
fn open(closed: Trial, mut model: Model, d: &mut Draw, seen: &mut Seen) -> Result<(), String> {
    let value = model.graph.operand(closed.call, closed.slot).expect("an operand");
    let lengths = closed.fed.shape.clone();
    let dims =
        lengths.iter().enumerate().map(|(i, &n)| if d.flip() { Dim::symbol(&format!("d{i}")) } else { n.into() });
    make_input(&mut model, value.node, dims.collect());
    let shape = |analysis: &Analysis, value| analysis.facts.shape(value).map(<[Dim]>::to_vec);
    let results: Vec<ValueId> = model.graph.results(closed.call).collect();
    let fixed: Vec<_> = results.iter().map(|&v| shape(&closed.analysis, v)).collect();
    let trial = Trial { analysis: Analysis::new(model), ..closed };
    let length = |atom: &Atom| match atom {
        Atom::Symbol(s) => Some(lengths[s[1..].parse::<usize>().ok()?] as i64),
        _ => None,
    };
    trial.shapes(&length).map_err(|e| format!("law 1 (types): {e}"))?;
    // The oracle may not know the operator: then the open and the closed shape check each other.
    for (fixed, open) in fixed.iter().zip(results.iter().map(|&v| shape(&trial.analysis, v))) {
        let (Some(fixed), Some(open)) = (fixed, open) else { continue };
        let agree = |(a, b): (&Dim, &Dim)| a.eval(&length).zip(b.eval(&length)).is_none_or(|(a, b)| a == b);
        if fixed.len() != open.len() || !fixed.iter().zip(&open).all(agree) {
            return Err(format!("law 1 (types): {fixed:?} is {open:?}"));
        }
    }
    trial.cuts(d, seen)
}

/// Whether all numbers are.
fn is_finite(tensors: &[Tensor]) -> bool {
    tensors.iter().all(|t| t.to_f64().map_or(true, |numbers| numbers.iter().all(|x| x.is_finite())))
}

impl Trial<'_> {
    /// Law 1: what is inferred evaluates to what is.
    fn shapes(&self, length: &dyn Fn(&Atom) -> Option<i64>) -> Result<(), String> {
        if let Some(c) = self.analysis.facts.contradictions.first() {
            return Err(format!("a contradiction: {}", c.what));
        }
        let Some(truth) = &self.truth else { return Ok(()) };
        for (value, real) in self.analysis.model.graph.results(self.call).zip(truth) {
            let fact = self.analysis.facts.get(value);
            if let Some(shape) = &fact.shape {
                let right = shape.len() == real.shape.len()
                    && shape.iter().zip(&real.shape).all(|(d, &n)| d.eval(length).is_none_or(|d| d == n as i64));
                if !right {
                    return Err(format!("{shape:?} was inferred for {:?}", real.shape));
                }
            }
            if fact.dtype.is_some_and(|t| t != real.dtype) {
                return Err(format!("{:?} was inferred for {}", fact.dtype, real.dtype));
            }
            let Some(content) = &fact.content else { continue };
            let numbers = real.to_f64().map_err(|e| e.to_string())?;
            let right = |(e, &x): (&Element, &f64)| match e {
                Element::Int(d) => d.eval(length).is_none_or(|d| d as f64 == x),
                Element::Float(f) => (f - x).abs() <= 1e-4 * x.abs().max(1.0) || f.is_nan() && x.is_nan() || *f == x,
                Element::Bool(b) => f64::from(u8::from(*b)) == x,
                Element::Unknown => true,
            };
            if !content.0.iter().zip(&numbers).all(right) {
                return Err(format!("{:?} was inferred for {numbers:?}", content.0));
            }
        }
        Ok(())
    }

    /// A call that is said to be the identity is one.
    fn identity(&self) -> Result<(), String> {
        let (Some(truth), 0) = (&self.truth, self.slot) else { return Ok(()) };
        let says = self.site(&self.analysis.facts, |site| (self.rule.values.identity)(site));
        if says { same(&self.fed, &truth[0]).map_err(|e| format!("no identity: {e}")) } else { Ok(()) }
    }

    /// An operand that is said to be passed on where another is zero is what comes out then.
    fn bypass(&self) -> Result<(), String> {
        let (Some(truth), graph) = (&self.truth, &self.analysis.model.graph) else { return Ok(()) };
        let call = graph.call(self.call).expect("a call");
        for slot in 0..usize::from(call.arity) {
            let kept = self.site(&self.analysis.facts, |site| (self.rule.values.bypass)(site, slot));
            let values = kept.and_then(|kept| graph.operand(self.call, kept)).zip(graph.operand(self.call, slot));
            let Some((kept, zero)) = values.filter(|(kept, zero)| kept != zero) else { continue };
            let tensor = graph.tensor(kept).expect("the operands of a case are constants");
            let mut model = self.analysis.model.clone();
            let constant = model.graph.constant_mut(zero.node).expect("the operands of a case are constants");
            let nothing = Tensor::from_f64(constant.tensor.dtype, vec![1; tensor.shape.len()], &[0.0]);
            let Some(nothing) = nothing.filter(|_| tensor.shape == truth[0].shape) else { continue };
            constant.tensor = nothing;
            let found = self.results(&model).map_err(|e| e.to_string())?;
            same(tensor, &found[0]).map_err(|e| format!("operand {slot} is zero, and the other is no bypass: {e}"))?;
        }
        Ok(())
    }

    fn site<T>(&self, facts: &Facts, see: impl FnOnce(&Site) -> T) -> T {
        let unknowns = secateur::analysis::Unknowns::of_questions();
        let graph = &self.analysis.model.graph;
        let call = graph.call(self.call).expect("a call");
        see(&Site::new(&self.analysis.model, graph, self.call, call, facts, &unknowns))
    }

    /// Laws 2 to 4 for random units of every group.
    fn cuts(&self, d: &mut Draw, seen: &mut Seen) -> Result<(), String> {
        let groups: Vec<&Group> = self.analysis.groups.free().collect();
        let (exact, all): (Vec<&Group>, _) = (groups.iter().copied().filter(|g| g.is_exact()).collect(), groups);
        if exact.len() < all.len() {
            self.drop(&self.keep(&all, d)).map_err(|e| format!("law 2, inexact groups too: {e}"))?;
        }
        if exact.is_empty() {
            return Ok(());
        }
        seen.cut += 1;
        let keep = self.keep(&exact, d);
        let dropped = self.drop(&keep).map_err(|e| format!("law 2: {e}"))?;
        if self.truth.is_none() {
            return Ok(());
        }
        let reference = self.results(&masked(&self.analysis, &keep)).map_err(|e| e.to_string())?;
        self.agree(&keep, &dropped, &reference).map_err(|e| format!("law 4 (keep {keep:?}): {e}"))?;
        if is_finite(self.truth.as_deref().unwrap_or_default()) && !is_finite(&reference) {
            return Err(format!("law 4 (keep {keep:?}): the masked call has a pole, and nobody said so"));
        }
        let shared: Vec<&Group> = exact.into_iter().filter(|g| self.is_shared(g.leaf)).collect();
        if shared.is_empty() {
            return Ok(());
        }
        let keep = self.keep(&shared, d);
        let dropped = self.drop(&keep).map_err(|e| format!("law 2: {e}"))?;
        let truth = self.truth.as_deref().unwrap_or_default();
        self.agree(&keep, &dropped, truth).map_err(|e| format!("law 3 (keep {keep:?}): {e}"))
    }

    fn keep(&self, groups: &[&Group], d: &mut Draw) -> KeepSets {
        let mut keep = KeepSets::default();
        groups.iter().for_each(|g| keep.keep(g.leaf, d.keep(g.size, g.floor)));
        keep
    }

    fn drop(&self, keep: &KeepSets) -> Result<Model, String> {
        prune::apply(&self.analysis, keep).map(|a| a.model).map_err(|e| format!("{keep:?}: {e}"))
    }

    fn results(&self, model: &Model) -> Result<Vec<Tensor>, OracleError> {
        results(model, self.call, self.slot, &self.fed)
    }

    /// The results of the model that was cut are what is kept of the reference's.
    fn agree(&self, keep: &KeepSets, dropped: &Model, reference: &[Tensor]) -> Result<(), String> {
        let found = match self.results(dropped) {
            Ok(found) => found,
            Err(_) if LIMITED.iter().any(|(op, _)| *op == self.case.op) => return Ok(()),
            Err(e) => return Err(format!("the oracle refuses the cut model: {e}")),
        };
        for ((value, whole), found) in self.analysis.model.graph.results(self.call).zip(reference).zip(&found) {
            select(&self.analysis, keep, value, whole).map_or(Ok(()), |kept| same(&kept, found))?;
        }
        Ok(())
    }

    fn bindings(&self, leaf: Var) -> impl Iterator<Item = &Binding> {
        let axes = &self.analysis.axes;
        axes.bindings(self.call).iter().filter(move |b| axes.solver().leaves(b.var).contains(&leaf))
    }

    /// Whether every label of the call that holds the leaf stands in all results too, and no operand has it twice:
    /// the state of a recurrent layer is in the result, and contracted with the weights.
    fn is_shared(&self, leaf: Var) -> bool {
        let axes = &self.analysis.axes;
        let times = |value: ValueId| {
            let leaves = axes.of(value).into_iter().flatten().flat_map(|&v| axes.solver().leaves(v));
            leaves.filter(|&l| l == leaf).count()
        };
        let operands = self.analysis.model.graph.operands(self.call);
        self.bindings(leaf).all(|b| b.in_result && !b.missed) && operands.into_iter().flatten().all(|v| times(v) < 2)
    }

    /// Where a rule says that its results are zero, they are. Zero is what stands for it: the zero point, if there is one.
    fn zeros(&self, d: &mut Draw, seen: &mut Seen) -> Result<(), String> {
        let graph = &self.analysis.model.graph;
        for group in self.analysis.groups.all.iter().filter(|g| g.is_exact()) {
            let (slots, zero) = self.some_zero(group, d);
            let says = self.says_zero(group.leaf, &zero, &slots);
            if self.truth.is_none() || !says {
                continue;
            }
            seen.zeros += 1;
            let gone: Vec<u32> = d.keep(group.size, group.floor).into_iter().map(|u| u as u32).collect();
            let model = self.cleared(group.leaf, &gone, &zero, &slots);
            let found = self.results(&model).map_err(|e| e.to_string())?;
            for (port, (value, result)) in graph.results(self.call).zip(&found).enumerate() {
                let Some(level) = self.zero_level(End::Result(port), &slots, &found) else { continue };
                self.is_level(value, group.leaf, &gone, result, level)
                    .map_err(|e| format!("operands {zero:?} zero at the units {gone:?} of {}: {e}", group.id))?;
            }
        }
        Ok(())
    }

    /// Where a rule says that zeros are absorbing, a contraction gets nothing from the units at which operands are zero:
    /// without these it computes the same.
    fn absorbing(&self, d: &mut Draw, seen: &mut Seen) -> Result<(), String> {
        for group in self.analysis.groups.free().filter(|g| g.is_exact()) {
            let (slots, zero) = self.some_zero(group, d);
            let kept = d.keep(group.size, group.floor);
            if self.truth.is_none() || !self.says_absorbing(group.leaf, &zero, &slots) {
                continue;
            }
            seen.absorbed += 1;
            let gone: Vec<u32> = (0..group.size).filter(|u| !kept.contains(u)).map(|u| u as u32).collect();
            let mut keep = KeepSets::default();
            keep.keep(group.leaf, kept);
            let cleared = self.results(&self.cleared(group.leaf, &gone, &zero, &slots)).map_err(|e| e.to_string())?;
            self.agree(&keep, &self.drop(&keep)?, &cleared)
                .map_err(|e| format!("operands {zero:?} zero at the units {gone:?} of {}: {e}", group.id))?;
        }
        Ok(())
    }

    /// The operands that carry a group, and some of these. An operand that broadcasts stands in a label's binding too,
    /// but has none of its units.
    fn some_zero(&self, group: &Group, d: &mut Draw) -> (BTreeSet<u16>, Vec<u16>) {
        let graph = &self.analysis.model.graph;
        let carriers: BTreeSet<u16> =
            group.members.iter().flat_map(|m| graph.uses(m.constant)).map(|u| u.slot).collect();
        let all = d.range(0, 2) == 0;
        let zero = carriers.iter().copied().filter(|_| all || d.flip()).collect();
        (carriers, zero)
    }

    /// The model with zeros in these operands at a leaf's units.
    fn cleared(&self, leaf: Var, gone: &[u32], zero: &[u16], carriers: &BTreeSet<u16>) -> Model {
        let mut model = self.analysis.model.clone();
        for &slot in zero {
            let value = self.analysis.model.graph.operand(self.call, usize::from(slot)).expect("an operand");
            let level = self.zero_level(End::Operand(slot.into()), carriers, &[]).unwrap_or(0.0);
            self.clear(&mut model, value, leaf, gone, level);
        }
        model
    }

    /// Whether the rule says that the results are zero at a leaf's units where these of the carrying operands are.
    fn says_zero(&self, leaf: Var, zero: &[u16], carriers: &BTreeSet<u16>) -> bool {
        let mut carried = self.bindings(leaf).filter(|b| b.in_result).peekable();
        carried.peek().is_some()
            && self.site(&self.analysis.facts, |site| {
                carried.all(|b| (self.rule.zeros.results)(site, &self.zero_at(b, zero, carriers)))
            })
    }

    /// Whether every label of the call that holds the leaf is contracted, and the rule says that zeros in these of the
    /// carrying operands are absorbing.
    fn says_absorbing(&self, leaf: Var, zero: &[u16], carriers: &BTreeSet<u16>) -> bool {
        let is_contracted = |b: &&Binding| !b.unread && (!b.in_result || b.missed) && b.repeated.is_empty();
        let (contracted, all) = (self.bindings(leaf).filter(is_contracted).count(), self.bindings(leaf).count());
        all > 0
            && contracted == all
            && self.site(&self.analysis.facts, |site| {
                self.bindings(leaf).all(|b| (self.rule.zeros.absorbing)(site, &self.zero_at(b, zero, carriers)))
            })
    }

    /// Which operands a rule is told to be zero at a label's units, where these of the carrying ones are. A zero point with
    /// a number for each unit is zero where its operand is, or not at all.
    fn zero_at(&self, binding: &Binding, zero: &[u16], carriers: &BTreeSet<u16>) -> Vec<bool> {
        let fits = |slot: u16| match (self.rule.quantization.zero_point)(End::Operand(slot.into())) {
            Some(End::Operand(at)) if carriers.contains(&(at as u16)) => zero.contains(&(at as u16)),
            Some(end) => self.zero_point(end, &[]).is_none_or(|numbers| is_uniform(&numbers)),
            None => true,
        };
        let slots = 0..self.case.operands.len() as u16;
        slots.map(|slot| zero.contains(&slot) && binding.operands.contains(&slot) && fits(slot)).collect()
    }

    /// The numbers of a zero point.
    fn zero_point(&self, at: End, found: &[Tensor]) -> Option<Vec<f64>> {
        let graph = &self.analysis.model.graph;
        let tensor = match at {
            End::Operand(slot) => graph.tensor(graph.operand(self.call, slot)?)?,
            End::Result(port) => found.get(port)?,
        };
        tensor.to_f64().ok()
    }

    /// The number that stands for zero at an end of the call; `None` where it is another one for each unit of an axis
    /// that the leaf, which these operands carry, is not on.
    fn zero_level(&self, end: End, carriers: &BTreeSet<u16>, found: &[Tensor]) -> Option<f64> {
        match (self.rule.quantization.zero_point)(end) {
            None => Some(0.0),
            Some(End::Operand(slot)) if carriers.contains(&(slot as u16)) => Some(0.0),
            Some(at) => match self.zero_point(at, found) {
                None => Some(0.0),
                Some(numbers) => numbers.first().copied().filter(|_| is_uniform(&numbers)),
            },
        }
    }

    /// The indices of each axis of a value that belong to some units of a leaf.
    fn indices(&self, value: ValueId, leaf: Var, units: &[u32]) -> Vec<Vec<usize>> {
        let axes = &self.analysis.axes;
        let of = |&var: &Var| {
            let belongs = axes.units_of(var, leaf);
            (0..belongs.len()).filter(|&i| belongs[i].is_some_and(|u| units.contains(&u))).collect()
        };
        axes.of(value).into_iter().flatten().map(of).collect()
    }

    fn clear(&self, model: &mut Model, value: ValueId, leaf: Var, units: &[u32], level: f64) {
        let indices = self.indices(value, leaf, units);
        let Some(constant) = model.graph.constant_mut(value.node) else { return };
        let tensor = &mut constant.tensor;
        let numbers = tensor.to_f64().expect("numbers");
        let ones = vec![1.0; numbers.len()];
        let mut stays = Tensor::from_f64(DType::F32, tensor.shape.clone(), &ones).expect("numbers");
        for (axis, indices) in indices.iter().enumerate() {
            stays = stays.zeroed(axis, indices).expect("numbers");
        }
        let stays = stays.to_f64().expect("numbers");
        let numbers: Vec<f64> = numbers.iter().zip(&stays).map(|(&x, &s)| if s == 0.0 { level } else { x }).collect();
        *tensor = Tensor::from_f64(tensor.dtype, tensor.shape.clone(), &numbers).expect("numbers");
    }

    fn is_level(&self, value: ValueId, leaf: Var, units: &[u32], result: &Tensor, level: f64) -> Result<(), String> {
        for (axis, indices) in self.indices(value, leaf, units).iter().enumerate() {
            let slices = result.select(axis, indices).and_then(|t| t.to_f64()).map_err(|e| e.to_string())?;
            if slices.iter().any(|&x| x != level) {
                return Err(format!("along axis {axis} the result is {slices:?}, not {level}"));
            }
        }
        Ok(())
    }
}

fn is_uniform(numbers: &[f64]) -> bool {
    numbers.iter().all(|x| *x == numbers[0])
}
