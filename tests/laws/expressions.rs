//! Law 6: what a unit that stays computes does not depend on which others go, whatever its weights and numbers are made
//! of. In random nets weights are expressions of constants (norms, factors, sums of tables), several layers read one of
//! them, and scales are made from sizes at run time. The pruned net computes what the file does with zero in
//! place of the units that are gone, set in its *data*: a reference that knows nothing of `removed`. And it computes what the
//! masked file does, as ever.

use super::draw::Draw;
use super::graphs::{equal, execute, original};
use super::net::Net;
use super::property;
use secateur::analysis::Analysis;
use secateur::analysis::{KeepSets, Kept};
use secateur::ir::{Call, Constant, DType, Form, Graph, Model, Node, Origin, Tensor, Use, ValueId};
use secateur::plan::{GroupCut, Plan, VERSION, architecture};
use secateur::prune;
use secateur::prune::reference;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write;

#[test]
fn what_stays_is_what_it_was() {
    let (meaningful, cut) = (Cell::new(0), Cell::new(0));
    let cases = property("expressions", 120, |d| {
        let net = expressions(d);
        let outcome = super::caught(|| {
            let seen = check(&net, d)?;
            meaningful.set(meaningful.get() + u32::from(seen.0));
            cut.set(cut.get() + u32::from(seen.1));
            Ok(())
        });
        outcome.map_err(|why| format!("{why}\n{}", net.text))
    });
    assert!(meaningful.get() * 4 > cases * 3, "{} of {cases} nets are meaningful", meaningful.get());
    assert!(cut.get() * 2 > cases, "{} of {cases} nets were cut", cut.get());
}

/// Whether the outputs depend on the input, and whether anything was cut.
fn check(net: &Net, d: &mut Draw) -> Result<(bool, bool), String> {
    let original = original(net)?;
    let analysis = prune::prepare(&original).map_err(|e| e.to_string())?;
    if let Some(c) = analysis.facts.contradictions.first() {
        return Err(format!("a contradiction: {}", c.what));
    }
    let inexact = d.range(0, 3) == 3;
    let plan = plan(&analysis, d, inexact);
    let pruned = execute(&original, &analysis, &plan, d)?;
    let told = |what: &str, e: String| format!("{what}: {e}\n{plan:?}\n{:?}", pruned.removed);
    let masked = reference(&original, &analysis, &pruned.keep, &pruned.removed).map_err(|e| e.to_string())?;
    let meaningful = equal(&original, &masked, &pruned.model).map_err(|e| told("zeros in the file", e))?;
    if !inexact {
        let silent = silent(&original, &analysis, &pruned.keep)?;
        equal(&original, &silent, &pruned.model).map_err(|e| told("zeros in the data", e))?;
    }
    Ok((meaningful, !plan.cuts.is_empty()))
}

/// Loses random units of every group that may lose some.
fn plan(analysis: &Analysis, d: &mut Draw, inexact: bool) -> Plan {
    let groups = analysis.groups.free().filter(|g| inexact || g.is_exact());
    let cuts = groups.map(|group| {
        let kept = d.keep(group.size, group.floor);
        let remove = (0..group.size).filter(|u| !kept.contains(u)).collect();
        GroupCut { group: group.id.to_string(), units: group.size, remove, places: vec![] }
    });
    Plan {
        version: VERSION,
        architecture: architecture(analysis),
        criterion: "random".into(),
        budget: String::new(),
        options: String::new(),
        layers: vec![],
        cuts: cuts.filter(|c| !c.remove.is_empty()).collect(),
        lossless: None,
    }
}

/// The file with a factor of zero at the units that are gone, behind each value that the generator gave a name for it.
fn silent(original: &Model, analysis: &Analysis, keep: &KeepSets) -> Result<Model, String> {
    let mut model = original.clone();
    let prepared = analysis.model.graph.values_by_name();
    let file = model.graph.values_by_name();
    for (name, &value) in file.iter().filter(|(name, _)| name.starts_with("unit")) {
        let there = prepared.get(name).ok_or_else(|| format!("{name} is gone"))?;
        let var = *analysis.axes.of(*there).and_then(<[_]>::last).ok_or("no axes")?;
        let Kept::Some(kept) = keep.of(&analysis.axes, var) else { continue };
        let size = analysis.axes.solver().size(var).size().ok_or("an open axis")?;
        let mask: Vec<f32> = (0..size).map(|i| f32::from(u8::from(kept.contains(&i)))).collect();
        multiply(&mut model.graph, value, Tensor::from_f32(vec![size], &mask), name);
    }
    Ok(model)
}

