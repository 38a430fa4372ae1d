//! The solver: axes as sums of products of labels, and their unification. It knows no operator.
//!
//! Every axis of every value is a variable. A variable is a leaf (a set of units that nothing has taken apart), an
//! alias of another variable, a product of variables (major factor first) or a sum (one after the other). Rules say
//! which axes are the same; [`Solver::unify`] makes them so:
//!
//! - a leaf becomes whatever it meets;
//! - product with product: from the major end; where two factors differ in size, the larger one is split;
//! - sum with sum: from the front; where two terms differ in size, the larger one is cut in two;
//! - sum with product: if the product's minor factors divide every term, they factor out (`3·8 + 5·8 = (3+5)·8`),
//!   so that there is one normal form: products outside, sums as major factors; if a boundary runs through a unit of
//!   the major factor, that unit and the minor factors stay, and the rest is cut there all the same;
//! - what can't be reconciled is pinned on both sides, with the reason.
//!
//! Pins and inexactness never steer the unification. They are marks on variables, handed down to the leaves once,
//! at the end ([`Solver::hand_down_marks`]).
//!
//! Termination: a unification binds a leaf (there are finitely many, and only splitting makes more), or recurses on
//! parts of strictly smaller size, or gives up. Splitting a leaf replaces it by leaves whose sizes multiply or add
//! up to its own, none of size 1, so a leaf of size n is split fewer than n times, whatever the order.
//!
//! Variables share their parts, so a few can have more leaves than memory could list (`b = a+a, c = b+b, …`). Nothing
//! that unification does walks such a tree; what has more than [`MOST_PARTS`] leaves at the end is not taken apart
//! ([`Solver::collapse`]).

use crate::ir::Dim;
use std::collections::{BTreeSet, HashSet};

/// A variable: an axis, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(u32);

/// A reason, as an index into the caller's list.
pub(crate) type ReasonId = u32;

#[derive(Clone, Debug)]
enum Def {
    Leaf,
    Alias(Var),
    Product(Vec<Var>),
    Sum(Vec<Var>),
}

/// What a variable stands for, aliases followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing smaller.
    Leaf,
    /// A product, major factor first.
    Product(Vec<Var>),
    /// One after the other.
    Sum(Vec<Var>),
}

/// Why units of a leaf must stay, or may go only at a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The units must stay.
    Pin(ReasonId),
    /// Removing units changes what survives.
    Inexact(ReasonId),
}

#[derive(Clone, Debug)]
struct Slot {
    size: Dim,
    def: Def,
    marks: Vec<Mark>,
    /// Whether it may be a part of something.
    within: bool,
}

/// More marks of one kind on one variable than this are dropped: the first ones explain enough.
const MARK_LIMIT: usize = 8;

/// An axis that is made of more leaves than this is not taken apart.
pub(super) const MOST_PARTS: usize = 1 << 12;

/// More factors than this are not compared with others.
const MOST_FACTORS: usize = 1 << 8;

/// The union of all axes.
#[derive(Clone, Debug, Default)]
pub struct Solver {
    slots: Vec<Slot>,
}

impl Solver {
    /// A new leaf.
    pub fn fresh(&mut self, size: Dim) -> Var {
        self.define(size, Def::Leaf)
    }

