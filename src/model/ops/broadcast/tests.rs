//! Tests of the rules beside them.

use crate::ir::Tensor;
use crate::ops::testing::nets::{Net, int};
use crate::ops::testing::show;
use insta::assert_snapshot;

#[test]
fn shapes_broadcast_and_symbols_stay() {
    let mut net = Net::new(17);
    let x = net.input("f32 n 8 1 ?");
    let y = net.input("f32 8 5 3");
    let sum = net.call("Add", &[x, y], &[]);
    assert_eq!(net.show(sum), "f32[n, 8, 5, 3]");
    let z = net.input("f32 m 8 1 1");
    let both = net.call("Less", &[x, z], &[]);
    assert_eq!(net.show(both), "bool[?0, 8, 1, ?1]");
    let open = net.input("f32 ..");
    let unranked = net.call("Mul", &[open, x], &[]);
    assert_eq!(net.show(unranked), "f32[..]");
    assert_eq!(net.show_axes(&[unranked]), "");
}

#[test]
fn a_contradiction_is_said() {
    let mut net = Net::new(17);
    let (x, y) = (net.input("f32 n 8"), net.input("f32 7"));
    net.call("Add", &[x, y], &[]);
    assert_eq!(net.contradictions(), ["8 and 7 do not broadcast"]);
}

#[test]
fn stretched_axes_do_not_couple() {
    let mut net = Net::new(17);
    let (w, b, s) = (net.weight(&[8, 4]), net.weight(&[4]), net.weight(&[8, 1]));
    let sum = net.call("Add", &[w, b], &[]);
    let product = net.call("Mul", &[sum, s], &[]);
    assert_eq!(net.show_axes(&[w, b, s, product]), "[c0:8, c1:4] [c1:4] [c0:8, 1] [c0:8, c1:4]");
}

#[test]
fn slopes_align_from_the_right_as_all_operands_do() {
    let mut net = Net::new(17);
    let (w, slope) = (net.weight(&[2, 8, 3, 3]), net.weight(&[8, 1, 1]));
    let y = net.call("PRelu", &[w, slope], &[]);
    assert_eq!(net.show_axes(&[slope, y]), "[c1:8, 1, 1] [c0:2, c1:8, c2:3, c3:3]");
    let mut old = Net::new(6);
    let (w, slope) = (old.weight(&[2, 8, 3, 3]), old.weight(&[8]));
    let y = old.call("PRelu", &[w, slope], &[]);
    assert_eq!(old.show_axes(&[slope, y]), "[c1:8] [c0:2, c1:8, c2:3, c3:3]");
}

#[test]
fn the_second_operand_of_old_aligns_at_its_axis() {
    let mut net = Net::new(6);
    let (w, b) = (net.weight(&[2, 8, 3]), net.weight(&[8]));
    let y = net.call("Add", &[w, b], &[("broadcast", int(1)), ("axis", int(1))]);
    assert_eq!(net.show(y), "f32[2, 8, 3]");
    assert_eq!(net.show_axes(&[b, y]), "[c1:8] [c0:2, c1:8, c2:3]");
}

#[test]
fn a_constant_divisor_is_pinned() {
    let mut net = Net::new(17);
    let (w, d) = (net.weight(&[8, 4]), net.weight(&[4]));
    let y = net.call("Div", &[w, d], &[]);
    assert_eq!(net.show_axes(&[d, y]), "[4] [c0:8, 4]");
    assert_eq!(net.pins(d), ["zeroing its divisor would make infinities"]);
}

#[test]
fn neutral_constants_are_identities() {
    let mut net = Net::new(17);
    let x = net.input("f32 n 4");
    let (one, wide) = (net.weight(&[]), net.weight(&[3, 1, 1]));
    let same = net.call("Mul", &[x, one], &[]);
    let wider = net.call("Div", &[x, wide], &[]);
    let zero = net.constant(Tensor::from_f32(vec![4], &[0.0; 4]));
    let sum = net.call("Add", &[x, zero], &[]);
    let not = net.call("Add", &[x, one], &[]);
    let all = [same, wider, sum, not].map(|v| net.is_identity(v));
    assert_eq!(all, [true, false, true, false]);
}

#[test]
fn shapes_are_chosen_by_condition() {
    // Expand of PyTorch: -1 in a target means the operand's size.
    let mut net = Net::new(17);
    let x = net.input("f32 n 12");
    let shape = net.call("Shape", &[x], &[]);
    let minus = net.ints(&[-1, -1]);
    let test = net.call("Equal", &[shape, minus], &[]);
    let ones = net.ints(&[1]);
    let picked = net.call("Where", &[test, ones, shape], &[]);
    assert_eq!(net.show(test), "bool[2] = {false, false}");
    assert_eq!(net.show(picked), "i64[2] = {n, 12}");
}

#[test]
fn a_gate() {
    assert_snapshot!(show("SwiGLU", 28, "", &["=2 16", "=2 16"]), @"[c0:2, c1:16], [c0:2, c1:16] -> f32[c0:2, c1:16]");
}
