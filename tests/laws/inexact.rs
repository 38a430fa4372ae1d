//! What is known to change when units go must be marked so: the laws above leave such labels out.

use super::case::Case;
use secateur::analysis::Analysis;
use secateur::ir::Tensor;

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::from_f32(shape.to_vec(), &vec![0.0; shape.iter().product()])
}

/// Whether each axis of the first operand is exact; `None` where it may not be cut at all.
fn axes(case: Case) -> Vec<Option<bool>> {
    let analysis = Analysis::new(case.model().unwrap());
    let operand = analysis.model.graph.constants()[0];
    let of = |axis: usize| {
        let has =
            |g: &&secateur::analysis::Group| g.members.iter().any(|m| m.constant.node == operand && m.axis == axis);
        let group = analysis.groups.all.iter().find(has).expect("a group");
        group.is_free().then(|| group.is_exact())
    };
    (0..2).map(of).collect()
}

#[test]
fn what_normalizes_is_not_exact() {
    for op in ["Softmax", "LogSoftmax", "Hardmax"] {
        assert_eq!(axes(Case::new(op, 13).data(zeros(&[2, 3]))), [Some(true), Some(false)], "{op}");
    }
    for op in ["LayerNormalization", "RMSNormalization"] {
        let case = Case::new(op, 23).data(zeros(&[2, 3])).data(zeros(&[3]));
        assert_eq!(axes(case), [Some(true), Some(false)], "{op}");
    }
}

#[test]
fn what_depends_on_how_many_there_are_is_not_exact() {
    for op in ["ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceLogSumExp"] {
        let case = Case::new(op, 13).ints("axes", &[1]).data(zeros(&[2, 3]));
        assert_eq!(axes(case), [Some(true), Some(false)], "{op}");
    }
    for op in ["ReduceL1", "ReduceL2", "ReduceSumSquare"] {
        let case = Case::new(op, 13).ints("axes", &[1]).data(zeros(&[2, 3]));
        assert_eq!(axes(case), [Some(true), Some(true)], "{op}");
    }
}

#[test]
fn what_counts_positions_is_pinned() {
    let case = Case::new("ArgMax", 13).attribute("axis", 1).data(zeros(&[2, 3]));
    assert_eq!(axes(case), [Some(true), None]);
    assert_eq!(axes(Case::new("LRN", 13).attribute("size", 3).data(zeros(&[2, 3, 1, 1]))), [Some(true), None]);
}