/// Gives all that reads a value its product with a constant.
fn multiply(graph: &mut Graph, value: ValueId, factor: Tensor, name: &str) {
    let uses = graph.uses(value);
    let (name, result) = (format!("{name}_mask"), format!("{name}_masked"));
    let factor = graph.add_constant(Constant { name, tensor: factor, form: Form::Initializer, origin: Origin::Here });
    let call = Call { op: "Mul".into(), results: vec![result], arity: 2, ..Call::default() };
    let node = graph.add(Node::Call(Box::new(call)));
    graph.connect(value, Use { node, slot: 0 });
    graph.connect(factor, Use { node, slot: 1 });
    uses.into_iter().for_each(|u| graph.connect(ValueId { node, port: 0 }, u));
}

/// A value `[N, n]`.
#[derive(Clone)]
struct Value {
    name: String,
    n: usize,
}

struct Builder<'a, 'b> {
    d: &'a mut Draw<'b>,
    lines: String,
    weights: HashMap<u64, Tensor>,
    names: usize,
    /// Matrices, vectors and hidden values that others may read again.
    matrices: Vec<(String, usize, usize)>,
    vectors: Vec<Value>,
    hidden: Vec<Value>,
}

fn expressions(d: &mut Draw) -> Net {
    let (weights, n, batch) = (HashMap::new(), d.range(2, 4), d.pick(&["N", "2"]));
    let (matrices, vectors, hidden) = (vec![], vec![], vec![]);
    let mut b = Builder { d, lines: String::new(), weights, names: 0, matrices, vectors, hidden };
    let mut x = Value { name: "x".into(), n };
    for _ in 0..b.d.range(1, 4) {
        x = b.layer(&x);
    }
    let w = b.weight(&[x.n, 3]);
    let y = b.call(format!("MatMul({}, {w})", x.name));
    // A weight may be an output, too.
    let shown = b.matrices.last().cloned().filter(|m| m.0.starts_with('v') && b.d.range(0, 5) == 5);
    let shown = shown.map_or(String::new(), |(name, from, to)| format!(", f32[{from},{to}] {name}"));
    let text = format!("net (f32[{batch},{n}] x) => (f32[{batch},3] {y}{shown}) {{\n{}}}\n", b.lines);
    Net { text, weights: b.weights }
}

impl Builder<'_, '_> {
    fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn call(&mut self, call: String) -> String {
        let name = self.fresh("v");
        _ = writeln!(self.lines, "  {name} = {call}");
        name
    }

    /// The units of a value, under a name by which they are found again.
    fn units(&mut self, call: String) -> String {
        let name = self.fresh("unit");
        _ = writeln!(self.lines, "  {name} = {call}");
        name
    }

    /// Numbers of both signs, away from zero.
    fn weight(&mut self, shape: &[usize]) -> String {
        let name = format!("w{}", self.weights.len());
        let hash = self.weights.len() as u64 + 1;
        let tensor = self.d.tensor(DType::F32, shape, 0.2, 1.0);
        let signs = tensor.to_f64().expect("numbers").into_iter();
        let numbers: Vec<f32> = signs.map(|v| if self.d.flip() { v as f32 } else { -v as f32 }).collect();
        _ = writeln!(self.lines, "  f32{shape:?} {name} #{hash:x}");
        self.weights.insert(hash, Tensor::from_f32(shape.to_vec(), &numbers));
        name
    }

    fn ints(&mut self, values: &[i64]) -> String {
        let name = self.fresh("i");
        let list: Vec<String> = values.iter().map(i64::to_string).collect();
        _ = writeln!(self.lines, "  i64[{}] {name} = {{{}}}", values.len(), list.join(", "));
        name
    }

    fn number(&mut self, value: f64) -> String {
        let name = self.fresh("f");
        _ = writeln!(self.lines, "  f32[] {name} = {{{value:?}}}");
        name
    }

