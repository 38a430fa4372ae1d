//! Models: their graph, files, rules, axes and exact rewrites. Nothing here runs one.
//!
//! A file is read into the IR (`onnx`, `ir`), inference asks each operator's rule what comes out (`ops`, `infer`,
//! `facts`), the rules' axes are solved (`axes`), and exact passes rewrite the graph (`passes`). Rooms of this floor use
//! one another and nothing above.

pub(crate) mod axes;
pub mod content;
pub mod cost;
pub mod diff;
pub(crate) mod facts;
pub(crate) mod files;
pub(crate) mod infer;
pub mod ir;
pub(crate) mod load;
pub(crate) mod lowering;
pub mod onnx;
pub mod ops;
pub(crate) mod panics;
pub(crate) mod parallel;
pub(crate) mod program;
#[allow(clippy::all, missing_docs, dead_code, unreachable_pub)]
pub mod proto;
pub(crate) mod save;
pub(crate) mod sizes;

#[path = "../../passes/mod.rs"]
pub mod passes;