    fn define(&mut self, size: Dim, def: Def) -> Var {
        if let Def::Product(parts) | Def::Sum(parts) = &def {
            parts.iter().for_each(|&part| self.enclose(part));
        }
        self.slots.push(Slot { size, def, marks: vec![], within: false });
        Var(u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 axes"))
    }

    fn enclose(&mut self, part: Var) {
        let part = self.find(part);
        self.slot_mut(part).within = true;
    }

    /// Makes a variable another name of one.
    fn alias(&mut self, v: Var, of: Var) {
        if self.slot(v).within {
            self.enclose(of);
        }
        self.slot_mut(v).def = Def::Alias(of);
    }

    fn slot(&self, v: Var) -> &Slot {
        &self.slots[v.0 as usize]
    }

    fn slot_mut(&mut self, v: Var) -> &mut Slot {
        &mut self.slots[v.0 as usize]
    }

    /// The variable that this one is an alias of, in the end.
    pub fn find(&self, mut v: Var) -> Var {
        while let Def::Alias(w) = self.slot(v).def {
            v = w;
        }
        v
    }

    /// Like [`find`](Self::find), and shortens the way for the next time.
    fn root(&mut self, v: Var) -> Var {
        let root = self.find(v);
        let mut at = v;
        while let Def::Alias(next) = self.slot(at).def {
            self.slot_mut(at).def = Def::Alias(root);
            at = next;
        }
        root
    }

    /// How long the axis is.
    pub fn size(&self, v: Var) -> &Dim {
        &self.slot(self.find(v)).size
    }

    /// What the variable stands for.
    pub fn shape(&self, v: Var) -> Shape {
        match &self.slot(self.find(v)).def {
            Def::Product(p) => Shape::Product(p.clone()),
            Def::Sum(p) => Shape::Sum(p.clone()),
            _ => Shape::Leaf,
        }
    }

    /// The product of these variables; factors of size 1 vanish.
    pub fn product(&mut self, parts: Vec<Var>) -> Var {
        let parts: Vec<Var> = parts.into_iter().filter(|&p| *self.size(p) != Dim::Fixed(1)).collect();
        if let [one] = parts[..] {
            return one;
        }
        let size = parts.iter().map(|&p| self.size(p).clone()).product();
        if parts.is_empty() { self.fresh(size) } else { self.define(size, Def::Product(parts)) }
    }

    /// The sum of these variables; terms of size 0 vanish.
    pub fn sum(&mut self, parts: Vec<Var>) -> Var {
        let parts: Vec<Var> = parts.into_iter().filter(|&p| *self.size(p) != Dim::Fixed(0)).collect();
        if let [one] = parts[..] {
            return one;
        }
        let size = parts.iter().map(|&p| self.size(p).clone()).sum();
        if parts.is_empty() { self.fresh(size) } else { self.define(size, Def::Sum(parts)) }
    }

    /// Marks a variable, and so all that it is or will be made of.
    pub fn mark(&mut self, v: Var, mark: Mark) {
        let v = self.root(v);
        let marks = &mut self.slot_mut(v).marks;
        let alike = |m: &&Mark| std::mem::discriminant(*m) == std::mem::discriminant(&mark);
        if !marks.contains(&mark) && marks.iter().filter(alike).count() < MARK_LIMIT {
            marks.push(mark);
        }
    }

    /// The leaves of a variable, in order; a leaf can occur more than once.
    pub fn leaves(&self, v: Var) -> Vec<Var> {
        let (mut found, mut open) = (vec![], vec![v]);
        while let Some(v) = open.pop() {
            match self.parts(v) {
                [] => found.push(self.find(v)),
                parts => open.extend(parts.iter().rev()),
            }
        }
        found
    }

    /// What a variable is made of; nothing, for a leaf.
    fn parts(&self, v: Var) -> &[Var] {
        match &self.slot(self.find(v)).def {
            Def::Product(parts) | Def::Sum(parts) => parts,
            Def::Leaf | Def::Alias(_) => &[],
        }
    }

    /// The factors of a product, those of its factors in their place; `None` if they are too many.
    fn factors(&self, v: Var) -> Option<Vec<Var>> {
        self.flat(v, MOST_FACTORS, |def| matches!(def, Def::Product(_)))
    }

    /// The terms of a sum, those of its terms in their place; `None` if they are too many.
    fn terms(&self, v: Var) -> Option<Vec<Var>> {
        self.flat(v, MOST_PARTS, |def| matches!(def, Def::Sum(_)))
    }

    fn flat(&self, v: Var, most: usize, opens: fn(&Def) -> bool) -> Option<Vec<Var>> {
        let (mut found, mut open) = (vec![], vec![v]);
        while let Some(v) = open.pop() {
            let v = self.find(v);
            match opens(&self.slot(v).def) {
                true => open.extend(self.parts(v).iter().rev()),
                false => found.push(v),
            }
            if found.len() + open.len() > most {
                return None;
            }
        }
        Some(found)
    }

    /// Makes two axes the same; `why` explains a pin where they can't be.
    pub fn unify(&mut self, a: Var, b: Var, why: ReasonId) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        let (m, n) = (self.slot(a).size.clone(), self.slot(b).size.clone());
        if m.fixed().is_some() && n.fixed().is_some() && m != n {
            return self.give_up(a, b, why);
        }
        match (&self.slot(a).def, &self.slot(b).def) {
            // The older one stays, so that ways to it are short; it takes the size that the other one knows.
            (Def::Leaf, Def::Leaf) => {
                let (old, new) = (a.min(b), a.max(b));
                if self.slot(old).size.fixed().is_none() && self.slot(new).size.fixed().is_some() {
                    self.slot_mut(old).size = self.slot(new).size.clone();
                }
                self.bind(new, old, why);
            }
            (Def::Leaf, _) => self.bind(a, b, why),
            (_, Def::Leaf) => self.bind(b, a, why),
            (Def::Sum(_), Def::Sum(_)) => {
                self.zip_sums(a, b, why);
                self.join(a, b);
            }
            (Def::Product(_), Def::Product(_)) => {
                self.zip_products(a, b, why);
                self.join(a, b);
            }
            (Def::Sum(_), _) => self.factor_out(a, b, why),
            (_, _) => self.factor_out(b, a, why),
        }
    }

