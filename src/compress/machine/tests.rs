use super::table::{Along, TableEntry};
use super::*;
use crate::analysis::Analysis;
use crate::axes::KeepSets;
use crate::cost::OpenDims;
use crate::ir::{self, Tensor};
use crate::plan::{self, Budget, ChooseError, Options};
use crate::score::Formula;
use insta::assert_snapshot;
use std::collections::BTreeMap;

/// Two layers of one shape with activations of their own, and a last one.
const NET: &str = "g (f32[N,16] x) => (f32[N,4] y) {
    f32[16,16] a #1
    f32[16] b #2
    f32[16,16] c #3
    f32[16,4] d #4
    [first] h = MatMul(x, a)
    s = Add(h, b)
    r = Relu(s)
    [second] i = MatMul(r, c)
    [last] y = MatMul(i, d)
}";

fn analysis(text: &str) -> Analysis {
    let shapes = [(1, vec![16, 16]), (2, vec![16]), (3, vec![16, 16]), (4, vec![16, 4])];
    let tensor = |hash: u64| {
        let (k, shape) = shapes.iter().find(|(k, _)| *k == hash)?;
        let count: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|i| ((i * 7 + *k as usize) % 11) as f32 - 5.0).collect();
        Some(Tensor::from_f32(shape.clone(), &numbers))
    };
    Analysis::new(ir::parse(text, &tensor).unwrap_or_else(|e| panic!("{e}\n{text}")))
}

fn open(analysis: &Analysis) -> OpenDims {
    OpenDims::of(&analysis.model, Default::default())
}

/// A table of the model with these costs of widths.
fn table(analysis: &Analysis, cost: impl Fn(&[usize]) -> f64) -> Table {
    let mut entries: BTreeMap<String, TableEntry> = BTreeMap::new();
    for piece in fused_subgraphs(analysis, &open(analysis)) {
        let points = profile::points(analysis, &piece);
        let lengths = |keep: &KeepSets| {
            let length = |&w: &crate::axes::Var| keep.size(&analysis.axes, w).size().unwrap();
            piece.widths.iter().map(length).collect::<Vec<_>>()
        };
        let costs = points.keeps.iter().map(|k| cost(&lengths(k))).collect();
        let entry = TableEntry { shape: piece.shape.clone(), widths: points.widths, along: points.along, costs };
        entries.insert(piece.shape, entry);
    }
    let host = Host { cpu: "made up".into(), ..Host::here(&Default::default()) };
    Table {
        version: table::VERSION,
        quantity: Quantity::Latency,
        host,
        pieces: entries.into_values().collect(),
        skipped: vec![],
    }
}

