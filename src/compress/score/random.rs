//! `random`: a seeded lottery, the baseline that every criterion has to beat.

use super::Criterion;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Uniform in (0, 1), from the seed and the group's number.
pub(super) const RANDOM: Criterion = Criterion {
    name: "random",
    aliases: &[],
    about: "seeded random numbers: the baseline that a criterion has to beat",
    source: "Mittal et al., Recovering from Random Pruning, 2018 (arXiv 1801.10447)",
    needs_data: false,
    comparable: false,
    gradient: None,
    score: |context, group| {
        let mut lots = ChaCha8Rng::seed_from_u64(context.seed);
        lots.set_stream(u64::from(group.id.0));
        Ok((0..group.size).map(|_| f64::from(lots.next_u32() >> 8) / f64::from(1u32 << 24)).collect())
    },
};
