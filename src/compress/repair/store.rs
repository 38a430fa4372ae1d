//! Storing: how the numbers of a weight or a bias are put back where the file keeps them.
//!
//! A constant takes them as they are. An expression over constants mostly *places* numbers: each of its elements is one
//! element of one constant (the *store*), times a factor, plus a number. That is so for whatever moves elements, converts
//! them, scales them or adds other constants to them, and no operator is asked: the expression is run with made-up numbers
//! in the store, and what comes out tells place, factor and summand ([`Placing`]). The inverse is then written.
//!
//! Integers are rounded to their grid. Where a constant of floats is all that scales them, and nothing else depends on it,
//! it is first chosen anew, so that the largest number still fits and no range is wasted. Types and shapes stay, so that
//! no file grows.
//!
//! **Weights that are computed** (`Transpose(w)`, `Cast(q) · s`, `DequantizeLinear`, `w + B·A`) are to all this the tensor that
//! they come to (`src/compress/weights.rs` runs the expression once). To write one back, `store.rs` runs it with made-up numbers in
//! its largest constant: if each element is one number of that constant times a factor plus a number, the inverse is known,
//! whatever operators are between. Integers are rounded, after the constant that scales them was chosen anew; it stays where the
//! call reads other integers, whose scale may be tied to it. What was written is run once more before it counts. Types and
//! shapes stay, so no file grows.

use crate::contraction::Obstacle;
use crate::ir::{DType, Graph, Model, Node, NodeId, Tensor, Use, ValueId};
use crate::weights::Expression;
use std::collections::HashSet;

/// The tensor that stands at an operand slot: a constant, or what constants come to.
pub(super) fn present(model: &Model, at: Use) -> Option<Tensor> {
    let value = model.graph.operand(at.node, usize::from(at.slot))?;
    match model.graph.tensor(value) {
        Some(tensor) => Some(tensor.clone()),
        None => Expression::new(model, value).run(&[]),
    }
}

/// The constant that holds the numbers of a value: the value itself, or the store of an expression.
pub(super) fn constant(model: &Model, value: ValueId) -> Option<NodeId> {
    match model.graph.constant(value.node) {
        Some(_) => Some(value.node),
        None => largest(&model.graph, &Expression::new(model, value)),
    }
}

/// Puts numbers at an operand slot, in the order of what stands there. Returns them as they are read from then on,
/// rounded by the types that they are stored in. If they can't be stored, nothing changes.
pub(super) fn write(model: &mut Model, at: Use, wanted: &[f64]) -> Result<Vec<f64>, Obstacle> {
    let value = model.graph.operand(at.node, usize::from(at.slot)).ok_or(Obstacle::Expression)?;
    if let Some(constant) = model.graph.constant_mut(value.node) {
        return put(&mut constant.tensor, wanted).ok_or(Obstacle::Expression);
    }
    let expression = Expression::new(model, value);
    if !is_exclusive(&model.graph, &expression, value) {
        return Err(Obstacle::Shared);
    }
    let now = expression.run(&[]).and_then(|t| t.to_f64().ok()).filter(|n| n.len() == wanted.len());
    let now = now.ok_or(Obstacle::Expression)?;
    let store = largest(&model.graph, &expression).ok_or(Obstacle::Expression)?;
    let mut placing = Placing::of(&model.graph, &expression, store, &[], &now).ok_or(Obstacle::Expression)?;
    let scale = Scale::of(model, &expression, store, at);
    let scales = scale.map(|scale| scale.refit(&mut placing, wanted));
    let (numbers, reads) = placing.invert(wanted)?;
    let mut new = model.graph.constant(store).ok_or(Obstacle::Expression)?.tensor.clone();
    put(&mut new, &numbers).ok_or(Obstacle::Expression)?;
    let changes: Vec<(NodeId, Tensor)> = scales.into_iter().chain([(store, new)]).collect();
    // What is linear for the numbers that were tried need not be so for these: an activation, say, or a bound.
    let after = expression.run(&changes).and_then(|t| t.to_f64().ok()).ok_or(Obstacle::Expression)?;
    if !is_near(&after, &reads) {
        return Err(Obstacle::Expression);
    }
    for (node, tensor) in changes {
        model.graph.constant_mut(node).ok_or(Obstacle::Expression)?.tensor = tensor;
    }
    Ok(after)
}

/// Whether numbers are the same but for rounding.
fn is_near(a: &[f64], b: &[f64]) -> bool {
    let largest = a.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= EXACT * largest)
}

/// Replaces a tensor's numbers. Returns them as the type rounds them.
fn put(tensor: &mut Tensor, numbers: &[f64]) -> Option<Vec<f64>> {
    let new = Tensor::from_f64(tensor.dtype, tensor.shape.clone(), numbers)?;
    *tensor = Tensor { store: tensor.store, extra: tensor.extra.clone(), ..new };
    tensor.to_f64().ok()
}

