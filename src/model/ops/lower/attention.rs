//! Attention, as the standard has it, and what ONNX Runtime's share with it.

use super::rotary::heads_apart;
use crate::ops::Site;
use crate::program::{Args, Compare, Literal, NumberKind, Term};

/// A score that no other comes near to. An infinity would spoil derivatives.
const NEVER: f64 = -1e30;

/// The standard's Attention: queries, keys, values, a mask, past keys and values, lengths.
pub(crate) fn attention<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let flat = at.at(0)?.rank() == 3;
    let given = |slot: usize, heads: &str| {
        let x = at.at(slot)?;
        let heads = usize::try_from(site.call.int(heads, 0)).unwrap_or(0);
        if flat { heads_apart(x, heads) } else { Ok(x) }
    };
    let [q, k, v] = [given(0, "q_num_heads")?, given(1, "kv_num_heads")?, given(2, "kv_num_heads")?];
    let past = at.get(4).map_or(0, |p| p.size(2));
    let mut attend = Attend::new(q, behind(at.get(4), k), behind(at.get(5), v));
    attend.softcap = site.call.float("softcap", 0.0).into();
    if site.call.has("scale") {
        attend.scale = site.call.float("scale", 1.0).into();
    }
    if let Some(mask) = at.get(3) {
        attend.mask(mask)?;
    }
    let side = |name: &str| (site.call.int(name, -1) >= 0).then(|| site.call.int(name, -1));
    let (left, mut right) = (side("left_window_size"), side("right_window_size"));
    if site.call.int("is_causal", 0) != 0 {
        right = Some(0);
    }
    let first = match at.get(6) {
        None => FirstQuery::At(past as i64),
        Some(lengths) => {
            attend.shorter(lengths, 0);
            let count = attend.q.size(2) as f64;
            FirstQuery::Of(lengths.reshape(&[lengths.count(), 1, 1, 1]) - count)
        }
    };
    attend.within(first, left, right);
    let told = attend.run();
    let scores = match site.call.int("qk_matmul_output_mode", 0) {
        _ if !crate::ops::attention::wants(site, 3) => told.shares,
        0 => told.scores,
        3 => told.shares,
        mode => return Err(format!("scores of mode {mode} (`qk_matmul_output_mode`) are not supported")),
    };
    Ok(vec![if flat { joined(told.y) } else { told.y }, attend.k, attend.v, scores])
}

/// What was there before, and what is new, along the axis of positions.
pub(crate) fn behind<'b>(past: Option<Term<'b>>, new: Term<'b>) -> Term<'b> {
    past.map_or(new, |past| Term::concat(&[past, new], 2))
}

/// Heads back into the last axis.
pub(crate) fn joined(y: Term) -> Term {
    let [b, h, s, e] = [0, 1, 2, 3].map(|a| y.size(a));
    y.swap(1, 2).reshape(&[b, s, h * e])
}

/// What is weighed against each other: queries `[b, k·r, s, d]`, keys `[b, k, t, d]`, values `[b, k, t, e]`.
pub(crate) struct Attend<'b> {
    pub q: Term<'b>,
    pub k: Term<'b>,
    pub v: Term<'b>,
    pub scale: f64,
    /// Scores are bent to stay below it, where it is not 0.
    pub softcap: f64,
    /// Where all of these are true a key is seen; they broadcast to `[b, k·r, s, t]`.
    allowed: Vec<Term<'b>>,
    /// What is added to scores.
    bias: Vec<Term<'b>>,
}

/// The result, `[b, k·r, s, e]`, with scores and shares, `[b, k·r, s, t]`.
pub(crate) struct Attended<'b> {
    pub y: Term<'b>,
    pub scores: Term<'b>,
    pub shares: Term<'b>,
}

/// The position of the first query among the keys.
#[derive(Clone, Copy)]
pub(crate) enum FirstQuery<'b> {
    At(i64),
    /// Of each sample, `[b, 1, 1, 1]`.
    Of(Term<'b>),
}

