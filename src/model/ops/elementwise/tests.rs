//! Tests of the rules beside them.

use super::super::{known, rule};
use crate::ir::Tensor;
use crate::ops::testing::nets::{Net, int};
use crate::ops::testing::show;
use insta::assert_snapshot;

#[test]
fn every_operator_has_one_rule() {
    let names = known();
    assert!(names.windows(2).all(|w| w[0] != w[1]), "{names:?}");
    assert!(rule("", "Relu").is_some() && rule("com.microsoft", "QuickGelu").is_some());
}

#[test]
fn axes_and_types_pass() {
    let mut net = Net::new(17);
    let w = net.weight(&[8, 4]);
    let y = net.call("Relu", &[w], &[]);
    let cast = net.call("Cast", &[y], &[("to", int(10))]);
    assert_eq!(net.show(cast), "f16[8, 4]");
    assert_eq!(net.show_axes(&[cast]), "[c0:8, c1:4]");
    let open = net.input("f32 ..");
    let none = net.call("Relu", &[open], &[]);
    assert_eq!(net.show(none), "f32[..]");
}

#[test]
fn numbers_are_computed() {
    let mut net = Net::new(17);
    let x = net.constant(Tensor::from_f32(vec![2], &[2.0, -2.5]));
    let y = net.call("Floor", &[x], &[]);
    let z = net.call("Cast", &[y], &[("to", int(7))]);
    let w = net.call("Neg", &[z], &[]);
    assert_eq!(net.show(y), "f32[2] = {2.0, -3.0}");
    assert_eq!(net.show(w), "i64[2] = {-2, 3}");
    let root = net.call("Sqrt", &[x], &[]);
    assert!(net.show(root).starts_with("f32[2] = {1.4142135381698608, NaN"), "{}", net.show(root));
}

#[test]
fn dropout_is_the_identity_of_inference() {
    let mut net = Net::new(13);
    let x = net.input("f32 n 4");
    let ratio = net.weight(&[]);
    let training = net.constant(Tensor::new(crate::ir::DType::Bool, vec![], vec![1]).unwrap());
    let plain = net.call("Dropout", &[x], &[]);
    let trained = net.call("Dropout", &[x, ratio, training], &[]);
    let masked = net.calls("Dropout", &[Some(x)], &[], 2);
    assert_eq!([plain, trained, masked[0]].map(|v| net.is_identity(v)), [true, false, false]);
    assert_eq!(net.show(masked[1]), "bool[n, 4]");
}

#[test]
fn a_cast_to_the_same_type_is_an_identity() {
    let mut net = Net::new(13);
    let x = net.input("f32 n 4");
    let (same, other) = (net.call("Cast", &[x], &[("to", int(1))]), net.call("Cast", &[x], &[("to", int(7))]));
    assert_eq!([same, other].map(|v| net.is_identity(v)), [true, false]);
}

#[test]
fn bits_are_cast_to_a_type_as_wide() {
    assert_snapshot!(show("BitCast", 26, "to=6", &["=16 8"]), @"[c0:16, c1:8] -> i32[c0:16, c1:8]");
    assert_snapshot!(show("BitCast", 26, "to=7", &["=16 8"]), @"error: the bits of f32 are no i64");
}
