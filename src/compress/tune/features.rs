//! Feature matching: inner values of a student are compared with those of its teacher, beside the outputs.
//!
//! After Romero et al. (FitNets: Hints for Thin Deep Nets, 2015, arXiv 1412.6550), without their regressors: values are
//! the same where they have one name, and where axes were cut, the plan says which of the teacher's indices stayed.

use super::TuneError;
use crate::analysis::{self, Analysis};
use crate::axes::{KeepSets, Kept};
use crate::contraction::Contraction;
use crate::ir::{Model, Tensor, ValueId};
use crate::layers;
use crate::plan::Plan;
use std::collections::HashMap;
use std::str::FromStr;

/// Which inner values are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What residual branches add; where there are none, some results of contractions, evenly spaced.
    Auto,
    /// The values of these names.
    Named(Vec<String>),
}

/// An inner value of this name at student and teacher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    pub name: String,
    /// The teacher's indices that the student has, by axis; all of other axes.
    pub kept: Vec<(usize, Vec<usize>)>,
}

/// How many results of contractions are compared, where nothing else was asked for.
const SPACED: usize = 4;

/// The values to compare. `plan` is the one that made the student of the teacher, if one did.
pub(crate) fn features(
    student: &Model,
    teacher: &Model,
    plan: Option<&Plan>,
    wanted: &Wanted,
) -> Result<Vec<Feature>, TuneError> {
    let pair = Pair::new(student, teacher, plan)?;
    let feature = |name: &str| pair.feature(name).map_err(|why| TuneError::Feature(name.to_owned(), why));
    match wanted {
        Wanted::Named(names) => names.iter().map(|name| feature(name)).collect(),
        Wanted::Auto => match pair.automatic() {
            found if found.is_empty() => Err(TuneError::NoFeatures),
            found => Ok(found),
        },
    }
}

/// Both models, prepared, and what stayed of the teacher.
struct Pair {
    student: Analysis,
    ours: HashMap<String, ValueId>,
    teacher: Analysis,
    theirs: HashMap<String, ValueId>,
    keep: Option<KeepSets>,
}

impl Pair {
    fn new(student: &Model, teacher: &Model, plan: Option<&Plan>) -> Result<Pair, TuneError> {
        let student = analysis::prepare(student).map_err(Box::new)?;
        let known = teacher.graph.values_by_name();
        let mut teacher = analysis::prepare(teacher).map_err(Box::new)?;
        let mut keep = None;
        if let Some(plan) = plan {
            let gone = layers::resolve(&teacher, &plan.layers).map_err(|e| TuneError::Plan(e.to_string()))?;
            teacher = layers::shorten(teacher, &gone, &Default::default()).map_err(Box::new)?.analysis;
            keep = Some(plan.keep_sets(&teacher)?);
        }
        let ours = student.model.graph.values_by_name();
        let mut theirs = teacher.model.graph.values_by_name();
        // What preparation made can't be asked of the teacher as it runs.
        theirs.retain(|name, _| known.contains_key(name));
        Ok(Pair { student, ours, teacher, theirs, keep })
    }

    /// The value of this name, or why it can't be compared.
    fn feature(&self, name: &str) -> Result<Feature, String> {
        let ours = *self.ours.get(name).ok_or("the student has no value of this name")?;
        let theirs = *self.theirs.get(name).ok_or("the teacher has no value of this name")?;
        let (ours, fact) = (self.student.facts.get(ours), self.teacher.facts.get(theirs));
        if !ours.dtype.zip(fact.dtype).is_some_and(|(a, b)| a.is_float() && b.is_float()) {
            return Err("it is not a tensor of floats".into());
        }
        let (Some(small), Some(large)) = (&ours.shape, &fact.shape) else {
            return Err("its shape is not known".into());
        };
        if small.len() != large.len() {
            return Err(format!("it has {} axes at the student and {} at the teacher", small.len(), large.len()));
        }
        let mut kept = vec![];
        for (axis, (small, large)) in small.iter().zip(large).enumerate().filter(|(_, (a, b))| a != b) {
            let stayed = self.stayed(theirs, axis).filter(|k| small.fixed() == Some(k.len() as i64));
            let why = || format!("axis {axis} is {small} at the student and {large} at the teacher");
            kept.push((axis, stayed.ok_or_else(why)?));
        }
        Ok(Feature { name: name.to_owned(), kept })
    }

    /// The indices of an axis of the teacher's that the plan kept.
    fn stayed(&self, value: ValueId, axis: usize) -> Option<Vec<usize>> {
        let &var = self.teacher.axes.of(value)?.get(axis)?;
        match self.keep.as_ref()?.of(&self.teacher.axes, var) {
            Kept::Some(kept) => Some(kept),
            Kept::All | Kept::Open => None,
        }
    }

