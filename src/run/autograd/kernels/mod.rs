//! Operations that the engine's CPU backend does slowly, done here, with their derivatives.

mod conv;
#[cfg(test)]
mod laws;
mod pool;
mod recorded;
mod rows;
mod sizes;

use crate::program::{Kernel, Window};
use burn_backend::tensor::FloatTensor;
use burn_backend::{Backend, DType, TensorData, TensorMetadata};
use burn_flex::{Flex, FlexTensor};
use rows::Number;
use sizes::WindowSizes;

/// A backend that may have better ways than the engine's own to do some operations.
pub(super) trait Kernels: Backend {
    /// A convolution of `x [n, c, h, w]` and `w [o, c / groups, kh, kw]`.
    fn convolved(_x: &FloatTensor<Self>, _w: &FloatTensor<Self>, _window: &Window) -> Option<FloatTensor<Self>> {
        None
    }

    /// The largest in each window of `x [n, c, h, w]`.
    fn max_pooled(_x: &FloatTensor<Self>, _kernel: &Kernel) -> Option<FloatTensor<Self>> {
        None
    }

    /// `min(max(x, low), high)`.
    fn clamped(_x: &FloatTensor<Self>, _low: f64, _high: f64) -> Option<FloatTensor<Self>> {
        None
    }
}

/// A GPU does better by itself.
#[cfg(feature = "cuda")]
impl Kernels for burn_cuda::Cuda {}

impl Kernels for Flex {
    fn convolved(x: &FlexTensor, w: &FlexTensor, window: &Window) -> Option<FlexTensor> {
        let sizes = WindowSizes::new(&x.shape(), &w.shape(), window)?;
        match x.dtype() {
            DType::F32 => Some(convolve::<f32>(x, w, &sizes)),
            DType::F64 => Some(convolve::<f64>(x, w, &sizes)),
            _ => None,
        }
    }

    fn max_pooled(x: &FlexTensor, kernel: &Kernel) -> Option<FlexTensor> {
        max_pool(x, &WindowSizes::of_pool(&x.shape(), kernel)?).map(|(largest, _)| largest)
    }

    fn clamped(x: &FlexTensor, low: f64, high: f64) -> Option<FlexTensor> {
        match x.dtype() {
            DType::F32 => Some(clamp::<f32>(x, low as f32, high as f32)),
            DType::F64 => Some(clamp::<f64>(x, low, high)),
            _ => None,
        }
    }
}

fn convolve<T: Number>(x: &FlexTensor, w: &FlexTensor, sizes: &WindowSizes) -> FlexTensor {
    let (x, w) = (x.to_contiguous(), w.to_contiguous());
    tensor(conv::forward::<T>(elements(&x), elements(&w), sizes), &sizes.shape())
}

/// The largest elements, and their places.
fn max_pool(x: &FlexTensor, sizes: &WindowSizes) -> Option<(FlexTensor, Vec<u32>)> {
    let x = x.to_contiguous();
    Some(match x.dtype() {
        DType::F32 => {
            let (largest, places) = pool::forward::<f32>(elements(&x), sizes);
            (tensor(largest, &sizes.shape()), places)
        }
        DType::F64 => {
            let (largest, places) = pool::forward::<f64>(elements(&x), sizes);
            (tensor(largest, &sizes.shape()), places)
        }
        _ => return None,
    })
}

fn clamp<T: Number>(x: &FlexTensor, low: T, high: T) -> FlexTensor {
    let x = x.to_contiguous();
    tensor(rows::clamp::<T>(elements(&x), low, high), &x.shape())
}

/// The elements of a tensor that lie in order.
fn elements<T: Number>(tensor: &FlexTensor) -> &[T] {
    tensor.as_slice().expect("a tensor in order, of this type")
}

fn tensor<T: Number>(elements: Vec<T>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(elements, shape.to_vec()))
}
