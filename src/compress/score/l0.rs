//! `l0`: how many weights are not zero.

use super::{Criterion, over_slices};

/// Number of weights that are not zero, over all slices of a unit.
pub(super) const L0: Criterion = Criterion {
    name: "l0",
    aliases: &[],
    about: "number of weights that are not zero, over all slices that go with a unit",
    source: "folklore",
    needs_data: false,
    comparable: false,
    gradient: None,
    score: |context, group| over_slices(context, group, |x| f64::from(u8::from(x != 0.0))),
};

#[cfg(test)]
mod tests {
    use super::L0;
    use crate::analysis::Analysis;
    use crate::ir;
    use crate::oracle::Setup;
    use crate::score::Context;

    #[test]
    fn zeros_go_first() {
        let text = "g (f32[N,2] x) => (f32[N,2] y) {
            f32[2,3] w = {0.0, 3.0, 0.0, 0.0, 4.0, 0.0}
            f32[3,2] v = {1.0, 1.0, 4.0, 5.0, 1.0, 1.0}
            a = MatMul(x, w)
            y = MatMul(a, v)
        }";
        let analysis = Analysis::new(ir::parse(text, &|_| None).unwrap());
        let group = analysis.groups.free().next().unwrap();
        let setup = Setup::default();
        let context = Context::new(&analysis, &setup);
        // Each constant's counts have the mean 1, and count by their elements: twice [0, 3, 0] and twice [1, 1, 1].
        assert_eq!((L0.score)(&context, group).unwrap(), [2.0, 8.0, 2.0]);
    }
}
