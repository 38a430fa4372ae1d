//! Units that are planted to be of no use go without loss: what is left computes what the whole did.

use super::draw::Draw;
use super::graphs::{equal, execute, original, random_plan};
use super::net::net;
use super::property;
use secateur::analysis::Analysis;
use secateur::analysis::{Axes, Group, Member};
use secateur::ir::{Model, Tensor};
use secateur::onnx::from_bytes;
use secateur::onnx::to_bytes;
use secateur::passes::closed;
use secateur::plan::Formula;
use secateur::plan::{self, Budget};
use secateur::prune;
use secateur::prune::Ranges;
use secateur::prune::reference;
use std::cell::Cell;

#[test]
fn what_is_of_no_use_goes_without_loss() {
    let (nets, meaningful, found) = (Cell::new(0), Cell::new(0), Cell::new(0));
    property("lossless", 80, |d| {
        let net = net(d);
        let outcome = super::caught(|| {
            let Some(model) = planted(&original(&net)?, d)? else { return Ok(()) };
            nets.set(nets.get() + 1);
            let analysis = prune::prepare(&model).map_err(|e| e.to_string())?;
            let options = plan::Options::new(Budget::lossless(), Formula::default());
            let plan = plan::choose(&analysis, &options).map_err(|e| e.to_string())?;
            let pruned = execute(&model, &analysis, &plan, d)?;
            if !pruned.removed.is_empty() {
                return Err(format!("something is gone: {:?}", pruned.removed));
            }
            let seen = equal(&model, &model, &pruned.model).map_err(|e| format!("{e}\n{:?}", pruned.lossless))?;
            meaningful.set(meaningful.get() + u32::from(seen));
            found.set(found.get() + u32::from(!pruned.lossless.is_empty()));

            // Beside units that do matter, each is merged into what stays, or masked like these.
            let plan = plan::Plan { lossless: Some(Ranges::default()), ..random_plan(&analysis, d, &net) };
            let pruned = execute(&model, &analysis, &plan, d)?;
            let masked = reference(&model, &analysis, &pruned.keep, &pruned.removed).map_err(|e| e.to_string())?;
            equal(&model, &masked, &pruned.model).map_err(|e| format!("{e}\n{plan:?}\n{:?}", pruned.lossless))?;
            Ok(())
        });
        outcome.map_err(|why: String| format!("{why}\n{}", net.text))
    });
    let (nets, meaningful, found) = (nets.get(), meaningful.get(), found.get());
    assert!(nets > 25 && meaningful * 4 > nets * 3, "{meaningful} of {nets} nets are meaningful");
    assert!(found * 3 > nets * 2, "something was found in {found} of {nets} nets");
}

/// A model in which a unit of each of some groups is of no use; `None` where nothing can be planted.
fn planted(model: &Model, d: &mut Draw) -> Result<Option<Model>, String> {
    let Analysis { mut model, axes, groups, .. } = prune::prepare(model).map_err(|e| e.to_string())?;
    let mut any = false;
    for group in groups.all.iter().filter(|g| g.is_exact() && g.size > 1 && g.members.len() > 1) {
        let (from, to) = (d.range(0, group.size - 1), d.range(0, group.size - 1));
        match d.range(0, 3) {
            0 if from != to => plant(&mut model, &axes, group, true, |t, axis, of| copied(t, axis, of(from), of(to))),
            1 => plant(&mut model, &axes, group, true, |t, axis, of| t.zeroed(axis, &of(to)).ok()),
            2 => plant(&mut model, &axes, group, false, |t, axis, of| t.zeroed(axis, &of(to)).ok()),
            _ => continue,
        }
        any = true;
    }
    let model = closed(&model).map_err(|e| e.to_string())?;
    let bytes = to_bytes(&model).map_err(|e| e.to_string())?;
    Ok(any.then_some(from_bytes(bytes.into(), None).map_err(|e| e.to_string())?))
}

/// Changes the constants that make a group's units, or those that sum over them. The change gets the indices of a unit
/// along the constant's axis.
fn plant(
    model: &mut Model,
    axes: &Axes,
    group: &Group,
    makers: bool,
    change: impl Fn(&Tensor, usize, &dyn Fn(usize) -> Vec<usize>) -> Option<Tensor>,
) {
    for &Member { constant, axis } in &group.members {
        let makes = model.graph.uses(constant).iter().all(|at| {
            let mut of = axes.bindings(at.node).iter().filter(|b| b.operands.contains(&at.slot));
            of.any(|b| b.in_result && axes.solver().leaves(b.var).contains(&group.leaf))
        });
        let units = axes.of(constant).map(|a| axes.units_of(a[axis], group.leaf)).unwrap_or_default();
        let indices = |unit: usize| (0..units.len()).filter(|&i| units[i] == Some(unit as u32)).collect();
        if makes == makers
            && let Some(c) = model.graph.constant_mut(constant.node)
            && let Some(tensor) = change(&c.tensor, axis, &indices)
        {
            c.tensor = tensor;
        }
    }
}

/// A tensor with slices put in the place of others.
fn copied(tensor: &Tensor, axis: usize, from: Vec<usize>, to: Vec<usize>) -> Option<Tensor> {
    let places = (0..tensor.shape[axis]).map(|i| to.iter().position(|&t| t == i).map_or(i, |at| from[at]));
    tensor.select(axis, &places.collect::<Vec<_>>()).ok()
}
