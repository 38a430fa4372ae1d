//! Which rows of a tensor count: as many as the unknowns need, drawn by a fixed seed over positions and samples.

use crate::feed::Feed;

/// How many rows there are for each number that is to be found.
const ROWS_PER_UNKNOWN: usize = 128;

/// No more rows of a sample than these: neighbouring pixels say the same.
pub const MOST_PER_SAMPLE: usize = 128;

/// No fewer, where there are so many.
const LEAST_PER_SAMPLE: usize = 8;

/// Which feed rows are drawn from, and of how many samples it is.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// The feed's place among all.
    pub feed: usize,
    /// How many rows are taken.
    pub rows: usize,
}

/// How many rows of each sample `unknowns` numbers need, where there are so many samples.
pub fn rows_per_sample(unknowns: usize, samples: u64) -> usize {
    let wanted = (unknowns as u64).saturating_mul(ROWS_PER_UNKNOWN as u64);
    let each = wanted.div_ceil(samples.max(1));
    usize::try_from(each).unwrap_or(usize::MAX).clamp(LEAST_PER_SAMPLE, MOST_PER_SAMPLE)
}

impl Draw {
    /// All rows.
    pub const ALL: Draw = Draw { feed: 0, rows: usize::MAX };

    /// Which of so many rows are taken, in rising order: one of each of as many stretches of equal length.
    pub fn of(self, total: usize) -> impl Iterator<Item = usize> {
        let taken = total.min(self.rows.max(1));
        let border = move |t: usize| (t as u128 * total as u128 / taken.max(1) as u128) as usize;
        (0..taken).map(move |t| {
            let (start, end) = (border(t), border(t + 1));
            start + (mixed(self.feed as u64, t as u64) % (end - start).max(1) as u64) as usize
        })
    }
}

/// How many samples a feed has: the longest first axis of an input.
pub(super) fn samples_in(feed: &Feed) -> usize {
    feed.iter().filter_map(|(_, t)| t.shape.first()).max().copied().unwrap_or(1).max(1)
}

/// A number that looks like chance, always the same for the same two (SplitMix64).
fn mixed(feed: u64, row: u64) -> u64 {
    let z = (feed << 32 | row & 0xFFFF_FFFF).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spread_over_all_and_over_columns() {
        let rows: Vec<usize> = Draw { feed: 3, rows: 64 }.of(64 * 16).collect();
        assert!(rows.iter().enumerate().all(|(t, r)| r / 16 == t));
        // At even distances all would be of one column of an image that is 16 wide.
        let columns: std::collections::BTreeSet<usize> = rows.iter().map(|r| r % 16).collect();
        assert!(columns.len() > 12, "{columns:?}");
        assert_eq!(rows, Draw { feed: 3, rows: 64 }.of(64 * 16).collect::<Vec<_>>());
        assert_ne!(rows, Draw { feed: 4, rows: 64 }.of(64 * 16).collect::<Vec<_>>());
    }

    #[test]
    fn of_few_all_are_taken() {
        assert!(Draw { feed: 1, rows: 100 }.of(7).eq(0..7) && Draw::ALL.of(9).eq(0..9));
        assert_eq!(Draw { feed: 1, rows: 100 }.of(0).count(), 0);
    }

    #[test]
    fn many_unknowns_need_many_rows() {
        assert_eq!([1, 20, 100, 5000].map(|n| rows_per_sample(n, 256)), [8, 10, 50, 128]);
    }
}
