//! Random small nets, as text.

use super::draw::Draw;
use secateur::ir::{DType, Tensor};
use std::collections::HashMap;
use std::fmt::Write;

pub(crate) struct Net {
    pub text: String,
    pub weights: HashMap<u64, Tensor>,
}

/// An image-like value: `[N, c, h, h]`.
#[derive(Clone, Debug)]
struct Value {
    name: String,
    c: usize,
    h: usize,
}

struct Builder<'a, 'b> {
    d: &'a mut Draw<'b>,
    lines: String,
    weights: HashMap<u64, Tensor>,
    names: usize,
    /// Everything that later layers may read.
    values: Vec<Value>,
    used: Vec<String>,
}

/// A net of a few layers with forks and joins, and a head of one or two dense layers.
pub(crate) fn net(d: &mut Draw) -> Net {
    built(d, |b| {
        for _ in 0..b.d.range(2, 9) {
            b.layer();
        }
    })
}

/// A net with residual branches, which may lie within one another and be read from outside.
pub(crate) fn residual_net(d: &mut Draw) -> Net {
    built(d, |b| {
        for _ in 0..b.d.range(1, 3) {
            b.residual(1);
        }
    })
}

fn built(d: &mut Draw, fill: impl FnOnce(&mut Builder)) -> Net {
    let (c, h) = (d.range(1, 3), d.range(3, 6));
    let batch = d.pick(&["N", "2"]);
    let input = Value { name: "x".into(), c, h };
    let mut b = Builder {
        d,
        lines: String::new(),
        weights: HashMap::new(),
        names: 0,
        values: vec![input.clone()],
        used: vec![],
    };
    let first = b.conv(&input);
    b.values = vec![first];
    fill(&mut b);
    let outputs = b.head();
    let outputs: Vec<String> = outputs.iter().map(|(name, n)| format!("f32[{batch},{n}] {name}")).collect();
    let text = format!("net (f32[{batch},{c},{h},{h}] x) => ({}) {{\n{}}}\n", outputs.join(", "), b.lines);
    Net { text, weights: b.weights }
}

impl Builder<'_, '_> {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    /// A line `result = call` with one result.
    fn call(&mut self, call: String) -> String {
        let name = self.name();
        _ = writeln!(self.lines, "  {name} = {call}");
        name
    }

    fn weight(&mut self, shape: &[usize], low: f64, high: f64) -> String {
        let name = format!("w{}", self.weights.len());
        let hash = self.weights.len() as u64 + 1;
        let fan: usize = shape.iter().skip(1).product();
        let scale = if shape.len() > 1 { 1.0 / (fan as f64).sqrt() } else { 1.0 };
        let tensor = self.d.tensor(DType::F32, shape, low * scale, high * scale);
        _ = writeln!(self.lines, "  f32{shape:?} {name} #{hash:x}");
        self.weights.insert(hash, tensor);
        name
    }

    fn ints(&mut self, values: &[i64]) -> String {
        let name = self.name();
        let list: Vec<String> = values.iter().map(i64::to_string).collect();
        _ = writeln!(self.lines, "  i64[{}] {name} {{{}}}", values.len(), list.join(", "));
        name
    }

    /// One of the last values; older ones become skips.
    fn pick(&mut self) -> Value {
        let back = self.d.pick(&[0, 0, 1, 2]).min(self.values.len() - 1);
        let value = self.values[self.values.len() - 1 - back].clone();
        self.used.push(value.name.clone());
        value
    }

    fn keep(&mut self, name: String, c: usize, h: usize) {
        self.values.push(Value { name, c, h });
    }

    fn layer(&mut self) {
        let x = self.pick();
        match self.d.range(0, 16) {
            0 | 1 => {
                let y = self.conv(&x);
                self.values.push(y);
            }
            2 => self.grouped(&x, x.c),
            3 => self.grouped(&x, 2),
            4 => {
                let op = self.d.pick(&["Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSwish", "Softplus"]);
                let y = self.call(format!("{op}({})", x.name));
                self.keep(y, x.c, x.h);
            }
            5 | 6 => self.join(&x),
            7 => self.concat(&x),
            8 => self.split(&x),
            9 => self.pool(&x),
            10 => self.batch_norm(&x),
            11 => self.gate(&x),
            12 => self.shuffle(&x),
            13 => self.mix(&x),
            // The oracle can't run two in one model.
            14 if !self.lines.contains(" = If<") => self.branches(&x),
            14 | 15 => self.scan(&x),
            _ => self.slice(&x),
        }
    }

