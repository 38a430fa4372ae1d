//! Where programs run.

use super::EngineError;
#[cfg(feature = "cuda")]
use super::{Engine, guarded};
use std::fmt;
use std::str::FromStr;

/// Where programs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    #[default]
    Cpu,
    /// A GPU that CUDA's driver knows, counted from 0. Unlike the CPU's, its results need not have the same bits each
    /// time.
    Cuda(usize),
}

impl Device {
    /// Fails where the build or the machine does not have it. It is started to find out.
    pub fn check(self) -> Result<(), EngineError> {
        match self {
            Device::Cpu => Ok(()),
            #[cfg(feature = "cuda")]
            Device::Cuda(index) => started(index),
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(_) => Err(EngineError::NoGpu),
        }
    }
}

/// The GPU of this number, as the engine knows it. Nothing is started there yet.
#[cfg(feature = "cuda")]
pub(super) fn cuda(index: usize) -> Result<<burn_cuda::Cuda as burn_backend::BackendTypes>::Device, EngineError> {
    type Gpu = <burn_cuda::Cuda as burn_backend::BackendTypes>::Device;
    Gpu::cuda(index).map_err(|_| EngineError::NoDevice(index))
}

/// Whether that GPU can be started.
#[cfg(feature = "cuda")]
fn started(index: usize) -> Result<(), EngineError> {
    let engine = Engine { device: Device::Cuda(index), ..Engine::default() };
    guarded(|| engine.place::<burn_cuda::Cuda>(cuda(index)?).map(drop)).map_err(|e| match e {
        EngineError::Panic(said) => EngineError::NoStart(engine.device, said),
        other => other,
    })
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Device, String> {
        let index = match text {
            "cpu" => return Ok(Device::Cpu),
            "cuda" => Some(0),
            _ => text.strip_prefix("cuda:").and_then(|n| n.parse::<u16>().ok()),
        };
        let known = index.map(|n| Device::Cuda(usize::from(n)));
        known.ok_or_else(|| format!("`{text}` is no device; there are cpu, cuda, and cuda:N, counted from 0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(3)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for text in ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:99999", "cuda 1", "cpu:0"] {
            let error = text.parse::<Device>().expect_err("no device");
            assert!(error.starts_with(&format!("`{text}` is no device; there are cpu, cuda")), "{error}");
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_without_gpu_says_how_to_build() {
        assert!(Device::Cpu.check().is_ok());
        let error = Device::Cuda(0).check().expect_err("no GPU").to_string();
        assert_eq!(error, "this build has no GPU; build it with `--features cuda`");
    }
}