    fn layer(&mut self, x: &Value) -> Value {
        let n = self.d.pick(&[4, 6]);
        let w = self.matrix(x.n, n);
        let mut pre = self.call(format!("MatMul({}, {w})", x.name));
        if self.d.flip() {
            let b = self.vector(n);
            pre = self.call(format!("Add({pre}, {b})"));
        }
        let pre = self.units(format!("Neg({pre})"));
        let scaled = self.scaled(pre, n);
        let op = self.d.pick(&["Relu", "Tanh", "LeakyRelu", "Sigmoid"]);
        let mut name = self.units(format!("{op}({scaled})"));
        let same = self.hidden.iter().rfind(|h| h.n == n).cloned();
        if let Some(other) = same.filter(|_| self.d.flip()) {
            name = self.units(format!("Add({name}, {})", other.name));
        }
        let h = Value { name, n };
        self.hidden.push(h.clone());
        h
    }

    /// A matrix of constants, or of what is made of some.
    fn matrix(&mut self, from: usize, to: usize) -> String {
        let known = self.matrices.iter().find(|m| (m.1, m.2) == (from, to)).map(|m| m.0.clone());
        match known.map(|known| (known, self.d.range(0, 5))) {
            Some((known, 0 | 1)) => return known,
            // What another layer reads as it is.
            Some((known, 2)) => {
                let norm = self.call(format!("ReduceL2<axes = [0]>({known})"));
                return self.call(format!("Div({known}, {norm})"));
            }
            _ => {}
        }
        let made = match self.d.range(0, 9) {
            0 | 1 => self.weight(&[from, to]),
            2 => {
                let w = self.weight(&[to, from]);
                self.call(format!("Transpose<perm = [1, 0]>({w})"))
            }
            3 => self.weight_norm(from, to),
            4 => self.spectral_norm(from, to),
            5 => self.standardized(from, to),
            6 => {
                let rank = self.d.range(2, 3);
                let (w, a, b) = (self.weight(&[from, to]), self.weight(&[from, rank]), self.weight(&[rank, to]));
                let product = self.call(format!("MatMul({a}, {b})"));
                self.call(format!("Add({w}, {product})"))
            }
            7 => {
                let (a, b) = (self.weight(&[from, 3]), self.weight(&[3, to]));
                self.call(format!("MatMul({a}, {b})"))
            }
            8 => {
                let (tables, axes) = (self.weight(&[3, from, to]), self.ints(&[0]));
                self.call(format!("ReduceSum<keepdims = 0>({tables}, {axes})"))
            }
            _ => {
                let (w, s) = (self.weight(&[from, to]), self.weight(&[to]));
                let op = self.d.pick(&["Mul", "Div"]);
                self.call(format!("{op}({w}, {s})"))
            }
        };
        self.matrices.push((made.clone(), from, to));
        made
    }

    /// `g · v / |v|`, a norm for each row.
    fn weight_norm(&mut self, from: usize, to: usize) -> String {
        let (v, g) = (self.weight(&[to, from]), self.weight(&[to, 1]));
        let norm = if self.d.flip() {
            self.call(format!("ReduceL2<axes = [1]>({v})"))
        } else {
            let (square, axes) = (self.call(format!("Mul({v}, {v})")), self.ints(&[1]));
            let sum = self.call(format!("ReduceSum({square}, {axes})"));
            self.call(format!("Sqrt({sum})"))
        };
        let w = if self.d.flip() {
            let unit = self.call(format!("Div({v}, {norm})"));
            self.call(format!("Mul({unit}, {g})"))
        } else {
            let gain = self.call(format!("Div({g}, {norm})"));
            self.call(format!("Mul({v}, {gain})"))
        };
        self.call(format!("Transpose<perm = [1, 0]>({w})"))
    }

    /// `W / σ`, with one σ for the whole matrix.
    fn spectral_norm(&mut self, from: usize, to: usize) -> String {
        let (w, q, u) = (self.weight(&[from, to]), self.weight(&[to]), self.weight(&[from]));
        let wq = self.call(format!("MatMul({w}, {q})"));
        let t = self.call(format!("Mul({wq}, {u})"));
        let sum = self.call(format!("ReduceL1<keepdims = 0>({t})"));
        self.call(format!("Div({w}, {sum})"))
    }

    /// Mean 0 and variance 1 over what is read.
    fn standardized(&mut self, from: usize, to: usize) -> String {
        let w = self.weight(&[from, to]);
        let mean = self.call(format!("ReduceMean<axes = [0]>({w})"));
        let apart = self.call(format!("Sub({w}, {mean})"));
        let square = self.call(format!("Mul({apart}, {apart})"));
        let variance = self.call(format!("ReduceMean<axes = [0]>({square})"));
        let epsilon = self.number(0.1);
        let sum = self.call(format!("Add({variance}, {epsilon})"));
        let deviation = self.call(format!("Sqrt({sum})"));
        self.call(format!("Div({apart}, {deviation})"))
    }