    fn bind(&mut self, leaf: Var, to: Var, why: ReasonId) {
        // What is part of nothing can't be part of this.
        if self.slot(leaf).within && self.is_made_of(to, leaf) {
            return self.mark(to, Mark::Pin(why));
        }
        self.alias(leaf, to);
    }

    /// Reads one axis in the other's form once their parts are the same (or pinned, on both sides): to unify them
    /// again must not find anything new to take apart.
    fn join(&mut self, a: Var, b: Var) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b && !(self.slot(a).within && self.is_made_of(b, a)) {
            self.alias(a, b);
        }
    }

    fn is_made_of(&self, whole: Var, part: Var) -> bool {
        self.below(whole).contains(&self.find(part))
    }

    /// A variable and all that it is made of, each once.
    fn below(&self, whole: Var) -> HashSet<Var> {
        let whole = self.find(whole);
        let (mut found, mut open) = (HashSet::from([whole]), vec![whole]);
        while let Some(v) = open.pop() {
            let parts = self.parts(v).iter().map(|&part| self.find(part));
            open.extend(parts.filter(|&part| found.insert(part)));
        }
        found
    }

    fn give_up(&mut self, a: Var, b: Var, why: ReasonId) {
        self.mark(a, Mark::Pin(why));
        self.mark(b, Mark::Pin(why));
    }

    /// Takes `major` off the front of a factor. Leaves are split; a sum is factored by what remains.
    fn split(&mut self, whole: Var, major: &Dim, why: ReasonId) -> Option<(Var, Var)> {
        let minor = self.size(whole).div_exact(major)?;
        let whole = self.root(whole);
        let (hi, lo) = (self.fresh(major.clone()), self.fresh(minor));
        match self.slot(whole).def {
            Def::Leaf => {
                [hi, lo].into_iter().for_each(|part| self.enclose(part));
                self.slot_mut(whole).def = Def::Product(vec![hi, lo]);
            }
            Def::Sum(_) => {
                let product = self.product(vec![hi, lo]);
                self.factor_out(whole, product, why);
            }
            _ => return None,
        }
        Some((hi, lo))
    }

    fn zip_products(&mut self, a: Var, b: Var, why: ReasonId) {
        let (Some(mut p), Some(mut q)) = (self.factors(a), self.factors(b)) else { return self.give_up(a, b, why) };
        p.reverse();
        q.reverse();
        while let (Some(x), Some(y)) = (p.pop(), q.pop()) {
            let (m, n) = (self.size(x).clone(), self.size(y).clone());
            if m == n {
                self.unify(x, y, why);
            } else if let Some((hi, lo)) = self.split(x, &n, why) {
                p.push(lo);
                self.unify(hi, y, why);
            } else if let Some((hi, lo)) = self.split(y, &m, why) {
                q.push(lo);
                self.unify(hi, x, why);
            } else {
                // What is in front of here is the same already; the rest has no common refinement.
                for v in p.into_iter().chain(q).chain([x, y]) {
                    self.mark(v, Mark::Pin(why));
                }
                return;
            }
        }
        p.into_iter().chain(q).for_each(|v| self.mark(v, Mark::Pin(why)));
    }

    fn zip_sums(&mut self, a: Var, b: Var, why: ReasonId) {
        let (Some(mut p), Some(mut q)) = (self.terms(a), self.terms(b)) else { return self.give_up(a, b, why) };
        p.reverse();
        q.reverse();
        while let (Some(x), Some(y)) = (p.pop(), q.pop()) {
            let (Some(m), Some(n)) = (self.size(x).size(), self.size(y).size()) else {
                // Terms of open size meet only if they are alike.
                if self.size(x) == self.size(y) {
                    self.unify(x, y, why);
                    continue;
                }
                return p.into_iter().chain(q).chain([x, y]).for_each(|v| self.mark(v, Mark::Pin(why)));
            };
            if m == n {
                self.unify(x, y, why);
                continue;
            }
            let (big, small, rest) = if m > n { (x, y, &mut p) } else { (y, x, &mut q) };
            let (head, tail) = (self.fresh(Dim::from(m.min(n))), self.fresh(Dim::from(m.abs_diff(n))));
            rest.push(tail);
            let cut = self.sum(vec![head, tail]);
            self.unify(big, cut, why);
            self.unify(head, small, why);
        }
    }

    /// `a + b = (m r)`: where every term is a multiple of the minor factors r, m is a sum too.
    fn factor_out(&mut self, sum: Var, product: Var, why: ReasonId) {
        let (Some(terms), Some(factors)) = (self.terms(sum), self.factors(product)) else {
            return self.give_up(sum, product, why);
        };
        for cut in 1..factors.len() {
            let stride: Dim = factors[cut..].iter().map(|&f| self.size(f).clone()).product();
            let majors: Option<Vec<Dim>> = terms.iter().map(|&t| self.size(t).div_exact(&stride)).collect();
            let Some(majors) = majors else { continue };
            let minor = self.product(factors[cut..].to_vec());
            let major = self.product(factors[..cut].to_vec());
            let majors: Vec<Var> = majors.into_iter().map(|m| self.fresh(m)).collect();
            let whole = self.sum(majors.clone());
            self.unify(major, whole, why);
            for (t, m) in terms.into_iter().zip(majors) {
                let part = self.product(vec![m, minor]);
                self.unify(t, part, why);
            }
            // From now on the sum is read in its normal form.
            let (s, p) = (self.root(sum), self.root(product));
            if s != p && matches!(self.slot(s).def, Def::Sum(_)) && !self.is_made_of(p, s) {
                self.alias(s, p);
            }
            return;
        }
        if self.cut_raggedly(&terms, &factors, why).is_none() {
            self.give_up(sum, product, why);
        }
    }

    /// `a + b = (m r)` where a is no multiple of r: m is cut around the unit that the boundary runs through. That unit
    /// stays, and so does all of r; the units on both sides of it are as free as before. `None` if there are none.
    fn cut_raggedly(&mut self, terms: &[Var], factors: &[Var], why: ReasonId) -> Option<()> {
        let (major, minors) = factors.split_first().filter(|(_, minors)| !minors.is_empty())?;
        let stride: usize = minors.iter().map(|&f| self.size(f).size()).product::<Option<usize>>()?;
        let units = self.size(*major).size()?;
        let mut ends = vec![0];
        for &term in terms {
            ends.push(ends[ends.len() - 1] + self.size(term).size()?);
        }
        let around = ends.iter().flat_map(|e| [e / stride, e.div_ceil(stride)]);
        let points: BTreeSet<usize> = around.filter(|&p| p <= units).collect();
        let bounds: Vec<usize> = points.into_iter().collect();
        if bounds.windows(2).all(|w| w[1] - w[0] == 1) {
            return None;
        }
        let segments: Vec<Var> = bounds.windows(2).map(|w| self.fresh(Dim::from(w[1] - w[0]))).collect();
        let whole = self.sum(segments.clone());
        self.unify(*major, whole, why);
        let minor = self.product(minors.to_vec());
        self.mark(minor, Mark::Pin(why));
        for (&term, end) in terms.iter().zip(ends.windows(2)) {
            let mut parts = vec![];
            for (&segment, bound) in segments.iter().zip(bounds.windows(2)) {
                let (from, to) = ((bound[0] * stride).max(end[0]), (bound[1] * stride).min(end[1]));
                if from >= to {
                    continue;
                }
                parts.push(if to - from == (bound[1] - bound[0]) * stride {
                    self.product(vec![segment, minor])
                } else {
                    // A part of the one unit that the boundary runs through.
                    let part = self.fresh(Dim::from(to - from));
                    self.mark(part, Mark::Pin(why));
                    part
                });
            }
            let made_of = self.sum(parts);
            self.unify(term, made_of, why);
        }
        Some(())
    }

    /// Whether two variables are made of parts of the same sizes in the same way.
    pub fn alike(&self, a: Var, b: Var) -> bool {
        let (a, b) = (self.find(a), self.find(b));
        let all = |p: &[Var], q: &[Var]| p.len() == q.len() && p.iter().zip(q).all(|(&x, &y)| self.alike(x, y));
        match (&self.slot(a).def, &self.slot(b).def) {
            (Def::Product(p), Def::Product(q)) | (Def::Sum(p), Def::Sum(q)) => all(p, q),
            (Def::Leaf, Def::Leaf) => self.slot(a).size == self.slot(b).size,
            _ => false,
        }
    }

    /// Makes leaves of what has more than `MOST_PARTS` of them. Returns these, and all leaves that they were made of:
    /// none of them can be cut.
    pub fn collapse(&mut self) -> HashSet<Var> {
        let mut counts = vec![0usize; self.slots.len()];
        let mut kept = HashSet::new();
        for i in 0..self.slots.len() {
            let mut open = vec![self.find(Var(i as u32))];
            while let Some(&v) = open.last() {
                let parts: Vec<Var> = self.parts(v).iter().map(|&part| self.find(part)).collect();
                let count = |part: &Var| counts[part.0 as usize];
                let unknown: Vec<Var> = parts.iter().copied().filter(|part| count(part) == 0).collect();
                if count(&v) == 0 && !unknown.is_empty() {
                    open.extend(unknown);
                    continue;
                }
                let many = parts.iter().map(count).sum::<usize>() > MOST_PARTS;
                counts[v.0 as usize] = if many { 1 } else { parts.iter().map(count).sum::<usize>().max(1) };
                if many {
                    kept.extend(self.below(v).into_iter().filter(|&part| part == v || self.parts(part).is_empty()));
                    self.slot_mut(v).def = Def::Leaf;
                }
                open.pop();
            }
        }
        kept
    }

    /// Hands all marks down to the leaves. Afterwards [`marks`](Self::marks) of a leaf is complete.
    pub fn hand_down_marks(&mut self) {
        for i in 0..self.slots.len() {
            self.root(Var(i as u32));
            if self.slots[i].marks.is_empty() {
                continue;
            }
            let v = Var(i as u32);
            let marks = self.slots[i].marks.clone();
            for leaf in self.leaves(v).into_iter().filter(|&l| l != v) {
                marks.iter().for_each(|&m| self.mark(leaf, m));
            }
        }
    }

    /// The marks of a leaf.
    pub fn marks(&self, leaf: Var) -> &[Mark] {
        &self.slot(self.find(leaf)).marks
    }
}
