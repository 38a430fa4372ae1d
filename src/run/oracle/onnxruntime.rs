//! ONNX Runtime: prepare, run. Its library is loaded at run time (`library`).

use super::{OracleError, given};
use crate::feed::Feed;
use crate::ir::{Signature, Tensor};
use convert::{element_type, from_ort, to_ort};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

mod convert;

/// How many bytes the models of sessions that stand side by side may have in all: each holds its weights anew.
const SESSIONS: usize = 512 << 20;

/// A library that was loaded, ready to make sessions.
pub(super) struct Loaded {
    environment: Environment,
    /// Its version, such as `1.22.0`.
    pub version: String,
}

/// A prepared model.
pub(super) struct Engine {
    sessions: Sessions,
    inputs: Vec<Signature>,
    outputs: Vec<String>,
    /// How many runs at a time there is room for.
    pub most: usize,
}

impl Engine {
    /// Prepares a model to be run by so many threads each time.
    pub(super) fn new(
        loaded: &Loaded,
        model: &[u8],
        dir: Option<&Path>,
        inputs: &[Signature],
        threads: usize,
    ) -> Result<Engine, OracleError> {
        let source = Source { environment: loaded.environment.clone(), dir: dir.map(Path::to_owned), threads };
        let session = source.session(model)?;
        let asked = session.inputs().iter().map(|i| {
            let given = || inputs.iter().map(|(n, _, _)| n.clone()).collect();
            let signature = inputs.iter().find(|(n, _, _)| n == i.name()).cloned();
            let signature =
                signature.ok_or_else(|| OracleError::NoInput { name: i.name().to_owned(), given: given() })?;
            let (found, expected) = (element_type(signature.1, i.name())?, i.dtype().tensor_type());
            if let Some(expected) = expected.filter(|e| *e != found) {
                let (expected, found) = (expected.to_string(), signature.1.to_string());
                return Err(OracleError::Input { name: i.name().to_owned(), expected, found });
            }
            Ok(signature)
        });
        let inputs = asked.collect::<Result<Vec<_>, _>>()?;
        if let Some(text) = session.outputs().iter().find(|o| !convert::is_known(o.dtype())) {
            let (value, dtype) = (text.name().to_owned(), text.dtype().to_string());
            return Err(OracleError::ElementType { value, dtype });
        }
        let outputs = session.outputs().iter().map(|o| o.name().to_owned()).collect();
        let most = (SESSIONS / model.len().max(1)).max(1);
        let spare = (most > 1).then(|| (source, model.into()));
        let sessions = Sessions { idle: Mutex::new(vec![session]), returned: Condvar::new(), spare };
        Ok(Engine { sessions, inputs, outputs, most })
    }

    pub(super) fn run(&self, feed: &Feed) -> Result<Vec<(String, Tensor)>, OracleError> {
        let values = self.values(feed)?;
        self.sessions.with(|session| {
            let results = session.run(values).map_err(failed)?;
            self.outputs.iter().map(|name| Ok((name.clone(), result(&results, name)?))).collect()
        })
    }

    pub(super) fn time(&self, feed: &Feed) -> Result<Duration, OracleError> {
        let values = self.values(feed)?;
        self.sessions.with(|session| {
            let start = Instant::now();
            let results = session.run(values).map_err(failed)?;
            let time = start.elapsed();
            drop(results);
            Ok(time)
        })
    }

    /// The feed as it is asked for, of the sizes that were announced.
    fn values(&self, feed: &Feed) -> Result<Vec<(String, SessionInputValue<'static>)>, OracleError> {
        let value = |input: &Signature| {
            let tensor = to_ort(given(feed, input)?, &input.0)?;
            Ok((input.0.clone(), SessionInputValue::from(tensor)))
        };
        self.inputs.iter().map(value).collect()
    }
}

/// Sessions of one model: a session runs one feed at a time.
struct Sessions {
    idle: Mutex<Vec<Session>>,
    returned: Condvar,
    /// What more of them are made of, where there may be more than one.
    spare: Option<(Source, Arc<[u8]>)>,
}

impl Sessions {
    /// Does something with a session that nobody else uses meanwhile.
    fn with<T>(&self, work: impl FnOnce(&mut Session) -> Result<T, OracleError>) -> Result<T, OracleError> {
        let mut lent = Lent { session: Some(self.take()?), sessions: self };
        lent.session.as_mut().map_or_else(|| Err(OracleError::Absent), work)
    }

    fn take(&self) -> Result<Session, OracleError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match (idle.pop(), &self.spare) {
                (Some(session), _) => return Ok(session),
                (None, Some((source, model))) => {
                    drop(idle);
                    return source.session(model);
                }
                (None, None) => idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// A session that comes back, whatever happens.
struct Lent<'a> {
    session: Option<Session>,
    sessions: &'a Sessions,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.sessions.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.session.take());
        self.sessions.returned.notify_one();
    }
}

/// How sessions are made.
struct Source {
    environment: Environment,
    /// Where the model's external data lies.
    dir: Option<PathBuf>,
    threads: usize,
}

impl Source {
    fn session(&self, model: &[u8]) -> Result<Session, OracleError> {
        let prepare = |e: String| refused(&plain(&e));
        let builder = Session::builder(&self.environment).map_err(|e| prepare(e.to_string()))?;
        let builder = builder.with_intra_threads(self.threads).map_err(|e| prepare(e.to_string()))?;
        let mut builder = builder.with_deterministic_compute(true).map_err(|e| prepare(e.to_string()))?;
        if let Some(dir) = self.dir.as_deref().and_then(Path::to_str) {
            let key = "session.model_external_initializers_file_folder_path";
            let dir = if dir.is_empty() { "." } else { dir };
            builder = builder.with_config_entry(key, dir).map_err(|e| prepare(e.to_string()))?;
        }
        builder.commit_from_memory(model).map_err(|e| prepare(e.to_string()))
    }
}

