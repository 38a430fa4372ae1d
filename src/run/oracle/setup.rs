//! What runs models, and on how many threads.

use super::OracleError;
#[cfg(feature = "ort")]
use super::library::{self, Library};
use crate::parallel;
use serde::{Serialize, Serializer};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

/// Which library runs models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// ONNX Runtime where its library is found and can run the model, else tract.
    #[default]
    Auto,
    /// tract, which is built in.
    Tract,
    /// ONNX Runtime, whose library is loaded when it is asked for first.
    Ort,
}

impl Runtime {
    const ALL: [Runtime; 3] = [Runtime::Auto, Runtime::Tract, Runtime::Ort];

    /// How many times as long a run in 16-bit floats takes as one in 32 bits, about.
    pub fn cost_of_halves(self) -> f64 {
        match self {
            // It computes them one number at a time.
            Runtime::Tract => 50.0,
            Runtime::Auto | Runtime::Ort => 2.0,
        }
    }
}

/// Where ONNX Runtime's library is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// Nowhere, unless ONNX Runtime is asked for by name or is all that this build has: a library loads no code that
    /// nobody asked for.
    #[default]
    Nowhere,
    /// In the usual places.
    Usual,
    /// In this file or folder, and nowhere else.
    At(PathBuf),
}

/// How models are run. The default is what needs nothing but this crate: tract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    pub runtime: Runtime,
    /// How many threads are used. Where it is not said, all cores where many samples are run, and one where a run is
    /// timed.
    pub threads: Option<NonZeroUsize>,
    pub library: Lookup,
}

/// What ran a model: a runtime of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// tract or ONNX Runtime.
    pub runtime: Runtime,
    pub version: &'static str,
}

/// The version of tract that is built in.
pub(super) const TRACT: &str = "0.23.9";

/// A name that no runtime has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no runtime `{0}`; there are auto, tract and ort")]
pub struct RuntimeError(String);

impl Setup {
    /// The best runtime that is found on this machine.
    pub fn best() -> Setup {
        Setup { library: Lookup::Usual, ..Setup::default() }
    }

    /// Just this runtime.
    pub fn of(runtime: Runtime) -> Setup {
        Setup { runtime, ..Setup::default() }
    }

    /// Fails where this build or this machine can't run models so.
    pub fn check(&self) -> Result<(), OracleError> {
        self.ran().map(|_| ())
    }

    /// The same for models that are timed, which tract runs on one thread.
    pub fn check_timed(&self) -> Result<(), OracleError> {
        match (self.ran()?.runtime, self.timed_threads()) {
            (Runtime::Tract, threads) if threads > 1 => Err(OracleError::Threads(threads)),
            _ => Ok(()),
        }
    }

    /// What runs a model, unless it can't run that one.
    pub fn ran(&self) -> Result<Ran, OracleError> {
        match self.candidates()?.first().map(|setup| setup.runtime) {
            #[cfg(feature = "ort")]
            Some(Runtime::Ort) => Ok(Ran { runtime: Runtime::Ort, version: &self.library()?.loaded.version }),
            Some(_) => Ok(Ran { runtime: Runtime::Tract, version: TRACT }),
            None => Err(OracleError::Absent),
        }
    }

    /// This setup for each runtime that it may mean, the best first.
    pub(super) fn candidates(&self) -> Result<Vec<Setup>, OracleError> {
        let with = |runtime| Setup { runtime, ..self.clone() };
        let tract = cfg!(feature = "tract").then(|| with(Runtime::Tract));
        let ort = match (self.runtime, &self.library) {
            (Runtime::Tract, _) => None,
            (Runtime::Auto, Lookup::Nowhere) if cfg!(feature = "tract") => None,
            (Runtime::Auto, Lookup::Nowhere | Lookup::Usual) => self.library().is_ok().then(|| with(Runtime::Ort)),
            // Who asks for it by name, or names its library, gets to know why it is not there.
            (Runtime::Ort, _) | (_, Lookup::At(_)) => self.library().map(|_| Some(with(Runtime::Ort)))?,
        };
        Ok(ort.into_iter().chain(tract.filter(|_| self.runtime != Runtime::Ort)).collect())
    }

