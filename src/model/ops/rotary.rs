//! Rotary embeddings: pairs of features of each head turn by an angle for each position.

use super::attention::{divide, refit_heads};
use super::{AxisRule, Operands, Refit, Rule, Site, ZeroLaws, lower, zero};
use crate::facts::Fact;
use crate::ir::Dim;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("RotaryEmbedding", ROTARY_EMBEDDING),
    ("com.microsoft.RotaryEmbedding", Rule { lower: lower::rotary::own_rotary, ..ROTARY_EMBEDDING }),
];

/// Turns pairs of features of each head by an angle for each position. ONNX has x, cosines, sines, positions;
/// ONNX Runtime's own has x, positions, cosines, sines.
const ROTARY_EMBEDDING: Rule = Rule {
    infer: |site| {
        if let Some(r) = site.rank(0).filter(|r| !(3..=4).contains(r)) {
            return Err(format!("its input has rank {r}, not 3 or 4"));
        }
        rotary_heads(site)?;
        Ok(vec![Fact::maybe(site.dtype(0), site.shape(0).map(<[Dim]>::to_vec))])
    },
    axes: rotary_axes,
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    refit: |site, cut| Ok(refit_heads(site, Refit::default(), "num_heads", cut.size("h"))),
    operands: Operands {
        indices: |site| {
            let (positions, table) = if site.call.domain == "com.microsoft" { (1, 2) } else { (3, 1) };
            let Some(rows) = site.dim(table, 0).filter(|_| site.rank(table) == Some(2)) else { return vec![] };
            // One position is that of the first token.
            let length = site
                .rank(0)
                .and_then(|rank| site.dim(0, rank.checked_sub(2)?))
                .filter(|_| site.rank(positions) == Some(1));
            let rows = length.map_or_else(|| rows.clone(), |n| rows.clone() - n.clone() + Dim::Fixed(1));
            vec![(positions, rows)]
        },
        ..Operands::OPAQUE
    },
    lower: lower::rotary::rotary,
    ..Rule::OPAQUE
};

/// The number of heads and the features of each, where heads lie in the last axis; `None` where that is not known.
fn rotary_heads(site: &Site) -> Result<Option<(Dim, Dim)>, String> {
    let Some([_, _, width]) = site.shape(0) else { return Ok(None) };
    let part = |by: &Dim, what: &str| divide(width, by, what);
    match site.call.int("num_heads", 0) {
        0 if site.call.domain == "com.microsoft" && site.call.int("rotary_embedding_dim", 0) == 0 => {
            let Some(half) = site.dim(2, 1) else { return Ok(None) };
            let d = half.clone() * Dim::Fixed(2);
            Ok(part(&d, "features")?.map(|h| (h, d)))
        }
        0 if site.call.domain == "com.microsoft" => Ok(None),
        h => Ok(part(&Dim::Fixed(h), "heads")?.map(|d| (Dim::Fixed(h), d))),
    }
}

fn rotary_axes(site: &Site) -> Option<AxisRule> {
    let why = "pairs of features turn together, by an angle for each position";
    // Positions, and angles that are picked already, are given for each sample.
    let positions = if site.call.domain == "com.microsoft" { 1 } else { 3 };
    let per_sample = |slot: usize| match site.rank(slot) {
        Some(2) if slot == positions => "b _",
        Some(3) => "b _ _",
        _ => "_*",
    };
    let rest = [1, 2, 3].map(per_sample).join(", ");
    if site.rank(0)? == 4 {
        return Some(AxisRule::new(format!("b h _ _, {rest} -> b h _ _")).why(why));
    }
    let (h, d) = rotary_heads(site).ok()??;
    let d = d.size()?;
    Some(AxisRule::new(format!("b _ (h {d}), {rest} -> b _ (h {d})")).size("h", h).why(why))
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn rotary() {
        let rotary = |attributes: &str, x: &str| show("RotaryEmbedding", 23, attributes, &[x, "=2 5 8", "=2 5 8"]);
        assert_snapshot!(
            rotary("", "=2 4 5 16"),
            @"[c0:2, c1:4, 5, 16], [c0:2, 5, 8], [c0:2, 5, 8] -> f32[c0:2, c1:4, 5, 16]"
        );
        assert_snapshot!(
            rotary("num_heads=4", "=2 5 64"),
            @"[c0:2, 5, (c2:4 16)], [c0:2, 5, 8], [c0:2, 5, 8] -> f32[c0:2, 5, (c2:4 16)]"
        );
        assert_snapshot!(rotary("", "=2 5 64"), @"error: 0 heads");
        assert_snapshot!(rotary("", "=2 64"), @"error: its input has rank 2, not 3 or 4");
        let microsoft = |attributes: &str| {
            let operands = ["=2 5 64", "i64:=2 5", "=9 8", "=9 8"];
            Case::new("com.microsoft.RotaryEmbedding", 1, attributes, &operands, 1)
        };
        assert_snapshot!(
            microsoft("").show(),
            @"[c0:2, 5, (c2:4 16)], [c0:2, 5], [9, 8], [9, 8] -> f32[c0:2, 5, (c2:4 16)]"
        );
        assert_snapshot!(microsoft("num_heads=4").refit("h", &[1]), @"num_heads=1");
        assert_snapshot!(microsoft("").refit("h", &[1]), @"");
    }
}
