//! ONNX Runtime: its library is found at run time, by the environment variable `ORT_DYLIB_PATH`.

use super::OracleError;
use crate::feed::Feed;
use crate::ir::{DType, Signature, Tensor};
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, TensorElementType};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Where the library is.
const PATH: &str = "ORT_DYLIB_PATH";

/// A prepared model. A session changes while it runs, so it is locked.
pub struct Engine {
    session: Mutex<Session>,
    inputs: Vec<Signature>,
    outputs: Vec<String>,
}

impl Engine {
    pub fn new(model: &[u8], dir: Option<&Path>, inputs: &[Signature], threads: usize) -> Result<Engine, OracleError> {
        let session = session(environment()?, model, dir, threads)?;
        let asked = session.inputs().iter().map(|i| i.name().to_owned());
        let inputs = asked.map(|name| {
            let given = || inputs.iter().map(|(n, _, _)| n.clone()).collect();
            let signature = inputs.iter().find(|(n, _, _)| *n == name).cloned();
            signature.ok_or_else(|| OracleError::NoInput { name, given: given() })
        });
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let outputs = session.outputs().iter().map(|o| o.name().to_owned()).collect();
        Ok(Engine { session: Mutex::new(session), inputs, outputs })
    }

    pub fn run(&self, feed: &Feed) -> Result<Vec<(String, Tensor)>, OracleError> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let results = session.run(self.values(feed)?).map_err(failed)?;
        let result = |name: &String| {
            let value = results.get(name).ok_or_else(|| OracleError::NoValue(name.clone()))?;
            Ok((name.clone(), from_ort(value, name)?))
        };
        self.outputs.iter().map(result).collect()
    }

    pub fn time(&self, feed: &Feed) -> Result<Duration, OracleError> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let values = self.values(feed)?;
        let start = Instant::now();
        let results = session.run(values).map_err(failed)?;
        let time = start.elapsed();
        drop(results);
        Ok(time)
    }

    /// The feed as it is asked for, of the sizes that were announced.
    fn values(&self, feed: &Feed) -> Result<Vec<(String, SessionInputValue<'static>)>, OracleError> {
        let value = |(name, dtype, shape): &Signature| {
            let tensor =
                feed.get(name).ok_or_else(|| OracleError::NoInput { name: name.clone(), given: feed.names() })?;
            if tensor.dtype != *dtype || tensor.shape != *shape {
                return Err(OracleError::Input {
                    name: name.clone(),
                    expected: format!("{dtype}{shape:?}"),
                    found: format!("{}{:?}", tensor.dtype, tensor.shape),
                });
            }
            Ok((name.clone(), SessionInputValue::from(to_ort(tensor, name)?)))
        };
        self.inputs.iter().map(value).collect()
    }
}

/// The library, loaded once.
pub fn environment() -> Result<&'static Environment, OracleError> {
    static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let load = || {
        let path = std::env::var_os(PATH).ok_or(format!("{PATH} does not say where the library is"))?;
        let builder = ort::init_from(&path).map_err(|e| e.to_string())?;
        builder.with_name("secateur").with_telemetry(false).build().map_err(|e| e.to_string())
    };
    LOADED.get_or_init(load).as_ref().map_err(|why| OracleError::NoLibrary(why.clone()))
}

/// Which build of the library is loaded: its commit.
pub fn build() -> &'static str {
    let told = ort::info();
    let commit = told.split_once("git-commit-id=").map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or(rest));
    commit.unwrap_or(told)
}

fn session(
    environment: &Environment,
    model: &[u8],
    dir: Option<&Path>,
    threads: usize,
) -> Result<Session, OracleError> {
    let prepare = |e: String| OracleError::Prepare(e);
    let builder = Session::builder(environment).map_err(|e| prepare(e.to_string()))?;
    let builder = builder.with_intra_threads(threads).map_err(|e| prepare(e.to_string()))?;
    let mut builder = builder.with_deterministic_compute(true).map_err(|e| prepare(e.to_string()))?;
    if let Some(dir) = dir.and_then(Path::to_str) {
        let key = "session.model_external_initializers_file_folder_path";
        builder = builder.with_config_entry(key, dir).map_err(|e| prepare(e.to_string()))?;
    }
    builder.commit_from_memory(model).map_err(|e| prepare(e.to_string()))
}

fn failed(error: ort::Error) -> OracleError {
    OracleError::Run { operator: "the model".into(), node: String::new(), message: error.to_string() }
}

macro_rules! types {
    ($($ours:ident $theirs:ident $rust:ty;)*) => {
        fn to_ort(tensor: &Tensor, name: &str) -> Result<DynValue, OracleError> {
            let prepare = |message: String| OracleError::Prepare(format!("{name:?}: {message}"));
            let raw = tensor.raw().map_err(|e| prepare(e.to_string()))?;
            match tensor.dtype {
                $(DType::$ours => {
                    let elements = raw.chunks_exact(size_of::<$rust>());
                    let read = |c: &[u8]| c.try_into().map_or(<$rust>::default(), <$rust>::from_le_bytes);
                    let data: Vec<$rust> = elements.map(read).collect();
                    let value = ort::value::Tensor::from_array((tensor.shape.clone(), data));
                    Ok(value.map_err(|e| prepare(e.to_string()))?.into_dyn())
                })*
                DType::Bool => {
                    let data: Vec<bool> = raw.iter().map(|&b| b != 0).collect();
                    let value = ort::value::Tensor::from_array((tensor.shape.clone(), data));
                    Ok(value.map_err(|e| prepare(e.to_string()))?.into_dyn())
                }
                other => Err(OracleError::ElementType { value: name.into(), dtype: other.to_string() }),
            }
        }

        fn from_ort(value: &DynValue, name: &str) -> Result<Tensor, OracleError> {
            let prepare = |message: String| OracleError::Prepare(format!("{name:?}: {message}"));
            let tensor = |dtype, shape: &[i64], bytes: Vec<u8>| {
                let shape = shape.iter().map(|&d| d as usize).collect();
                Tensor::new(dtype, shape, bytes).map_err(|e| prepare(e.to_string()))
            };
            let told = value.dtype().tensor_type();
            match told {
                $(Some(TensorElementType::$theirs) => {
                    let (shape, data) = value.try_extract_tensor::<$rust>().map_err(|e| prepare(e.to_string()))?;
                    tensor(DType::$ours, shape, data.iter().flat_map(|x| x.to_le_bytes()).collect())
                })*
                Some(TensorElementType::Bool) => {
                    let (shape, data) = value.try_extract_tensor::<bool>().map_err(|e| prepare(e.to_string()))?;
                    tensor(DType::Bool, shape, data.iter().map(|&b| u8::from(b)).collect())
                }
                other => Err(OracleError::ElementType { value: name.into(), dtype: format!("{other:?}") }),
            }
        }
    };
}

types! {
    F32 Float32 f32;
    F64 Float64 f64;
    I64 Int64 i64;
    I32 Int32 i32;
    I16 Int16 i16;
    I8 Int8 i8;
    U64 Uint64 u64;
    U32 Uint32 u32;
    U16 Uint16 u16;
    U8 Uint8 u8;
}