    /// ONNX Runtime's library.
    #[cfg(feature = "ort")]
    pub(super) fn library(&self) -> Result<&'static Library, OracleError> {
        let found = library::find(&self.library);
        found.library.ok_or_else(|| OracleError::NoLibrary(found.why_not()))
    }

    #[cfg(not(feature = "ort"))]
    fn library(&self) -> Result<(), OracleError> {
        Err(OracleError::NoOrt)
    }

    /// How many models or samples are run side by side, where many are.
    pub fn side_by_side(&self) -> usize {
        self.threads.map_or_else(parallel::cores, NonZeroUsize::get)
    }

    /// How many threads run one model while it is timed.
    pub fn timed_threads(&self) -> usize {
        self.threads.map_or(1, NonZeroUsize::get)
    }

    /// Does what needs a runtime with each one that there is, the best first, until it succeeds. `goes_on` says of an
    /// error whether the next one is tried; the error of the best one is what comes of it in the end. All that is to be
    /// compared belongs into one call.
    pub fn attempt<T, E: From<OracleError>>(
        &self,
        work: impl Fn(&Setup) -> Result<T, E>,
        goes_on: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let mut first: Option<E> = None;
        for setup in self.candidates()? {
            match work(&setup) {
                Ok(found) => return Ok(found),
                Err(error) if goes_on(&error) => {
                    tracing::debug!(runtime = %setup.runtime, "the runtime can't: the next one is tried");
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or_else(|| OracleError::Absent.into()))
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Runtime::Auto => "auto",
            Runtime::Tract => "tract",
            Runtime::Ort => "ort",
        })
    }
}

impl FromStr for Runtime {
    type Err = RuntimeError;

    fn from_str(name: &str) -> Result<Runtime, RuntimeError> {
        Runtime::ALL.into_iter().find(|r| r.to_string() == name).ok_or_else(|| RuntimeError(name.to_owned()))
    }
}

impl Ran {
    /// The runtime by the name that options have for it, with its version: `ort 1.22.0`.
    pub fn id(&self) -> String {
        format!("{} {}", self.runtime, self.version)
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = if self.runtime == Runtime::Ort { "ONNX Runtime" } else { "tract" };
        write!(f, "{name} {}", self.version)
    }
}

impl Serialize for Ran {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_tract_is_the_one_that_is_built_in() {
        let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("tract-onnx = {{ version = \"={TRACT}\"")));
    }

    #[test]
    fn nothing_is_looked_for_unless_somebody_asks() {
        let runtimes = |setup: &Setup| setup.candidates().map(|all| all.iter().map(|s| s.runtime).collect::<Vec<_>>());
        let usual: &[Runtime] = if cfg!(feature = "tract") { &[Runtime::Tract] } else { &[] };
        assert_eq!(runtimes(&Setup::default()).unwrap(), usual);
        let nowhere = Setup { library: Lookup::At("/nowhere/at/all".into()), ..Setup::default() };
        assert!(runtimes(&nowhere).unwrap_err().is_about_the_runtime());
        assert_eq!(runtimes(&Setup { runtime: Runtime::Tract, ..nowhere }).unwrap(), usual);
    }

    #[test]
    #[cfg(feature = "tract")]
    fn tract_is_timed_on_one_thread() {
        let setup = Setup { threads: NonZeroUsize::new(2), ..Setup::default() };
        assert!(setup.check().is_ok() && matches!(setup.check_timed(), Err(OracleError::Threads(2))));
        assert_eq!((setup.side_by_side(), setup.timed_threads(), Setup::default().timed_threads()), (2, 2, 1));
    }
}
