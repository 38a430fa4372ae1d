//! Models: their graph, files, rules, axes and exact rewrites. Nothing here runs one.
//!
//! A file is read into the IR (`onnx`, `ir`), inference asks each operator's rule what comes out (`ops`, `infer`,
//! `facts`), the rules' axes are solved (`axes`), and exact passes rewrite the graph (`passes`). Rooms of this floor use
//! one another and nothing above.

pub mod axes;
pub mod content;
pub mod cost;
pub mod diff;
pub mod facts;
pub mod files;
pub mod infer;
pub mod ir;
pub mod load;
pub mod lowering;
pub mod onnx;
pub mod ops;
pub mod panics;
pub mod parallel;
pub mod program;
#[allow(clippy::all, missing_docs, dead_code, unreachable_pub)]
pub mod proto;
pub mod save;
pub mod sizes;

#[path = "../../passes/mod.rs"]
pub mod passes;
