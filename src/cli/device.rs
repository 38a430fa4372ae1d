//! Where gradients are computed.

use super::Failure;
use super::keyed::{DeviceSet, Keyed};
use crate::autograd::Device;
use crate::job::selection::check_device;
use clap::Args;

/// Where gradients are computed.
#[derive(Args)]
pub(super) struct DeviceArgs {
    #[command(flatten)]
    given: Keyed<DeviceSet>,
}

impl DeviceArgs {
    /// The device, which need not be there.
    pub(super) fn unchecked(&self) -> Result<Device, Failure> {
        Ok(self.given.options()?.choice.selection.device)
    }

    /// The device, once it is sure that build and machine have it.
    pub(super) fn device(&self) -> Result<Device, Failure> {
        let device = self.unchecked()?;
        check_device(device)?;
        Ok(device)
    }
}
