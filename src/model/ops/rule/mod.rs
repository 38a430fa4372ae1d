//! A rule: what is known about one operator, in groups by what each is for.
//!
//! | group | asked by |
//! |---|---|
//! | [`Rule::infer`] | inference, and surgery, which checks its prediction by it |
//! | [`Rule::axes`] | the solver |
//! | [`Rule::zeros`] | the analysis of exactness: where dropping units computes what zeroing them computes |
//! | [`Rule::quantization`] | whoever reads quantized numbers |
//! | [`Rule::values`] | the search for units that go without loss, and passes that drop or fold calls |
//! | [`Rule::operands`] | repair, training, and whoever makes up inputs |
//! | [`Rule::refit`], [`Rule::cost`], [`Rule::lower`] | surgery, budgets, gradients |
//!
//! Each group has an `OPAQUE`, in which nothing is claimed. So what an operator does not say costs what could have been
//! cut or found, and never a wrong result.

mod axes;
mod granularity;
pub mod homogeneity;
mod interval;
mod operands;
mod refit;
mod site;
mod values;
mod zeros;

pub use axes::AxisRule;
pub use granularity::{Granularity, GranularityError};
pub use homogeneity::Homogeneity;
pub use interval::{Interval, bounds};
pub use operands::{Bias, Operands, SlidingWindow, Sum};
pub use refit::{CutSizes, LabelCut, Refit};
pub use site::{Open, Site, normalize_axis};
pub use values::{Quantization, ValueLaws};
pub use zeros::{ZeroLaws, zero};

use crate::facts::Fact;
use crate::ir::Dim;
use crate::program::{Args, Term};

/// What secateur knows about an operator.
#[derive(Clone, Copy)]
pub struct Rule {
    /// The facts of the results, from those of the operands; an error is a contradiction in the model.
    pub infer: fn(&Site) -> Result<Vec<Fact>, String>,
    /// How the axes of the results relate to the axes of the operands; `None` pins them all.
    pub axes: fn(&Site) -> Option<AxisRule>,
    /// What becomes of zeros.
    pub zeros: ZeroLaws,
    /// What quantized numbers stand for.
    pub quantization: Quantization,
    /// How numbers follow from numbers.
    pub values: ValueLaws,
    /// What operands are to the call.
    pub operands: Operands,
    /// What has to change beside the constants once axes got shorter: attributes and shape operands.
    pub refit: fn(&Site, &CutSizes) -> Result<Refit, String>,
    /// Multiply-accumulate operations of one run.
    pub cost: fn(&Site) -> Dim,
    /// What the results are made of, in operations that can be run and differentiated.
    pub lower: Lower,
}

/// The results of a call, from the terms of its operands; an error says why there are none. All sizes around the call
/// are numbers, and integers that are known before the run stand in the facts ([`Site::ints`]). Results that nobody
/// could learn through may be left out at the end.
pub type Lower = for<'b> fn(&Site, &Args<'b>) -> Result<Vec<Term<'b>>, String>;

impl Rule {
    /// Nothing is known, and nothing claimed. The base of every rule: `Rule { infer, axes, ..Rule::OPAQUE }`.
    pub const OPAQUE: Rule = Rule {
        infer: |site| Ok(vec![Fact::default(); site.call.results.len()]),
        axes: |_| None,
        zeros: ZeroLaws::OPAQUE,
        quantization: Quantization::NONE,
        values: ValueLaws::OPAQUE,
        operands: Operands::OPAQUE,
        refit: |_, _| Ok(Refit::default()),
        cost: |_| Dim::Fixed(0),
        lower: |_, _| Err("no derivative is known".into()),
    };
}

/// A tensor at a call: one that it reads, by slot, or one that it makes, by port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Operand(usize),
    Result(usize),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lowering::lower;
    use crate::ops::testing::Case;
    use crate::program::{Builder, Statistics};

    /// Whoever adds a law has to say here what an operator does not claim that leaves it out.
    #[test]
    fn what_is_left_out_claims_nothing() {
        let unknown = Case::new("com.example.Unknown", 1, "axis=1", &["=2 3", "=2 3", "=3"], 2);
        assert_eq!(unknown.show(), "[2, 3], [2, 3], [3] -> ?[..], ?[..]");
        assert_eq!(unknown.reasons(), "nothing is known of this operator");
        assert!(lower(&Builder::new(), &unknown.model, &[], Statistics::Running).is_err());
        unknown.ask(|rule, site| {
            let Rule { infer, axes, zeros, quantization, values, operands, refit, cost, lower: _ } = rule;
            assert_eq!(infer(site), Ok(vec![Fact::default(); 2]));
            assert_eq!(axes(site), None);

            let (ZeroLaws { results, absorbing, pole }, all) = (zeros, [true; 3]);
            assert!(!results(site, &all) && !absorbing(site, &all) && !pole(site, &all));
            let Quantization { zero_point, scale } = quantization;
            assert_eq!((zero_point(End::Operand(0)), zero_point(End::Result(0)), scale(0)), (None, None, None));
            let ValueLaws { data_movement, identity, bypass, bounds, homogeneity } = values;
            assert!(!data_movement && !identity(site) && bypass(site, 0).is_none());
            assert_eq!(bounds(site, &[Interval::ZERO; 3]), None);
            assert_eq!(homogeneity(site, &all), Homogeneity::None);
            let Operands { sum, bias, windows, statistics, indices } = operands;
            assert!(sum(site).is_none() && bias(site).is_none() && statistics(site).is_none());
            assert!(windows(site).is_empty() && indices(site).is_empty());

            let cut = CutSizes { operands: vec![], results: vec![], labels: &|_| None };
            assert!(refit(site, &cut).is_ok_and(|refit| refit.attributes.is_empty() && refit.operands.is_empty()));
            assert_eq!(cost(site), Dim::Fixed(0));
        });
    }
}
