//! What there is to run models with on this machine.

use super::{Ran, Setup};
#[cfg(feature = "ort")]
use super::{Runtime, library};
use serde::Serialize;
use std::path::PathBuf;

/// The runtimes that a setup may mean, the best first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Survey {
    pub available: Vec<Available>,
    /// Files that might have been a runtime's library.
    pub passed_over: Vec<PassedOver>,
    /// Why nothing can run models as the setup asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A runtime that is there.
#[derive(Clone, Debug, Serialize)]
pub struct Available {
    pub runtime: Ran,
    /// Its library, and how that was come by; nothing of what is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_by: Option<String>,
}

/// A file that is no use, and why.
#[derive(Clone, Debug, Serialize)]
pub struct PassedOver {
    pub library: PathBuf,
    pub found_by: String,
    pub why: String,
}

impl Survey {
    /// What this setup comes to here.
    pub fn of(setup: &Setup) -> Survey {
        let (available, trouble) = match setup.candidates() {
            Ok(setups) => (setups.iter().filter_map(available).collect(), None),
            Err(error) => (vec![], Some(error.to_string())),
        };
        Survey { available, passed_over: passed_over(setup), trouble }
    }
}

#[cfg(feature = "ort")]
fn available(setup: &Setup) -> Option<Available> {
    let runtime = setup.ran().ok()?;
    let library = (runtime.runtime == Runtime::Ort).then(|| setup.library().ok()).flatten();
    let library = library.map(|l| l.candidate.clone());
    let found_by = library.as_ref().map(|c| c.origin.to_string());
    Some(Available { runtime, library: library.map(|c| c.path), found_by })
}

#[cfg(not(feature = "ort"))]
fn available(setup: &Setup) -> Option<Available> {
    Some(Available { runtime: setup.ran().ok()?, library: None, found_by: None })
}

#[cfg(feature = "ort")]
fn passed_over(setup: &Setup) -> Vec<PassedOver> {
    if setup.runtime == Runtime::Tract {
        return vec![];
    }
    let told = |p: &library::PassedOver| PassedOver {
        library: p.candidate.path.clone(),
        found_by: p.candidate.origin.to_string(),
        why: p.why.clone(),
    };
    library::find(&setup.library).passed_over.iter().map(told).collect()
}

#[cfg(not(feature = "ort"))]
fn passed_over(_: &Setup) -> Vec<PassedOver> {
    vec![]
}
