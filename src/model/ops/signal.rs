//! Signal processing: windows, Fourier transforms, filter banks.

use super::shared::dims::{agree, expect_rank, row};
use super::{AxisRule, Rule, Site, ZeroLaws, normalize_axis, zero};
use crate::facts::Fact;
use crate::ir::{DType, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("BlackmanWindow", WINDOW),
    ("DFT", DFT),
    ("HammingWindow", WINDOW),
    ("HannWindow", WINDOW),
    ("MelWeightMatrix", MEL_WEIGHT_MATRIX),
    ("STFT", STFT),
];

/// A window of as many elements as its operand says.
const WINDOW: Rule = Rule {
    infer: |site| {
        let size = number(site, 0).unwrap_or_else(|| site.unknown());
        Ok(vec![Fact::maybe(output_type(site), Some(vec![size]))])
    },
    ..Rule::OPAQUE
};

/// The Fourier transform along one axis; the last axis holds real and imaginary parts. Operands: x, length and, since
/// opset 20, the axis.
const DFT: Rule = Rule {
    infer: |site| {
        let Some(x) = site.shape(0) else { return Ok(vec![Fact::maybe(site.dtype(0), None)]) };
        let mut shape = x.to_vec();
        let Some((axis, last)) = transformed(site, x.len())? else {
            return Ok(vec![Fact::maybe(site.dtype(0), Some(x.iter().map(|_| site.unknown()).collect()))]);
        };
        let (onesided, inverse) = (site.call.int("onesided", 0) != 0, site.call.int("inverse", 0) != 0);
        // The inverse of one half is the whole, which is real.
        let length = match site.has(1) {
            true => number(site, 1).unwrap_or_else(|| site.unknown()),
            false if onesided && inverse => (x[axis].clone() - Dim::Fixed(1)) * Dim::Fixed(2),
            false => x[axis].clone(),
        };
        shape[axis] = if onesided && !inverse { half(&length) } else { length };
        shape[last] = Dim::Fixed(if onesided && inverse { 1 } else { 2 });
        Ok(vec![Fact::maybe(site.dtype(0), Some(shape))])
    },
    axes: |site| {
        let rank = site.rank(0)?;
        let (axis, last) = transformed(site, rank).ok()??;
        let x = row(rank, |i| if i == axis || i == last { "_".into() } else { format!("a{i}") });
        Some(AxisRule::new(format!("{x}, _*, _* -> {x}")).why("it is transformed as a whole"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    ..Rule::OPAQUE
};

/// The Fourier transforms of frames of a signal. Operands: the signal (batch, samples, real and imaginary part), the
/// step from frame to frame, a window, the frame's length.
const STFT: Rule = Rule {
    infer: |site| {
        let (batch, samples) = match site.shape(0) {
            None => (site.unknown(), None),
            Some([batch, samples] | [batch, samples, _]) => (batch.clone(), Some(samples)),
            Some(x) => return Err(format!("a signal of rank {}", x.len())),
        };
        expect_rank(site, 2, 1, "window")?;
        let length = match (site.has(3), site.has(2)) {
            (true, _) => number(site, 3),
            (false, true) => site.dim(2, 0).cloned(),
            (false, false) => samples.cloned(),
        };
        let frames = match (samples, &length, number(site, 1)) {
            (Some(n), Some(length), Some(step)) if step.fixed().is_some_and(|s| s > 0) => {
                (n.clone() - length.clone()).div_floor(&step) + Dim::Fixed(1)
            }
            _ => site.unknown(),
        };
        let bins = match length {
            Some(length) if site.call.int("onesided", 1) != 0 => half(&length),
            Some(length) => length,
            None => site.unknown(),
        };
        Ok(vec![Fact::maybe(site.dtype(0), Some(vec![batch, frames, bins, Dim::Fixed(2)]))])
    },
    axes: |_| Some(AxisRule::new("b _*, _*, _*, _* -> b _ _ _").why("frames are transformed as a whole")),
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    ..Rule::OPAQUE
};

/// Triangular filters: a column for each band, a row for each frequency.
const MEL_WEIGHT_MATRIX: Rule = Rule {
    infer: |site| {
        let bands = number(site, 0).unwrap_or_else(|| site.unknown());
        let rows = number(site, 1).map_or_else(|| site.unknown(), |length| half(&length));
        Ok(vec![Fact::maybe(output_type(site), Some(vec![rows, bands]))])
    },
    ..Rule::OPAQUE
};

/// How many frequencies of a real signal tell all: `⌊n / 2⌋ + 1`.
fn half(length: &Dim) -> Dim {
    length.div_floor(&Dim::Fixed(2)) + Dim::Fixed(1)
}

/// The single integer that an operand holds, if it is known.
fn number(site: &Site, slot: usize) -> Option<Dim> {
    match site.dims(slot)?.as_slice() {
        [n] => Some(n.clone()),
        _ => None,
    }
}

fn output_type(site: &Site) -> Option<DType> {
    i32::try_from(site.call.int("output_datatype", 1)).ok().and_then(DType::from_code)
}

/// The axis that is transformed, and that of the parts; `None` where it is not known before the run.
fn transformed(site: &Site, rank: usize) -> Result<Option<(usize, usize)>, String> {
    let axis = match (site.opset, site.has(2)) {
        (..20, _) => Some(site.call.int("axis", 1)),
        (_, false) => Some(-2),
        (_, true) => site.ints(2).and_then(|v| v.first().copied()),
    };
    let Some(last) = rank.checked_sub(1) else { return Err("a scalar can't be transformed".into()) };
    let Some(axis) = axis else { return Ok(None) };
    let axis = normalize_axis(axis, rank)?;
    agree(&Dim::from(usize::from(axis == last)), &Dim::Fixed(0), |_, _| "the axis of the parts is transformed".into())?;
    Ok(Some((axis, last)))
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::show;
    use insta::assert_snapshot;

    #[test]
    fn windows_and_filters() {
        assert_snapshot!(show("HannWindow", 17, "", &["=i64[16]"]), @"[1] -> f32[16]");
        assert_snapshot!(show("HammingWindow", 17, "output_datatype=11", &["i64:1"]), @"[1] -> f64[?0]");
        let mel = ["=i64[8]", "=i64[17]", "=i64[16000]", "=[0.0]", "=[8000.0]"];
        assert_snapshot!(show("MelWeightMatrix", 17, "", &mel), @"[1], [1], [1], [1], [1] -> f32[9, 8]");
    }

    #[test]
    fn fourier_transforms() {
        assert_snapshot!(show("DFT", 20, "", &["=3 10 1"]), @"[c0:3, 10, 1] -> f32[c0:3, 10, 2]");
        assert_snapshot!(show("DFT", 19, "axis=0 onesided=1", &["=9 10 1"]), @"[9, c1:10, 1] -> f32[5, c1:10, 2]");
        assert_snapshot!(show("DFT", 20, "", &["=3 10 8 2", "=i64[16]", "=i64[1]"]), @"[c0:3, 10, c2:8, 2], [1], [1] -> f32[c0:3, 16, c2:8, 2]");
        assert_snapshot!(show("DFT", 20, "inverse=1 onesided=1", &["=3 10 2"]), @"[c0:3, 10, 2] -> f32[c0:3, 18, 1]");
        assert_snapshot!(show("DFT", 20, "", &["=3 10 1", "", "i64:1"]), @"[3, 10, 1], -, [1] -> f32[?0, ?1, ?2]");
        assert_snapshot!(show("DFT", 20, "", &["=3 10 1", "", "=i64[2]"]), @"error: the axis of the parts is transformed");
    }

    #[test]
    fn frames_of_a_signal() {
        assert_snapshot!(show("STFT", 17, "", &["=2 128 1", "=i64[8]", "=16"]), @"[c0:2, 128, 1], [1], [16] -> f32[c0:2, 15, 9, 2]");
        assert_snapshot!(show("STFT", 17, "onesided=0", &["N S 1", "=i64[8]", "", "=i64[16]"]), @"[N, S, 1], [1], -, [1] -> f32[N, 1+floor(-16+S / 8), 16, 2]");
        assert_snapshot!(show("STFT", 17, "", &["=2 128 1", "i64:1", "=16"]), @"[c0:2, 128, 1], [1], [16] -> f32[c0:2, ?0, 9, 2]");
    }
}
