//! Recurrent layers, step by step. Weights are `w [gates · h, i]`, `r [gates · h, h]` for each direction.

use crate::ops::Site;
use crate::ops::recurrent::has_batch_first;
use crate::program::{Args, Term};

/// A kind of recurrent layer.
pub(crate) struct Cell {
    gates: usize,
    /// The functions of gates and state, where the call does not say.
    functions: &'static [&'static str],
    step: for<'b> fn(&Layer<'b>, Term<'b>, State<'b>) -> State<'b>,
}

/// Gates `i o f c`.
pub(crate) const LSTM: Cell = Cell { gates: 4, functions: &["Sigmoid", "Tanh", "Tanh"], step: lstm_step };
/// Gates `z r h`.
pub(crate) const GRU: Cell = Cell { gates: 3, functions: &["Sigmoid", "Tanh"], step: gru_step };
/// No gates.
pub(crate) const RNN: Cell = Cell { gates: 1, functions: &["Tanh"], step: rnn_step };

/// What goes from step to step: the hidden units and, of an LSTM, the cells; both `[batch, h]`.
#[derive(Clone, Copy)]
struct State<'b> {
    hidden: Term<'b>,
    cell: Term<'b>,
}

type Function = for<'b> fn(Term<'b>) -> Term<'b>;

/// One direction of a layer.
struct Layer<'b> {
    units: usize,
    /// Recurrent weights `[h, gates · h]` and their biases `[1, gates · h]`.
    recurrent: Term<'b>,
    bias: Option<Term<'b>>,
    peepholes: Option<Term<'b>>,
    functions: Vec<Function>,
    reset_after: bool,
}

/// All states `[steps, directions, batch, h]` and the last ones `[directions, batch, h]`, or with the batch in front.
pub(crate) fn unrolled<'b>(site: &Site, at: &Args<'b>, cell: &Cell) -> Result<Vec<Term<'b>>, String> {
    check(site, at)?;
    let x = if has_batch_first(site) { at.at(0)?.swap(0, 1) } else { at.at(0)? };
    let directions = at.at(1)?.size(0);
    let backwards = |d: usize| d == 1 || site.call.string("direction", "forward") == "reverse";
    let (mut all, mut hidden, mut cells) = (vec![], vec![], vec![]);
    for direction in 0..directions {
        let layer = Layer::of(site, at, cell, direction)?;
        let inputs = projected(at, x, direction, cell.gates * layer.units)?;
        let mut state = first_state(site, at, &layer, direction, x.size(1))?;
        let mut states = vec![state.hidden; x.size(0)];
        for step in 0..x.size(0) {
            let place = if backwards(direction) { x.size(0) - 1 - step } else { step };
            let input = inputs.narrow(0, place, 1).squeeze(&[0]);
            state = (cell.step)(&layer, input, state);
            states[place] = state.hidden;
        }
        let states: Vec<Term> = states.into_iter().map(|s| s.unsqueeze(0).unsqueeze(0)).collect();
        all.push(Term::concat(&states, 0));
        hidden.push(state.hidden.unsqueeze(0));
        cells.push(state.cell.unsqueeze(0));
    }
    let last = |parts: &[Term<'b>]| {
        let joined = Term::concat(parts, 0);
        if has_batch_first(site) { joined.swap(0, 1) } else { joined }
    };
    let all = Term::concat(&all, 1);
    let all = if has_batch_first(site) { all.permute(&[2, 0, 1, 3]) } else { all };
    let results = [all, last(&hidden), last(&cells)];
    Ok(results.into_iter().take(site.call.results.len()).collect())
}

/// What is not known of.
fn check(site: &Site, at: &Args) -> Result<(), String> {
    let steps = at.at(0)?.size(usize::from(has_batch_first(site))) as i64;
    let full = !site.has(4) || site.ints(4).is_some_and(|lengths| lengths.iter().all(|&n| n == steps));
    match () {
        () if steps == 0 => Err("it has no steps".into()),
        () if !full => Err("its sequences have lengths of their own (`sequence_lens`)".into()),
        () if site.call.has("clip") => Err("it limits what goes into its functions (`clip`)".into()),
        () if site.call.int("input_forget", 0) != 0 => Err("its input gate is coupled (`input_forget`)".into()),
        () => Ok(()),
    }
}

