//! Windows that slide: how many positions they have. Convolution and pooling share it.

use crate::ir::{Call, Dim};
use crate::ops::Site;

/// The attributes of a sliding window, one entry an axis.
pub(crate) struct WindowAttributes {
    pub strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<(i64, i64)>,
    /// `auto_pad` is `SAME_UPPER` or `SAME_LOWER`.
    pub same: bool,
    /// `auto_pad` is `SAME_LOWER`: what is odd of the padding goes before.
    lower: bool,
}

impl WindowAttributes {
    /// Reads `strides`, `dilations`, `pads` and `auto_pad`.
    pub(crate) fn of(call: &Call, axes: usize) -> Result<WindowAttributes, String> {
        let positive = |name: &str| {
            let values = list(call, name, axes, 1)?;
            match values.iter().find(|&&v| v < 1) {
                Some(v) => Err(format!("`{name}` is {v}")),
                None => Ok(values),
            }
        };
        let pads = match call.string("auto_pad", "NOTSET") {
            "NOTSET" | "" => list(call, "pads", 2 * axes, 0)?,
            _ => vec![0; 2 * axes],
        };
        Ok(WindowAttributes {
            strides: positive("strides")?,
            dilations: positive("dilations")?,
            pads: (0..axes).map(|i| (pads[i], pads[i + axes])).collect(),
            same: call.string("auto_pad", "NOTSET").starts_with("SAME"),
            lower: call.string("auto_pad", "NOTSET") == "SAME_LOWER",
        })
    }

    /// The extent of a dilated kernel: `(k - 1) d + 1`.
    pub(crate) fn extent(&self, axis: usize, kernel: &Dim) -> Dim {
        (kernel.clone() - Dim::Fixed(1)) * Dim::Fixed(self.dilations[axis]) + Dim::Fixed(1)
    }

    /// Stride, dilation and the padding before the first element. `None` if the padding follows from an open length,
    /// or cuts elements off.
    pub(crate) fn step(&self, axis: usize, length: &Dim, kernel: &Dim) -> Option<(usize, usize, usize)> {
        let (stride, dilation) = (self.strides[axis], self.dilations[axis]);
        let before = match self.same {
            false => self.pads[axis].0,
            true => {
                let (length, extent) = (length.fixed()?, self.extent(axis, kernel).fixed()?);
                let positions = (length - 1).div_euclid(stride) + 1;
                let last = (positions - 1).saturating_mul(stride);
                let padding = last.saturating_add(extent).saturating_sub(length).max(0);
                padding.saturating_add(i64::from(self.lower)) / 2
            }
        };
        Some((usize::try_from(stride).ok()?, usize::try_from(dilation).ok()?, usize::try_from(before).ok()?))
    }

    /// Padding before and after together.
    pub(crate) fn padding(&self, axis: usize) -> Dim {
        Dim::Fixed(self.pads[axis].0) + Dim::Fixed(self.pads[axis].1)
    }

    /// How many positions the window has: `(length + padding - extent) / stride + 1`, rounded down, or up if `ceil`.
    pub(crate) fn positions(
        &self,
        site: &Site,
        axis: usize,
        length: &Dim,
        kernel: &Dim,
        ceil: bool,
    ) -> Result<Dim, String> {
        let stride = Dim::Fixed(self.strides[axis]);
        if self.same {
            return Ok(length.div_ceil(&stride));
        }
        let slack = length.clone() + self.padding(axis) - self.extent(axis, kernel);
        if slack.fixed().is_some_and(|n| n < 0) {
            return Err(format!("a window of extent {} does not fit {length} elements", self.extent(axis, kernel)));
        }
        if !ceil {
            return Ok(slack.div_floor(&stride) + Dim::Fixed(1));
        }
        let positions = slack.div_ceil(&stride) + Dim::Fixed(1);
        // A window that begins in the padding behind the last element does not count.
        let begin = (positions.clone() - Dim::Fixed(1)) * stride;
        let behind = length.clone() + Dim::Fixed(self.pads[axis].0);
        match (begin.fixed(), behind.fixed()) {
            (Some(begin), Some(end)) => Ok(if begin >= end { positions - Dim::Fixed(1) } else { positions }),
            _ if self.stays_inside(axis, kernel) => Ok(positions),
            _ => Ok(site.unknown()),
        }
    }

    /// Whether the last window begins before the end padding, whatever the length.
    fn stays_inside(&self, axis: usize, kernel: &Dim) -> bool {
        let extent = self.extent(axis, kernel).fixed();
        extent.is_some_and(|e| self.pads[axis].1.saturating_add(self.strides[axis]) <= e)
    }
}

/// A list attribute with one entry an axis.
pub(crate) fn list(call: &Call, name: &str, length: usize, default: i64) -> Result<Vec<i64>, String> {
    match call.ints(name) {
        None => Ok(vec![default; length]),
        Some(v) if v.len() == length => Ok(v.to_vec()),
        Some(v) => Err(format!("`{name}` has {} entries, not {length}", v.len())),
    }
}
