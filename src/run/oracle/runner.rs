//! A model that is ready to run, whatever runs it.

#[cfg(feature = "ort")]
use super::onnxruntime;
use super::{OracleError, Plan, Ran, Runtime, Setup, engine, guarded};
use crate::feed::Feed;
use crate::ir::{Signature, Tensor};
use crate::parallel;
use std::path::Path;
use std::time::Duration;

/// What a run returns: values by their names.
pub type Outputs = Vec<(String, Tensor)>;

/// A model that is ready to run on inputs of fixed sizes.
pub struct Runner {
    prepared: Prepared,
    ran: Ran,
    /// On how many threads one run is.
    threads: usize,
    /// How many runs there are at a time.
    at_once: usize,
}

enum Prepared {
    Tract(engine::Engine),
    #[cfg(feature = "ort")]
    Ort(onnxruntime::Engine),
}

impl Runner {
    /// Prepares an encoded `ModelProto` for tract. `dir` is where its external data lies; `inputs` are the sizes to run
    /// with, one for every graph input that has no initializer ([`Feed::signature`] has them).
    pub fn new(model: &[u8], dir: Option<&Path>, inputs: &[Signature]) -> Result<Runner, OracleError> {
        Runner::on(&Setup::default(), model, dir, inputs)
    }

    /// Like [`Runner::new`], for what a setup says. Each run is on one thread, so that its bits depend on nothing else.
    pub fn on(setup: &Setup, model: &[u8], dir: Option<&Path>, inputs: &[Signature]) -> Result<Runner, OracleError> {
        setup.attempt(|one| Runner::prepared(one, 1, (model, dir, inputs)), |_| true)
    }

    /// Like [`Runner::on`], for runs that are timed, on as many threads as the setup says.
    pub fn timed(setup: &Setup, model: &[u8], dir: Option<&Path>, inputs: &[Signature]) -> Result<Runner, OracleError> {
        setup.attempt(|one| Runner::prepared(one, setup.timed_threads(), (model, dir, inputs)), |_| true)
    }

    /// For the one runtime that the setup names. tract runs on one thread.
    #[cfg_attr(not(feature = "ort"), allow(unused_variables))]
    fn prepared(
        setup: &Setup,
        threads: usize,
        (model, dir, inputs): (&[u8], Option<&Path>, &[Signature]),
    ) -> Result<Runner, OracleError> {
        let ran = setup.ran()?;
        let prepared = || match setup.runtime {
            #[cfg(feature = "ort")]
            Runtime::Ort => {
                let library = setup.library()?;
                let engine = onnxruntime::Engine::new(&library.loaded, model, dir, inputs, threads)?;
                let at_once = setup.side_by_side().min(engine.most);
                Ok(Runner { prepared: Prepared::Ort(engine), ran, threads, at_once })
            }
            #[cfg(not(feature = "ort"))]
            Runtime::Ort => Err(OracleError::NoOrt),
            Runtime::Auto | Runtime::Tract => {
                let engine = engine::Engine::new(model, dir, inputs, true, &[])?;
                Ok(Runner { prepared: Prepared::Tract(engine), ran, threads: 1, at_once: setup.side_by_side() })
            }
        };
        guarded(prepared)
    }

    /// Like [`Runner::new`], but returns only the inner values of these names, and computes no more than they need.
    pub fn inside(
        model: &[u8],
        dir: Option<&Path>,
        inputs: &[Signature],
        values: &[String],
    ) -> Result<Runner, OracleError> {
        let setup = Setup::of(Runtime::Tract);
        let (ran, at_once) = (setup.ran()?, setup.side_by_side());
        let engine = guarded(|| engine::Engine::new(model, dir, inputs, false, values))?;
        Ok(Runner { prepared: Prepared::Tract(engine), ran, threads: 1, at_once })
    }

    /// What runs the model.
    pub fn ran(&self) -> Ran {
        self.ran
    }

    /// On how many threads one run is.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs the model. Returns the graph's outputs in the file's order, each with its name.
    pub fn run(&self, feed: &Feed) -> Result<Outputs, OracleError> {
        let outputs = guarded(|| match &self.prepared {
            Prepared::Tract(engine) => engine.run(feed),
            #[cfg(feature = "ort")]
            Prepared::Ort(engine) => engine.run(feed),
        });
        outputs.map_err(|error| match (error, integers(feed)) {
            (OracleError::Panic(why), Some(held)) => OracleError::Panic(format!("{why}; {held}")),
            (error, _) => error,
        })
    }

    /// Runs the model on each of these feeds, side by side; what comes out is in their order, and the same as if they were
    /// run one by one.
    pub fn run_all(&self, feeds: &[Feed]) -> Result<Vec<Outputs>, OracleError> {
        parallel::side_by_side_on(self.at_once, feeds, |feed| self.run(feed)).into_iter().collect()
    }

    /// Runs the model and says how long that took, without the conversion of inputs and outputs.
    pub fn time(&self, feed: &Feed) -> Result<Duration, OracleError> {
        guarded(|| match &self.prepared {
            Prepared::Tract(engine) => engine.time(feed),
            #[cfg(feature = "ort")]
            Prepared::Ort(engine) => engine.time(feed),
        })
    }

    /// How the runtime runs the model.
    pub fn plan(&self) -> Plan {
        match &self.prepared {
            Prepared::Tract(engine) => engine.plan(),
            #[cfg(feature = "ort")]
            Prepared::Ort(_) => Plan::Optimized,
        }
    }
}

/// What was prepared last, for feeds of one signature.
pub(crate) struct Latest<T>(Option<(Vec<Signature>, T)>);

impl<T> Default for Latest<T> {
    fn default() -> Latest<T> {
        Latest(None)
    }
}

impl<T> Latest<T> {
    /// That of feeds of this signature, which is made where the last one was for others.
    pub(crate) fn of<E>(&mut self, signature: &[Signature], make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        let ready = match self.0.take().filter(|(other, _)| other == signature) {
            Some(ready) => ready,
            None => (signature.to_vec(), make()?),
        };
        Ok(&self.0.insert(ready).1)
    }
}

/// Which integers the inputs hold. What breaks a runtime down is mostly one that points beyond a table.
fn integers(feed: &Feed) -> Option<String> {
    let range = |(name, tensor): &(String, Tensor)| {
        let numbers = tensor.to_i64()?;
        let (low, high) = (numbers.iter().min()?, numbers.iter().max()?);
        Some(format!("`{name}` holds {low} to {high}"))
    };
    let all: Vec<String> = feed.iter().filter_map(range).collect();
    let hint = "do these numbers point beyond a table of the model?";
    (!all.is_empty()).then(|| format!("the input {}; {hint}", all.join(", ")))
}
