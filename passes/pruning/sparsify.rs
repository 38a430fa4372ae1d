//! `sparsify`: sets a share of the weights to zero, as `secateur prune --sparsity` does.
//!
//! ```text
//! w = {0.1, -2.0, 3.0, 0.5}         →          w = {0.0, -2.0, 3.0, 0.0}
//! y = MatMul(x, w)                             y = MatMul(x, w)
//! ```
//!
//! Lossy: what the weights did is gone. Nothing gets smaller or, by itself, faster. What is a weight, and how it is
//! judged, stands in [`crate::sparsity`].

use crate::feed::Feed;
use crate::ir::Model;
use crate::passes::{Change, Context, Effect, OptionError, Options, Pass, PassError};
use crate::plan::Share;
use crate::sparsity::{self, Method, Pattern, Scope};
use crate::stats::Samples;
use crate::verify;
use std::path::{Path, PathBuf};

/// How many samples are run at a time.
const BATCH: usize = 8;

/// Sets a share of the weights to zero.
pub(super) struct Sparsify {
    options: sparsity::Options,
    samples: Option<PathBuf>,
}

impl Sparsify {
    /// Options: `ratio` (the share that goes), `scope`, `method`, `calib` (an `.npz` file).
    pub(super) fn new(options: &mut Options) -> Result<Sparsify, OptionError> {
        let share = options.take_or("ratio", Share(0.5))?.0;
        let pattern = Pattern::Share(share, options.take_or("scope", Scope::Layer)?);
        let method = options.take_or("method", Method::Magnitude)?;
        Ok(Sparsify { options: sparsity::Options { pattern, method }, samples: options.take("calib")? })
    }
}

impl Pass for Sparsify {
    fn name(&self) -> &'static str {
        "sparsify"
    }

    fn effect(&self) -> Effect {
        Effect::Lossy
    }

    fn run(&self, model: &mut Model, _: &mut Context) -> Result<Change, PassError> {
        thin(model, &self.options, self.samples.as_deref())
    }
}

/// Sets weights to zero; the change counts tensors.
pub(super) fn thin(model: &mut Model, options: &sparsity::Options, file: Option<&Path>) -> Result<Change, PassError> {
    let samples = match file.filter(|_| options.method != Method::Magnitude) {
        Some(file) => {
            let specs = verify::input_specs(model).map_err(PassError::new)?;
            let mut samples = Feed::from_npz(file, &specs, Some(BATCH)).map_err(PassError::new)?;
            // One signature for all runs: a smaller last batch is left out.
            let first = samples.first().map(Feed::signature);
            samples.retain(|f| Some(f.signature()) == first);
            Some(samples)
        }
        None => None,
    };
    let samples = samples.as_ref().map(|s| s as &dyn Samples);
    Ok(Change(sparsity::thin(model, options, samples).map_err(PassError::new)?.len()))
}

#[cfg(test)]
mod tests {
    use crate::ir;
    use crate::passes::Settings;

    const NET: &str = "g (f32[N,4] x) => (f32[N,2] z) {
        f32[4,2] w = {0.1, -5.0, -2.0, 0.2, 3.0, 0.3, 0.5, 0.4}
        f32[2] b = {0.1, 0.1}
        y = MatMul(x, w)
        z = Add(y, b)
    }";

    /// The weights, and whether the pass says that it changed something.
    fn after(pipeline: &str) -> Result<(Vec<f64>, bool), String> {
        let mut model = ir::parse(NET, &|_| None).expect("a model");
        let pipeline = crate::pruning::registry().parse(pipeline).expect("a pipeline");
        let report = pipeline.run(&mut model, Settings::default()).map_err(|e| e.to_string())?;
        let numbers = |name: &str| model.graph.tensor(model.graph.values_by_name()[name]).unwrap().to_f64().unwrap();
        assert!(numbers("b").iter().all(|&b| b > 0.0), "what is added is no weight");
        let round = |x: f64| (x * 1e6).round() / 1e6;
        Ok((numbers("w").into_iter().map(round).collect(), report.change().happened()))
    }

    #[test]
    fn the_smallest_weights_go() {
        assert_eq!(after("sparsify").unwrap(), (vec![0.0, -5.0, -2.0, 0.0, 3.0, 0.0, 0.5, 0.0], true));
        // Each of the two columns is a row of a sum.
        let rows = after("sparsify{ratio=0.25 scope=row}").unwrap();
        assert_eq!(rows.0, [0.0, -5.0, -2.0, 0.0, 3.0, 0.3, 0.5, 0.4]);
        assert!(!after("sparsify{ratio=0}").unwrap().1);
        assert_eq!(after("sparsify,sparsify"), after("sparsify"));
    }

    #[test]
    fn some_of_every_few_stay_along_the_sum() {
        assert_eq!(after("nm{n=1 m=2}").unwrap().0, [0.0, -5.0, -2.0, 0.0, 3.0, 0.0, 0.0, 0.4]);
        assert_eq!(after("nm").unwrap().0, [0.0, -5.0, -2.0, 0.0, 3.0, 0.0, 0.0, 0.4]);
        // Three do not fit twice into four.
        assert_eq!(after("nm{n=1 m=3}").unwrap().0, [0.0, -5.0, 0.0, 0.0, 3.0, 0.0, 0.5, 0.4]);
        assert!(after("nm{n=4 m=4}").unwrap_err().contains("4 of 4"));
    }

    #[test]
    fn what_looks_at_data_asks_for_some() {
        let error = after("sparsify{method=wanda}").unwrap_err();
        assert!(error.contains("wanda needs samples"), "{error}");
    }
}
