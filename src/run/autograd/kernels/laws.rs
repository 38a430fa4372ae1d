//! The kernels against those of the backend, and derivatives as what they are: the same linear map, transposed.

use super::rows::{clamp, within};
use super::sizes::WindowSizes;
use super::{Kernels, conv, elements, pool, tensor};
use crate::program::{Kernel, Window};
use burn_backend::TensorMetadata;
use burn_backend::ops::{ConvOptions, ModuleOps};
use burn_flex::{Flex, FlexTensor};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A convolution: shapes of images and weights, and how the window slides.
fn convolutions() -> impl Strategy<Value = ([usize; 4], [usize; 4], Window)> {
    let channels = (1..4_usize, 1..4_usize, 1..4_usize);
    let axis = || (1..4_usize, 1..3_usize, 0..3_usize, 1..3_usize, 0..9_usize);
    (1..4_usize, channels, axis(), axis()).prop_map(|(samples, (groups, channels, made), h, w)| {
        let image = [h, w].map(|(kernel, _, padding, dilation, more)| {
            let reach = dilation * (kernel - 1) + 1;
            reach.saturating_sub(2 * padding).max(1) + more
        });
        let window = Window { stride: vec![h.1, w.1], padding: vec![h.2, w.2], dilation: vec![h.3, w.3], groups };
        ([samples, groups * channels, image[0], image[1]], [groups * made, channels, h.0, w.0], window)
    })
}

fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn some(shape: [usize; 4], seed: u64) -> Vec<f64> {
    numbers(shape.iter().product(), seed)
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs())
}

fn held(t: &FlexTensor) -> FlexTensor {
    t.to_contiguous()
}

proptest! {
    #[test]
    fn convolutions_are_those_of_the_backend((x, w, window) in convolutions()) {
        let pair = |n: &[usize]| [n[0], n[1]];
        let (images, weights) = (tensor(some(x, 1), &x), tensor(some(w, 2), &w));
        let ours = Flex::convolved(&images, &weights, &window).unwrap();
        let padding = pair(&window.padding).map(|p| (p, p));
        let (stride, dilation) = (pair(&window.stride), pair(&window.dilation));
        let options = ConvOptions { stride, padding, dilation, groups: window.groups };
        let theirs = held(&Flex::conv2d(images, weights, None, options));
        prop_assert_eq!(ours.shape(), theirs.shape());
        let pairs = elements::<f64>(&ours).iter().zip(elements::<f64>(&theirs));
        pairs.for_each(|(a, b)| assert!(same(*a, *b), "{a} {b}"));
    }

    #[test]
    fn derivatives_of_convolutions_are_their_transposes((x, w, window) in convolutions()) {
        let sizes = WindowSizes::new(&x, &w, &window).unwrap();
        let (images, weights, gradient) = (some(x, 1), some(w, 2), some(sizes.shape(), 3));
        let [by_x, by_w] = conv::backward(&images, &weights, &gradient, &sizes, [true, true]);
        let whole = inner(&conv::forward(&images, &weights, &sizes), &gradient);
        prop_assert!(same(whole, inner(&images, &by_x.unwrap())));
        prop_assert!(same(whole, inner(&weights, &by_w.unwrap())));
        let [none, _] = conv::backward(&images, &weights, &gradient, &sizes, [false, true]);
        prop_assert!(none.is_none());
    }

    #[test]
    fn pools_are_those_of_the_backend((x, w, window) in convolutions()) {
        let pair = |n: &[usize]| [n[0], n[1]];
        let size = [w[2], w[3]];
        let padding = [0, 1].map(|a| window.padding[a].min(size[a] / 2));
        let kernel = Kernel { size, stride: pair(&window.stride), padding, dilation: [1, 1] };
        let image = [x[0], x[1], x[2] + 2, x[3] + 2];
        let images = tensor(some(image, 1), &image);
        let ours = Flex::max_pooled(&images, &kernel).unwrap();
        let theirs = held(&Flex::max_pool2d(images.clone(), size, kernel.stride, padding, [1, 1], false));
        prop_assert_eq!(elements::<f64>(&ours), elements::<f64>(&theirs));
        let sizes = WindowSizes::of_pool(&image, &kernel).unwrap();
        let (largest, places) = pool::forward(&some(image, 1), &sizes);
        let gradient = some(sizes.shape(), 3);
        let back = pool::backward(&gradient, &places, &sizes);
        prop_assert!(same(inner(&largest, &gradient), inner(&some(image, 1), &back)));
    }

    #[test]
    fn clamped_numbers_pass_slopes_between_the_bounds(seed in 0..100_u64) {
        let (x, gradient) = (numbers(37, seed), numbers(37, seed + 1000));
        for ((x, gradient), (y, passed)) in
            x.iter().zip(&gradient).zip(clamp(&x, -0.5, 0.25).iter().zip(&within(&gradient, &x, -0.5, 0.25)))
        {
            prop_assert_eq!(*y, x.clamp(-0.5, 0.25));
            prop_assert_eq!(*passed, if y == x { *gradient } else { 0.0 });
        }
    }
}

#[test]
fn what_is_no_number_is_larger_than_all() {
    let x = [1.0, f64::NAN, 3.0, 2.0];
    let kernel = Kernel { size: [2, 2], stride: [2, 2], padding: [0, 0], dilation: [1, 1] };
    let (largest, places) = pool::forward(&x, &WindowSizes::of_pool(&[1, 1, 2, 2], &kernel).unwrap());
    assert!(largest[0].is_nan());
    assert_eq!(places, [1]);
    assert!(clamp(&[f64::NAN], 0.0, 1.0)[0].is_nan());
}
