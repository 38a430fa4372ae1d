//! The frontier: how far a model was run on samples, and what is live there.
//!
//! To measure something deep in a model takes what lies before it. So a model is run in legs: each goes from the values
//! that are at hand to those that are wanted, and what later legs need of it is kept for each feed (`shelf.rs`). All legs
//! together cost one run of the model, however many there are. Branches, residual connections, several inputs and outputs
//! are nothing special: whatever is computed and will be read is live.
//!
//! A leg runs as a model of its own. Where the runtime can't run it so, that leg and all behind it begin at the inputs.

use super::draw::samples_in;
use super::runs::{Given, Named, Part, Times, inputs, named};
use super::shelf::{Held, Shelf};
use super::{Half, Samples, StatsError, halved};
use crate::feed::{Feed, FeedError};
use crate::ir::{Graph, Model, Node, Signature, Tensor, ValueId};
use crate::oracle::{Latest, Setup};
use crate::passes;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::iter::Peekable;
use std::time::Instant;

/// What is known of a feed beside its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its place among all feeds.
    pub at: usize,
    /// The half of the samples that its moments are added to.
    pub half: Half,
    /// How many samples it holds.
    pub samples: usize,
}

/// How far a model was run.
pub struct Frontier<'a> {
    setup: Setup,
    samples: &'a dyn Samples,
    shelf: &'a RefCell<Shelf>,
    /// What is live of each feed. `None` at the inputs.
    live: Option<Vec<(Mark, Live)>>,
    /// Whether all legs begin at the inputs, as a runtime can't run parts of this model.
    restarts: bool,
    times: Times,
}

type Live = BTreeMap<String, Held>;

type Feeds<'a> = Peekable<Box<dyn Iterator<Item = Result<(Feed, Half), FeedError>> + 'a>>;

/// Where a leg leads.
pub struct Goal<'g> {
    /// The values to look at.
    pub wanted: &'g [ValueId],
    /// Those of them that will not change any more.
    pub settled: &'g [ValueId],
    /// What later legs will look at.
    pub later: &'g [ValueId],
}

impl<'a> Frontier<'a> {
    /// At the inputs.
    pub fn new(setup: &Setup, samples: &'a dyn Samples, shelf: &'a RefCell<Shelf>) -> Frontier<'a> {
        Frontier { setup: setup.clone(), samples, shelf, live: None, restarts: false, times: Times::default() }
    }

    /// Where the time went so far.
    pub fn times(&self) -> Times {
        self.times
    }

    /// Whether all legs begin at the inputs.
    #[cfg(test)]
    pub(super) fn restarts(&self) -> bool {
        self.restarts
    }

    /// The names of what is live.
    #[cfg(test)]
    pub(super) fn live_names(&self) -> Vec<String> {
        let first = self.live.iter().flatten().next();
        first.into_iter().flat_map(|(_, live)| live.keys().cloned()).collect()
    }

    /// The next leg through this model, which is as it was as far as it was run.
    pub fn leg(&mut self, model: &Model, goal: &Goal) -> Result<Leg<'_, 'a>, StatsError> {
        self.towards(model, goal, true)
    }

    /// A look ahead at values of this model, after which the frontier is where it was.
    pub fn look(&mut self, model: &Model, wanted: &[ValueId]) -> Result<Leg<'_, 'a>, StatsError> {
        self.towards(model, &Goal { wanted, settled: &[], later: &[] }, false)
    }

    fn towards(&mut self, model: &Model, goal: &Goal, moves: bool) -> Result<Leg<'_, 'a>, StatsError> {
        let closed = passes::closed(model)?;
        let named = closed.graph.values_by_name();
        let there = |values: &[ValueId]| -> Vec<ValueId> {
            values.iter().filter_map(|&v| named.get(model.graph.value_name(v)).copied()).collect()
        };
        let mut feeds = match (&self.live, self.restarts) {
            (Some(_), false) => None,
            _ => Some(self.feeds(0)),
        };
        let at_hand: BTreeSet<ValueId> = match (&self.live, &mut feeds) {
            (Some(live), None) => {
                let names = live.first().into_iter().flat_map(|(_, live)| live.keys());
                names.filter_map(|name| named.get(name).copied()).collect()
            }
            (_, feeds) => {
                let first = feeds.as_mut().and_then(|f| f.peek()).and_then(|f| f.as_ref().ok());
                let names = first.map_or_else(Vec::new, |(feed, _)| feed.names());
                names.iter().filter_map(|name| named.get(name).copied()).collect()
            }
        };
        let wanted: Vec<(ValueId, ValueId)> = goal
            .wanted
            .iter()
            .filter_map(|&v| Some((v, *named.get(model.graph.value_name(v))?)))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let live = live(&closed.graph, &at_hand, &there(goal.settled), &there(goal.later));
        let known = self.live.take().filter(|_| feeds.is_none());
        let constants = known.as_ref().map_or_else(Constants::default, |k| Constants::of(k));
        Ok(Leg {
            known: known.map(VecDeque::from),
            at: 0,
            feeds,
            closed,
            at_hand,
            wanted,
            live,
            constants,
            next: vec![],
            part: Latest::default(),
            moves,
            frontier: self,
        })
    }

    /// The feeds from one on, with the halves that they belong to.
    fn feeds(&self, from: usize) -> Feeds<'a> {
        let all: Box<dyn Iterator<Item = _> + 'a> = Box::new(halved(self.samples).skip(from));
        all.peekable()
    }
}

