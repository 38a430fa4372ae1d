//! Dimensions: how long an axis is, in numbers or in symbols.
//!
//! A dimension is a polynomial with integer coefficients over atoms. An atom is a symbol that the file names
//! (`batch`), an unknown of our own (`?3`) or a floor division that does not come out even. Sums and products are
//! kept in one normal form, so two dimensions are equal exactly when they print the same.
//!
//! Expressions are bounded (`MOST_ATOMS`, `DEEPEST`): shape arithmetic of a few nodes can ask for polynomials of
//! any size. One that would be larger is an atom of its own, which equals what is computed in the same way alone.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::ops::{Add, Mul, Neg, Sub};
use std::sync::Arc;

/// How long an axis is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dim {
    /// A number.
    Fixed(i64),
    /// An expression over symbols; never a plain number.
    Open(Arc<Poly>),
}

/// A polynomial: coefficient by monomial. No coefficient is zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Poly(BTreeMap<Vec<Atom>, i64>);

/// What a polynomial is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    /// A symbol that the file names.
    Symbol(Arc<str>),
    /// A number that is not known before the run, told apart from others by its id.
    Unknown(u64),
    /// ⌊numerator / denominator⌋.
    Floor(Dim, Dim),
    /// An expression beyond the bounds: a hash of what it is computed from.
    Large(u128),
}

/// The most terms and factors of an expression together, those inside its divisions included.
const MOST_ATOMS: usize = 512;

/// The most divisions inside one another.
const DEEPEST: usize = 32;

impl Dim {
    /// A dimension that the file names.
    pub fn symbol(name: &str) -> Dim {
        Dim::atom(Atom::Symbol(name.into()))
    }

    /// A dimension that nothing is known of; it equals the one with the same id alone.
    pub fn unknown(id: u64) -> Dim {
        Dim::atom(Atom::Unknown(id))
    }

    fn atom(atom: Atom) -> Dim {
        Dim::Open(Arc::new(Poly(BTreeMap::from([(vec![atom], 1)]))))
    }

    /// The number, if it is one.
    pub fn fixed(&self) -> Option<i64> {
        match self {
            Dim::Fixed(n) => Some(*n),
            Dim::Open(_) => None,
        }
    }

    /// The number as a size, if it is one and not negative.
    pub fn size(&self) -> Option<usize> {
        self.fixed().and_then(|n| usize::try_from(n).ok())
    }

    /// The single atom that this is, if it is one.
    pub fn as_atom(&self) -> Option<&Atom> {
        let Dim::Open(p) = self else { return None };
        let mut terms = p.0.iter();
        match (terms.next(), terms.next()) {
            (Some((monomial, 1)), None) if monomial.len() == 1 => monomial.first(),
            _ => None,
        }
    }

