//! Optimizers: how a gradient changes weights.

use serde::{Deserialize, Serialize};

/// How weights follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Optimizer {
    /// Stochastic gradient descent with (Nesterov) momentum; Sutskever et al. 2013.
    Sgd { momentum: f32, nesterov: bool },
    /// Adam with decoupled weight decay; Loshchilov and Hutter 2019.
    AdamW { beta1: f32, beta2: f32, epsilon: f32 },
}

/// What an optimizer remembers of one tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The running mean of gradients.
    pub first: Vec<f32>,
    /// The running mean of their squares; empty for SGD.
    pub second: Vec<f32>,
}

impl Optimizer {
    pub const SGD: Optimizer = Optimizer::Sgd { momentum: 0.9, nesterov: true };
    pub const ADAMW: Optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    /// The learning rate that suits most fine-tuning.
    pub fn usual_rate(self) -> f64 {
        match self {
            Optimizer::Sgd { .. } => 1e-2,
            Optimizer::AdamW { .. } => 1e-3,
        }
    }

    /// Nothing seen of a tensor of so many elements.
    pub fn memory(self, count: usize) -> Memory {
        let second = match self {
            Optimizer::Sgd { .. } => vec![],
            Optimizer::AdamW { .. } => vec![0.0; count],
        };
        Memory { first: vec![0.0; count], second }
    }

    /// The `step`-th update (from 1) of a tensor, with this learning rate and weight decay.
    pub fn update(self, step: u64, rate: f32, decay: f32, gradient: &[f32], memory: &mut Memory, weights: &mut [f32]) {
        match self {
            Optimizer::Sgd { momentum, nesterov } => {
                for ((w, &g), m) in weights.iter_mut().zip(gradient).zip(&mut memory.first) {
                    let g = g + decay * *w;
                    *m = momentum * *m + g;
                    *w -= rate * if nesterov { g + momentum * *m } else { *m };
                }
            }
            Optimizer::AdamW { beta1, beta2, epsilon } => {
                let corrected = |beta: f32| 1.0 - f64::from(beta).powf(step as f64);
                let (one, two) = (corrected(beta1) as f32, corrected(beta2) as f32);
                let moments = memory.first.iter_mut().zip(&mut memory.second);
                for ((w, &g), (m, v)) in weights.iter_mut().zip(gradient).zip(moments) {
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * g * g;
                    *w -= rate * (decay * *w + (*m / one) / ((*v / two).sqrt() + epsilon));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of `torch.optim` after three steps on f(w) = w² from w = 1, rate 0.1, decay 0.01.
    #[test]
    fn three_steps_are_those_of_pytorch() {
        let after = |optimizer: Optimizer| {
            let (mut w, mut memory) = ([1.0f32], optimizer.memory(1));
            for step in 1..=3 {
                let gradient = [2.0 * w[0]];
                optimizer.update(step, 0.1, 0.01, &gradient, &mut memory, &mut w);
            }
            w[0]
        };
        let sgd = after(Optimizer::Sgd { momentum: 0.9, nesterov: false });
        let nesterov = after(Optimizer::SGD);
        let adamw = after(Optimizer::ADAMW);
        assert!((sgd - SGD).abs() < 1e-6, "{sgd}");
        assert!((nesterov - NESTEROV).abs() < 1e-6, "{nesterov}");
        assert!((adamw - ADAMW).abs() < 1e-6, "{adamw}");
    }

    const SGD: f32 = 0.05819422;
    const NESTEROV: f32 = -0.1116511;
    const ADAMW: f32 = 0.6989112;
}