/// What is live once all that the settled values take was run: what later ones read of it, and of what was at hand.
fn live(graph: &Graph, at_hand: &BTreeSet<ValueId>, settled: &[ValueId], later: &[ValueId]) -> BTreeSet<ValueId> {
    let run = graph.between(&|v| at_hand.contains(&v), settled).nodes;
    let is_run = |v: ValueId| run.contains(&v.node) && graph.call(v.node).is_some();
    graph.between(&|v| at_hand.contains(&v) || is_run(v), later).entering
}

/// Short lists of numbers that are the same in all feeds of one kind: shapes, mostly, which a runtime has to know before
/// it can prepare a model.
#[derive(Default)]
struct Constants(HashMap<Vec<Signature>, BTreeMap<String, Tensor>>);

/// Lists up to this length.
const SHORT: usize = 64;

impl Constants {
    fn of(feeds: &[(Mark, Live)]) -> Constants {
        let mut found: HashMap<Vec<Signature>, BTreeMap<String, Tensor>> = HashMap::new();
        for (_, live) in feeds {
            let short = |held: &Held| {
                let (_, shape) = held.kind();
                let is_short = shape.len() < 2 && shape.iter().product::<usize>() <= SHORT;
                held.in_memory().filter(|_| is_short).cloned()
            };
            let here = || live.iter().filter_map(|(name, held)| Some((name.clone(), short(held)?)));
            match found.get_mut(&signature(live)) {
                Some(known) => {
                    let here: BTreeMap<String, Tensor> = here().collect();
                    known.retain(|name, tensor| here.get(name).is_some_and(|t| t.same(tensor)));
                }
                None => _ = found.insert(signature(live), here().collect()),
            }
        }
        Constants(found)
    }
}

fn signature(live: &Live) -> Vec<Signature> {
    let of = |(name, held): (&String, &Held)| {
        let (dtype, shape) = held.kind();
        (name.clone(), dtype, shape.to_vec())
    };
    live.iter().map(of).collect()
}

/// The wanted values on a feed.
pub(super) type Seen = (Mark, BTreeMap<ValueId, Tensor>);

/// A leg: gives the wanted values of one feed after the other. The frontier is at its end once all were asked for.
pub struct Leg<'f, 'a> {
    frontier: &'f mut Frontier<'a>,
    /// What is live where it begins; `None` if it begins at the inputs.
    known: Option<VecDeque<(Mark, Live)>>,
    feeds: Option<Feeds<'a>>,
    at: usize,
    closed: Model,
    at_hand: BTreeSet<ValueId>,
    /// The wanted values, each with what it is in the closed model.
    wanted: Vec<(ValueId, ValueId)>,
    /// What is live where it ends.
    live: BTreeSet<ValueId>,
    constants: Constants,
    next: Vec<(Mark, Live)>,
    part: Latest<Part>,
    /// Whether the frontier goes along.
    moves: bool,
}

