//! `secateur layers`: which residual branches can go as a whole?

use super::progress::Progress;
use super::running::Running;
use super::source::{self, DimArgs};
use super::{Exit, show};
use crate::job::report::LayerReport;
use crate::layers;
use crate::plan::LayerCut;
use serde::Serialize;
use std::path::PathBuf;

/// List the layers: residual branches that `prune --layers` can remove, with their costs and scores
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur layers model.onnx --calib samples.npz")]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    /// Also list sums that end no removable branch, with the reason
    #[arg(long)]
    all: bool,
    /// Score layers on these samples, in any form that `prune --calib` takes; else by their weights
    #[arg(long, value_name = "SAMPLES")]
    calib: Option<String>,
    #[command(flatten)]
    running: Running,
    #[command(flatten)]
    dims: DimArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listing {
    layers: Vec<LayerReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Vec<Refused>>,
}

#[derive(Serialize)]
struct Refused {
    name: String,
    why: String,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let model = source::load(&args.model)?;
    let open = args.dims.open(&model)?;
    let analysis = source::prepare(&model)?;
    let graph = &analysis.model.graph;
    let found = layers::find(&analysis.model, &analysis.facts);
    let progress = Progress::waiting("scoring layers");
    let scores = layers::score::score(&analysis.model, &found.layers, args.calib.as_deref(), &args.running.setup()?)?;
    drop(progress);
    let cut = |(layer, score): (&layers::Layer, f64)| Some((layer.clone(), layer.cut(graph, Some(score))?));
    let cuts: Vec<(layers::Layer, LayerCut)> = found.layers.iter().zip(scores).filter_map(cut).collect();
    let refused = found.refused.iter().map(|r| Refused { name: graph.label(r.merge).to_owned(), why: r.why.clone() });
    let refused = args.all.then(|| refused.collect::<Vec<_>>());
    let listing = Listing { layers: layers::reports(&analysis, &cuts, &open), refused };
    if args.json {
        show::print_json(&listing)?;
        return Ok(Exit::Done);
    }
    show::print(&show::layer_table(&listing.layers))?;
    for refused in listing.refused.iter().flatten() {
        show::print(&show::wrap(&format!("  {}: {}", refused.name, refused.why), 4))?;
    }
    Ok(Exit::Done)
}