    fn automatic(&self) -> Vec<Feature> {
        let graph = &self.student.model.graph;
        let outputs: Vec<_> = graph.outputs().iter().filter_map(|&o| graph.operand(o, 0)).collect();
        let comparable = |values: Vec<ValueId>| -> Vec<Feature> {
            let inner = values.into_iter().filter(|v| !outputs.contains(v));
            inner.filter_map(|v| self.feature(graph.value_name(v)).ok()).collect()
        };
        let found = layers::find(&self.student.model, &self.student.facts).layers;
        let branches = comparable(found.iter().map(|l| l.exit).collect());
        if !branches.is_empty() {
            return branches;
        }
        let mut nodes: Vec<_> = Contraction::every(&self.student).iter().map(|c| c.node).collect();
        nodes.dedup();
        let all = comparable(nodes.into_iter().map(|node| ValueId { node, port: 0 }).collect());
        let count = all.len().min(SPACED);
        (1..=count).map(|i| all[i * all.len() / count - 1].clone()).collect()
    }
}

impl Feature {
    /// The teacher's value as the student has it.
    pub(super) fn of(&self, tensor: Tensor) -> Result<Tensor, TuneError> {
        let cut = self.kept.iter().try_fold(tensor, |tensor, (axis, kept)| tensor.select(*axis, kept));
        cut.map_err(|e| TuneError::Feature(self.name.clone(), e.to_string()))
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Wanted, String> {
        let names: Vec<String> = text.split(',').map(|n| n.trim().to_owned()).collect();
        match names.iter().any(String::is_empty) {
            true => Err("it takes `auto` or names of values".into()),
            false if text == "auto" => Ok(Wanted::Auto),
            false => Ok(Wanted::Named(names)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir;
    use crate::plan::{self, Budget};
    use crate::prune;
    use crate::score::Formula;

    fn parsed(text: &str) -> Model {
        ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}"))
    }

    fn names(found: &[Feature]) -> Vec<&str> {
        found.iter().map(|f| f.name.as_str()).collect()
    }

    const PLAIN: &str = "g (f32[N,2] x) => (f32[N,2] y) {
        f32[2,4] w = {1.0, 0.1, -3.0, 0.2, 2.0, 0.3, 1.0, -0.1}
        f32[4,2] u = {1.0, 1.0, 0.1, 0.1, 1.0, 1.0, 0.1, 0.1}
        h = MatMul(x, w)
        r = Relu(h)
        y = MatMul(r, u)
    }";

    #[test]
    fn what_was_cut_is_compared_by_the_plan() {
        let teacher = parsed(PLAIN);
        let analysis = prune::prepare(&teacher).unwrap();
        let options = plan::Options::new(Budget::ratio(0.5), "l2".parse::<Formula>().unwrap());
        let plan = plan::choose(&analysis, &options).unwrap();
        let student = prune::execute(&teacher, &analysis, &plan, prune::SIMPLIFY, &options.open, None).unwrap().model;
        let found = features(&student, &teacher, Some(&plan), &Wanted::Auto).unwrap();
        assert_eq!(found, [Feature { name: "h".into(), kept: vec![(1, vec![0, 2])] }]);
        let whole = Tensor::from_f32(vec![1, 4], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(found[0].of(whole).unwrap().to_f64().unwrap(), [1.0, 3.0]);
        let without = |text: &str| features(&student, &teacher, None, &text.parse().unwrap());
        assert!(matches!(without("auto"), Err(TuneError::NoFeatures)));
        let Err(error) = without("r") else { panic!("it can't be compared") };
        assert!(error.to_string().contains("axis 1 is 2 at the student and 4 at the teacher"), "{error}");
        assert!(without("none").unwrap_err().to_string().contains("the student has no value of this name"));
    }

    #[test]
    fn branches_come_before_evenly_spaced_layers() {
        let same = |text: &str| features(&parsed(text), &parsed(text), None, &Wanted::Auto).unwrap();
        let branch = "g (f32[N,2] x) => (f32[N,2] y) {
            f32[2,2] w = {1.0, 2.0, 3.0, 4.0}
            p = Relu(x)
            a = MatMul(p, w)
            s = Add(p, a)
            y = Relu(s)
        }";
        assert_eq!(names(&same(branch)), ["a"]);
        let layer = |i: usize| format!("v{0} = MatMul(v{i}, w)\n", i + 1);
        let chain: String = (0..8).map(layer).collect();
        let w = "f32[2,2] w = {1.0, 2.0, 3.0, 4.0}";
        let deep = format!("g (f32[N,2] x) => (f32[N,2] y) {{\n{w}\nv0 = Relu(x)\n{chain}y = Relu(v8)\n}}");
        assert_eq!(names(&same(&deep)), ["v2", "v4", "v6", "v8"]);
    }
}
