//! The pipelines of the job, and exact passes run by a text, with the oracle to compute constants.

use crate::feed::Feed;
use crate::ir::{Model, Tensor};
use crate::oracle::Runner;
use crate::passes::{Evaluate, Pipeline, PipelineError, PipelineReport, Settings, SyntaxError};
use crate::save;

/// What brings all that a model computes into one graph.
pub const UNFOLD: &str = "inline-functions,fold-if,open-bodies,fold-if";

/// What undoes `open-bodies`: the last thing that happens before a model is written.
pub const FOLD: &str = "close-bodies";

/// What happens to a model before it is analyzed.
pub const PREPARE: &str =
    "inline-functions,fold-if,open-bodies,fold-if,fix(drop-identity,fold-shapes,dce),fold-weights,dce,split-constants";

/// How every simplification ends.
macro_rules! shortened {
    () => {
        "fix(drop-identity,merge-reshapes,merge-transposes,fold-shapes{shorter=true},fold-pad,cse,dce),merge-constants"
    };
}

macro_rules! simplified {
    () => {
        concat!("merge-constants,drop-identity,fold-constants,fold-bn,fold-affine,", shortened!())
    };
}

/// What happens to a model after surgery.
pub const SIMPLIFY: &str = simplified!();

/// The same, for those who want to keep their BatchNormalization.
pub const SIMPLIFY_KEEP_BN: &str = concat!("merge-constants,drop-identity,fold-constants,fold-affine,", shortened!());

/// The least that is done after surgery: what makes no new weights, and can't make a model larger.
pub const TIDY: &str = "merge-constants,fix(drop-identity,fold-shapes{shorter=true},dce),merge-constants";

/// What `opt` does where nobody says what: Ifs that are decided go, and bodies are simplified like the graph around them.
pub const OPTIMIZE: &str = concat!("fold-if,open-bodies,fold-if,", simplified!(), ",close-bodies");

/// Why a pipeline given as text did not run to its end.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum RunError {
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    #[error(transparent)]
    Pass(#[from] PipelineError),
}

/// Runs a pipeline of exact passes.
pub fn run(pipeline: &str, model: &mut Model) -> Result<PipelineReport, RunError> {
    Ok(pipeline.parse::<Pipeline>()?.run(model, settings())?)
}

/// Settings under which the oracle computes what passes fold.
pub fn settings() -> Settings<'static> {
    Settings { evaluator: Some(&Oracle), ..Settings::default() }
}

struct Oracle;

impl Evaluate for Oracle {
    fn evaluate(&self, model: &Model) -> Result<Vec<Tensor>, String> {
        let bytes = save::to_bytes(model).map_err(|e| e.to_string())?;
        let runner = Runner::new(&bytes, None, &[]).map_err(|e| e.to_string())?;
        let results = runner.run(&Feed::default()).map_err(|e| e.to_string())?;
        Ok(results.into_iter().map(|(_, tensor)| tensor).collect())
    }
}

/// A model with all that it computes in one graph, as costs are counted.
pub fn unfolded(model: &Model) -> Result<Model, RunError> {
    let mut model = model.clone();
    run(UNFOLD, &mut model)?;
    Ok(model)
}
