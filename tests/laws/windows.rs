//! Sliding windows that fit what they slide over.

use crate::draw::Draw;

/// Lengths of axes on which windows of these extents fit.
pub(crate) fn fitting(d: &mut Draw, extents: &[usize]) -> Vec<usize> {
    extents.iter().map(|&e| e + d.range(0, 3)).collect()
}

/// A space of rank 1 or 2, a kernel, and the attributes of a window over it.
pub(crate) fn window(d: &mut Draw, dilated: bool) -> (Vec<usize>, Vec<usize>, Vec<String>) {
    let rank = d.range(1, 2);
    let kernel: Vec<usize> = (0..rank).map(|_| d.range(1, 3)).collect();
    let mut attributes = vec![format!("kernel_shape={kernel:?}")];
    let mut extents = kernel.clone();
    if dilated && d.range(0, 2) == 2 {
        let dilations: Vec<usize> = (0..rank).map(|_| d.range(1, 2)).collect();
        extents = kernel.iter().zip(&dilations).map(|(k, d)| (k - 1) * d + 1).collect();
        attributes.push(format!("dilations={dilations:?}"));
    }
    if d.flip() {
        let strides: Vec<usize> = (0..rank).map(|_| d.range(1, 3)).collect();
        attributes.push(format!("strides={strides:?}"));
    }
    match d.range(0, 4) {
        0 | 1 => {}
        2 => {
            // Padding must be smaller than the kernel: else a window sees nothing but padding.
            let most = |i: usize| extents[i % rank] as i64 - 1;
            let pads: Vec<i64> = (0..2 * rank).map(|i| d.int(0, most(i).min(2))).collect();
            attributes.push(format!("pads={pads:?}"));
        }
        3 => attributes.push("auto_pad=\"SAME_UPPER\"".to_owned()),
        _ => attributes.push("auto_pad=\"VALID\"".to_owned()),
    }
    (fitting(d, &extents), kernel, attributes)
}