    /// The symbol's name, if it is a symbol of the file and nothing else.
    pub fn as_symbol(&self) -> Option<&str> {
        match self.as_atom() {
            Some(Atom::Symbol(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether an unknown (not a symbol of the file) occurs in it.
    pub fn has_unknown(&self) -> bool {
        match self {
            Dim::Fixed(_) => false,
            Dim::Open(p) => p.0.keys().flatten().any(|a| match a {
                Atom::Unknown(_) | Atom::Large(_) => true,
                Atom::Symbol(_) => false,
                Atom::Floor(n, d) => n.has_unknown() || d.has_unknown(),
            }),
        }
    }

    /// The terms of the expression: coefficient and factors each. A number is one term without factors.
    pub fn terms(&self) -> Vec<(i64, Vec<Atom>)> {
        match self {
            Dim::Fixed(n) => vec![(*n, vec![])],
            Dim::Open(p) => p.0.iter().map(|(m, c)| (*c, m.clone())).collect(),
        }
    }

    /// The sum of the terms; `None` where that is beyond the bounds.
    fn from_terms(terms: impl IntoIterator<Item = (i64, Vec<Atom>)>) -> Option<Dim> {
        let mut sum: BTreeMap<Vec<Atom>, i64> = BTreeMap::new();
        for (c, mut m) in terms {
            m.sort();
            let entry = sum.entry(m).or_insert(0);
            *entry = entry.checked_add(c)?;
        }
        sum.retain(|_, c| *c != 0);
        match sum.len() {
            0 => Some(Dim::Fixed(0)),
            1 if sum.contains_key(&vec![]) => Some(Dim::Fixed(sum[&vec![]])),
            _ => Some(Dim::Open(Arc::new(Poly(sum)))).filter(|d| d.extent().is_some()),
        }
    }

    /// How many atoms and terms it is made of; 0 for a number.
    pub fn weight(&self) -> usize {
        if self.fixed().is_some() { 0 } else { self.extent().map_or(MOST_ATOMS, |(atoms, _)| atoms) }
    }

    /// Terms and factors, and the depth of its divisions; `None` where these are beyond the bounds.
    fn extent(&self) -> Option<(usize, usize)> {
        let Dim::Open(poly) = self else { return Some((1, 0)) };
        poly.0.keys().try_fold((0, 0), |(atoms, depth), monomial| {
            let (atoms, depth) = monomial.iter().try_fold((atoms + 1, depth), |(atoms, depth), atom| {
                let Atom::Floor(n, d) = atom else { return Some((atoms + 1, depth)) };
                let (n, d) = (n.extent()?, d.extent()?);
                Some((atoms + 1 + n.0 + d.0, depth.max(n.1 + 1).max(d.1 + 1)))
            })?;
            (atoms <= MOST_ATOMS && depth <= DEEPEST).then_some((atoms, depth))
        })
    }

    /// What stands for an expression that is beyond the bounds.
    fn large(operator: char, a: &Dim, b: &Dim) -> Dim {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        (operator, a, b).hash(&mut hash);
        Dim::atom(Atom::Large(hash.digest128()))
    }

    /// The number that this is where every atom has the number that `of` gives it. `None` where an atom has none,
    /// a denominator is zero or the result does not fit. A floor whose own number `of` does not know is computed.
    pub fn eval(&self, of: &dyn Fn(&Atom) -> Option<i64>) -> Option<i64> {
        self.terms().into_iter().try_fold(0i64, |sum, (c, factors)| {
            let product = factors.iter().try_fold(c, |p, atom| p.checked_mul(atom.eval(of)?))?;
            sum.checked_add(product)
        })
    }

    /// Exact division, where nothing is left over: long division by the divisor's leading term.
    pub fn div_exact(&self, by: &Dim) -> Option<Dim> {
        if let (Dim::Fixed(a), Dim::Fixed(b)) = (self, by) {
            return (a.checked_rem(*b) == Some(0)).then(|| Dim::Fixed(a / b));
        }
        if self == by {
            return Some(Dim::Fixed(1));
        }
        let (c, factors) = by.leading()?;
        let (mut rest, mut quotient) = (self.clone(), vec![]);
        // Each step takes the leading term away, and all that it brings in comes after it.
        while rest != Dim::Fixed(0) {
            let (n, mut left) = rest.leading().filter(|_| quotient.len() < MOST_ATOMS)?;
            for f in &factors {
                let at = left.iter().position(|x| x == f)?;
                left.remove(at);
            }
            if n.checked_rem(c) != Some(0) {
                return None;
            }
            quotient.push((n / c, left.clone()));
            rest = rest - Dim::from_terms([(n / c, left)])? * by.clone();
        }
        Dim::from_terms(quotient)
    }

    /// The term of the highest degree; of several, the one with more of the first atom, then of the second, and so on.
    fn leading(&self) -> Option<(i64, Vec<Atom>)> {
        let order = |a: &Vec<Atom>, b: &Vec<Atom>| a.len().cmp(&b.len()).then_with(|| b.cmp(a));
        self.terms().into_iter().max_by(|(_, a), (_, b)| order(a, b))
    }

    /// ⌊self / by⌋, for a positive `by`; a division by a number that is not stays as it is written.
    pub fn div_floor(&self, by: &Dim) -> Dim {
        if let (Dim::Fixed(a), Dim::Fixed(b)) = (self, by)
            && *b > 0
            && let Some(quotient) = a.checked_div_euclid(*b)
        {
            return Dim::Fixed(quotient);
        }
        if let Some(quotient) = self.div_exact(by) {
            return quotient;
        }
        let floor = Dim::atom(Atom::Floor(self.clone(), by.clone()));
        if floor.extent().is_some() { floor } else { Dim::large('/', self, by) }
    }

    /// A number that it is never below, if one is known. Symbols and unknowns are sizes: never negative.
    pub fn at_least(&self) -> Option<i64> {
        self.terms().into_iter().try_fold(0i64, |low, (c, factors)| match factors.as_slice() {
            [] => low.checked_add(c),
            _ => (c >= 0 && factors.iter().all(Atom::is_size)).then_some(low),
        })
    }

    /// A number that it is never above, if one is known.
    pub fn at_most(&self) -> Option<i64> {
        (-self.clone()).at_least()?.checked_neg()
    }

    /// ⌈self / by⌉, for a positive number `by`.
    pub fn div_ceil(&self, by: &Dim) -> Dim {
        (self.clone() + by.clone() - Dim::Fixed(1)).div_floor(by)
    }
}

impl Atom {
    fn eval(&self, of: &dyn Fn(&Atom) -> Option<i64>) -> Option<i64> {
        of(self).or_else(|| match self {
            Atom::Floor(n, d) => n.eval(of)?.checked_div_euclid(d.eval(of)?),
            Atom::Symbol(_) | Atom::Unknown(_) | Atom::Large(_) => None,
        })
    }

    /// Whether it is known not to be negative.
    fn is_size(&self) -> bool {
        match self {
            Atom::Symbol(_) | Atom::Unknown(_) => true,
            Atom::Floor(n, d) => [n, d].iter().all(|x| x.at_least().is_some_and(|low| low >= 0)),
            Atom::Large(_) => false,
        }
    }
}

impl From<Atom> for Dim {
    fn from(atom: Atom) -> Dim {
        Dim::atom(atom)
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Dim {
        Dim::Fixed(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Dim {
    fn from(n: i64) -> Dim {
        Dim::Fixed(n)
    }
}

impl Add for Dim {
    type Output = Dim;
    fn add(self, other: Dim) -> Dim {
        match (&self, &other) {
            (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(a.saturating_add(*b)),
            _ => Dim::from_terms(self.terms().into_iter().chain(other.terms()))
                .unwrap_or_else(|| Dim::large('+', &self, &other)),
        }
    }
}

impl Neg for Dim {
    type Output = Dim;
    fn neg(self) -> Dim {
        self * Dim::Fixed(-1)
    }
}

impl Sub for Dim {
    type Output = Dim;
    fn sub(self, other: Dim) -> Dim {
        self + -other
    }
}

impl Mul for Dim {
    type Output = Dim;
    fn mul(self, other: Dim) -> Dim {
        if let (Dim::Fixed(a), Dim::Fixed(b)) = (&self, &other) {
            return Dim::Fixed(a.saturating_mul(*b));
        }
        let (left, right) = (self.terms(), other.terms());
        // Beyond this no sum of the products is within the bounds, but for some that vanish.
        let few = left.len() * right.len() <= MOST_ATOMS;
        let product = || {
            let pairs = left.iter().flat_map(|l| right.iter().map(move |r| (l, r)));
            let terms = pairs.map(|((a, m), (b, n))| Some((a.checked_mul(*b)?, m.iter().chain(n).cloned().collect())));
            Dim::from_terms(terms.collect::<Option<Vec<_>>>()?)
        };
        few.then(product).flatten().unwrap_or_else(|| Dim::large('*', &self, &other))
    }
}

impl std::iter::Product for Dim {
    fn product<I: Iterator<Item = Dim>>(iter: I) -> Dim {
        iter.fold(Dim::Fixed(1), |a, b| a * b)
    }
}

impl std::iter::Sum for Dim {
    fn sum<I: Iterator<Item = Dim>>(iter: I) -> Dim {
        iter.fold(Dim::Fixed(0), |a, b| a + b)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, (c, factors)) in self.terms().into_iter().enumerate() {
            if i > 0 && c >= 0 {
                f.write_str("+")?;
            }
            match (c, factors.is_empty()) {
                (_, true) => write!(f, "{c}")?,
                (1, _) => {}
                (-1, _) => f.write_str("-")?,
                _ => write!(f, "{c}*")?,
            }
            for (k, atom) in factors.iter().enumerate() {
                write!(f, "{}{atom}", if k > 0 { "*" } else { "" })?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Atom::Symbol(s) if is_identifier(s) => f.write_str(s),
            Atom::Symbol(s) => write!(f, "{s:?}"),
            Atom::Unknown(id) => write!(f, "?{id}"),
            Atom::Floor(n, d) => write!(f, "floor({n} / {d})"),
            Atom::Large(hash) => write!(f, "?{hash:x}"),
        }
    }
}

/// Whether a symbol prints without quotes.
fn is_identifier(s: &str) -> bool {
    let mut chars = s.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_') && chars.all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n() -> Dim {
        Dim::symbol("n")
    }

    #[test]
    fn one_normal_form() {
        assert_eq!((n() + Dim::Fixed(1)) * n() - n() * n(), n());
        assert_eq!((n() * Dim::Fixed(6)).div_exact(&Dim::Fixed(3)), Some(n() * Dim::Fixed(2)));
        assert_eq!((n() * Dim::Fixed(64)).div_exact(&n()), Some(Dim::Fixed(64)));
        let (m, two) = (Dim::symbol("m"), Dim::Fixed(2));
        let (wide, high) = (n() - two.clone(), m.clone() * m.clone() + two);
        assert_eq!((wide.clone() * high.clone()).div_exact(&wide), Some(high.clone()));
        assert_eq!((wide.clone() * high.clone()).div_exact(&high), Some(wide.clone()));
        assert_eq!((wide.clone() * high.clone() + m).div_exact(&wide), None);
        assert_eq!(wide.div_exact(&Dim::Fixed(0)), None);
        assert_eq!(n() - n(), Dim::Fixed(0));
    }

    #[test]
    fn evaluates() {
        let of = |a: &Atom| (*a == Atom::Symbol("n".into())).then_some(5);
        let half = n().div_floor(&Dim::Fixed(2));
        assert_eq!((half.clone() * half + n() * n() - Dim::Fixed(9)).eval(&of), Some(20));
        assert_eq!((n() + Dim::unknown(0)).eval(&of), None);
        assert_eq!(Dim::Fixed(1).div_floor(&(n() - Dim::Fixed(5))).eval(&of), None);
        assert_eq!((n() * Dim::Fixed(i64::MAX)).eval(&of), None);
    }

    #[test]
    fn bounds_follow_from_sizes() {
        assert_eq!((n() * Dim::Fixed(2) - Dim::Fixed(1)).at_least(), Some(-1));
        assert_eq!((Dim::Fixed(5) - n()).at_most(), Some(5));
        assert_eq!((n() - Dim::symbol("m")).at_least(), None);
        assert_eq!(n().div_floor(&Dim::Fixed(2)).at_least(), Some(0));
    }

    #[test]
    fn extreme_numbers_do_not_panic() {
        let (low, minus) = (Dim::Fixed(i64::MIN), Dim::Fixed(-1));
        assert_eq!(low.div_exact(&minus), None);
        assert!(low.div_floor(&minus).fixed().is_none());
        assert!(low.div_floor(&Dim::Fixed(0)).fixed().is_none());
    }

    #[test]
    fn what_grows_beyond_the_bounds_is_an_atom() {
        let square = |d: &Dim| d.clone() * d.clone();
        let (mut power, mut half) = (n() + Dim::symbol("m"), n());
        for _ in 0..50 {
            power = square(&power);
            half = half.div_floor(&Dim::Fixed(2));
            assert!(power.extent().is_some() && half.extent().is_some());
        }
        let symbols = |a: &Atom| matches!(a, Atom::Symbol(_)).then_some(1);
        assert!(power.has_unknown() && power.at_least().is_none() && power.eval(&symbols).is_none());
        assert!(half.has_unknown());
        assert_eq!(square(&power), square(&power));
        assert_ne!(square(&power), power.clone() + power.clone());
        // A coefficient that does not fit is none of ours either.
        let most = n() * Dim::Fixed(i64::MAX);
        assert!((most.clone() + most.clone()).has_unknown() && (most * Dim::Fixed(2)).has_unknown());
    }

    #[test]
    fn prints_what_it_is() {
        assert_eq!((n() * Dim::Fixed(2) - Dim::Fixed(1)).to_string(), "-1+2*n");
        assert_eq!(n().div_ceil(&Dim::Fixed(2)).to_string(), "floor(1+n / 2)");
        assert_eq!(Dim::symbol("a-b").to_string(), "\"a-b\"");
    }
}