/// Loads a library. Once one was loaded, no other can be.
pub(super) fn load(path: &Path) -> Result<Loaded, String> {
    // Held until it is loaded in earnest, which then costs nothing more.
    let (version, _library) = version(path)?;
    let numbers: Vec<u32> = version.split('.').map_while(|n| n.parse().ok()).collect();
    if !matches!(numbers[..], [1, minor, ..] if minor >= ort::MINOR_VERSION) {
        return Err(format!("its version is {version}, and 1.{} or newer is needed", ort::MINOR_VERSION));
    }
    let builder = ort::init_from(path).map_err(|e| e.to_string())?;
    let builder = builder.with_name("secateur").with_telemetry(false).with_logger(Arc::new(heard));
    let environment = builder.build().map_err(|e| e.to_string())?;
    environment.set_log_level(LogLevel::Warning);
    Ok(Loaded { environment, version })
}

/// The version of a library.
#[allow(unsafe_code, reason = "a library's functions are what their names promise, or nothing can be known of them")]
fn version(path: &Path) -> Result<(String, libloading::Library), String> {
    type ApiBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    let short = |e: libloading::Error| {
        let mut told = e.to_string();
        let mut cause = std::error::Error::source(&e);
        while let Some(error) = cause {
            (told, cause) = (error.to_string(), error.source());
        }
        told
    };
    // SAFETY: the header of ONNX Runtime declares both functions so, and its strings live as long as the library.
    unsafe {
        let library = libloading::Library::new(path).map_err(short)?;
        let base = library.get::<ApiBase>(b"OrtGetApiBase");
        let base = base.map_err(|_| "it is no library of ONNX Runtime".to_owned())?();
        let base = base.as_ref().ok_or("it has no API")?;
        let version = CStr::from_ptr((base.GetVersionString)()).to_string_lossy().into_owned();
        Ok((version, library))
    }
}

/// What the library logs is for those who look for a defect.
fn heard(level: LogLevel, _: &str, _: &str, place: &str, message: &str) {
    tracing::debug!(?level, place, "ONNX Runtime: {message}");
}

fn result(results: &SessionOutputs, name: &str) -> Result<Tensor, OracleError> {
    from_ort(results.get(name).ok_or_else(|| OracleError::NoValue(name.to_owned()))?, name)
}

/// Which node stands in the way of preparing a model, as far as the message says: `Node (name) Op (Gather) why`.
fn refused(message: &str) -> OracleError {
    let told = message.split_once("Node (").and_then(|(_, rest)| {
        let (node, rest) = rest.split_once(") Op (")?;
        let (operator, why) = rest.split_once(") ")?;
        Some((operator.to_owned(), node.to_owned(), why.to_owned()))
    });
    match told {
        Some((operator, node, message)) => OracleError::Refused { operator, node, message },
        None => OracleError::Unprepared(message.to_owned()),
    }
}

/// Which node failed, as far as the message says.
fn failed(error: ort::Error) -> OracleError {
    failed_at(&error.to_string())
}

fn failed_at(message: &str) -> OracleError {
    let told = message.split_once("while running ").and_then(|(_, rest)| {
        let (operator, rest) = rest.split_once(" node. Name:'")?;
        let (node, rest) = rest.split_once('\'')?;
        let (_, why) = rest.split_once("Status Message: ")?;
        Some((operator.to_owned(), node.to_owned(), plain(why)))
    });
    let (operator, node, message) = told.unwrap_or_else(|| ("the model".into(), String::new(), plain(message)));
    OracleError::Run { operator, node, message }
}

/// A message without the place in the library's source that it begins with.
fn plain(message: &str) -> String {
    let message = message.trim();
    let behind = message.match_indices(".cc:").last().map(|(at, _)| &message[at..]);
    // Behind the line's number stands the function.
    let behind = behind.and_then(|rest| rest.split_once(' ')).map(|(_, rest)| rest);
    let behind =
        behind.map(|rest| rest.split_once(") ").map_or(rest, |(_, rest)| rest)).filter(|rest| !rest.is_empty());
    behind.unwrap_or(message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_node() {
        let told = "Non-zero status code returned while running Gather node. Name:'a/b' Status Message: \
            /build/onnxruntime/core/providers/cpu/tensor/gather.cc:100 void onnxruntime::Copy(int) [a, b] \
            indices element out of data bounds, idx=7 must be within the inclusive range [-3,2]";
        let error = failed_at(told).to_string();
        assert!(error.starts_with("the run failed at Gather \"a/b\": [a, b] indices element out of"), "{error}");
        let error = failed_at("Got invalid dimensions for input: x").to_string();
        assert_eq!(error, "the run failed at the model \"\": Got invalid dimensions for input: x");
        let error = refused("Node (mm) Op (MatMul) [ShapeInferenceError] Incompatible dimensions").to_string();
        assert_eq!(error, "ONNX Runtime can't run MatMul \"mm\": [ShapeInferenceError] Incompatible dimensions");
        let error = refused("Fatal error: org.x:Foo(-1) is not a registered function/op").to_string();
        assert!(error.starts_with("ONNX Runtime can't prepare the model: Fatal error: org.x:Foo"), "{error}");
    }
}