impl<'a> Leg<'_, 'a> {
    /// The wanted values on the next feed; `None` after the last one.
    pub fn advance(&mut self) -> Result<Option<Seen>, StatsError> {
        let Some((mark, mut known, live)) = self.feed()? else { return Ok(None) };
        let made = match self.run(&known) {
            Ok(made) => made,
            Err(error) if self.frontier.restarts => return Err(error),
            Err(error) => {
                tracing::info!(%error, "a part of the model can't be run alone, so each begins at the inputs");
                known = self.restart(mark.at)?;
                self.run(&known)?
            }
        };
        known.extend(made);
        let value = |(value, there): &(ValueId, ValueId)| {
            Some((*value, known.get(self.closed.graph.value_name(*there))?.clone()))
        };
        let found = self.wanted.iter().filter_map(value).collect();
        if !self.frontier.restarts {
            self.keep(mark, known, live)?;
        }
        self.at += 1;
        Ok(Some((mark, found)))
    }

    /// Leaves the next feed out, in a look ahead; says whether there was one.
    pub fn pass(&mut self) -> Result<bool, StatsError> {
        self.at += 1;
        match &mut self.known {
            Some(known) => Ok(known.pop_front().map(|feed| self.next.push(feed)).is_some()),
            None => Ok(self.feeds.as_mut().and_then(Iterator::next).transpose()?.is_some()),
        }
    }

    /// The next feed: what is at hand of it.
    fn feed(&mut self) -> Result<Option<(Mark, Named, Live)>, StatsError> {
        if let Some(known) = &mut self.known {
            let Some((mark, live)) = known.pop_front() else { return Ok(None) };
            let mut shelf = self.frontier.shelf.borrow_mut();
            let values = live.iter().map(|(name, held)| Ok((name.clone(), shelf.get(held)?)));
            let values = values.collect::<Result<Named, StatsError>>()?;
            return Ok(Some((mark, values, live)));
        }
        let Some(feed) = self.feeds.as_mut().and_then(Iterator::next) else { return Ok(None) };
        let (feed, half) = feed?;
        let mark = Mark { at: self.at, half, samples: samples_in(&feed) };
        Ok(Some((mark, named(&feed), Live::new())))
    }

    /// Begins at the inputs from now on; gives those of the present feed.
    fn restart(&mut self, at: usize) -> Result<Named, StatsError> {
        self.frontier.restarts = true;
        let mut shelf = self.frontier.shelf.borrow_mut();
        let rest = self.known.take().into_iter().flatten();
        rest.chain(self.next.drain(..)).flat_map(|(_, live)| live).for_each(|(_, held)| shelf.remove(held));
        drop(shelf);
        let mut feeds = self.frontier.feeds(at);
        let (feed, _) = feeds.next().ok_or(StatsError::Empty)??;
        (self.feeds, self.part) = (Some(feeds), Latest::default());
        (self.live, self.constants) = (BTreeSet::new(), Constants::default());
        let first = named(&feed);
        self.at_hand = inputs(&self.closed, &first).into_iter().map(|g| g.value).collect();
        Ok(first)
    }

    /// Runs from what is at hand.
    fn run(&mut self, known: &Named) -> Result<Named, StatsError> {
        let signature: Vec<Signature> =
            known.iter().map(|(name, t)| (name.clone(), t.dtype, t.shape.clone())).collect();
        let start = Instant::now();
        let mut ready = std::mem::take(&mut self.part);
        let part = ready.of(&signature, || self.prepared(&signature))?;
        self.frontier.times.prepare += start.elapsed();
        let start = Instant::now();
        let made = part.run(known);
        self.frontier.times.run += start.elapsed();
        self.part = ready;
        made
    }

    fn prepared(&self, signature: &[Signature]) -> Result<Part, StatsError> {
        let graph = &self.closed.graph;
        let signatures: HashMap<&str, &Signature> = signature.iter().map(|s| (s.0.as_str(), s)).collect();
        let constants = self.constants.0.get(signature);
        let given = |value: &ValueId| {
            let name = graph.value_name(*value);
            let signature = (*signatures.get(name)?).clone();
            Some(Given { value: *value, signature, constant: constants.and_then(|c| c.get(name)).cloned() })
        };
        let given: Vec<Given> = self.at_hand.iter().filter_map(given).collect();
        let mut seen = HashSet::new();
        let wanted = self.wanted.iter().map(|(_, there)| *there).chain(self.live.iter().copied());
        let is_made = |v: &ValueId| !self.at_hand.contains(v) && !matches!(graph.node(v.node), Node::Input(_));
        let wanted: Vec<ValueId> = wanted.filter(|v| is_made(v) && seen.insert(*v)).collect();
        Part::new(&self.frontier.setup, &self.closed, &given, &wanted)
    }

    /// Keeps what is live of a feed, and drops the rest.
    fn keep(&mut self, mark: Mark, mut known: Named, before: Live) -> Result<(), StatsError> {
        if !self.moves {
            self.next.push((mark, before));
            return Ok(());
        }
        let mut shelf = self.frontier.shelf.borrow_mut();
        let names: BTreeSet<&str> = self.live.iter().map(|v| self.closed.graph.value_name(*v)).collect();
        let mut next = Live::new();
        for (name, held) in before {
            match names.contains(name.as_str()) {
                true => _ = next.insert(name, held),
                false => shelf.remove(held),
            }
        }
        for name in names {
            if !next.contains_key(name)
                && let Some(tensor) = known.remove(name)
            {
                next.insert(name.to_owned(), shelf.put(tensor)?);
            }
        }
        self.next.push((mark, next));
        Ok(())
    }
}

impl Drop for Leg<'_, '_> {
    fn drop(&mut self) {
        // A look ahead from the inputs leaves it there.
        if !self.frontier.restarts && (self.moves || self.known.is_some()) {
            let rest = self.known.take().into_iter().flatten();
            self.frontier.live = Some(std::mem::take(&mut self.next).into_iter().chain(rest).collect());
        }
    }
}

impl Drop for Frontier<'_> {
    fn drop(&mut self) {
        let mut shelf = self.shelf.borrow_mut();
        let live = self.live.take().into_iter().flatten();
        live.flat_map(|(_, live)| live).for_each(|(_, held)| shelf.remove(held));
    }
}
