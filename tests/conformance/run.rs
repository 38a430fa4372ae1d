//! Running a case in the oracle.

use super::case::{Case, inputs};
use secateur::feed::Feed;
use secateur::ir::{Model, Tensor};
use secateur::onnx::to_bytes;
use secateur::oracle::Runner;
use secateur::verify::Comparison;

/// What comes out, beside what has to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Run {
    Right,
    Wrong(String),
    /// Nothing does.
    Silent(String),
}

impl Default for Run {
    fn default() -> Run {
        Run::Silent("it was not asked".into())
    }
}

/// Runs a form of the case's model on what the case feeds.
pub(crate) fn run(case: &Case, model: &Model) -> Run {
    let Some(feed) = &case.feed else { return Run::Silent("inputs that are no tensors".into()) };
    let wanted = inputs(model).filter_map(|(_, info)| Some((info.name.clone(), feed.get(&info.name)?.clone())));
    let feed = Feed::new(wanted.collect());
    let outputs = to_bytes(model)
        .map_err(|e| e.to_string())
        .and_then(|bytes| Runner::new(&bytes, None, &feed.signature()).map_err(|e| e.to_string()))
        .and_then(|runner| runner.run(&feed).map_err(|e| e.to_string()));
    match outputs {
        Ok(outputs) => compare(case, &outputs).map_or_else(Run::Wrong, |()| Run::Right),
        Err(why) => Run::Silent(why),
    }
}

fn compare(case: &Case, outputs: &[(String, Tensor)]) -> Result<(), String> {
    for (name, expected) in &case.expected {
        let Some(expected) = expected else { continue };
        let mut comparison = Comparison::default();
        comparison.add(&[(name.clone(), expected.clone())], outputs).map_err(|e| e.to_string())?;
        let difference = comparison.finish();
        if difference.worst() > if expected.dtype.bits() == 16 { 1e-2 } else { 1e-3 } {
            return Err(difference.outputs[0].to_string());
        }
    }
    Ok(())
}
