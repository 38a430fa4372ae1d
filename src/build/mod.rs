//! Pruning as a build step: a file says what is to be made, and what is stale is made.
//!
//! A build file names models, profiles and gates. Its options are the long flags of `secateur prune`, and mean what they
//! mean there; `_` and `-` are alike. Paths are relative to the file.
//!
//! ```toml
//! [model.digits]
//! input = "digits.onnx"
//! output = "out/{model}.{profile}.onnx"
//! calib = "samples.npz"
//! round_to = 8
//!
//! [profile.server]
//! macs = "75%"
//! gates = { max_drift = 0.2 }
//!
//! [profile.edge]
//! extends = "server"
//! macs = "40%"
//! gates = { max_drift = 0.6, max_size = "200KB" }
//! ```
//!
//! What a table says is overridden by what comes later: the top of the file (options for all models), the model and what
//! it `extends`, the profile and what it `extends`, and `[profile.edge.model.digits]`. `false` takes an option back, and
//! of options that exclude each other (two budgets) the last one counts.
//!
//! Beside an output `small.onnx` stand `small.plan.json`, `small.report.json` and `small.lock.json`, which records by
//! hashes what it was made from. Nothing is written that misses a gate, and nothing is made again that is as it was.
//!
//! # In a build script
//!
//! ```no_run
//! use secateur::build::{self, Config};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = Config::load("secateur.toml")?.into_folder(std::env::var("OUT_DIR")?);
//!     for built in build::build(&config, Some("edge"))? {
//!         for file in built.target.inputs() {
//!             println!("cargo:rerun-if-changed={}", file.display());
//!         }
//!         println!("cargo:rustc-env=MODEL={}", built.target.output.display());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A target is a job of its own: its keys fill the options that the flags of `secateur prune` fill (`src/job/keys.rs`).
//!
//! # How
//!
//! A build file's options are the flags of `prune`. `src/job/keys.rs` has a row for each: its name, what it takes, what it
//! goes with, and how a text becomes an option of the job. A target fills its options by these rows, and what is wrong is
//! told at the key's place in the file; the command line fills the same options from clap's arguments. A test keeps rows and
//! flags alike, and sees that both make the same options of the same text (`src/cli/schema.rs`).
//!
//! A lock file has hashes and no times: it may be committed. What makes a build without work quick is a memory of hashes in
//! the user's cache folder (`src/build/memo.rs`), by the path and what the file looked like (size, times, inode); files
//! younger than two seconds are always read. The lock is written last, so what was interrupted is made again.
//!
//! `check` carries out the plan without choosing or repairing (`src/job/again.rs`) and compares the file that is there with
//! the reference; where the weights were refitted it compares the cut, as `prune` does.

mod config;
mod keys;
mod lock;
mod memo;
mod run;
mod schema;
mod section;
mod target;
#[cfg(test)]
mod tests;

pub use crate::model::content;
pub use config::{Config, ConfigError, FILE};
pub use lock::Why;
pub use run::{Built, Options, State, check as check_target, make};
pub use schema::schema;
pub use target::Target;

/// Why not all was made as it should be.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum BuildError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What is wrong, a line each.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

/// Makes what is stale of a profile, or of all where none is named. Fails where a gate was missed.
pub fn build(config: &Config, profile: Option<&str>) -> Result<Vec<Built>, BuildError> {
    all(config, profile, |target| make(target, &Options::default()))
}

/// Checks what was made of a profile, or of all where none is named, and changes nothing.
pub fn check(config: &Config, profile: Option<&str>) -> Result<Vec<Built>, BuildError> {
    all(config, profile, |target| check_target(target, &Options::default()))
}

fn all(config: &Config, profile: Option<&str>, each: impl Fn(&Target) -> Built) -> Result<Vec<Built>, BuildError> {
    let built: Vec<Built> = config.targets(profile)?.iter().map(each).collect();
    let line = |b: &Built| b.wrongs().into_iter().map(|w| format!("{}: {w}", b.target.name)).collect::<Vec<_>>();
    let wrong: Vec<String> = built.iter().flat_map(line).collect();
    if wrong.is_empty() { Ok(built) } else { Err(BuildError::Wrong(wrong)) }
}
