//! Where the taps of a kernel fall on images.

use crate::program::{Kernel, Window};
use std::ops::Range;

/// A matrix of patches has about so many columns, or a sample's pixels where those are more: it should stay in a cache.
const COLUMNS: usize = 512;

/// The sizes of a convolution over two axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowSizes {
    pub samples: usize,
    pub groups: usize,
    /// Channels that a group reads, and those that it makes.
    pub channels: usize,
    pub made: usize,
    image: [usize; 2],
    kernel: [usize; 2],
    result: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
}

/// Planes of samples, `[samples, groups, channels, size]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    groups: usize,
    /// Of a group.
    channels: usize,
    pub size: usize,
}

/// The pixels of the result for which a tap of the kernel falls on the image.
#[derive(Clone, Debug)]
pub(super) struct Fall {
    pub runs: Vec<Run>,
    /// Pixels in the runs that fall beside the image after all.
    pub gaps: Vec<Range<usize>>,
}

/// Where a run of pixels starts in the result, its length, and where it starts on the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub to: usize,
    pub count: usize,
    pub from: usize,
}

impl WindowSizes {
    /// Of `x [n, c, h, w]` and `w [o, c / groups, kh, kw]`; none if the window has other axes than two.
    pub(super) fn new(x: &[usize], w: &[usize], window: &Window) -> Option<WindowSizes> {
        let two = |numbers: &[usize]| <[usize; 2]>::try_from(numbers).ok();
        let (image, kernel) = (two(x.get(2..)?)?, two(w.get(2..)?)?);
        let (stride, padding, dilation) = (two(&window.stride)?, two(&window.padding)?, two(&window.dilation)?);
        let result = results(image, kernel, stride, padding, dilation);
        let (groups, channels, made) = (window.groups, w[1], w[0] / window.groups);
        Some(WindowSizes { samples: x[0], groups, channels, made, image, kernel, result, stride, padding, dilation })
    }

    /// Of a pool over `x [n, c, h, w]`: each channel is a group. None if the planes have more elements than are counted.
    pub(super) fn of_pool(x: &[usize], kernel: &Kernel) -> Option<WindowSizes> {
        let &[samples, groups, height, width] = x else { return None };
        u32::try_from(height * width).ok()?;
        let result = results([height, width], kernel.size, kernel.stride, kernel.padding, kernel.dilation);
        Some(WindowSizes {
            samples,
            groups,
            channels: 1,
            made: 1,
            image: [height, width],
            kernel: kernel.size,
            result,
            stride: kernel.stride,
            padding: kernel.padding,
            dilation: kernel.dilation,
        })
    }

    /// The shape of the images, `[n, c, h, w]`.
    pub(super) fn image_shape(&self) -> [usize; 4] {
        [self.samples, self.groups * self.channels, self.image[0], self.image[1]]
    }

    /// The shape of the result, `[n, o, h, w]`.
    pub(super) fn shape(&self) -> [usize; 4] {
        [self.samples, self.groups * self.made, self.result[0], self.result[1]]
    }

    pub(super) fn images(&self) -> Planes {
        Planes { groups: self.groups, channels: self.channels, size: self.image.iter().product() }
    }

    pub(super) fn results(&self) -> Planes {
        Planes { groups: self.groups, channels: self.made, size: self.result.iter().product() }
    }

    /// Elements of a patch: the rows of a matrix of patches.
    pub(super) fn taps(&self) -> usize {
        self.channels * self.kernel_size()
    }

    pub(super) fn kernel_size(&self) -> usize {
        self.kernel.iter().product()
    }

    /// The samples, as many at a time as are worked on at once.
    pub(super) fn parts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (samples, together) = (self.samples, (COLUMNS / self.results().size.max(1)).max(1));
        (0..samples).step_by(together).map(move |first| first..samples.min(first + together))
    }

    /// Where each tap of the kernel falls.
    pub(super) fn falls(&self) -> Vec<Fall> {
        (0..self.kernel_size()).map(|at| self.fall([at / self.kernel[1], at % self.kernel[1]])).collect()
    }

    fn fall(&self, tap: [usize; 2]) -> Fall {
        let (rows, columns) = (self.range(0, tap[0]), self.range(1, tap[1]));
        let run = |row: usize| {
            let (y, x) = (self.place(0, row, tap[0]), self.place(1, columns.start, tap[1]));
            Run { to: row * self.result[1] + columns.start, count: columns.len(), from: y * self.image[1] + x }
        };
        Fall { runs: rows.filter(|_| !columns.is_empty()).map(run).collect(), gaps: vec![] }
    }

    /// The same with one run for all rows, gaps and all, where rows lie on the image as they do in the result.
    pub(super) fn stretches(&self) -> Vec<Fall> {
        let is_aligned = self.stride == [1, 1] && self.image[1] == self.result[1];
        let joined = |fall: Fall| match &fall.runs[..] {
            [first, .., last] if is_aligned => {
                let whole = Run { count: last.to + last.count - first.to, ..*first };
                let gap = |pair: &[Run]| pair[0].to + pair[0].count..pair[1].to;
                let gaps = fall.runs.windows(2).map(gap).filter(|gap| !gap.is_empty()).collect();
                Fall { runs: vec![whole], gaps }
            }
            _ => fall,
        };
        self.falls().into_iter().map(joined).collect()
    }

    /// How far two pixels that lie side by side are apart on the image.
    pub(super) fn step(&self) -> usize {
        self.stride[1]
    }

    fn place(&self, axis: usize, at: usize, tap: usize) -> usize {
        at * self.stride[axis] + tap * self.dilation[axis] - self.padding[axis]
    }

    /// The pixels along an axis whose tap falls on the image.
    fn range(&self, axis: usize, tap: usize) -> Range<usize> {
        let (offset, padding) = (tap * self.dilation[axis], self.padding[axis]);
        let first = padding.saturating_sub(offset).div_ceil(self.stride[axis]);
        let end = (self.image[axis] + padding).saturating_sub(offset).div_ceil(self.stride[axis]);
        first..end.min(self.result[axis])
    }
}

impl Planes {
    pub(super) fn of_sample(&self) -> usize {
        self.groups * self.channels * self.size
    }

    /// The planes of a group in these samples: sample and channel.
    pub(super) fn rows(&self, part: &Range<usize>) -> impl Iterator<Item = (usize, usize)> + use<> {
        let channels = self.channels;
        part.clone().flat_map(move |sample| (0..channels).map(move |channel| (sample, channel)))
    }

    /// Where a plane lies.
    pub(super) fn at(&self, sample: usize, group: usize, channel: usize) -> Range<usize> {
        let first = ((sample * self.groups + group) * self.channels + channel) * self.size;
        first..first + self.size
    }

    /// Where a sample's stretch of a row lies in a matrix that has these samples side by side.
    pub(super) fn beside(&self, part: &Range<usize>, sample: usize, row: usize) -> Range<usize> {
        let first = (row * part.len() + sample - part.start) * self.size;
        first..first + self.size
    }
}

/// How many places a kernel has along each axis.
fn results(
    image: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    pad: [usize; 2],
    dilation: [usize; 2],
) -> [usize; 2] {
    [0, 1].map(|a| {
        let reach = dilation[a] * (kernel[a] - 1) + 1;
        (image[a] + 2 * pad[a]).checked_sub(reach).map_or(0, |room| room / stride[a] + 1)
    })
}