impl<'b> Attend<'b> {
    pub(crate) fn new(q: Term<'b>, k: Term<'b>, v: Term<'b>) -> Attend<'b> {
        let scale = (q.size(3).max(1) as f64).sqrt().recip();
        Attend { q, k, v, scale, softcap: 0.0, allowed: vec![], bias: vec![] }
    }

    /// A mask of booleans, or one that is added; what it lacks at the end is not seen.
    pub(crate) fn mask(&mut self, mask: Term<'b>) -> Result<(), String> {
        let last = mask.rank().checked_sub(1).ok_or("its mask is a scalar")?;
        let mut widths = vec![(0, 0); mask.rank()];
        if mask.size(last) > 1 {
            widths[last].1 = self.k.size(2).saturating_sub(mask.size(last));
        }
        match mask.kind() {
            NumberKind::Bool if widths[last].1 == 0 => self.allowed.push(mask),
            NumberKind::Bool => self.allowed.push(mask.cast(NumberKind::Int).pad(&widths, 0.0).cast(NumberKind::Bool)),
            NumberKind::Float => self.bias.push(mask.clamp(NEVER, f64::INFINITY).pad(&widths, NEVER)),
            NumberKind::Int => return Err("a mask of integers is not supported".into()),
        }
        Ok(())
    }

    /// Something that is added to scores.
    pub(crate) fn add(&mut self, bias: Term<'b>) {
        self.bias.push(bias.clamp(NEVER, f64::INFINITY));
    }

    /// Only the first `lengths + more` keys of each sample are seen.
    pub(crate) fn shorter(&mut self, lengths: Term<'b>, more: i64) {
        let lengths = lengths.reshape(&[lengths.count(), 1, 1, 1]) + more as f64;
        self.allowed.push(self.positions().less(lengths));
    }

    /// The numbers of the keys, `[1, 1, 1, t]`.
    pub(crate) fn positions(&self) -> Term<'b> {
        let t = self.k.size(2);
        self.k.builder().ints((0..t as i64).collect(), &[1, 1, 1, t])
    }

    /// A query sees only so many keys before and behind its own position.
    pub(crate) fn within(&mut self, first: FirstQuery<'b>, left: Option<i64>, right: Option<i64>) {
        let (s, t) = (self.q.size(2), self.k.size(2));
        let builder = self.q.builder();
        let ahead = (0..s * t).map(|i| (i % t) as i64 - (i / t) as i64);
        if let FirstQuery::At(first) = first {
            let seen = |d: i64| left.is_none_or(|l| first - d <= l) && right.is_none_or(|r| d - first <= r);
            let seen: Vec<bool> = ahead.map(seen).collect();
            if seen.contains(&false) {
                self.allowed.push(builder.literal(Literal::Bools(seen), &[1, 1, s, t]));
            }
            return;
        }
        let FirstQuery::Of(first) = first else { return };
        let ahead = builder.ints(ahead.collect(), &[1, 1, s, t]);
        let ends = [left.map(|l| (first + -(l as f64), ahead)), right.map(|r| (ahead, first + r as f64))];
        self.allowed.extend(ends.into_iter().flatten().map(|(low, high)| low.compare(Compare::LessEqual, high)));
    }