#[test]
fn what_runs_in_one_go_is_one_piece() {
    let analysis = analysis(NET);
    let shapes: Vec<String> = fused_subgraphs(&analysis, &open(&analysis)).into_iter().map(|p| p.shape).collect();
    assert_snapshot!(shapes.join("\n"), @r"
    MatMul(f32[1,16], #f32[16,a:16]); Add(_, #f32[a:16]); Relu(_) -> f32[1,a:16]
    MatMul(f32[1,a:16], #f32[a:16,b:16]) -> f32[1,b:16]
    MatMul(f32[1,a:16], #f32[a:16,4]) -> f32[1,4]
    ");
    // A value that others read too ends a fused subgraph.
    let forked = NET.replace("[last] y = MatMul(i, d)", "[last] z = MatMul(i, d)\n o = MatMul(s, d)\n y = Add(z, o)");
    let forked = super::fused_subgraphs(&self::analysis(&forked), &OpenDims::default());
    assert!(forked.iter().all(|p| !p.shape.contains("Relu") || !p.shape.contains("MatMul")), "{forked:?}");
}

#[test]
fn parts_run_at_every_width() {
    let analysis = analysis(NET);
    let open = open(&analysis);
    for piece in fused_subgraphs(&analysis, &open) {
        for keep in profile::points(&analysis, &piece).keeps {
            let part = microbenchmark::microbenchmark(&analysis, &piece, &keep, &open).unwrap();
            assert_eq!(ir::verify(&part.model), vec![], "{}", piece.shape);
            let lengths: Vec<_> = piece.widths.iter().map(|&w| keep.size(&analysis.axes, w).to_string()).collect();
            let text = ir::print(&part.model);
            assert!(lengths.iter().all(|n| text.contains(n.as_str())), "{lengths:?}\n{text}");
        }
    }
}

#[test]
fn costs_are_interpolated_between_widths() {
    let entry = |widths: &[&[usize]], along, costs: &[f64]| TableEntry {
        shape: String::new(),
        widths: widths.iter().map(|w| w.to_vec()).collect(),
        along,
        costs: costs.to_vec(),
    };
    let grid = entry(&[&[8, 16], &[4, 8]], Along::Grid, &[1.0, 3.0, 2.0, 6.0]);
    for (at, cost) in [([8, 4], 1.0), ([16, 8], 6.0), ([12, 4], 1.5), ([12, 6], 3.0), ([2, 2], 1.0), ([8, 8], 3.0)] {
        assert_eq!(grid.at(&at), cost, "{at:?}");
    }
    let diagonal = entry(&[&[8, 16], &[8, 16], &[8, 16]], Along::Diagonal, &[1.0, 4.0]);
    assert_eq!(diagonal.at(&[16, 16, 16]), 4.0);
    assert_eq!(diagonal.at(&[8, 8, 8]), 1.0);
    // A quarter of the product is half of each of two.
    assert!((diagonal.at(&[8, 8, 16]) - diagonal.at(&[16, 8, 8])).abs() < 1e-9);
    assert_eq!(entry(&[], Along::Grid, &[7.0]).at(&[]), 7.0);
}

#[test]
fn widths_that_are_not_faster_than_a_wider_one_are_no_steps() {
    let analysis = analysis(NET);
    // Whatever is computed comes in lines of eight; and six are slower than eight.
    let line = |n: &usize| if *n == 12 { 3.0 } else { n.div_ceil(8) as f64 };
    let table = table(&analysis, |widths| widths.iter().map(line).sum::<f64>() + 1.0);
    let prices = Prices::new(&analysis, &open(&analysis), &table).unwrap();
    let group = analysis.groups.free().next().unwrap();
    assert_eq!(grid(16), [4, 8, 12, 16]);
    assert_eq!(prices.steps(group.leaf, &grid(16)), [8, 16]);
    let options = Options {
        table: Some(table.into()),
        open: open(&analysis),
        ..Options::new(Budget::machine(Quantity::Latency, 0.75), "l2".parse::<Formula>().unwrap())
    };
    let plan = plan::choose(&analysis, &options).unwrap();
    assert!(!plan.cuts.is_empty() && plan.cuts.iter().all(|c| c.remove.len() == 8), "{plan:?}");
    let estimate = plan::estimate(&analysis, &options, &plan).unwrap();
    assert!(estimate.after <= 0.75 * estimate.before, "{estimate:?}");
    assert!(estimate.floor <= estimate.after && !estimate.floor_nodes.is_empty(), "{estimate:?}");
    let less = plan::choose(&analysis, &Options { budget: Budget::machine(Quantity::Latency, 0.1), ..options });
    assert!(matches!(less, Err(ChooseError::Floor { .. })), "{less:?}");
}

#[test]
fn a_table_must_have_every_shape() {
    let analysis = analysis(NET);
    let mut table = table(&analysis, |_| 1.0);
    let shape = table.pieces.pop().unwrap().shape;
    let lost = Prices::new(&analysis, &open(&analysis), &table).err().unwrap();
    assert!(matches!(&lost, TableError::Missing { missing, of: 3 } if *missing == [shape.clone()]), "{lost}");
    // What could not be measured there is told, and counts as nothing.
    table.skipped.push(Skipped { shape, why: "no such operator".into() });
    assert_eq!(Prices::new(&analysis, &open(&analysis), &table).unwrap().total(&KeepSets::default()), 2.0);
}

/// What is measured is a function of the planned share, which plans are here.
fn tried(asked: f64, measured: impl Fn(f64) -> f64) -> Corrected<f64> {
    let plan = |share: f64| Ok::<_, ()>((share.max(0.2) * 64.0).floor() / 64.0);
    let measure = |plan: &f64| Ok(MeasuredShare { share: measured(*plan), interval: (0.0, 1.0) });
    corrected(asked, plan, measure).unwrap()
}

#[test]
fn plans_are_corrected_until_the_measured_share_is_met() {
    // In the whole model a third does not shrink; or it shrinks faster than the table says.
    let slow = tried(0.6, |x| 0.33 + 0.67 * x);
    assert!(slow.met && slow.measured.share > 0.55 && slow.rounds.len() > 1, "{:?}", slow.rounds);
    let fast = tried(0.6, |x| x * x);
    assert!(fast.met && fast.measured.share > 0.55 && fast.plan > 0.6, "{:?}", fast.rounds);
    let exact = tried(0.5, |x| x);
    assert_eq!((exact.plan, exact.rounds.len()), (0.5, 1));
    // The least that can be had is not enough.
    let floor = tried(0.3, |x| 0.3 + 0.7 * x);
    assert!(!floor.met && floor.plan < 0.25, "{:?}", floor.rounds);
    // By the table it is out of reach; but the table is not the model.
    let lucky = tried(0.15, |x| x / 2.0);
    assert!(lucky.met && lucky.plan > 0.2, "{:?}", lucky.rounds);
}

#[test]
#[cfg(feature = "tract")]
fn profiles_measure_every_shape_once() {
    let analysis = analysis(NET);
    let open = open(&analysis);
    let settings = ProfileSettings { warmup: 0, repeats: 1, ..ProfileSettings::default() };
    let table = profile::profile(&analysis, &open, &settings, &Meter::Clock, &|_| ());
    assert_eq!((table.pieces.len(), table.skipped.len()), (3, 0), "{table:?}");
    let prices = Prices::new(&analysis, &open, &table).unwrap();
    assert!(prices.total(&KeepSets::default()) >= 0.0);
    let again: Table = serde_json::from_str(&serde_json::to_string(&table).unwrap()).unwrap();
    assert_eq!(again, table);
}

#[test]
fn pieces_of_real_nets_can_be_cut_out_at_every_width() {
    for net in ["digits_shuffle", "digits_densenet", "odd/everything", "odd/loop", "odd/int8_qdq"] {
        let path = format!("{}/fixtures/{net}.onnx", env!("CARGO_MANIFEST_DIR"));
        let analysis = crate::prune::prepare(&crate::load::load(path.as_ref()).unwrap()).unwrap();
        let open = open(&analysis);
        let energy = Meter::Model(EnergyModel::default());
        let table = profile::profile(&analysis, &open, &ProfileSettings::default(), &energy, &|_| ());
        assert_eq!(table.skipped, vec![], "{net}");
        let lettered = |e: &&TableEntry| e.shape.contains("a:") && e.widths.is_empty();
        let whole: Vec<&TableEntry> = table.pieces.iter().filter(lettered).collect();
        assert!(whole.is_empty(), "{net}: {whole:#?}");
        // Every call is in one fused subgraph.
        let pieces = fused_subgraphs(&analysis, &open);
        let calls: std::collections::HashSet<_> = pieces.iter().flat_map(|p| p.calls.iter().copied()).collect();
        assert_eq!(calls.len(), pieces.iter().map(|p| p.calls.len()).sum::<usize>(), "{net}");
    }
}