    /// A branch of a few layers, and a sum or a difference with what went in.
    fn residual(&mut self, depth: usize) {
        let x = self.values[self.values.len() - 1].clone();
        for _ in 0..self.d.range(0, 2) {
            if depth > 0 && self.d.flip() { self.residual(depth - 1) } else { self.layer() }
        }
        let y = self.values[self.values.len() - 1].clone();
        if y.h != x.h {
            return;
        }
        let k = self.d.pick(&[1, 3]);
        let b = self.conv_to(&y, x.c, k);
        self.used.extend([x.name.clone(), y.name]);
        let (op, first, second) = match self.d.range(0, 3) {
            0 => ("Add", x.name, b.name),
            1 => ("Add", b.name, x.name),
            2 => ("Sum", b.name, x.name),
            _ => ("Sub", x.name, b.name),
        };
        let sum = self.call(format!("{op}({first}, {second})"));
        self.keep(sum, x.c, x.h);
    }

    /// What a function adds, as lines of their own.
    fn inside<T>(&mut self, fill: impl FnOnce(&mut Self) -> T) -> (String, T) {
        let outside = std::mem::take(&mut self.lines);
        let made = fill(self);
        (std::mem::replace(&mut self.lines, outside), made)
    }

    /// An If: two ways from a value to as many channels, with weights of their own.
    fn branches(&mut self, x: &Value) {
        let o = self.d.range(1, 5);
        let shared = self.weight(&[o], -1.0, 1.0);
        let way = |b: &mut Self| {
            let inner = b.conv(x);
            let y = b.conv_to(&inner, o, 1).name;
            let column = b.ints(&[1, o as i64, 1, 1]);
            let bias = b.call(format!("Reshape({shared}, {column})"));
            b.call(format!("Add({y}, {bias})"))
        };
        let ((one, p), (other, q)) = (self.inside(way), self.inside(way));
        _ = writeln!(self.lines, "  f32[] zero{} = {{0.0}}", self.names);
        let zero = format!("zero{}", self.names);
        let sum = self.call(format!("ReduceSum<keepdims = 0>({})", x.name));
        let choice = self.call(format!("Greater({sum}, {zero})"));
        let name = self.name();
        let ways = format!("then_branch = t () => ({p}) {{\n{one}}}, else_branch = e () => ({q}) {{\n{other}}}");
        _ = writeln!(self.lines, "  {name} = If<{ways}>({choice})");
        self.keep(name, o, x.h);
    }

    /// A Scan over a value and itself again, which carries something through two convolutions.
    fn scan(&mut self, x: &Value) {
        let start = self.conv(x);
        let axis = self.ints(&[0]);
        let once = self.call(format!("Unsqueeze({}, {axis})", x.name));
        let twice = self.call(format!("Concat<axis = 0>({once}, {once})"));
        let (h, e) = (self.name(), self.name());
        let (steps, (out, seen)) = self.inside(|b| {
            let inner = b.conv(&Value { name: h.clone(), ..start.clone() });
            let back = b.conv_to(&inner, start.c, 1).name;
            let fresh = b.conv_to(&Value { name: e.clone(), ..x.clone() }, start.c, 1).name;
            let sum = b.call(format!("Add({back}, {fresh})"));
            let op = b.d.pick(&["Tanh", "Relu", "Sigmoid"]);
            let out = b.call(format!("{op}({sum})"));
            (out, b.call(format!("Neg({sum})")))
        });
        let (last, all) = (self.name(), self.name());
        let of = |c: usize, name: &str| format!("f32[N,{c},{},{}] {name}", x.h, x.h);
        let (h, e) = (of(start.c, &h), of(x.c, &e));
        let body = format!("body = b ({h}, {e}) => ({out}, {seen}) {{\n{steps}}}");
        _ = writeln!(self.lines, "  {last}, {all} = Scan<num_scan_inputs = 1, {body}>({}, {twice})", start.name);
        let sum = self.call(format!("ReduceSum<keepdims = 0>({all}, {axis})"));
        let name = self.call(format!("Mul({last}, {sum})"));
        self.keep(name, start.c, x.h);
    }