    pub(crate) fn run(&self) -> Attended<'b> {
        let [b, heads, s, d] = [0, 1, 2, 3].map(|a| self.q.size(a));
        let (keys, t, e) = (self.k.size(1).max(1), self.k.size(2), self.v.size(3));
        // Queries that share a key head lie one below the other.
        let rows = heads / keys * s;
        let q = (self.q * self.scale).reshape(&[b, keys, rows, d]);
        let scores = q.matmul(self.k.swap(2, 3)).reshape(&[b, heads, s, t]);
        let capped = match self.softcap > 0.0 {
            true => (scores / self.softcap).tanh() * self.softcap,
            false => scores,
        };
        let biased = self.bias.iter().fold(capped, |sum, &bias| sum + bias);
        let shares = match self.allowed.iter().copied().reduce(|a, b| a.and(b)) {
            None => biased.softmax(&[3]),
            // Who sees nothing gets zeros.
            Some(seen) => {
                let number = |v: f64| seen.builder().floats(vec![v], &[1; 4]);
                seen.select(seen.select(biased, number(NEVER)).softmax(&[3]), number(0.0))
            }
        };
        let y = shares.reshape(&[b, keys, rows, t]).matmul(self.v).reshape(&[b, heads, s, e]);
        Attended { y, scores, shares }
    }
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::{Trial, close};
    use crate::ir::{DType, Tensor};

    const OWN: [&str; 3] = ["2 2 3 4", "2 2 5 4", "2 2 5 3"];
    const FLAT: [&str; 3] = ["2 3 16", "2 5 8", "2 5 6"];

    fn trial(attributes: &str, operands: &[&str], more: &[&str], results: usize) -> Trial {
        Trial::new("Attention", 24, attributes, &[operands, more].concat(), results)
    }

    #[test]
    fn derivatives() {
        trial("", &OWN, &[], 1).check_derivative();
        trial("is_causal=1 scale=0.7 softcap=0.5", &OWN, &[], 1).check_derivative();
        let heads = "q_num_heads=4 kv_num_heads=2";
        trial(heads, &FLAT, &["3 5"], 1).check_derivative();
        trial(heads, &FLAT, &["bool:2 1 3 4"], 4).check_derivative();
        let past = ["", "2 2 2 4", "2 2 2 3"];
        trial(&format!("{heads} is_causal=1 qk_matmul_output_mode=3"), &FLAT, &past, 4).check_derivative();
        trial("left_window_size=1", &OWN, &["", "", "", "=i64[4 5]"], 1).check_derivative();
    }

    /// One feature; keys of zeros, so that all that is seen has the same share.
    fn means(attributes: &str, more: &[(&str, Tensor)]) -> Vec<f64> {
        let slots: Vec<&str> = more.iter().map(|m| m.0).collect();
        let vector = |shape: &[usize], v: &[f64]| Tensor::from_f64(DType::F32, shape.to_vec(), v).unwrap();
        let operands = ["1 1 3 1", "1 1 3 1", "1 1 3 1"];
        let mut trial = trial(attributes, &operands, &slots, 1)
            .with("x1", vector(&[1, 1, 3, 1], &[0.0; 3]))
            .with("x2", vector(&[1, 1, 3, 1], &[1.0, 10.0, 100.0]));
        for (i, (_, tensor)) in more.iter().enumerate().filter(|(_, m)| !m.0.is_empty()) {
            trial = trial.with(&format!("x{}", i + 3), tensor.clone());
        }
        trial.run()[0].1.to_f64().unwrap()
    }

    #[test]
    fn what_is_seen() {
        let none = || Tensor::from_f64(DType::F32, vec![0], &[]).unwrap();
        let tensor = |dtype, shape: &[usize], v: &[f64]| Tensor::from_f64(dtype, shape.to_vec(), v).unwrap();
        close("all", &[37.0; 3], &means("", &[]), 1e-6);
        close("causal", &[1.0, 5.5, 37.0], &means("is_causal=1", &[]), 1e-6);
        close("window", &[5.5, 55.0, 100.0], &means("left_window_size=0 right_window_size=1", &[]), 1e-6);
        let mask = tensor(DType::Bool, &[3, 2], &[0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        close("mask", &[10.0, 5.5, 0.0], &means("", &[("bool:3 2", mask)]), 1e-6);
        let infinite = tensor(DType::F32, &[1, 3], &[0.0, f64::NEG_INFINITY, 0.0]);
        close("added", &[50.5; 3], &means("", &[("1 3", infinite)]), 1e-6);
        let lengths = tensor(DType::I64, &[1], &[2.0]);
        let rest = [("", none()), ("", none()), ("", none()), ("i64:1", lengths)];
        close("lengths", &[5.5; 3], &means("", &rest), 1e-6);
        close("late", &[0.0, 1.0, 5.5], &means("is_causal=1", &rest), 1e-6);
    }

    #[test]
    fn shares_follow_from_scores() {
        let vector = |v: &[f64]| Tensor::from_f64(DType::F32, vec![1, 1, v.len(), 1], v).unwrap();
        let trial = trial("scale=0.5 softcap=2.0", &["1 1 1 1", "1 1 2 1", "1 1 2 1"], &["", "", ""], 4);
        let trial = trial.with("x0", vector(&[2.0])).with("x1", vector(&[0.0, 3.0])).with("x2", vector(&[0.0, 1.0]));
        let found: Vec<Vec<f64>> = trial.run().iter().map(|(_, t)| t.to_f64().unwrap()).collect();
        close("scores", &[0.0, 3.0], &found[3], 1e-6);
        let capped = 2.0 * 1.5_f64.tanh();
        close("y", &[capped.exp() / (1.0 + capped.exp())], &found[0], 1e-6);
    }
}
