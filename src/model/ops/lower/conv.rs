//! Convolutions.

mod deconv;

pub(crate) use deconv::{causal, transposed};

use crate::ops::Site;
use crate::ops::conv::group;
use crate::ops::shared::window;
use crate::program::{Args, Term, Window};

/// Conv: `x`, `w`, a bias.
pub(crate) fn conv<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, w) = (at.at(0)?, at.at(1)?);
    let windows = AxisWindows::of(site, &x.shape()[2..], &w.shape()[2..])?;
    let (x, padding) = windows.padded(x, 0.0);
    let y = flat(x, w, |x, w| {
        let [stride, padding, dilation] =
            [&windows.stride, &padding, &windows.dilation].map(|v| lifted(v, x.rank() - 2));
        let padding = if padding.len() > windows.stride.len() { cleared(padding) } else { padding };
        x.conv(w, Window { stride, padding, dilation, groups: windows.groups })
    });
    Ok(vec![biased(y, at.get(2))])
}

/// How a kernel slides over the axes of some data, with the zeros before and behind each.
pub(crate) struct AxisWindows {
    pub stride: Vec<usize>,
    pub dilation: Vec<usize>,
    pub pads: Vec<(usize, usize)>,
    pub groups: usize,
}

impl AxisWindows {
    /// From a call's attributes, for data and kernel of these sizes.
    pub(crate) fn of(site: &Site, sizes: &[usize], kernel: &[usize]) -> Result<AxisWindows, String> {
        let axes = sizes.len();
        let window = window::WindowAttributes::of(site.call, axes)?;
        let mut windows =
            AxisWindows { stride: vec![], dilation: vec![], pads: vec![], groups: group(site)?.max(1) as usize };
        for axis in 0..axes {
            let (size, taps) = (sizes[axis].into(), kernel[axis].into());
            let (stride, dilation, before) =
                window.step(axis, &size, &taps).ok_or("its padding takes elements away")?;
            let behind = match window.same {
                true => {
                    let reach = (kernel[axis] - 1) * dilation + 1;
                    let places = sizes[axis].div_ceil(stride);
                    ((places - 1) * stride + reach).saturating_sub(sizes[axis] + before)
                }
                false => window.padding(axis).fixed().unwrap_or(0) as usize - before,
            };
            windows.stride.push(stride);
            windows.dilation.push(dilation);
            windows.pads.push((before, behind));
        }
        Ok(windows)
    }

    /// The data with whatever padding is not the same on both sides, and the padding that is left.
    pub(crate) fn padded<'b>(&self, x: Term<'b>, value: f64) -> (Term<'b>, Vec<usize>) {
        if self.pads.iter().all(|(before, behind)| before == behind) {
            return (x, self.pads.iter().map(|p| p.0).collect());
        }
        let widths: Vec<(usize, usize)> = [(0, 0); 2].into_iter().chain(self.pads.iter().copied()).collect();
        (x.pad(&widths, value), vec![0; self.pads.len()])
    }
}

/// Runs what takes two axes or more on data of one: with another axis of size 1 behind the channels.
pub(crate) fn flat<'b>(x: Term<'b>, w: Term<'b>, run: impl FnOnce(Term<'b>, Term<'b>) -> Term<'b>) -> Term<'b> {
    if x.rank() != 3 {
        return run(x, w);
    }
    run(x.unsqueeze(2), w.unsqueeze(2)).squeeze(&[2])
}

/// With a 1 for each axis that is missing in front.
pub(crate) fn lifted(numbers: &[usize], axes: usize) -> Vec<usize> {
    let mut found = vec![1; axes.saturating_sub(numbers.len())];
    found.extend(numbers);
    found
}

/// The axis in front is not padded.
fn cleared(mut padding: Vec<usize>) -> Vec<usize> {
    padding[0] = 0;
    padding
}

/// With a number added to each channel.
pub(crate) fn biased<'b>(y: Term<'b>, bias: Option<Term<'b>>) -> Term<'b> {
    let Some(bias) = bias else { return y };
    let mut shape = vec![1; y.rank()];
    shape[1] = bias.count();
    y + bias.reshape(&shape)
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;

    #[test]
    fn convolutions_over_one_to_three_axes() {
        Trial::new("Conv", 13, "pads=[1,1]", &["2 4 7", "=6 4 3", "=6"], 1).check();
        Trial::new("Conv", 13, "strides=[2,1] pads=[1,0,1,2] dilations=[1,2]", &["2 4 8 9", "=6 4 3 3"], 1).check();
        Trial::new("Conv", 13, "pads=[1,1,1,1] group=4", &["2 4 6 6", "=8 1 3 3", "=8"], 1).check();
        Trial::new("Conv", 13, "auto_pad=SAME_UPPER strides=[2,2] group=2", &["1 4 7 6", "=6 2 3 3"], 1).check();
        Trial::new("Conv", 13, "auto_pad=SAME_LOWER", &["1 2 5 5", "=3 2 2 2"], 1).check();
        Trial::new("Conv", 13, "pads=[1,1,1,1,1,1]", &["1 2 4 4 4", "=3 2 3 3 3"], 1).check();
    }
}
