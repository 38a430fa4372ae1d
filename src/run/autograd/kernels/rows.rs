//! Sums over rows of numbers, in the widest registers that the machine has.

use burn_backend::Element;
use pulp::Arch;
use std::ops::{AddAssign, Mul};

/// A float that the kernels compute with.
pub(super) trait Number:
    faer::traits::ComplexField + Element + bytemuck::Pod + PartialOrd + Mul<Output = Self> + AddAssign
{
    const ZERO: Self;
    const ONE: Self;
    /// Less than all others.
    const LEAST: Self;
}

impl Number for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const LEAST: f32 = f32::NEG_INFINITY;
}

impl Number for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const LEAST: f64 = f64::NEG_INFINITY;
}

/// Sums are made in so many parts, always the same, so that they do not depend on the registers.
const LANES: usize = 16;

/// `y += x`.
pub(super) fn add<T: Number>(y: &mut [T], x: &[T]) {
    Arch::new().dispatch(|| y.iter_mut().zip(x).for_each(|(y, &x)| *y += x));
}

/// `y += a · x`.
pub(super) fn add_scaled<T: Number>(y: &mut [T], a: T, x: &[T]) {
    Arch::new().dispatch(|| y.iter_mut().zip(x).for_each(|(y, &x)| *y += a * x));
}

/// `x · y`.
pub(super) fn dot<T: Number>(x: &[T], y: &[T]) -> T {
    Arch::new().dispatch(|| {
        let mut sums = [T::ZERO; LANES];
        let (x, y) = (x.chunks(LANES), y.chunks(LANES));
        for (x, y) in x.zip(y) {
            sums.iter_mut().zip(x).zip(y).for_each(|((sum, &x), &y)| *sum += x * y);
        }
        let mut sum = T::ZERO;
        sums.into_iter().for_each(|part| sum += part);
        sum
    })
}

/// `min(max(x, low), high)`; what is no number stays none.
pub(super) fn clamp<T: Number>(x: &[T], low: T, high: T) -> Vec<T> {
    let held = |&x: &T| {
        if x < low {
            low
        } else if x > high {
            high
        } else {
            x
        }
    };
    Arch::new().dispatch(|| x.iter().map(held).collect())
}

/// The gradients where `low <= x <= high`, and zeros elsewhere.
pub(super) fn within<T: Number>(gradient: &[T], x: &[T], low: T, high: T) -> Vec<T> {
    let passed = |(&gradient, &x): (&T, &T)| if x < low || x > high { T::ZERO } else { gradient };
    Arch::new().dispatch(|| gradient.iter().zip(x).map(passed).collect())
}
