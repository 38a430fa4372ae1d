//! ScaleShift: each channel times a factor, plus a number.

use super::shared::dims::{elements, expect_vector};
use super::{AxisRule, Rule, ZeroLaws, lower, zero};
use crate::facts::Fact;
use crate::ir::Dim;

pub(super) const RULES: &[(&str, Rule)] = &[("com.example.ScaleShift", SCALE_SHIFT)];

/// `y[n, c, …] = x[n, c, …] · scale[c] + shift[c]`
const SCALE_SHIFT: Rule = Rule {
    infer: |site| {
        if let Some(channels) = site.dim(0, 1) {
            expect_vector(site, 1, channels, "scale")?;
            expect_vector(site, 2, channels, "shift")?;
        }
        Ok(vec![Fact::maybe(site.dtype(0), site.shape(0).map(<[Dim]>::to_vec))])
    },
    axes: |site| (site.rank(0)? >= 2).then(|| AxisRule::new("n c ..., c, c -> n c ...")),
    zeros: ZeroLaws { results: zero::affine, ..ZeroLaws::OPAQUE },
    cost: |site| site.shape(0).map_or_else(|| site.unknown(), elements),
    lower: lower::scale_shift::scale_shift,
    ..Rule::OPAQUE
};

#[cfg(test)]
mod tests {
    use crate::ops::testing::show;
    use insta::assert_snapshot;

    #[test]
    fn channels_stay_together() {
        let show = |operands: &[&str]| show("com.example.ScaleShift", 1, "", operands);
        assert_snapshot!(
            show(&["=2 8 5", "=8", "=8"]),
            @"[c0:2, c1:8, c2:5], [c1:8], [c1:8] -> f32[c0:2, c1:8, c2:5]"
        );
        assert_snapshot!(show(&["=2 8 5", "=7", "=8"]), @"error: the scale has 7 elements but there are 8 channels");
    }
}
