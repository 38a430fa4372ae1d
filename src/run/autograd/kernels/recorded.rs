//! The same operations where derivatives are recorded.

use super::{Kernels, Number, WindowSizes, conv, elements, max_pool, pool, rows, tensor};
use crate::program::{Kernel, Window};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn_autodiff::{Autodiff, NodeId};
use burn_backend::tensor::FloatTensor;
use burn_backend::{DType, TensorMetadata};
use burn_flex::{Flex, FlexTensor};
use std::sync::Arc;

type Recorded<C> = FloatTensor<Autodiff<Flex, C>>;

#[cfg(feature = "cuda")]
impl<C: CheckpointStrategy> Kernels for Autodiff<burn_cuda::Cuda, C> {}

impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    fn convolved(x: &Recorded<C>, w: &Recorded<C>, window: &Window) -> Option<Recorded<C>> {
        let made = Flex::convolved(x.primitive(), w.primitive(), window)?;
        Some(match Convolution.prepare::<C>([x.node(), w.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut recorded) => {
                let seen = [recorded.checkpoint(x), recorded.checkpoint(w)];
                recorded.finish((seen, window.clone()), made)
            }
            OpsKind::UnTracked(unrecorded) => unrecorded.finish(made),
        })
    }

    fn max_pooled(x: &Recorded<C>, kernel: &Kernel) -> Option<Recorded<C>> {
        let sizes = WindowSizes::of_pool(&x.primitive().shape(), kernel)?;
        let (largest, places) = max_pool(x.primitive(), &sizes)?;
        Some(match MaxPool.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(recorded) => recorded.finish((sizes, Arc::new(places)), largest),
            OpsKind::UnTracked(unrecorded) => unrecorded.finish(largest),
        })
    }

    fn clamped(x: &Recorded<C>, low: f64, high: f64) -> Option<Recorded<C>> {
        let made = Flex::clamped(x.primitive(), low, high)?;
        Some(match Clamp.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut recorded) => {
                let seen = recorded.checkpoint(x);
                recorded.finish((seen, low, high), made)
            }
            OpsKind::UnTracked(unrecorded) => unrecorded.finish(made),
        })
    }
}

#[derive(Debug)]
struct Convolution;

impl Backward<Flex, 2> for Convolution {
    type State = ([NodeId; 2], Window);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, kept: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let ([x, w], window) = ops.state;
        let [x, w]: [FlexTensor; 2] = [x, w].map(|node| kept.retrieve_node_output(node));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let sizes = WindowSizes::new(&x.shape(), &w.shape(), &window).expect("the window slid over two axes before");
        let found = match x.dtype() {
            DType::F64 => convolved_back::<f64>(&x, &w, &gradient, &sizes, wanted),
            _ => convolved_back::<f32>(&x, &w, &gradient, &sizes, wanted),
        };
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

fn convolved_back<T: Number>(
    x: &FlexTensor,
    w: &FlexTensor,
    gradient: &FlexTensor,
    sizes: &WindowSizes,
    wanted: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let (x, w, gradient) = (x.to_contiguous(), w.to_contiguous(), gradient.to_contiguous());
    let [by_x, by_w] = conv::backward::<T>(elements(&x), elements(&w), elements(&gradient), sizes, wanted);
    [by_x.map(|v| tensor(v, &x.shape())), by_w.map(|v| tensor(v, &w.shape()))]
}

#[derive(Debug)]
struct MaxPool;

impl Backward<Flex, 1> for MaxPool {
    type State = (WindowSizes, Arc<Vec<u32>>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let (sizes, places) = ops.state;
        unary::<Flex, _>(ops.parents, ops.node, gradients, |gradient| {
            let gradient = gradient.to_contiguous();
            match gradient.dtype() {
                DType::F64 => tensor(pool::backward::<f64>(elements(&gradient), &places, &sizes), &sizes.image_shape()),
                _ => tensor(pool::backward::<f32>(elements(&gradient), &places, &sizes), &sizes.image_shape()),
            }
        });
    }
}

#[derive(Debug)]
struct Clamp;

impl Backward<Flex, 1> for Clamp {
    type State = (NodeId, f64, f64);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, kept: &mut Checkpointer) {
        let (x, low, high) = ops.state;
        let x: FlexTensor = kept.retrieve_node_output(x);
        unary::<Flex, _>(ops.parents, ops.node, gradients, |gradient| {
            let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
            match x.dtype() {
                DType::F64 => tensor(rows::within::<f64>(elements(&gradient), elements(&x), low, high), &x.shape()),
                _ => {
                    tensor(rows::within::<f32>(elements(&gradient), elements(&x), low as f32, high as f32), &x.shape())
                }
            }
        });
    }
}
