//! Where gradients are computed.

use super::Failure;
use crate::autograd::{Device, EngineError};
use clap::Args;

/// Where gradients are computed.
#[derive(Args)]
pub struct On {
    /// Where gradients are computed, for criteria and training: cpu, cuda, or cuda:N (a GPU by NVIDIA, counted from 0). A
    /// GPU computes less exactly, and not always the same bits
    #[arg(long, default_value_t = Device::Cpu, value_name = "DEVICE")]
    pub device: Device,
}

impl On {
    /// Fails where the build or the machine does not have the device.
    pub fn check(&self) -> Result<(), Failure> {
        self.device.check().map_err(|e| match e {
            EngineError::NoGpu => {
                let how =
                    "`cargo build --release --features cuda`, or leave out --device: gradients are computed on the CPU";
                Failure::usage(e).hint(how)
            }
            _ => Failure::new(e).hint("see `nvidia-smi`; without --device gradients are computed on the CPU"),
        })
    }
}
