//! Arguments that set single weights to zero.

use super::budget;
use crate::job::Zeros;
use crate::plan::Share;
use crate::sparsity::{Method, Pattern, Scope};
use clap::Args;

/// Zeros among the weights. Alone, no units are cut.
#[derive(Args)]
pub struct Thinning {
    /// Set this share of the weights to zero, after any cut; tensors keep their shapes. Without a budget, nothing is
    /// cut
    // A quality constraint is about the model before zeros.
    #[arg(long, value_name = "SHARE", conflicts_with = "nm", conflicts_with_all = budget::constraints())]
    sparsity: Option<Share>,
    /// Leave N of every M weights along each sum (`2:4`), after any cut. Without a budget, nothing is cut
    #[arg(long, value_name = "N:M", value_parser = Pattern::parse_ratio, conflicts_with_all = budget::constraints())]
    nm: Option<Pattern>,
    /// Among which weights --sparsity finds the smallest: row (of one sum), layer, global
    #[arg(long, value_name = "SCOPE", default_value = "layer")]
    sparsity_scope: Scope,
    /// How weights are ranked: magnitude, wanda, sparsegpt (which also refits those that stay) [default: sparsegpt
    /// with --calib, wanda with --no-compensate, magnitude without samples]
    #[arg(long, value_name = "METHOD")]
    sparsity_method: Option<Method>,
}

impl From<&Thinning> for Zeros {
    fn from(args: &Thinning) -> Zeros {
        let share = args.sparsity.map(|s| Pattern::Share(s.0, args.sparsity_scope));
        Zeros { pattern: share.or(args.nm), method: args.sparsity_method }
    }
}
