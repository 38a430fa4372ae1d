//! Recurrent layers: gates are a factor of the weights' rows, hidden units the other.

use super::shared::dims::{agree, elements, expect_rank};
use super::{AxisRule, Bias, CutSizes, End, Operands, Quantization, Refit, Rule, Site, ZeroLaws, lower};
use crate::facts::Fact;
use crate::ir::{Attribute, Dim};

pub(super) const RULES: &[(&str, Rule)] =
    &[("GRU", GRU), ("LSTM", LSTM), ("RNN", RNN), ("com.microsoft.DynamicQuantizeLSTM", DYNAMIC_QUANTIZE_LSTM)];

/// Gates `i o f c` and the cell `c' = f · c + i · tanh(…)`, `h' = o · tanh(c')`: weights `w[_, (4 h), i]`,
/// `r[_, (4 h), h]`, both biases `b[_, (8 h)]`, peepholes `p[_, (3 h)]`.
const LSTM: Rule = Rule {
    infer: |site| recurrent_types(site, 4),
    axes: |site| recurrent_axes(site, 4),
    zeros: ZeroLaws { results: |site, at| stays_zero(site, at, 4), ..ZeroLaws::PRODUCT },
    refit: refit_hidden_size,
    cost: recurrent_cost,
    operands: Operands {
        // The other half is added to the recurrent sum.
        bias: |_| Some(Bias::Rows { slot: 3, parts: 2 }),
        ..Operands::OPAQUE
    },
    lower: |site, at| lower::recurrent::unrolled(site, at, &lower::recurrent::LSTM),
    ..Rule::OPAQUE
};

/// Gates `z r` and `h' = (1 - z) · tanh(…) + z · h`.
const GRU: Rule = Rule {
    infer: |site| recurrent_types(site, 3),
    axes: |site| recurrent_axes(site, 3),
    zeros: ZeroLaws { results: |site, at| stays_zero(site, at, 3), ..LSTM.zeros },
    lower: |site, at| lower::recurrent::unrolled(site, at, &lower::recurrent::GRU),
    ..LSTM
};

/// `h' = tanh(w x + r h + b)`.
const RNN: Rule = Rule {
    infer: |site| recurrent_types(site, 1),
    axes: |site| recurrent_axes(site, 1),
    zeros: ZeroLaws { results: |site, at| stays_zero(site, at, 1), ..LSTM.zeros },
    lower: |site, at| lower::recurrent::unrolled(site, at, &lower::recurrent::RNN),
    ..LSTM
};

/// An LSTM of quantized weights `w[_, i, (4 h)]` and `r[_, h, (4 h)]`, the first operands as an LSTM has them, and then
/// w_scale, w_zero, r_scale, r_zero. Input and state are quantized by the range of all of them, and of 0.
const DYNAMIC_QUANTIZE_LSTM: Rule = Rule {
    infer: |site| {
        let h = match site.call.int("hidden_size", 0) {
            0 => site.dim(2, 1).cloned().unwrap_or_else(|| site.unknown()),
            h => Dim::Fixed(h),
        };
        check_dynamic(site, &h)?;
        state_types(site, h)
    },
    axes: dynamic_axes,
    zeros: ZeroLaws {
        results: |site, at| stays_zero(site, at, 4),
        // Features of the input must not widen its range; what a state widens is told by the states being zero.
        absorbing: |_, at| at.first() == Some(&true),
        ..ZeroLaws::OPAQUE
    },
    quantization: Quantization {
        zero_point: |end| match end {
            End::Operand(1) => Some(End::Operand(9)),
            End::Operand(2) => Some(End::Operand(11)),
            _ => None,
        },
        scale: |slot| match slot {
            1 => Some(8),
            2 => Some(10),
            _ => None,
        },
    },
    refit: refit_hidden_size,
    cost: recurrent_cost,
    ..Rule::OPAQUE
};

