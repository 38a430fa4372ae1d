//! The choice: which layers go, and what a plan's layers are in a model.

use super::{Layer, find, score::score};
use crate::analysis::Analysis;
use crate::ir::{Graph, NodeId, TensorError};
use crate::oracle::Setup;
use crate::plan::{ChooseError, LayerCut, Patterns};
use crate::verify::VerifyError;

/// Which layers go.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How many.
    pub count: usize,
    /// Only layers with a node or a constant whose name fits one of these; all where there is none.
    pub include: Vec<String>,
    /// No layer with a node or a constant whose name fits one of these.
    pub exclude: Vec<String>,
}

/// Why layers can't be chosen, or a plan's can't be removed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum LayerError {
    #[error(
        "too many layers: {asked} asked for, but only {there} can go; `secateur layers --all` says why others can't"
    )]
    TooFew { asked: usize, there: usize },
    #[error(transparent)]
    Pattern(#[from] ChooseError),
    #[error("the plan removes the layer that ends at node {node} (`{name}`), and the model has no such layer{why}")]
    NoLayer { node: u32, name: String, why: String },
    #[error("the plan removes the layer that ends at node {node} (`{name}`) twice, or from within another one")]
    Twice { node: u32, name: String },
    #[error("constant `{name}`: {error}")]
    Tensor { name: String, error: TensorError },
    #[error("running the model on the samples: {0}")]
    Run(#[from] VerifyError),
    #[error("folding the model's constants: {0}")]
    Fold(String),
}

/// Finds, scores and chooses the layers of a prepared model, on samples if there are any, which the setup runs.
pub fn select(
    analysis: &Analysis,
    options: &Options,
    samples: Option<&str>,
    setup: &Setup,
) -> Result<Vec<(Layer, LayerCut)>, LayerError> {
    let graph = &analysis.model.graph;
    let found = find(&analysis.model, &analysis.facts).layers;
    let scores = score(&analysis.model, &found, samples, setup)?;
    let cut = |i: usize| Some((found[i].clone(), found[i].cut(graph, Some(scores[i]))?));
    Ok(choose(graph, &found, &scores, options)?.into_iter().filter_map(cut).collect())
}

/// Chooses the layers with the lowest scores, of which none lies within another; ties go to the first. `scores` are
/// those of the layers, in order; so are the indices that come back.
pub fn choose(graph: &Graph, layers: &[Layer], scores: &[f64], options: &Options) -> Result<Vec<usize>, LayerError> {
    let wanted = wanted(graph, layers, options)?;
    let mut order: Vec<usize> = (0..layers.len()).filter(|&i| wanted[i]).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    let mut chosen: Vec<usize> = vec![];
    for i in order {
        if chosen.len() < options.count && chosen.iter().all(|&j| layers[i].is_apart(&layers[j])) {
            chosen.push(i);
        }
    }
    if chosen.len() < options.count {
        return Err(LayerError::TooFew { asked: options.count, there: chosen.len() });
    }
    chosen.sort_unstable();
    Ok(chosen)
}

/// Which layers the patterns let in.
fn wanted(graph: &Graph, layers: &[Layer], options: &Options) -> Result<Vec<bool>, LayerError> {
    let name = |n: &NodeId| graph.constant(*n).and_then(|c| c.source()).unwrap_or(graph.label(*n)).to_owned();
    let names = |nodes: &[NodeId]| nodes.iter().map(name).collect::<Vec<String>>();
    let mut patterns = Patterns::new(&options.include, &options.exclude)?;
    let wanted = layers.iter().map(|layer| patterns.let_in(&names(&layer.gone))).collect();
    // A pattern may be meant for channels outside of layers.
    patterns.let_in(&names(&graph.nodes()));
    patterns.finish()?;
    Ok(wanted)
}

/// The layers of a plan, in this model.
pub fn resolve(analysis: &Analysis, cuts: &[LayerCut]) -> Result<Vec<(Layer, LayerCut)>, LayerError> {
    if cuts.is_empty() {
        return Ok(vec![]);
    }
    let graph = &analysis.model.graph;
    let found = find(&analysis.model, &analysis.facts);
    let mut chosen: Vec<(Layer, LayerCut)> = vec![];
    for cut in cuts {
        let (node, name) = (cut.node, cut.name.clone());
        let is_it = |l: &&Layer| graph.origin(l.merge) == Some(node) && l.slot == cut.slot;
        let Some(layer) = found.layers.iter().find(is_it) else {
            let refused = found.refused.iter().find(|r| graph.origin(r.merge) == Some(node));
            let why = refused.map_or_else(String::new, |r| format!(": {}", r.why));
            return Err(LayerError::NoLayer { node, name, why });
        };
        if !chosen.iter().all(|(c, _)| c.is_apart(layer)) {
            return Err(LayerError::Twice { node, name });
        }
        chosen.push((layer.clone(), cut.clone()));
    }
    Ok(chosen)
}
