//! Where gradients are computed.

use super::Failure;
use crate::autograd::Device;
use crate::job::selection::check_device;
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
        Ok(check_device(self.device)?)
    }
}
