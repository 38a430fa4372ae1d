//! `remove-redundant`: removes units without which the model computes the same.
//!
//! ```text
//! h = Gemm(x, w {{1, 2, 0}, {3, 6, 0}})          h = Gemm(x, w {{1}, {3}})
//! r = Relu(h)                             →      r = Relu(h)
//! y = Gemm(r, v {{1}, {10}, {100}})              y = Gemm(r, v {{21}})
//! ```
//!
//! Exact: each unit that goes is zero, or nothing reads it, or it is a number that a bias takes over, or a multiple of a
//! unit whose weights take it over. What proves that is said in [`crate::lossless`]. It runs until it finds none, since
//! layers before may have worked for those alone.

use crate::analysis::Analysis;
use crate::apply;
use crate::ir::{Model, Origin};
use crate::lossless::{self, RangeError, Ranges};
use crate::passes::{Change, Context, OptionError, Options, Pass, PassError};
use crate::passes::{MergeConstants, SplitConstants};
use crate::plan::{self, Budget, Plan};
use crate::repair;
use crate::score::Formula;

/// Removes units without which the model computes the same.
pub(super) struct RemoveRedundant {
    ranges: Ranges,
}

/// Ranges as one option: `0..1`, or `a=0..1+b=-1..1`.
struct Given(Ranges);

impl std::str::FromStr for Given {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Given, RangeError> {
        Ranges::new(&text.split('+').map(str::to_owned).collect::<Vec<_>>()).map(Given)
    }
}

impl RemoveRedundant {
    /// Options: `input-range` (joined by `+`).
    pub(super) fn new(options: &mut Options) -> Result<RemoveRedundant, OptionError> {
        Ok(RemoveRedundant { ranges: options.take_or("input-range", Given(Ranges::default()))?.0 })
    }
}

impl Pass for RemoveRedundant {
    fn name(&self) -> &'static str {
        "remove-redundant"
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        let mut gone = 0;
        loop {
            let mut copy = model.clone();
            copy.graph.constants().into_iter().for_each(|node| {
                if let Some(constant) = copy.graph.constant_mut(node) {
                    constant.origin = Origin::File(constant.name.clone());
                }
            });
            SplitConstants.run(&mut copy, cx)?;
            cx.changed();
            let analysis = Analysis::new(copy);
            let options = plan::Options {
                lossless: Some(self.ranges.clone()),
                ..plan::Options::new(Budget::lossless(), Formula::default())
            };
            let plan = plan::choose(&analysis, &options).map_err(PassError::new)?;
            if plan.is_empty() {
                return Ok(Change(gone));
            }
            gone += plan.cuts.iter().map(|cut| cut.remove.len()).sum::<usize>();
            *model = self.without(&analysis, &plan)?;
            MergeConstants.run(model, cx)?;
        }
    }
}

impl RemoveRedundant {
    fn without(&self, analysis: &Analysis, plan: &Plan) -> Result<Model, PassError> {
        let keep = plan.keep_sets(analysis).map_err(PassError::new)?;
        let mut model = apply::apply(analysis, &keep).map_err(PassError::new)?.model;
        let merged = lossless::find(analysis, &self.ranges).merged(analysis, &keep);
        repair::absorb(analysis, &keep, &merged, &mut model).map_err(PassError::new)?;
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use crate::passes::tests::{after, nothing_to_do};

    #[test]
    fn multiples_and_zeros_go() {
        let text = "g (f32[N,2] x) => (f32[N,2] y) {
            f32[2,3] w = {1.0, 2.0, 0.0, 3.0, 6.0, 0.0}
            f32[3] b = {0.5, 1.0, 0.0}
            f32[3,2] v = {1.0, 2.0, 10.0, 20.0, 100.0, 200.0}
            h = Gemm(x, w, b)
            r = Relu(h)
            y = Gemm(r, v)
        }";
        insta::assert_snapshot!(after("remove-redundant", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[N,2] x) => (f32[N,2] y) {
          f32[2,1] w = {1.0, 3.0}
          f32[1] b = {0.5}
          f32[1,2] v = {21.0, 42.0}
          h = Gemm(x, w, b)
          r = Relu(h)
          y = Gemm(r, v)
        }
        "#);
    }

    #[test]
    fn a_negative_multiple_is_none_behind_a_rectifier() {
        nothing_to_do(
            "remove-redundant",
            "g (f32[N,1] x) => (f32[N,1] y) {
                f32[1,2] w = {1.0, -2.0}
                f32[2,1] v = {1.0, 2.0}
                h = MatMul(x, w)
                r = Relu(h)
                y = MatMul(r, v)
            }",
        );
    }

