//! `secateur inspect`: what is in a model, and what does it cost?

use super::source::{self, DimArgs};
use super::{Exit, show};
use crate::cost::{self, CallCost, Cost, OpenDims, Walk};
use crate::facts::{Fact, Facts};
use crate::infer;
use crate::ir::{Dim, Model, ValueId};
use crate::prune;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Show what is in a model: a table by operator, and with --layers one by layer
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  secateur inspect model.onnx --layers")]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    /// One line per call that costs something
    #[arg(long)]
    layers: bool,
    #[command(flatten)]
    dims: DimArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The costs of an operator or of a layer: its own, and those of the constants that only it uses.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    name: String,
    op: String,
    shape: String,
    #[serde(flatten)]
    cost: Cost,
}

#[derive(Serialize)]
struct Inspection {
    total: Cost,
    operators: Vec<Row>,
    layers: Vec<Row>,
    values: BTreeMap<String, TypeRow>,
}

/// What is known of a value; no shape where the rank is not known.
#[derive(Serialize)]
struct TypeRow {
    dtype: Option<String>,
    shape: Option<Vec<String>>,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let model = source::load(&args.model)?;
    let model = prune::unfolded(&model)?;
    let facts = infer::infer(&model);
    let open = args.dims.open(&model)?.at(&model, &facts);
    let mut layers = layers(&model, &facts, &open);
    // Both are in topological order.
    let peaks = Walk::new(&model.graph, &facts, &open).bytes();
    layers.iter_mut().zip(peaks).for_each(|(row, bytes)| row.cost.peak = bytes);
    let (total, values) = (cost::cost(&model, &facts, &open), types(&model, &facts));
    let found = Inspection { total, operators: operators(&layers), layers, values };
    if args.json {
        show::print_json(&found)?;
        return Ok(Exit::Done);
    }
    let rows = if args.layers {
        let costly = found.layers.iter().filter(|r| r.cost.macs + r.cost.params > 0);
        let rows = costly.map(|r| {
            [vec![r.name.clone(), r.op.clone(), r.shape.clone()], numbers(&r.cost), vec![show::bytes(r.cost.peak)]]
                .concat()
        });
        show::table(&["layer", "operator", "result", "parameters", "MACs", "bytes", "alive"], 3, rows)
    } else {
        let rows =
            found.operators.iter().map(|r| [vec![r.op.clone(), r.cost.nodes.to_string()], numbers(&r.cost)].concat());
        show::table(&["operator", "nodes", "parameters", "MACs", "bytes"], 1, rows)
    };
    let total = &found.total;
    show::print(&format!(
        "{rows}\n  {} nodes, {} parameters, {} MACs, {} of weights, {} of activations at once\n{}",
        total.nodes,
        show::count(total.params),
        show::count(total.macs),
        show::bytes(total.bytes),
        show::bytes(total.peak),
        if total.choices > 0 { "  MACs are those of the costlier branch of each If\n" } else { "" }
    ))?;
    for c in &facts.contradictions {
        show::note(&format!("warning: `{}` contradicts its operands: {}", model.graph.label(c.node), c.what));
    }
    Ok(Exit::Done)
}

fn types(model: &Model, facts: &Facts) -> BTreeMap<String, TypeRow> {
    let row = |value: ValueId| {
        let Fact { dtype, shape, .. } = facts.get(value);
        let shape = shape.as_ref().map(|s| s.iter().map(Dim::to_string).collect());
        TypeRow { dtype: dtype.map(|d| d.to_string()), shape }
    };
    model.graph.values_by_name().into_iter().map(|(name, value)| (name, row(value))).collect()
}

fn numbers(cost: &Cost) -> Vec<String> {
    vec![show::count(cost.params), show::count(cost.macs), show::bytes(cost.bytes)]
}

fn layers(model: &Model, facts: &Facts, open: &OpenDims) -> Vec<Row> {
    let row = |CallCost { node, cost }: CallCost| {
        let call = model.graph.call(node)?;
        let shape = facts.shape(ValueId { node, port: 0 });
        let shape = shape.map_or("?".to_owned(), |s| s.iter().map(Dim::to_string).collect::<Vec<_>>().join("×"));
        Some(Row { name: call.label().to_owned(), op: call.qualified(), shape, cost })
    };
    cost::per_call(model, facts, open).into_iter().filter_map(row).collect()
}

fn operators(layers: &[Row]) -> Vec<Row> {
    let mut by_op: BTreeMap<&str, Row> = BTreeMap::new();
    for layer in layers {
        let row = by_op.entry(&layer.op).or_insert_with(|| Row { op: layer.op.clone(), ..Row::default() });
        row.cost.nodes += 1;
        row.cost.macs += layer.cost.macs;
        row.cost.params += layer.cost.params;
        row.cost.bytes += layer.cost.bytes;
        row.cost.peak = row.cost.peak.max(layer.cost.peak);
    }
    let mut rows: Vec<Row> = by_op.into_values().collect();
    rows.sort_by(|a, b| b.cost.macs.cmp(&a.cost.macs).then(b.cost.nodes.cmp(&a.cost.nodes)));
    rows
}
