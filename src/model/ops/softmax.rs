//! Softmax and its kin: what survives along the normalized axes depends on what there is.

use super::norm::without_content;
use super::shared::dims::row;
use super::{AxisRule, Rule, Site, lower};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("Hardmax", Rule { lower: |_, _| Err("its derivative is zero or undefined everywhere".into()), ..SOFTMAX }),
    ("LogSoftmax", Rule { lower: lower::softmax::log_softmax, ..SOFTMAX }),
    ("Softmax", Rule { lower: lower::softmax::softmax, ..SOFTMAX }),
];

/// `y = exp(x) / Σ exp(x)` over one axis; before opset 13 over all axes from `axis` on.
const SOFTMAX: Rule = Rule {
    infer: |site| {
        normalized(site, site.opset)?;
        Ok(vec![without_content(site.fact(0).clone())])
    },
    axes: |site| {
        let axes = normalized(site, site.opset).ok()??;
        let x = row(site.rank(0)?, |i| if axes.contains(&i) { format!("a{i}!") } else { format!("a{i}") });
        Some(AxisRule::new(format!("{x} -> {x}")).why("each is a share of all along it"))
    },
    ..Rule::OPAQUE
};

/// The axes that this operator set normalizes together, where the rank is known.
pub(super) fn normalized(site: &Site, opset: i64) -> Result<Option<std::ops::Range<usize>>, String> {
    let Some(rank) = site.rank(0) else { return Ok(None) };
    if opset >= 13 {
        let axis = site.axis("axis", -1, rank)?;
        return Ok(Some(axis..axis + 1));
    }
    // The input is flattened to a matrix at the axis, which may lie behind the last one.
    let axis = site.call.int("axis", 1);
    let at = if axis == rank as i64 { rank } else { site.axis("axis", 1, rank)? };
    Ok(Some(at..rank))
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn one_axis_since_opset_13() {
        assert_snapshot!(show("Softmax", 13, "", &["=2 3 4"]), @"[c0:2, c1:3, c2!:4] -> f32[c0:2, c1:3, c2!:4]");
        assert_snapshot!(
            show("LogSoftmax", 13, "axis=1", &["=2 3 4"]),
            @"[c0:2, c1!:3, c2:4] -> f32[c0:2, c1!:3, c2:4]"
        );
        assert_snapshot!(show("Softmax", 13, "axis=3", &["=2 3 4"]), @"error: axis 3 of a tensor of rank 3");
        assert_snapshot!(show("Softmax", 13, "", &["?"]), @"[..] -> f32[..]");
        assert_snapshot!(Case::new("Softmax", 13, "", &["=2 3 4"], 1).reasons(), @"each is a share of all along it");
    }

    #[test]
    fn all_axes_behind_before_opset_13() {
        assert_snapshot!(show("Softmax", 11, "", &["=2 3 4"]), @"[c0:2, c1!:3, c2!:4] -> f32[c0:2, c1!:3, c2!:4]");
        assert_snapshot!(show("Softmax", 11, "axis=-1", &["=2 3 4"]), @"[c0:2, c1:3, c2!:4] -> f32[c0:2, c1:3, c2!:4]");
        assert_snapshot!(show("Hardmax", 1, "axis=3", &["=2 3 4"]), @"[c0:2, c1:3, c2:4] -> f32[c0:2, c1:3, c2:4]");
        assert_snapshot!(show("Softmax", 11, "", &["="]), @"error: axis 1 of a tensor of rank 0");
    }
}
