//! On which scale a model reads its pictures, and the columns of its tables.
//!
//! What somebody says comes first, then what the graph itself does to its input: an input that is cast, divided and
//! shifted to numbers around 0 tells where these are from. Else pictures are shown on each of the usual scales, and that
//! one is taken which the model knows best (`evidence`).

use super::Maker;
use super::evidence::Evidence;
use crate::feed::made_up::{Artist, Frame, Scale, Sketch};
use crate::feed::{Feed, FeedError, InputSpec, Kind};
use crate::ir::{Graph, Model, Node, ValueId};
use crate::job::Error;
use crate::ops;
use crate::passes;
use crate::stats::Probe;

/// What ImageNet's pictures have in each channel, on a scale from 0 to 1: the usual preprocessing of torchvision's models.
const MEANS: [f64; 3] = [0.485, 0.456, 0.406];
const DEVIATIONS: [f64; 3] = [0.229, 0.224, 0.225];

/// Numbers that are this large at most, and lie this far apart at least, are such as layers read.
const USUAL: (f64, f64) = (0.5, 8.0);

/// A model that is asked on few samples.
pub(super) struct Asked<'a> {
    pub maker: &'a Maker<'a>,
    pub specs: &'a [InputSpec],
    pub frame: &'a Frame,
    /// How many portions are made to ask it.
    pub tried: usize,
}

impl Asked<'_> {
    /// Finds the scale of an input, and says how; or why samples of it would mislead.
    pub(super) fn scale(&self, sketches: &mut [Sketch], at: usize) -> Result<Result<String, String>, Error> {
        let (spec, kind) = (&self.specs[at], sketches[at].kind);
        let declared = self.maker.ranges.map(|r| r.of(&spec.name)).filter(|r| r.lo.is_finite() && r.hi.is_finite());
        let is_image = matches!(kind, Kind::Image { .. });
        match (declared, kind) {
            (Some(range), Kind::Image { .. }) => {
                sketches[at].scale = Scale::All(range.lo, range.hi);
                return Ok(Ok("as --input-range says".into()));
            }
            (_, Kind::Image { .. }) if !spec.dtype.is_float() => {
                sketches[at].scale = Scale::All(0.0, 255.0);
                return Ok(Ok(format!("which {} holds", spec.dtype)));
            }
            (_, Kind::Image { .. } | Kind::Table) => {}
            _ => return Ok(Ok(String::new())),
        }
        if let Some((factors, offsets)) = self.normalizer(sketches, at) {
            if is_image {
                if let Some(scale) = usual(&factors, &offsets) {
                    sketches[at].scale = scale;
                    return Ok(Ok("which the model normalizes itself".into()));
                }
            } else {
                let back = factors.iter().zip(&offsets).map(|(f, o)| (1.0 / f, -o / f));
                let (factors, offsets) = back.unzip();
                sketches[at].scale = Scale::Each(factors, offsets);
                return Ok(Ok("on the scales of the columns that the model knows".into()));
            }
        }
        if is_image { self.best(sketches, at) } else { Ok(Ok(String::new())) }
    }

    /// The scale that the model knows best.
    fn best(&self, sketches: &mut [Sketch], at: usize) -> Result<Result<String, String>, Error> {
        let evidence = Evidence::new(self.maker, &self.specs[at].name);
        let mut shown = vec![];
        let candidates = candidates(self.specs, sketches, at);
        for scale in &candidates {
            self.maker.reader.monitor.check()?;
            sketches[at].scale = scale.clone();
            let feeds = match self.feeds(sketches) {
                Ok(feeds) => feeds,
                Err(e) => return Ok(Err(e.to_string())),
            };
            match evidence.of(&feeds) {
                Ok(found) => shown.push(found),
                Err(why) => return Ok(Err(why)),
            }
        }
        let (best, how) = evidence.best(&shown);
        sketches[at].scale = candidates[best].clone();
        Ok(Ok(how.into()))
    }

    /// Whether samples would mislead, and why.
    pub(super) fn misleading(&self, few: &[Feed]) -> Result<Option<String>, Error> {
        self.maker.reader.monitor.check()?;
        Ok(Evidence::new(self.maker, "").misleading(few))
    }

    /// Few samples.
    pub(super) fn feeds(&self, sketches: &[Sketch]) -> Result<Vec<Feed>, FeedError> {
        let artist = Artist { inputs: self.specs, sketches, seed: self.maker.seed };
        (0..self.tried).map(|number| artist.portion(self.frame, number)).collect()
    }

    /// The factor and the offset by which the graph changes each number of a sample of an input before anything else
    /// reads it; `None` where it does not, or in another way.
    fn normalizer(&self, sketches: &[Sketch], at: usize) -> Option<(Vec<f64>, Vec<f64>)> {
        let (spec, model) = (&self.specs[at], passes::inlined(self.maker.model));
        let value = normalized(&model, &spec.name)?;
        let mut probe = Probe::new(self.maker.reader.setup, &model, &[value]).ok()?;
        let artist = Artist { inputs: self.specs, sketches, seed: self.maker.seed };
        let first = artist.portion(self.frame, 0).ok()?;
        let mut at = |number: f64| {
            let count = first.get(&spec.name)?.count();
            let feed = first.with(&spec.name, &vec![number; count])?;
            let read = probe.run(&feed).ok()?;
            let seen = read.get(&value)?;
            (seen.shape == first.get(&spec.name)?.shape).then(|| seen.to_f64().ok())?
        };
        let (zero, one, two) = (at(0.0)?, at(1.0)?, at(2.0)?);
        let count = zero.len() / self.specs[0].batch_size(&first).max(1);
        let factors: Vec<f64> = zero.iter().zip(&one).map(|(z, o)| o - z).take(count).collect();
        let offsets: Vec<f64> = zero.into_iter().take(count).collect();
        let straight = |k: usize| (two[k] - one[k] - factors[k]).abs() <= 1e-3 * factors[k].abs();
        let changes = (0..count).any(|k| (factors[k] - 1.0).abs() > 1e-6 || offsets[k].abs() > 1e-6);
        let fits = spec.batch == 0 && (0..count).all(|k| factors[k].abs() > 1e-12 && straight(k));
        (fits && changes).then_some((factors, offsets))
    }
}

