use super::*;
use crate::ir::{DType, Dim};
use crate::sizes::Values;

fn spec(kind: Kind, dtype: DType, shape: &[i64]) -> InputSpec {
    let shape = shape.iter().map(|&n| if n == 0 { Dim::symbol("batch") } else { Dim::Fixed(n) }).collect();
    InputSpec { kind, ..InputSpec::new("x", dtype, shape) }
}

fn drawn(spec: &InputSpec, scale: Scale, number: usize) -> (Vec<usize>, Vec<f64>) {
    let (inputs, sketches) = ([spec.clone()], [Sketch { kind: spec.kind, scale }]);
    let feed = Artist { inputs: &inputs, sketches: &sketches, seed: 0 }.portion(&Frame::of(&inputs), number).unwrap();
    let tensor = feed.get("x").unwrap();
    (tensor.shape.clone(), tensor.to_f64().unwrap())
}

/// What two numbers that lie `apart` from each other have in common, as a share of the variance.
fn alike(numbers: &[f64], apart: usize) -> f64 {
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let product = |(a, b): (&f64, &f64)| (a - mean) * (b - mean);
    let (all, pairs) = (numbers.iter().zip(numbers), numbers.iter().zip(&numbers[apart..]));
    pairs.map(product).sum::<f64>() / all.map(product).sum::<f64>()
}

#[test]
fn pictures_have_edges_and_flat_places_and_are_the_same_in_all_layouts() {
    let first = spec(Kind::Image { channels: 1 }, DType::F32, &[0, 3, 24, 32]);
    let last = spec(Kind::Image { channels: 3 }, DType::F32, &[0, 24, 32, 3]);
    let unit = || Scale::All(0.0, 1.0);
    let (shape, pixels) = drawn(&first, unit(), 0);
    assert_eq!(shape, [1, 3, 24, 32]);
    assert!(pixels.iter().all(|x| (0.0..=1.0).contains(x)));
    assert!(alike(&pixels[..24 * 32], 1) > 0.25 && alike(&pixels[..24 * 32], 1) > alike(&pixels[..24 * 32], 9));
    let (shape, other) = drawn(&last, unit(), 0);
    assert_eq!(shape, [1, 24, 32, 3]);
    // What is drawn is the same but for the noise, which is drawn in the order of the layout.
    let near = (0..24 * 32).filter(|&at| (pixels[at] - other[3 * at]).abs() < 0.2).count();
    assert!(near > 24 * 32 * 9 / 10, "{near}");
    assert_eq!(drawn(&first, unit(), 3), drawn(&first, unit(), 3));
    assert_ne!(drawn(&first, unit(), 3), drawn(&first, unit(), 4));
}

#[test]
fn pictures_are_scaled_as_an_input_takes_them() {
    let bytes = spec(Kind::Image { channels: 1 }, DType::U8, &[2, 1, 8, 8]);
    let (shape, pixels) = drawn(&bytes, Scale::All(0.0, 255.0), 0);
    assert_eq!(shape, [2, 1, 8, 8]);
    assert!(pixels.iter().any(|&x| x > 100.0) && pixels.iter().all(|x| x.fract() == 0.0));
    let colours = spec(Kind::Image { channels: 1 }, DType::F32, &[0, 3, 8, 8]);
    let (plain, normed) =
        (drawn(&colours, Scale::All(0.0, 1.0), 0), drawn(&colours, Scale::Channels(vec![0.5], vec![0.25]), 0));
    let apart = plain.1.iter().zip(&normed.1).map(|(a, b)| ((a - 0.5) / 0.25 - b).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-5, "{apart}");
}

#[test]
fn sound_is_standard_and_what_lies_side_by_side_is_alike() {
    let unit = || Scale::All(0.0, 1.0);
    for (kind, shape) in
        [(Kind::Wave, &[0, 2, 400][..]), (Kind::Wave, &[0, 999]), (Kind::Map, &[0, 20, 100]), (Kind::Map, &[0, 7])]
    {
        let (_, numbers) = drawn(&spec(kind, DType::F32, shape), unit(), 1);
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let variance = numbers.iter().map(|x| x * x).sum::<f64>() / numbers.len() as f64;
        assert!(mean.abs() < 1e-3 && (variance - 1.0).abs() < 1e-3, "{kind:?} {mean} {variance}");
        assert!(numbers.len() < 50 || alike(&numbers, 1) > 0.5, "{kind:?} {shape:?} {}", alike(&numbers, 1));
    }
}

#[test]
fn tokens_follow_zipf_and_stay_in_their_range() {
    let ids = spec(Kind::Tokens { last: 502 }, DType::I64, &[0, 4000]);
    let (_, numbers) = drawn(&ids, Scale::All(0.0, 1.0), 0);
    assert!(numbers.iter().all(|n| (3.0..=502.0).contains(n)));
    let count = |n: f64| numbers.iter().filter(|x| **x == n).count();
    let mut counts: Vec<usize> = (3..=502).map(|n| count(f64::from(n))).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    assert!(counts[0] > 8 * counts[20].max(1), "{} {}", counts[0], counts[20]);
    let one = spec(Kind::Tokens { last: 0 }, DType::I64, &[0, 5]);
    assert_eq!(drawn(&one, Scale::All(0.0, 1.0), 0).1, [0.0; 5]);
}

#[test]
fn a_table_has_the_scales_that_are_known_and_masks_stay_what_they_are() {
    let table = spec(Kind::Table, DType::F32, &[0, 2]);
    let scale = || Scale::Each(vec![0.0, 0.0], vec![5.0, -1.0]);
    assert_eq!(drawn(&table, scale(), 0).1, [5.0, -1.0]);
    let mask = InputSpec { values: Values::Just(1), ..spec(Kind::Fixed, DType::I64, &[0, 3]) };
    assert_eq!(drawn(&mask, Scale::All(0.0, 1.0), 0).1, [1.0; 3]);
    let state = spec(Kind::State, DType::F32, &[0, 30]);
    assert!(drawn(&state, Scale::All(0.0, 1.0), 0).1.iter().all(|x| x.abs() < 0.6));
}