fn check_dynamic(site: &Site, h: &Dim) -> Result<(), String> {
    for (slot, rank, name) in OPERANDS {
        expect_rank(site, slot, rank, name)?;
    }
    if h.fixed().is_some_and(|h| h < 1) {
        return Err(format!("`hidden_size` is {h}"));
    }
    let gates = h.clone() * Dim::Fixed(4);
    let ways = Dim::Fixed(directions(site));
    let expected = [
        (1, 0, ways.clone()),
        (2, 0, ways),
        (1, 2, gates.clone()),
        (2, 1, h.clone()),
        (2, 2, gates),
        (3, 1, h.clone() * Dim::Fixed(8)),
    ];
    for (slot, axis, length) in expected {
        if let Some(d) = site.dim(slot, axis) {
            agree(d, &length, |d, e| format!("axis {axis} of operand {slot} is {d} long, not {e}"))?;
        }
    }
    match (site.dim(0, 2), site.dim(1, 1)) {
        (Some(x), Some(w)) => agree(w, x, |w, x| format!("the weights expect {w} features but the input has {x}")),
        _ => Ok(()),
    }
}

fn dynamic_axes(site: &Site) -> Option<AxisRule> {
    // One for each direction, or one for each of its columns.
    let columns = |slot: usize| match site.rank(slot) {
        _ if !site.has(slot) => Some("_*"),
        Some(0..=1) => Some("_*"),
        Some(2) => Some("_ (4 h)"),
        _ => None,
    };
    let [w, v, r, z] = [8, 9, 10, 11].map(columns);
    let (w, v, r, z) = (w?, v?, r?, z?);
    let h = match site.call.int("hidden_size", 0) {
        0 => site.dim(2, 1)?.clone(),
        h => Dim::Fixed(h),
    };
    let text = format!(
        "_ b! i, _ i (4 h), _ h (4 h), _ (8 h), b, _ b h, _ b h, _ (3 h), {w}, {v}, {r}, {z} \
         -> _ _ b h, _ b h, _ b h"
    );
    Some(AxisRule::new(text).size("h", h).why("each step depends on the one before, and scales on all of them"))
}

pub(super) fn has_batch_first(site: &Site) -> bool {
    site.call.int("layout", 0) != 0
}

fn directions(site: &Site) -> i64 {
    if site.call.string("direction", "forward") == "bidirectional" { 2 } else { 1 }
}

/// The number of hidden units: as declared, or as the recurrent weights have it.
fn hidden(site: &Site) -> Option<Dim> {
    match site.call.int("hidden_size", 0) {
        0 => site.dim(2, 2).cloned(),
        h => Some(Dim::Fixed(h)),
    }
}

fn recurrent_types(site: &Site, gates: i64) -> Result<Vec<Fact>, String> {
    let h = hidden(site).unwrap_or_else(|| site.unknown());
    if h.fixed().is_some_and(|h| h < 1) {
        return Err(format!("`hidden_size` is {h}"));
    }
    check_weights(site, gates, &h)?;
    state_types(site, h)
}

/// The facts of all states and the last ones.
fn state_types(site: &Site, h: Dim) -> Result<Vec<Fact>, String> {
    let z = Dim::Fixed(directions(site));
    let (steps, batch) = match site.shape(0) {
        Some([b, s, _]) if has_batch_first(site) => (s.clone(), b.clone()),
        Some([s, b, _]) => (s.clone(), b.clone()),
        Some(x) => return Err(format!("its input has rank {}, not 3", x.len())),
        None => (site.unknown(), site.unknown()),
    };
    let (all, last) = if has_batch_first(site) {
        (vec![batch.clone(), steps, z.clone(), h.clone()], vec![batch, z, h])
    } else {
        (vec![steps, z.clone(), batch.clone(), h.clone()], vec![z, batch, h])
    };
    let fact = |shape: &Vec<Dim>| Fact::maybe(site.dtype(0), Some(shape.clone()));
    Ok(vec![fact(&all), fact(&last), fact(&last)])
}