impl InputSpec {
    /// How many samples a feed has.
    fn batch_size(&self, feed: &Feed) -> usize {
        feed.get(&self.name).and_then(|t| t.shape.get(self.batch).copied()).unwrap_or(1)
    }
}

/// The last value on the way from an input that is made of it and of constants alone, before anything sums it up.
fn normalized(model: &Model, input: &str) -> Option<ValueId> {
    let graph: &Graph = &model.graph;
    let node = graph.inputs().into_iter().find(|&n| graph.label(n) == input)?;
    let facts = crate::infer::infer(model);
    let unknowns = crate::facts::Unknowns::of_questions();
    let start = ValueId { node, port: 0 };
    let (mut value, shape) = (start, facts.shape(start)?.to_vec());
    loop {
        let uses = graph.uses(value);
        let &[only] = &uses[..] else { break };
        let Node::Call(call) = graph.node(only.node) else { break };
        let constant = |v: &Option<ValueId>| v.is_none_or(|v| v == value || graph.tensor(v).is_some());
        let site = ops::Site::new(model, graph, only.node, call, &facts, &unknowns);
        let sums = (ops::rule_of(model, call).operands.sum)(&site).is_some();
        let next = ValueId { node: only.node, port: 0 };
        if sums || !graph.operands(only.node).iter().all(constant) || facts.shape(next) != Some(&shape[..]) {
            break;
        }
        value = next;
    }
    (value != start).then_some(value)
}

/// The range of pictures with which these factors and offsets make usual numbers.
fn usual(factors: &[f64], offsets: &[f64]) -> Option<Scale> {
    [(0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)].into_iter().find_map(|(low, high)| {
        let ends = factors.iter().zip(offsets).flat_map(|(f, o)| [low * f + o, high * f + o]);
        let (least, most) = ends.fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)));
        (most - least >= USUAL.0 && most.max(-least) <= USUAL.1).then_some(Scale::All(low, high))
    })
}

/// The usual scales of pictures. What is taken where the model does not say comes first, and the largest numbers last.
fn candidates(specs: &[InputSpec], sketches: &[Sketch], at: usize) -> Vec<Scale> {
    let Kind::Image { channels } = sketches[at].kind else { return vec![Scale::All(0.0, 1.0)] };
    let colours = specs[at].lengths.get(channels).is_some_and(|length| length.size == 3);
    let mean = |numbers: [f64; 3]| if colours { numbers.to_vec() } else { vec![numbers.iter().sum::<f64>() / 3.0] };
    let normed = Scale::Channels(mean(MEANS), mean(DEVIATIONS));
    let usual = [Scale::All(0.0, 1.0), Scale::All(-1.0, 1.0)];
    let largest = Scale::All(0.0, 255.0);
    match colours {
        true => [vec![normed], usual.to_vec(), vec![largest]].concat(),
        false => [usual.to_vec(), vec![normed, largest]].concat(),
    }
}
