//! The widths at which fused subgraphs are measured.

/// At how many widths an axis is measured at most.
const STEPS: usize = 8;

/// Eighths of a width, rounded up to numbers that kernels are made for: multiples of 8, of 4 for narrow axes.
/// Ascending; the last is the whole width.
pub(crate) fn grid(size: usize) -> Vec<usize> {
    let round = match size {
        0..16 => 1,
        16..=32 => 4,
        _ => 8,
    };
    let eighth = |k: usize| (k * size).div_ceil(STEPS).next_multiple_of(round).min(size);
    let mut grid: Vec<usize> = (1..=STEPS).map(eighth).collect();
    grid.dedup();
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighths_in_round_numbers() {
        assert_eq!(grid(64), [8, 16, 24, 32, 40, 48, 56, 64]);
        assert_eq!(grid(100), [16, 32, 40, 56, 64, 80, 88, 100]);
        assert_eq!(grid(40), [8, 16, 24, 32, 40]);
        assert_eq!(grid(24), [4, 8, 12, 16, 20, 24]);
        assert_eq!(grid(5), [1, 2, 3, 4, 5]);
        assert_eq!(grid(1), [1]);
    }
}