/// Whether nothing but the use of a value reads what it is made of.
fn is_exclusive(graph: &Graph, expression: &Expression, value: ValueId) -> bool {
    let inside: HashSet<NodeId> = expression.nodes().collect();
    let leaves = |v: &ValueId| graph.uses(*v).iter().any(|u| !inside.contains(&u.node));
    let leaving = inside.iter().flat_map(|&node| graph.results(node)).filter(leaves);
    leaving.eq([value]) && graph.uses(value).len() == 1
}

/// The constant that has most of what an expression is made of.
fn largest(graph: &Graph, expression: &Expression) -> Option<NodeId> {
    let tensor = |n: NodeId| graph.constant(n).map(|c| &c.tensor);
    let holds = |d: DType| d.is_float() || matches!(d, DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32);
    let stores = expression.constants().into_iter().filter(|&n| tensor(n).is_some_and(|t| holds(t.dtype)));
    // Of equals the first.
    stores.rev().max_by_key(|&n| tensor(n).map_or(0, Tensor::count))
}

/// How an expression is made of the elements of a constant.
struct Placing {
    dtype: DType,
    /// The numbers that the constant has.
    stored: Vec<f64>,
    /// For each element of the expression the element it is made of, the factor and the summand. A factor of 0 says that
    /// it is none's.
    places: Vec<usize>,
    factors: Vec<f64>,
    summands: Vec<f64>,
}

/// The base of the numbers that tell elements apart; every type and every cast on the way has the digits.
const BASE: usize = 100;

/// How far from what it should be an element may be, as a share of the largest.
const EXACT: f64 = 1e-4;

impl Placing {
    /// Finds out by running the expression, which comes to `now` with the other tensors; `None` where it is no placing of
    /// this constant.
    fn of(
        graph: &Graph,
        expression: &Expression,
        store: NodeId,
        others: &[(NodeId, Tensor)],
        now: &[f64],
    ) -> Option<Placing> {
        let tensor = &graph.constant(store)?.tensor;
        let stored = tensor.to_f64().ok()?;
        let run = |numbers: &dyn Fn(usize) -> f64| {
            let numbers: Vec<f64> = (0..stored.len()).map(numbers).collect();
            let made = Tensor::from_f64(tensor.dtype, tensor.shape.clone(), &numbers)?;
            let with = [others, &[(store, made)]].concat();
            expression.run(&with)?.to_f64().ok().filter(|n| n.len() == now.len())
        };
        let summands = run(&|_| 0.0)?;
        let one = run(&|_| 1.0)?;
        let factors: Vec<f64> = one.iter().zip(&summands).map(|(a, b)| a - b).collect();
        let mut places = vec![0; now.len()];
        let mut power = 1;
        while power < stored.len() {
            let digits = run(&|i| (i / power % BASE) as f64)?;
            for (i, place) in places.iter_mut().enumerate().filter(|(i, _)| factors[*i] != 0.0) {
                let digit = ((digits[i] - summands[i]) / factors[i]).round();
                // What adds several elements up, or does more than scale, shows here or below.
                *place += (0.0..BASE as f64).contains(&digit).then_some(digit as usize)? * power;
            }
            power *= BASE;
        }
        let placing = Placing { dtype: tensor.dtype, stored, places, factors, summands };
        placing.places.iter().all(|&p| p < placing.stored.len()).then_some(())?;
        let made: Vec<f64> = (0..now.len()).map(|i| placing.read(i, &placing.stored)).collect();
        is_near(now, &made).then_some(placing)
    }

    /// What an element of the expression is for these numbers of the constant.
    fn read(&self, i: usize, stored: &[f64]) -> f64 {
        self.summands[i] + self.factors[i] * stored[self.places[i]]
    }

    /// The numbers of the constant for which the expression comes to what is wanted, as nearly as its type allows; and what
    /// it comes to.
    fn invert(&self, wanted: &[f64]) -> Result<(Vec<f64>, Vec<f64>), Obstacle> {
        let mut numbers = self.stored.clone();
        let mut seen = vec![false; numbers.len()];
        let largest = wanted.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let grid = self.grid();
        for (i, &wanted) in wanted.iter().enumerate() {
            if self.factors[i] == 0.0 {
                // Nothing stored stands for it.
                if (wanted - self.summands[i]).abs() > EXACT * largest {
                    return Err(Obstacle::Sparse);
                }
                continue;
            }
            let place = self.places[i];
            if std::mem::replace(&mut seen[place], true) {
                return Err(Obstacle::Expression);
            }
            let number = (wanted - self.summands[i]) / self.factors[i];
            numbers[place] = grid.map_or(number, |(low, high)| number.round().clamp(low, high));
        }
        let rounded = put(&mut self.tensor(), &numbers).ok_or(Obstacle::Expression)?;
        let reads: Vec<f64> = (0..wanted.len()).map(|i| self.read(i, &rounded)).collect();
        let square = |f: &dyn Fn(usize) -> f64| (0..wanted.len()).map(|i| f(i) * f(i)).sum::<f64>();
        let is_near = square(&|i| reads[i] - wanted[i]) <= COARSE * square(&|i| wanted[i]);
        if is_near { Ok((numbers, reads)) } else { Err(Obstacle::Coarse) }
    }