impl<'b> Layer<'b> {
    fn of(site: &Site, at: &Args<'b>, cell: &Cell, direction: usize) -> Result<Layer<'b>, String> {
        let weights = at.at(2)?;
        let units = weights.size(2);
        let rows = cell.gates * units;
        let bias = at.get(3).map(|b| b.narrow(0, direction, 1).narrow(1, rows, rows));
        Ok(Layer {
            units,
            recurrent: weights.narrow(0, direction, 1).squeeze(&[0]).swap(0, 1),
            bias,
            peepholes: at.get(7).map(|p| p.narrow(0, direction, 1)),
            functions: functions(site, cell, direction)?,
            reset_after: site.call.int("linear_before_reset", 0) != 0,
        })
    }

    /// What hidden units add to these gates: `[batch, count · h]`.
    fn back(&self, hidden: Term<'b>, first: usize, count: usize) -> Term<'b> {
        let (start, count) = (first * self.units, count * self.units);
        let sum = hidden.matmul(self.recurrent.narrow(1, start, count));
        self.bias.map_or(sum, |b| sum + b.narrow(1, start, count))
    }

    fn gate(&self, sums: Term<'b>, gate: usize) -> Term<'b> {
        sums.narrow(1, gate * self.units, self.units)
    }

    /// With what cells add to a gate.
    fn peeped(&self, sum: Term<'b>, gate: usize, cell: Term<'b>) -> Term<'b> {
        self.peepholes.map_or(sum, |p| sum + self.gate(p, gate) * cell)
    }
}

/// What the input adds to all gates at every step: `[steps, batch, gates · h]`.
fn projected<'b>(at: &Args<'b>, x: Term<'b>, direction: usize, rows: usize) -> Result<Term<'b>, String> {
    let weights = at.at(1)?.narrow(0, direction, 1).squeeze(&[0]).swap(0, 1);
    let (steps, batch) = (x.size(0), x.size(1));
    let sums = x.reshape(&[steps * batch, x.size(2)]).matmul(weights);
    let sums = at.get(3).map_or(sums, |b| sums + b.narrow(0, direction, 1).narrow(1, 0, rows));
    Ok(sums.reshape(&[steps, batch, rows]))
}

fn first_state<'b>(
    site: &Site,
    at: &Args<'b>,
    layer: &Layer<'b>,
    direction: usize,
    batch: usize,
) -> Result<State<'b>, String> {
    let axis = usize::from(has_batch_first(site));
    let given = |slot: usize| match at.get(slot) {
        Some(state) => state.narrow(axis, direction, 1).squeeze(&[axis]),
        None => at.builder.full(0.0, &[batch, layer.units]),
    };
    Ok(State { hidden: given(5), cell: given(6) })
}

/// The functions of a direction.
fn functions(site: &Site, cell: &Cell, direction: usize) -> Result<Vec<Function>, String> {
    let named: Vec<String> = match site.call.attributes.get("activations") {
        Some(crate::ir::Attribute::Strings(names)) if !names.is_empty() => {
            let names = names.iter().map(|n| String::from_utf8_lossy(n).to_lowercase());
            names.skip(direction * cell.functions.len()).take(cell.functions.len()).collect()
        }
        _ => cell.functions.iter().map(|n| n.to_lowercase()).collect(),
    };
    if named.len() != cell.functions.len() {
        return Err(format!("it names {} functions, not {}", named.len(), cell.functions.len()));
    }
    named.iter().map(|name| function(name)).collect()
}

fn function(name: &str) -> Result<Function, String> {
    Ok(match name {
        "sigmoid" => |x| x.sigmoid(),
        "tanh" => |x| x.tanh(),
        "relu" => |x| x.relu(),
        "softplus" => |x| x.softplus(),
        "softsign" => |x| x / (x.abs() + 1.0),
        other => return Err(format!("its function `{other}` has no derivative here")),
    })
}