    fn conv(&mut self, x: &Value) -> Value {
        let (o, k) = (self.d.range(1, 5), self.d.pick(&[1, 3]));
        self.conv_to(x, o, k)
    }

    fn conv_to(&mut self, x: &Value, o: usize, k: usize) -> Value {
        let w = self.weight(&[o, x.c, k, k], -1.0, 1.0);
        let bias = if self.d.flip() { format!(", {}", self.weight(&[o], -1.0, 1.0)) } else { String::new() };
        let p = k / 2;
        let name = self.call(format!("Conv<pads=[{p},{p},{p},{p}]>({}, {w}{bias})", x.name));
        Value { name, c: o, h: x.h }
    }

    fn grouped(&mut self, x: &Value, groups: usize) {
        let groups = if x.c.is_multiple_of(groups) { groups } else { 1 };
        let per_group = self.d.range(1, 2);
        let o = groups * per_group;
        let w = self.weight(&[o, x.c / groups, 3, 3], -1.0, 1.0);
        let bias = self.weight(&[o], -1.0, 1.0);
        let y = self.call(format!("Conv<group={groups}, pads=[1,1,1,1]>({}, {w}, {bias})", x.name));
        self.keep(y, o, x.h);
    }

    /// A residual connection: with a value of the same shape, or one that a convolution makes fit.
    fn join(&mut self, x: &Value) {
        let fits = self.values.iter().find(|v| v.h == x.h && v.name != x.name).cloned();
        let other = match fits {
            Some(v) if v.c == x.c => v,
            Some(v) => self.conv_to(&v, x.c, 1),
            None => self.conv_to(x, x.c, 3),
        };
        self.used.push(other.name.clone());
        let op = self.d.pick(&["Add", "Mul", "Sub", "Max"]);
        let y = self.call(format!("{op}({}, {})", x.name, other.name));
        self.keep(y, x.c, x.h);
    }

    fn concat(&mut self, x: &Value) {
        let others: Vec<Value> = self.values.iter().filter(|v| v.h == x.h).cloned().collect();
        let other = others[self.d.range(0, others.len() - 1)].clone();
        self.used.push(other.name.clone());
        if x.c + other.c > 9 {
            return;
        }
        let y = self.call(format!("Concat<axis=1>({}, {})", x.name, other.name));
        self.keep(y, x.c + other.c, x.h);
    }

    fn split(&mut self, x: &Value) {
        if x.c < 2 {
            return;
        }
        let a = self.d.range(1, x.c - 1);
        let sizes = self.ints(&[a as i64, (x.c - a) as i64]);
        let (y, z) = (self.name(), self.name());
        _ = writeln!(self.lines, "  {y}, {z} = Split<axis=1>({}, {sizes})", x.name);
        self.keep(y, a, x.h);
        self.keep(z, x.c - a, x.h);
    }

    fn slice(&mut self, x: &Value) {
        let start = self.d.range(0, x.c - 1);
        let end = self.d.range(start + 1, x.c);
        let (s, e, a) = (self.ints(&[start as i64]), self.ints(&[end as i64]), self.ints(&[1]));
        let y = self.call(format!("Slice({}, {s}, {e}, {a})", x.name));
        self.keep(y, end - start, x.h);
    }

    fn pool(&mut self, x: &Value) {
        let op = self.d.pick(&["MaxPool", "AveragePool"]);
        if x.h >= 2 && self.d.flip() {
            let y = self.call(format!("{op}<kernel_shape=[2,2], strides=[2,2]>({})", x.name));
            return self.keep(y, x.c, x.h / 2);
        }
        let y = self.call(format!("{op}<kernel_shape=[3,3], pads=[1,1,1,1]>({})", x.name));
        self.keep(y, x.c, x.h);
    }

    fn batch_norm(&mut self, x: &Value) {
        let of: Vec<String> = [(-1.0, 1.0), (-1.0, 1.0), (-1.0, 1.0), (0.5, 2.0)]
            .into_iter()
            .map(|(low, high)| self.weight(&[x.c], low, high))
            .collect();
        let y = self.call(format!("BatchNormalization({}, {})", x.name, of.join(", ")));
        self.keep(y, x.c, x.h);
    }