    /// An empty tensor of the constant's type, as long.
    fn tensor(&self) -> Tensor {
        let zeros = vec![0.0; self.stored.len()];
        Tensor::from_f64(self.dtype, vec![zeros.len()], &zeros).unwrap_or_else(|| Tensor::from_f32(vec![0], &[]))
    }

    /// The least and the largest integer that the constant can hold; `None` for floats. Symmetric where it is so now.
    fn grid(&self) -> Option<(f64, f64)> {
        let lowest = self.stored.iter().fold(0.0f64, |m, x| m.min(*x));
        Some(match self.dtype {
            DType::I8 if lowest >= -127.0 => (-127.0, 127.0),
            DType::I8 => (-128.0, 127.0),
            DType::U8 => (0.0, 255.0),
            DType::I16 => (-32768.0, 32767.0),
            DType::U16 => (0.0, 65535.0),
            DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
            _ => return None,
        })
    }
}

/// The largest error of rounding, as a share of the energy of what was wanted.
const COARSE: f64 = 0.01;

/// A constant of floats that scales all of an expression.
struct Scale {
    node: NodeId,
    tensor: Tensor,
    placing: Placing,
}

impl Scale {
    /// The scale of integers in a store. `None` where there is none, or where it must not change: what else the call
    /// reads of integers may be scaled by the same numbers.
    fn of(model: &Model, expression: &Expression, store: NodeId, at: Use) -> Option<Scale> {
        let graph = &model.graph;
        let tensor = |n: NodeId| graph.constant(n).map(|c| &c.tensor);
        if tensor(store).is_none_or(|t| t.dtype.is_float()) {
            return None;
        }
        let others = graph.operands(at.node).into_iter().enumerate().filter(|(slot, _)| *slot != usize::from(at.slot));
        let others = others.filter_map(|(_, v)| v.filter(|v| graph.call(v.node).is_some()));
        let is_integer = |n: NodeId| tensor(n).is_some_and(|t| !t.dtype.is_float());
        if others
            .into_iter()
            .any(|v| is_constant(graph, v.node) && Expression::new(model, v).constants().into_iter().any(is_integer))
        {
            return None;
        }
        let mut floats = expression.constants().into_iter().filter(|&n| tensor(n).is_some_and(|t| t.dtype.is_float()));
        let (node, None) = (floats.next()?, floats.next()) else { return None };
        let (integers, own) = (tensor(store)?, tensor(node)?.clone());
        // What stands at its zero point says nothing of its scale, so another number stands there.
        let placing = [1.0, 2.0, 99.0].into_iter().find_map(|number| {
            let numbers = vec![number; integers.count()];
            let others = [(store, Tensor::from_f64(integers.dtype, integers.shape.clone(), &numbers)?)];
            let now = expression.run(&others)?.to_f64().ok()?;
            let placing = Placing::of(graph, expression, node, &others, &now)?;
            placing.factors.iter().all(|f| *f != 0.0).then_some(placing)
        })?;
        placing.summands.iter().all(|s| *s == 0.0).then_some(Scale { node, tensor: own, placing })
    }

    /// Chooses the scales so that what is wanted just fits the store's integers, and scales what is placed there with
    /// them. Returns the constant and its new tensor.
    fn refit(mut self, store: &mut Placing, wanted: &[f64]) -> (NodeId, Tensor) {
        let mut ratios = vec![0.0f64; self.placing.stored.len()];
        if let Some((low, high)) = store.grid() {
            for (i, wanted) in wanted.iter().enumerate().filter(|(i, _)| store.factors[*i] != 0.0) {
                // In steps from the zero point, which is where the expression is 0.
                let (steps, zero) = (wanted / store.factors[i], -store.summands[i] / store.factors[i]);
                let room = if steps > 0.0 { high - zero } else { low - zero };
                let ratio = if steps == 0.0 { 0.0 } else { steps / room };
                let at = &mut ratios[self.placing.places[i]];
                *at = at.max(if ratio.is_finite() && ratio > 0.0 { ratio } else { 0.0 });
            }
        }
        let old = self.placing.stored.clone();
        let new: Vec<f64> = old.iter().zip(&ratios).map(|(s, r)| if *r > 0.0 { s * r } else { *s }).collect();
        let Some(rounded) = put(&mut self.tensor, &new) else { return (self.node, self.tensor) };
        for i in 0..wanted.len() {
            let place = self.placing.places[i];
            let ratio = if old[place] != 0.0 { rounded[place] / old[place] } else { 1.0 };
            store.factors[i] *= ratio;
            store.summands[i] *= ratio;
        }
        (self.node, self.tensor)
    }
}

/// Whether a call is made of constants alone.
fn is_constant(graph: &Graph, node: NodeId) -> bool {
    let (mut waiting, mut seen) = (vec![node], HashSet::from([node]));
    while let Some(node) = waiting.pop() {
        match graph.node(node) {
            Node::Constant(_) => {}
            Node::Call(_) => {
                waiting.extend(graph.operands(node).into_iter().flatten().map(|v| v.node).filter(|&n| seen.insert(n)));
            }
            _ => return false,
        }
    }
    true
}
