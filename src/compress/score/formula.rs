//! Formulas: criteria by name, and combinations of them.
//!
//! `obs*wanda` is the geometric mean of two scores, `obs+l2` the arithmetic one; `*` binds closer. Scores of one
//! criterion are taken as they are; those that are combined are scaled to mean 1 within the group first, whatever
//! their units of measure.

use super::{Context, Criterion, ScoreError, normalize};
use crate::axes::Group;
use crate::gradients::Want;
use crate::stats::Footing;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A criterion, or a mean of several.
#[derive(Clone)]
pub struct Formula {
    /// A sum of products.
    terms: Vec<Vec<&'static Criterion>>,
}

impl Formula {
    /// Whether any of its criteria looks at statistics of samples.
    pub fn needs_data(&self) -> bool {
        self.terms.iter().flatten().any(|c| c.needs_data)
    }

    /// Whether any of its criteria looks at what the weights imply, where nothing is measured.
    pub fn implies(&self) -> bool {
        self.terms.iter().flatten().any(|c| c.name == super::fold::FOLD.name)
    }

    /// Whether it counts on a repair by what the weights imply, where nothing is measured.
    pub(crate) fn is_repaired_unmeasured(&self) -> bool {
        self.implies() || self.terms.iter().flatten().any(|c| c.name == super::lamp::LAMP.name)
    }

    /// Whether such statistics are good enough for it.
    pub(crate) fn bears(&self, footing: Footing) -> bool {
        self.implies() || footing != Footing::Broken
    }

    /// What its criteria look at of gradients.
    pub fn wants(&self) -> BTreeSet<Want> {
        self.terms.iter().flatten().filter_map(|c| c.gradient).collect()
    }

    /// Whether scores are errors, which mean the same in all groups: those of a single criterion can be.
    pub fn is_comparable(&self) -> bool {
        matches!(&self.terms[..], [term] if matches!(term[..], [criterion] if criterion.comparable))
    }

    /// The scores of a group's units.
    pub fn score(&self, context: &Context, group: &Group) -> Result<Vec<f64>, ScoreError> {
        if let [term] = &self.terms[..]
            && let [criterion] = term[..]
        {
            return criterion.score(context, group);
        }
        let mut sum = vec![0.0; group.size];
        for term in &self.terms {
            let mut product = vec![1.0; group.size];
            for criterion in term {
                let mut scores = criterion.score(context, group)?;
                normalize(&mut scores);
                product.iter_mut().zip(scores).for_each(|(p, s)| *p *= s.max(0.0));
            }
            let root = 1.0 / term.len() as f64;
            sum.iter_mut().zip(product).for_each(|(s, p)| *s += p.powf(root));
        }
        normalize(&mut sum);
        Ok(sum)
    }
}

impl From<&'static Criterion> for Formula {
    fn from(criterion: &'static Criterion) -> Formula {
        Formula { terms: vec![vec![criterion]] }
    }
}

/// The size of the weights, which needs no data.
impl Default for Formula {
    fn default() -> Formula {
        Formula::from(&super::l2::L2)
    }
}

impl FromStr for Formula {
    type Err = ScoreError;

    fn from_str(text: &str) -> Result<Formula, ScoreError> {
        let term = |t: &str| t.split('*').map(|name| Criterion::named(name.trim())).collect::<Result<Vec<_>, _>>();
        Ok(Formula { terms: text.split('+').map(term).collect::<Result<_, _>>()? })
    }
}

impl fmt::Debug for Formula {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Formula({self})")
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let term = |t: &Vec<&Criterion>| t.iter().map(|c| c.name).collect::<Vec<_>>().join("*");
        f.write_str(&self.terms.iter().map(term).collect::<Vec<_>>().join("+"))
    }
}