    /// Squeeze and excitation.
    fn gate(&mut self, x: &Value) {
        let pooled = self.call(format!("GlobalAveragePool({})", x.name));
        let hidden = self.d.range(1, 3);
        let a = self.conv_to(&Value { name: pooled, c: x.c, h: 1 }, hidden, 1);
        let a = Value { name: self.call(format!("Relu({})", a.name)), ..a };
        let b = self.conv_to(&a, x.c, 1);
        let gate = self.call(format!("Sigmoid({})", b.name));
        let y = self.call(format!("Mul({}, {gate})", x.name));
        self.keep(y, x.c, x.h);
    }

    /// What depends on all channels.
    fn mix(&mut self, x: &Value) {
        let y = match self.d.range(0, 2) {
            0 => self.call(format!("Softmax<axis=1>({})", x.name)),
            1 => {
                let mean = self.call(format!("ReduceMean<axes=[1]>({})", x.name));
                self.call(format!("Sub({}, {mean})", x.name))
            }
            _ => self.call(format!("LpNormalization<axis=1>({})", x.name)),
        };
        self.keep(y, x.c, x.h);
    }

    /// Channels of two groups, interleaved.
    fn shuffle(&mut self, x: &Value) {
        let groups = if x.c.is_multiple_of(2) { 2 } else { 1 };
        let (c, h, g) = ((x.c / groups) as i64, x.h as i64, groups as i64);
        let (apart, whole) = (self.ints(&[0, g, c, h, h]), self.ints(&[0, -1, h, h]));
        let y = self.call(format!("Reshape({}, {apart})", x.name));
        let y = self.call(format!("Transpose<perm=[0,2,1,3,4]>({y})"));
        let y = self.call(format!("Reshape({y}, {whole})"));
        self.keep(y, x.c, x.h);
    }

    /// The last value, and every one that nothing reads, goes to a head; names and lengths of the outputs.
    fn head(&mut self) -> Vec<(String, usize)> {
        let last = self.values.len() - 1;
        let is_open = |(i, v): &(usize, &Value)| *i == last || !self.used.contains(&v.name);
        let open: Vec<Value> = self.values.iter().enumerate().filter(is_open).map(|(_, v)| v.clone()).collect();
        let mut parts = vec![];
        let mut length = 0;
        for v in &open {
            let (name, n) = self.flat(v);
            parts.push(name);
            length += n;
        }
        let mut x =
            if parts.len() == 1 { parts.remove(0) } else { self.call(format!("Concat<axis=1>({})", parts.join(", "))) };
        if self.d.flip() {
            let hidden = self.d.range(2, 5);
            x = self.dense(&x, length, hidden);
            let op = self.d.pick(&["Relu", "Sigmoid"]);
            x = self.call(format!("{op}({x})"));
            length = hidden;
        }
        let y = self.dense(&x, length, 3);
        let mut outputs = vec![(y, 3)];
        if self.d.range(0, 3) == 3 {
            let (name, n) = self.flat(&open[0]);
            outputs.push((name, n));
        }
        outputs
    }

    fn flat(&mut self, v: &Value) -> (String, usize) {
        match self.d.range(0, 2) {
            0 => {
                let pooled = self.call(format!("GlobalAveragePool({})", v.name));
                (self.call(format!("Flatten({pooled})")), v.c)
            }
            1 => (self.call(format!("Flatten({})", v.name)), v.c * v.h * v.h),
            _ => {
                let target = self.ints(&[0, -1]);
                (self.call(format!("Reshape({}, {target})", v.name)), v.c * v.h * v.h)
            }
        }
    }

    fn dense(&mut self, x: &str, from: usize, to: usize) -> String {
        if self.d.flip() {
            let (w, b) = (self.weight(&[to, from], -1.0, 1.0), self.weight(&[to], -1.0, 1.0));
            return self.call(format!("Gemm<transB=1>({x}, {w}, {b})"));
        }
        let w = self.weight(&[from, to], -1.0, 1.0);
        self.call(format!("MatMul({x}, {w})"))
    }
}