    #[test]
    fn constants_go_into_a_bias() {
        let text = "g (f32[N,1] x) => (f32[N,2] y) {
            f32[1,2] w = {1.0, 0.0}
            f32[2] b = {0.0, 3.0}
            f32[2,2] v = {1.0, 2.0, 10.0, 20.0}
            h = Gemm(x, w, b)
            s = HardSigmoid(h)
            y = MatMul(s, v)
        }";
        insta::assert_snapshot!(after("remove-redundant", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[N,1] x) => (f32[N,2] y) {
          f32[1,1] w = {1.0}
          f32[1] b = {0.0}
          f32[1,2] v = {1.0, 2.0}
          h = Gemm(x, w, b)
          s = HardSigmoid(h)
          before_bias_0 = MatMul(s, v)
          f32[1,2] bias_1 = {10.0, 20.0}
          y = Add(before_bias_0, bias_1)
        }
        "#);
    }

    #[test]
    fn beyond_a_border_a_constant_is_another() {
        // Two constants are multiples of each other; the one that stays can't go into a bias under padding.
        let text = "g (f32[1,1,2,2] x) => (f32[1,1,2,2] y) {
            f32[3,1,1,1] w = {1.0, 0.0, 0.0}
            f32[3] b = {0.0, 3.0, 6.0}
            f32[1,3,3,3] v = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0}
            h = Conv(x, w, b)
            r = Relu(h)
            y = Conv<pads=[1,1,1,1]>(r, v)
        }";
        insta::assert_snapshot!(after("remove-redundant", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[1,1,2,2] x) => (f32[1,1,2,2] y) {
          f32[2,1,1,1] w = {1.0, 0.0}
          f32[2] b = {0.0, 3.0}
          f32[1,2,3,3] v #ebbd3c19a40150cc
          h = Conv(x, w, b)
          r = Relu(h)
          y = Conv<pads=[1,1,1,1]>(r, v)
        }
        "#);
    }

    #[test]
    fn ranges_prove_units_dead() {
        let text = "g (f32[N,1] x) => (f32[N,1] y) {
            f32[1,2] w = {1.0, 1.0}
            f32[2] b = {0.0, -2.0}
            f32[2,1] v = {1.0, 2.0}
            h = Gemm(x, w, b)
            r = Relu(h)
            y = MatMul(r, v)
        }";
        nothing_to_do("remove-redundant", text);
        // The tests' inputs lie between -3 and 3.
        nothing_to_do("remove-redundant{input-range=-3..3}", text);
        insta::assert_snapshot!(after("remove-redundant{input-range=-9..2}", &text.replace("-2.0", "-8.0")), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[N,1] x) => (f32[N,1] y) {
          f32[1,1] w = {1.0}
          f32[1] b = {0.0}
          h = Gemm(x, w, b)
          r = Relu(h)
          y = MatMul(r, w)
        }
        "#);
    }

    #[test]
    fn what_nothing_reads_goes_with_what_only_it_reads() {
        let text = "g (f32[N,1] x) => (f32[N,1] y) {
            f32[1,2] w = {1.0, 2.0}
            f32[2] b = {1.0, 3.0}
            f32[2,2] u = {1.0, 0.0, 0.0, 1.0}
            f32[2] c = {1.0, 3.0}
            f32[2,1] v = {1.0, 0.0}
            h = Gemm(x, w, b)
            s = Sigmoid(h)
            t = Gemm(s, u, c)
            z = Tanh(t)
            y = MatMul(z, v)
        }";
        insta::assert_snapshot!(after("remove-redundant", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[N,1] x) => (f32[N,1] y) {
          f32[1,1] w = {1.0}
          f32[1] b = {1.0}
          h = Gemm(x, w, b)
          s = Sigmoid(h)
          t = Gemm(s, w, b)
          z = Tanh(t)
          y = MatMul(z, w)
        }
        "#);
    }
}