fn check_weights(site: &Site, gates: i64, h: &Dim) -> Result<(), String> {
    let rows = |n: i64| h.clone() * Dim::Fixed(n);
    for (slot, rank, name) in OPERANDS {
        expect_rank(site, slot, rank, name)?;
    }
    let same = |slot: usize, axis: usize, expected: &Dim, name: &str| match site.dim(slot, axis) {
        Some(d) => agree(d, expected, |d, e| format!("axis {axis} of the {name} is {d} long, not {e}")),
        None => Ok(()),
    };
    for slot in [1, 2, 3, 7] {
        same(slot, 0, &Dim::Fixed(directions(site)), "weights")?;
    }
    same(1, 1, &rows(gates), "weights")?;
    same(2, 1, &rows(gates), "recurrent weights")?;
    same(2, 2, h, "recurrent weights")?;
    same(3, 1, &rows(2 * gates), "biases")?;
    same(5, 2, h, "initial states")?;
    same(6, 2, h, "initial cells")?;
    same(7, 1, &rows(3), "peepholes")?;
    let batch = usize::from(!has_batch_first(site));
    if let Some(samples) = site.dim(0, batch) {
        same(5, batch, samples, "initial states")?;
        same(6, batch, samples, "initial cells")?;
    }
    match (site.dim(0, 2), site.dim(1, 2)) {
        (Some(x), Some(w)) => agree(w, x, |w, x| format!("the weights expect {w} features but the input has {x}")),
        _ => Ok(()),
    }
}

/// Slots, ranks and names of the operands.
const OPERANDS: [(usize, usize, &str); 8] = [
    (0, 3, "input"),
    (1, 3, "weights"),
    (2, 3, "recurrent weights"),
    (3, 2, "biases"),
    (4, 1, "vector of lengths"),
    (5, 3, "initial states"),
    (6, 3, "initial cells"),
    (7, 2, "peepholes"),
];

fn recurrent_axes(site: &Site, gates: i64) -> Option<AxisRule> {
    let rows = |n: i64| if n == 1 { "h".to_owned() } else { format!("({n} h)") };
    let (g, both) = (rows(gates), rows(2 * gates));
    let (x, state, all) =
        if has_batch_first(site) { ("b _ i", "b _ h", "b _ _ h") } else { ("_ b i", "_ b h", "_ _ b h") };
    let text = format!("{x}, _ {g} i, _ {g} h, _ {both}, b, {state}, {state}, _ (3 h) -> {all}, {state}, {state}");
    Some(AxisRule::new(text).size("h", hidden(site)?).why("each step depends on the one before"))
}

/// Whether a hidden unit whose weights are zero stays zero from an initial state of zero.
fn stays_zero(site: &Site, at: &[bool], gates: i64) -> bool {
    let on = |slot: usize| at.get(slot) == Some(&true);
    let absent_or_zero = |slot: usize| on(slot) || !site.has(slot);
    let states = absent_or_zero(5) && (gates != 4 || absent_or_zero(6));
    on(1) && on(2) && absent_or_zero(3) && states && keeps_zero(site, gates)
}

/// Whether the activations of everything but gates are zero at zero; those of gates may be what they like.
fn keeps_zero(site: &Site, gates: i64) -> bool {
    let Some(attribute) = site.call.attributes.get("activations") else { return true };
    let Attribute::Strings(names) = attribute else { return false };
    let (each, from) = match gates {
        4 => (3, 1),
        3 => (2, 1),
        _ => (1, 0),
    };
    names.chunks(each).all(|direction| {
        direction.iter().skip(from).all(|name| name.eq_ignore_ascii_case(b"tanh") || name.eq_ignore_ascii_case(b"relu"))
    })
}

fn refit_hidden_size(site: &Site, cut: &CutSizes) -> Result<Refit, String> {
    match cut.size("h") {
        Some(Dim::Fixed(h)) if hidden(site) != Some(Dim::Fixed(h)) => {
            Ok(Refit::default().attribute("hidden_size", Attribute::Int(h)))
        }
        _ => Ok(Refit::default()),
    }
}

