//! Stands in for the engine in a build without tract: it can't be made, so nothing else is ever asked of it.

use super::{OracleError, Plan};
use crate::feed::Feed;
use crate::ir::{Signature, Tensor};
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

pub struct Engine(Infallible);

impl Engine {
    pub fn new(_: &[u8], _: Option<&Path>, _: &[Signature], _: bool, _: &[String]) -> Result<Engine, OracleError> {
        Err(OracleError::Absent)
    }

    pub fn run(&self, _: &Feed) -> Result<Vec<(String, Tensor)>, OracleError> {
        match self.0 {}
    }

    pub fn time(&self, _: &Feed) -> Result<Duration, OracleError> {
        match self.0 {}
    }

    pub fn plan(&self) -> Plan {
        match self.0 {}
    }
}