    /// A vector of constants, or of what is made of some.
    fn vector(&mut self, n: usize) -> String {
        let known = self.vectors.iter().find(|v| v.n == n).map(|v| v.name.clone());
        if let Some(known) = known.filter(|_| self.d.flip()) {
            return known;
        }
        let made = match self.d.range(0, 5) {
            0 => self.weight(&[n]),
            1 => {
                let (table, at) = (self.weight(&[3, n]), self.ints(&[2]));
                self.call(format!("Gather({table}, {at})"))
            }
            2 => {
                let (table, axes) = (self.weight(&[3, n]), self.ints(&[0]));
                self.call(format!("ReduceSum<keepdims = 0>({table}, {axes})"))
            }
            3 => {
                let table = self.weight(&[n]);
                let op = self.d.pick(&["Sin", "Cos"]);
                self.call(format!("{op}({table})"))
            }
            4 => {
                let v = self.weight(&[1, n]);
                let norm = self.call(format!("ReduceL2({v})"));
                self.call(format!("Div({v}, {norm})"))
            }
            _ => {
                let (a, b) = (self.weight(&[n, 3]), self.weight(&[3]));
                self.call(format!("MatMul({a}, {b})"))
            }
        };
        self.vectors.push(Value { name: made.clone(), n });
        made
    }

    /// A value times, plus or less something that is made from its size, or a vector that others read as well.
    fn scaled(&mut self, x: String, n: usize) -> String {
        match self.d.range(0, 7) {
            0 => x,
            1 => {
                let size = self.size(&x);
                let root = self.call(format!("Sqrt({size})"));
                let (one, op) = (self.number(1.0), self.d.pick(&["Mul", "Div"]));
                let scale = self.call(format!("Div({one}, {root})"));
                self.call(format!("{op}({x}, {scale})"))
            }
            2 => {
                let (size, half) = (self.size(&x), self.number(-0.5));
                let scale = self.call(format!("Pow({size}, {half})"));
                let wide = self.call(format!("Mul({x}, {scale})"));
                self.call(format!("Mul({wide}, {scale})"))
            }
            3 => {
                // A mean that is written out.
                let (size, axes) = (self.size(&x), self.ints(&[1]));
                let sum = self.call(format!("ReduceSum({x}, {axes})"));
                let mean = self.call(format!("Div({sum}, {size})"));
                self.call(format!("Sub({x}, {mean})"))
            }
            4 => {
                // Each unit times its number.
                let (size, zero, one) = (self.count(&x), self.int(0), self.int(1));
                let range = self.call(format!("Range({zero}, {size}, {one})"));
                let numbers = self.call(format!("Cast<to = 1>({range})"));
                self.call(format!("Mul({x}, {numbers})"))
            }
            5 => {
                // As many ones as there are units.
                let (shape, axes) = (self.call(format!("Shape({x})")), self.ints(&[1]));
                let one = self.number(1.0);
                let ones = self.call(format!("Expand({one}, {shape})"));
                let count = self.call(format!("ReduceSum({ones}, {axes})"));
                self.call(format!("Div({x}, {count})"))
            }
            6 => {
                let scale = self.vector(n);
                self.call(format!("Mul({x}, {scale})"))
            }
            _ => {
                let all = self.call(format!("Size({x})"));
                let (all, hundred) = (self.call(format!("Cast<to = 1>({all})")), self.number(100.0));
                let share = self.call(format!("Div({all}, {hundred})"));
                self.call(format!("Add({x}, {share})"))
            }
        }
    }

    /// How many units a value has, as a float.
    fn size(&mut self, x: &str) -> String {
        let count = self.count(x);
        self.call(format!("Cast<to = 1>({count})"))
    }

    fn count(&mut self, x: &str) -> String {
        let shape = self.call(format!("Shape({x})"));
        if self.d.flip() {
            let last = self.int(1);
            return self.call(format!("Gather({shape}, {last})"));
        }
        let (start, end) = (self.ints(&[-1]), self.ints(&[i64::MAX]));
        let part = self.call(format!("Slice({shape}, {start}, {end})"));
        let none = self.ints(&[0]);
        self.call(format!("Squeeze({part}, {none})"))
    }

    fn int(&mut self, value: i64) -> String {
        let name = self.fresh("i");
        _ = writeln!(self.lines, "  i64[] {name} = {{{value}}}");
        name
    }
}