/// Each step of each sample takes one product for each weight.
fn recurrent_cost(site: &Site) -> Dim {
    match (site.shape(0), site.shape(1), site.shape(2)) {
        (Some([s, b, _]), Some(w), Some(r)) => s.clone() * b.clone() * (elements(w) + elements(r)),
        _ => site.unknown(),
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    const OPERANDS: [&str; 4] = ["=5 2 10", "=1 32 10", "=1 32 8", "=1 64"];

    #[test]
    fn lstm() {
        let case = Case::new("LSTM", 14, "hidden_size=8", &OPERANDS, 3);
        assert_snapshot!(
            case.show(),
            @"[5, c1:2, c2:10], [1, (4 c4:8), c2:10], [1, (4 c4:8), c4:8], [1, (8 c4:8)] -> f32[5, 1, c1:2, c4:8], f32[1, c1:2, c4:8], f32[1, c1:2, c4:8]"
        );
        assert_snapshot!(case.refit("h", &[1, 2, 5]), @"hidden_size=3");
        assert_snapshot!(case.refit("i", &[1, 2, 5]), @"");
        assert_snapshot!(case.reasons(), @"each step depends on the one before");
        assert_snapshot!(case.cost(), @"5760");
        let all = ["=5 2 10", "=2 32 10", "=2 32 8", "=2 64", "i32:2", "=2 2 8", "=2 2 8", "=2 24"];
        assert_snapshot!(
            show("LSTM", 7, "hidden_size=8 direction=bidirectional", &all),
            @"[5, 2, c2:10], [2, (4 c5:8), c2:10], [2, (4 c5:8), c5:8], [2, (8 c5:8)], [2], [2, 2, c5:8], [2, 2, c5:8], [2, (3 c5:8)] -> f32[5, 2, 2, c5:8]"
        );
        assert_snapshot!(
            Case::new("LSTM", 14, "hidden_size=8 layout=1", &["=2 5 10", "=1 32 10", "=1 32 8"], 3).show(),
            @"[c0:2, 5, c2:10], [1, (4 c4:8), c2:10], [1, (4 c4:8), c4:8] -> f32[c0:2, 5, 1, c4:8], f32[c0:2, 1, c4:8], f32[c0:2, 1, c4:8]"
        );
        assert_snapshot!(
            show("LSTM", 14, "", &["S B 10", "=1 32 10", "=1 32 8"]),
            @"[S, B, 10], [1, (4 c1:8), 10], [1, (4 c1:8), c1:8] -> f32[S, 1, B, c1:8]"
        );
        assert_snapshot!(
            show("LSTM", 14, "hidden_size=8", &["?", "=1 32 10", "1 32 8"]),
            @"[..], [1, 32, 10], [1, 32, 8] -> f32[?0, 1, ?1, 8]"
        );
    }

    #[test]
    fn others() {
        let gru = ["=5 2 10", "=1 24 10", "=1 24 8", "=1 48", "", "=1 2 8"];
        assert_snapshot!(
            show("GRU", 14, "hidden_size=8", &gru),
            @"[5, c1:2, c2:10], [1, (3 c4:8), c2:10], [1, (3 c4:8), c4:8], [1, (6 c4:8)], -, [1, c1:2, c4:8] -> f32[5, 1, c1:2, c4:8]"
        );
        assert_snapshot!(
            show("RNN", 14, "hidden_size=8", &["=5 2 10", "=1 8 10", "=1 8 8", "=1 16"]),
            @"[5, c1:2, c2:10], [1, c3:8, c2:10], [1, c3:8, c3:8], [1, (2 c3:8)] -> f32[5, 1, c1:2, c3:8]"
        );
        assert_snapshot!(
            show("RNN", 14, "hidden_size=8", &["=5 2 10", "=1 8 10", "1 8 8", "=1 16"]),
            @"[5, c1:2, c2:10], [1, 8, c2:10], [1, 8, 8], [1, (2 8)] -> f32[5, 1, c1:2, 8]"
        );
    }

    #[test]
    fn quantized_lstm() {
        let rest = ["i32:=2", "", "", "", "=1", "i8:=i8[0]", "=1 32", "i8:=1 32"];
        let operands = [&["=5 2 10", "i8:=1 10 32", "i8:=1 8 32", "=1 64"][..], &rest].concat();
        let case = Case::new("com.microsoft.DynamicQuantizeLSTM", 1, "hidden_size=8", &operands, 3);
        assert_snapshot!(case.show(), @"[5, c1!:2, c2:10], [1, c2:10, (4 c4:8)], [1, c4:8, (4 c4:8)], [1, (8 c4:8)], [c1!:2], -, -, -, [1], [1], [1, (4 c4:8)], [1, (4 c4:8)] -> f32[5, 1, c1!:2, c4:8], f32[1, c1!:2, c4:8], f32[1, c1!:2, c4:8]");
        assert_snapshot!(case.refit("h", &[1, 2, 5]), @"hidden_size=3");
        let both = Case::new("com.microsoft.DynamicQuantizeLSTM", 1, "direction=bidirectional", &operands, 3);
        assert_snapshot!(both.show(), @"error: axis 0 of operand 1 is 1 long, not 2");
    }

    #[test]
    fn a_quantized_state_begins_at_zero_or_widens_its_range() {
        let exact = |state: &str| {
            let text = format!(
                "<ir_version: 8, opset_import: [\"\" : 17, \"com.microsoft\" : 1]>
                g (f32[5,2,4] x, f32[1,2,8] s) => (f32[5,1,2,3] y) {{
                    i8[1,4,32] w #1
                    i8[1,8,32] r #2
                    f32[1] scale = {{0.5}}
                    i8[1] p = {{0}}
                    f32 number = {{{state}}}
                    i64[3] shape = {{1, 2, 8}}
                    f32[8,3] v #3
                    h = Expand(number, shape)
                    a = com.microsoft.DynamicQuantizeLSTM<hidden_size=8>(x, w, r, _, _, h, h, _, scale, p, scale, p)
                    y = MatMul(a, v)
                }}"
            );
            let model = crate::ir::parse(&text, &|_| None).expect("a model");
            let analysis = crate::prune::prepare(&model).expect("it can be analyzed");
            analysis.groups.all.iter().any(|g| g.size == 8 && g.pins.is_empty() && g.is_exact())
        };
        assert!(exact("0.0"));
        assert!(!exact("0.5"));
    }

    #[test]
    fn contradictions() {
        let lstm = |attributes: &str, w: &str, r: &str| show("LSTM", 14, attributes, &["=5 2 10", w, r]);
        assert_snapshot!(
            lstm("hidden_size=9", "=1 32 10", "=1 32 8"),
            @"error: axis 1 of the weights is 32 long, not 36"
        );
        assert_snapshot!(lstm("hidden_size=-1", "=1 32 10", "=1 32 8"), @"error: `hidden_size` is -1");
        assert_snapshot!(
            lstm("", "=1 32 11", "=1 32 8"),
            @"error: the weights expect 11 features but the input has 10"
        );
        assert_snapshot!(
            lstm("direction=bidirectional", "=1 32 10", "=1 32 8"),
            @"error: axis 0 of the weights is 1 long, not 2"
        );
        assert_snapshot!(lstm("", "=32 10", "=1 32 8"), @"error: an operand (weights) has rank 2, not 3");
        assert_snapshot!(lstm("", "", ""), @"[5, 2, 10], -, - -> f32[5, 1, 2, ?0]");
    }

    #[test]
    fn zeros() {
        let law = |op: &str, attributes: &str, operands: &[&str], at: &[bool]| {
            Case::new(op, 14, attributes, operands, 1).zero(at)
        };
        assert!(law("LSTM", "", &OPERANDS, &[false, true, true, true]));
        assert!(!law("LSTM", "", &OPERANDS, &[false, true, true, false]));
        assert!(law("LSTM", "activations=[Sigmoid,Tanh,Tanh]", &OPERANDS, &[false, true, true, true]));
        assert!(!law("LSTM", "activations=[Sigmoid,Sigmoid,Tanh]", &OPERANDS, &[false, true, true, true]));
        let gru = ["=5 2 10", "=1 24 10", "=1 24 8", "=1 48", "", "1 2 8"];
        assert!(!law("GRU", "", &gru, &[false, true, true, true, false, false]));
        assert!(law("GRU", "", &gru, &[false, true, true, true, false, true]));
    }
}