/// `c' = f · c + i · g(…)`, `h' = o · k(c')`.
fn lstm_step<'b>(layer: &Layer<'b>, input: Term<'b>, state: State<'b>) -> State<'b> {
    let [f, g, h] = [0, 1, 2].map(|i| layer.functions[i]);
    let sums = input + layer.back(state.hidden, 0, 4);
    let enter = f(layer.peeped(layer.gate(sums, 0), 0, state.cell));
    let stay = f(layer.peeped(layer.gate(sums, 2), 2, state.cell));
    let cell = stay * state.cell + enter * g(layer.gate(sums, 3));
    let leave = f(layer.peeped(layer.gate(sums, 1), 1, cell));
    State { hidden: leave * h(cell), cell }
}

/// `h' = (1 - z) · g(…) + z · h`, where `r` is applied to the units, or to what they add (`linear_before_reset`).
fn gru_step<'b>(layer: &Layer<'b>, input: Term<'b>, state: State<'b>) -> State<'b> {
    let [f, g] = [0, 1].map(|i| layer.functions[i]);
    let units = layer.units;
    let gates = f(input.narrow(1, 0, 2 * units) + layer.back(state.hidden, 0, 2));
    let (update, reset) = (layer.gate(gates, 0), layer.gate(gates, 1));
    let back = match layer.reset_after {
        true => reset * layer.back(state.hidden, 2, 1),
        false => layer.back(reset * state.hidden, 2, 1),
    };
    let new = g(layer.gate(input, 2) + back);
    State { hidden: new + update * (state.hidden - new), ..state }
}

/// `h' = f(w x + r h + b)`.
fn rnn_step<'b>(layer: &Layer<'b>, input: Term<'b>, state: State<'b>) -> State<'b> {
    State { hidden: (layer.functions[0])(input + layer.back(state.hidden, 0, 1)), ..state }
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;

    #[test]
    fn layers_in_one_direction() {
        for (op, rows, results) in [("LSTM", 12, 3), ("GRU", 9, 2), ("RNN", 3, 2)] {
            let (w, r, b) = (format!("=1 {rows} 4"), format!("=1 {rows} 3"), format!("=1 {}", 2 * rows));
            Trial::new(op, 14, "hidden_size=3", &["5 2 4", &w, &r], results).check_derivative();
            let initial = ["5 2 4", &w, &r, &b, "", "1 2 3", "1 2 3"];
            Trial::new(op, 14, "hidden_size=3", &initial[..4 + results], results).check();
            Trial::new(op, 14, "hidden_size=3 direction=reverse", &initial[..4 + results], results).check();
        }
        let gru = &["5 2 4", "=1 9 4", "=1 9 3", "=1 18"];
        Trial::new("GRU", 14, "hidden_size=3 linear_before_reset=1", gru, 2).check();
    }

    #[test]
    fn layers_in_both_directions() {
        for (op, rows, results) in [("LSTM", 12, 3), ("GRU", 9, 2), ("RNN", 3, 2)] {
            let (w, r, b) = (format!("=2 {rows} 4"), format!("=2 {rows} 3"), format!("=2 {}", 2 * rows));
            Trial::new(op, 14, "hidden_size=3 direction=bidirectional", &["3 2 4", &w, &r, &b], results).check();
        }
    }

    #[test]
    fn cells_are_seen_and_batches_lead() {
        let cells = &["3 2 4", "=1 12 4", "=1 12 3", "=1 24", "", "1 2 3", "1 2 3", "=1 9"];
        Trial::new("LSTM", 14, "hidden_size=3", cells, 3).check();
        let batch = &["2 3 4", "=1 12 4", "=1 12 3", "=1 24", "", "2 1 3", "2 1 3"];
        Trial::new("LSTM", 14, "hidden_size=3 layout=1", batch, 3).check_derivative();
        Trial::new("RNN", 14, "hidden_size=3 activations=[Softsign]", &["3 2 4", "=1 3 4", "=1 3 3"], 2)
            .check_derivative();
    }
}
