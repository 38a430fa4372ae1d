//! Operators along an axis in which the order matters, and matrices that are seen as a whole.

use super::select::passing;
use super::shared::content::scalar;
use super::{AxisRule, Rule, Site, ZeroLaws, lower, normalize_axis, zero};
use crate::facts::{Element, Fact};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("CumSum", Rule { lower: lower::scan::running_sum, ..CUMULATIVE }),
    ("CumProd", CUMULATIVE),
    ("ReverseSequence", REVERSE_SEQUENCE),
    ("Trilu", TRILU),
    ("Det", DET),
];

/// The operand's type is the result's.
fn same_type(site: &Site) -> Result<Vec<Fact>, String> {
    Ok(vec![Fact::maybe(site.dtype(0), site.fact(0).shape.clone())])
}

/// CumSum, CumProd: running sums and products along the axis that the second operand says.
const CUMULATIVE: Rule = Rule {
    infer: |site| {
        if let (Some(rank), Some(Element::Int(axis))) = (site.rank(0), scalar(site.fact(1))) {
            axis.fixed().map_or(Ok(0), |axis| normalize_axis(axis, rank))?;
        }
        same_type(site)
    },
    axes: |site| {
        let rank = site.rank(0)?;
        let axis = match scalar(site.fact(1)) {
            Some(Element::Int(axis)) => axis.fixed(),
            _ => None,
        };
        let row = axis.and_then(|axis| passing(rank, axis)).unwrap_or_else(|| "_*".into());
        Some(AxisRule::new(format!("{row}, _* -> {row}")).why("it adds up along this axis"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    ..Rule::OPAQUE
};

/// ReverseSequence: turns the beginning of each sequence of a batch around.
const REVERSE_SEQUENCE: Rule = Rule {
    infer: same_type,
    axes: |site| {
        let rank = site.rank(0)?;
        let batch = site.axis("batch_axis", 1, rank).ok()?;
        let row = passing(rank, site.call.int("time_axis", 0))?;
        Some(AxisRule::new(format!("{row}, x{batch} -> {row}")).why("it reverses sequences")).filter(|_| {
            // The two axes differ, and there is one length for each sequence.
            row.contains(&format!("x{batch}")) && site.rank(1) == Some(1)
        })
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    lower: lower::scan::reversed,
    ..Rule::OPAQUE
};

/// Trilu: keeps a triangle of the last two axes.
const TRILU: Rule = Rule {
    infer: same_type,
    axes: |site| {
        site.rank(0).filter(|&rank| rank >= 2)?;
        Some(AxisRule::new("... _ _, _* -> ... _ _").why("it keeps a triangle of these axes"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    lower: lower::scan::triangle,
    ..Rule::OPAQUE
};

/// Det: the determinants of the matrices in the last two axes.
const DET: Rule = Rule {
    infer: |site| {
        let Some(shape) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let batch = shape.len().checked_sub(2).ok_or("a determinant of less than a matrix")?;
        Ok(vec![Fact::maybe(site.dtype(0), Some(shape[..batch].to_vec()))])
    },
    axes: |site| {
        site.rank(0).filter(|&rank| rank >= 2)?;
        Some(AxisRule::new("... _ _ -> ...").why("a determinant needs the whole matrix"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    ..Rule::OPAQUE
};

#[cfg(test)]
mod tests {
    use crate::ops::testing::nets::{Net, int};

    #[test]
    fn order_pins_its_axis() {
        let mut net = Net::new(17);
        let (w, axis) = (net.weight(&[4, 5, 6]), net.int(-1));
        let sums = net.call("CumSum", &[w, axis], &[]);
        assert_eq!(net.show_axes(&[w, sums]), "[c0:4, c1:5, 6] [c0:4, c1:5, 6]");
        let v = net.weight(&[4, 5, 6]);
        let triangle = net.call("Trilu", &[v], &[]);
        assert_eq!(net.show_axes(&[triangle]), "[c3:4, 5, 6]");
        let u = net.weight(&[4, 5, 6]);
        let lengths = net.ints(&[1, 1, 1, 1]);
        let turned = net.call("ReverseSequence", &[u, lengths], &[("batch_axis", int(0)), ("time_axis", int(1))]);
        assert_eq!(net.show_axes(&[turned, lengths]), "[c6:4, 5, c8:6] [c6:4]");
    }

    #[test]
    fn an_axis_of_the_run_pins_all() {
        let mut net = Net::new(17);
        let (w, axis) = (net.weight(&[4, 5]), net.input("i64 1"));
        let sums = net.call("CumSum", &[w, axis], &[]);
        assert_eq!(net.show(sums), "f32[4, 5]");
        assert_eq!(net.show_axes(&[w]), "[4, 5]");
    }
}
