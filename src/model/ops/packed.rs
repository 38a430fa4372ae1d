//! Products with weights of a few bits, packed in blocks that share a scale.

use super::matmul::matmul_cost;
use super::shared::dims::{agree, expect_rank};
use super::{AxisRule, CutSizes, Refit, Rule, Site, ZeroLaws, lower};
use crate::facts::Fact;
use crate::ir::{Attribute, DType, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[("com.microsoft.MatMulNBits", MATMUL_N_BITS)];

/// `y[…, n] = Σ a[…, k] · (b[n, k] - zero[n, k]) · scale[n, k] + bias[n]`, with b packed in blocks along k.
const MATMUL_N_BITS: Rule = Rule {
    infer: |site| {
        let n = site.call.int("N", 0);
        let Some(a) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let [lead @ .., k] = a else { return Err("a scalar is no matrix".into()) };
        if n < 1 {
            return Err(format!("`N` is {n}"));
        }
        agree(&Dim::Fixed(site.call.int("K", 0)), k, |w, x| {
            format!("the weights expect {w} features but the input has {x}")
        })?;
        expect_rank(site, 5, 1, "bias")?;
        let shape = lead.iter().cloned().chain([Dim::Fixed(n)]).collect();
        Ok(vec![Fact::maybe(site.dtype(0), Some(shape))])
    },
    axes: |site| {
        let p = Packing::of(site)?;
        let (blocks, columns) = p.along();
        let b = match site.shape(1)? {
            [n, k, _] if *n == Dim::Fixed(p.n) && *k == Dim::Fixed(p.blocks) && p.divides => format!("n {blocks} _"),
            [n, _, _] if *n == Dim::Fixed(p.n) => "n _ _".to_owned(),
            _ => return None,
        };
        let (scale, zero) = (p.rows(site, 2, p.blocks, &blocks)?, p.rows(site, 3, p.zero_points(), "k")?);
        let text = format!("... {columns}, {b}, {scale}, {zero}, _*, n -> ... n");
        let rule = AxisRule::new(text).size("n", p.n).size("k", p.blocks / p.together);
        Some(rule.why("its weights are packed in blocks along it"))
    },
    zeros: ZeroLaws {
        // Absent zero points are not zero, but a scale of zero makes all weights zero.
        results: |site, at| on(at, 2) && (on(at, 5) || !site.has(5)),
        absorbing: |_, at| on(at, 0) || on(at, 2),
        ..ZeroLaws::OPAQUE
    },
    refit: |site, cut: &CutSizes| {
        let mut refit = Refit::default();
        let Some(p) = Packing::of(site) else { return Ok(refit) };
        let columns = cut.size("k").filter(|_| p.divides).map(|k| k * Dim::Fixed(p.together * p.block));
        for (name, before, after) in [("N", p.n, cut.size("n")), ("K", p.columns, columns)] {
            if let Some(after) = after.and_then(|d| d.fixed()).filter(|&after| after != before) {
                refit = refit.attribute(name, Attribute::Int(after));
            }
        }
        Ok(refit)
    },
    cost: |site| matmul_cost(site, 0),
    lower: lower::packed::packed,
    ..Rule::OPAQUE
};

fn on(at: &[bool], slot: usize) -> bool {
    at.get(slot) == Some(&true)
}

/// How the weights are packed: n rows of so many blocks of columns.
struct Packing {
    n: i64,
    columns: i64,
    block: i64,
    blocks: i64,
    /// Blocks whose zero points share a byte: they go together.
    together: i64,
    /// Whether whole blocks may go: none is cut short, and columns are where they seem to be.
    divides: bool,
}

impl Packing {
    fn of(site: &Site) -> Option<Packing> {
        let (n, columns) = (site.call.int("N", 0), site.call.int("K", 0));
        let (block, bits) = (site.call.int("block_size", 0), site.call.int("bits", 4));
        if n < 1 || columns < 1 || block < 1 || !(1..=8).contains(&bits) {
            return None;
        }
        let blocks = columns.checked_add(block - 1)? / block;
        let packed = site.has(3) && site.dtype(3)? == DType::U8;
        let together = if packed && 8 % bits == 0 { 8 / bits } else { 1 };
        // Slot 4 puts the columns into another order.
        let divides = columns % block == 0 && blocks % together == 0 && !site.has(4) && !(packed && 8 % bits != 0);
        Some(Packing { n, columns, block, blocks, together, divides })
    }

    /// The axes of the blocks, and of all columns.
    fn along(&self) -> (String, String) {
        match (self.divides, self.together) {
            (false, _) => (self.blocks.to_string(), "_".into()),
            (true, 1) => ("k".into(), format!("(k {})", self.block)),
            (true, together) => (format!("(k {together})"), format!("(k {together} {})", self.block)),
        }
    }

    /// How many zero points there are for a row, in bytes or numbers.
    fn zero_points(&self) -> i64 {
        self.blocks / self.together + i64::from(self.blocks % self.together != 0)
    }

    /// The axes of an operand with so many elements for each row, flat or not, which are made of these.
    fn rows(&self, site: &Site, slot: usize, count: i64, along: &str) -> Option<String> {
        if !site.has(slot) {
            return Some(String::new());
        }
        let (n, count) = (Dim::Fixed(self.n), Dim::Fixed(count));
        match site.shape(slot)? {
            [rows, each] if *rows == n && *each == count && self.divides => Some(format!("n {along}")),
            [rows, each] if *rows == n && *each == count => Some("n _".into()),
            [all] if *all == n && count == Dim::Fixed(1) => Some("n".into()),
            [all] if *all == n.clone() * count.clone() && self.divides => {
                Some(format!("(n {})", along.trim_matches(['(', ')'])))
            }
            [all] if *all == n * count.clone() => Some(format!("(n {count})")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::Case;
    use insta::assert_snapshot;

    #[test]
    fn blocks() {
        let n_bits =
            |operands: &[&str], attributes: &str| Case::new("com.microsoft.MatMulNBits", 1, attributes, operands, 1);
        let case = n_bits(&["=3 64", "u8:=16 2 16", "=32", "u8:=16"], "N=16 K=64 bits=4 block_size=32");
        assert_snapshot!(case.show(), @"[c0:3, (2 32)], [c3:16, 2, 16], [(c3:16 2)], [c3:16] -> f32[c0:3, c3:16]");
        assert_snapshot!(case.refit("n", &[0, 7]), @"N=2");
        let wide = "N=16 K=256 bits=4 block_size=32";
        let case = n_bits(&["=3 256", "u8:=16 8 16", "=128", "u8:=64"], wide);
        assert_snapshot!(case.show(), @"[c0:3, (c1:4 2 32)], [c4:16, (c1:4 2), 16], [(c4:16 c1:4 2)], [(c4:16 c1:4)] -> f32[c0:3, c4:16]");
        assert_snapshot!(case.refit("k", &[0, 2, 3]), @"K=192");
        let symmetric = n_bits(&["=3 256", "u8:=16 8 16", "=16 8"], wide);
        assert_snapshot!(symmetric.show(), @"[c0:3, (c1:8 32)], [c3:16, c1:8, 16], [c3:16, c1:8] -> f32[c0:3, c3:16]");
        assert_snapshot!(symmetric.refit("k", &[0, 2, 3]), @"K=96");
        assert_snapshot!(n_bits(&["=3 250", "u8:=16 8 16", "=16 8"], "N=16 K=250 block_size=32").show(), @"[c0:3, 250], [c2:16, 8, 16], [c2:16, 8] -> f32[c0:3, c2:16]");
        assert_snapshot!(n_bits(&["=3 256", "u8:=16 8 16", "=33"], wide).show(), @"[3, 256], [16, 8, 16], [33] -> f32[3, 16]");
        assert_snapshot!(n_bits(&["2 3 64", "u8:=16 2 16", "=32"], "K=64").show(), @"error: `N` is 0");
    }
}
