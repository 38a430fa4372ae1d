//! Pools. The engine's slide over two axes: one axis gets another, and three are pooled in two steps, which means and
//! maxima allow.

use crate::ops::Site;
use crate::ops::pool::wants_indices;
use crate::ops::shared::window;
use crate::program::{Args, Kernel, Term, Window};

/// AveragePool: what pads counts or not, and what rounding up adds behind the padding never does.
pub(crate) fn average<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let windows = windows(site, x)?;
    let padding = site.call.int("count_include_pad", 0) != 0;
    let mut y = means(x, &windows);
    for (axis, window) in windows.iter().enumerate() {
        let counts = window.counts(padding);
        if counts.iter().any(|&n| n != window.taps) {
            let factors = counts.into_iter().map(|n| window.taps as f64 / n.max(1) as f64).collect();
            let mut shape = vec![1; x.rank()];
            shape[axis + 2] = window.places;
            y = y * at.builder.floats(factors, &shape);
        }
    }
    Ok(vec![y])
}

/// MaxPool, without the indices.
pub(crate) fn max<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    if wants_indices(site) {
        return Err("the indices of its maxima are used, which is not supported".into());
    }
    let x = at.at(0)?;
    let windows = windows(site, x)?;
    Ok(vec![in_planes(x, &windows, |x, windows| {
        let (x, kernel) = planned(x, windows, f64::NEG_INFINITY);
        x.max_pool(kernel)
    })])
}

/// LpPool: `(Σ |x|^p)^(1/p)` over each window.
pub(crate) fn norm<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let windows = windows(site, x)?;
    let taps: usize = windows.iter().map(|s| s.taps).product();
    let p = order(site)?;
    Ok(vec![root(means(power(x, p), &windows) * taps as f64, p)])
}

/// The mean of everything behind the channels.
pub(crate) fn global_average<'b>(_: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    Ok(vec![x.mean(&space(x))])
}

/// The largest of everything behind the channels.
pub(crate) fn global_max<'b>(_: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let x = at.at(0)?;
    let flat = [x.size(0), x.size(1), x.shape()[2..].iter().product()];
    let ones = x.shape().into_iter().enumerate().map(|(a, n)| if a < 2 { n } else { 1 }).collect::<Vec<_>>();
    Ok(vec![x.reshape(&flat).largest(&[2]).reshape(&ones)])
}

/// The norm of everything behind the channels.
pub(crate) fn global_norm<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let (x, p) = (at.at(0)?, order(site)?);
    Ok(vec![root(power(x, p).sum(&space(x)), p)])
}

fn space(x: Term) -> Vec<usize> {
    (2..x.rank()).collect()
}

/// The order of a norm.
fn order(site: &Site) -> Result<f64, String> {
    // The first opset gives it as a float.
    let p = f64::from(site.call.float("p", site.call.int("p", 2) as f32));
    if p > 0.0 { Ok(p) } else { Err(format!("there is no norm of order {p}")) }
}

fn power(x: Term, p: f64) -> Term {
    match p {
        1.0 => x.abs(),
        2.0 => x.square(),
        _ => x.abs().powf(p),
    }
}

fn root(sum: Term, p: f64) -> Term {
    match p {
        1.0 => sum,
        2.0 => sum.sqrt(),
        _ => sum.powf(p.recip()),
    }
}

/// How a window slides over one axis.
#[derive(Clone, Copy)]
struct AxisWindow {
    size: usize,
    taps: usize,
    stride: usize,
    dilation: usize,
    /// What is declared to lie around the axis.
    pads: (usize, usize),
    places: usize,
}

impl AxisWindow {
    /// An axis that no window slides over.
    const STILL: AxisWindow = AxisWindow { size: 1, taps: 1, stride: 1, dilation: 1, pads: (0, 0), places: 1 };

    fn reach(&self) -> usize {
        (self.taps - 1) * self.dilation + 1
    }

    /// What has to lie behind the axis for the last window.
    fn behind(&self) -> usize {
        ((self.places - 1) * self.stride + self.reach()).saturating_sub(self.size + self.pads.0)
    }

    /// Whether the same padding on both sides, of no more than half a window, makes as many windows.
    fn is_even(&self) -> bool {
        let (whole, reach) = (self.size + 2 * self.pads.0, self.reach());
        2 * self.pads.0 <= self.taps && whole >= reach && (whole - reach) / self.stride + 1 == self.places
    }

    /// How many elements each window has; padding that is declared may count as elements.
    fn counts(&self, padding: bool) -> Vec<usize> {
        let (before, behind) = if padding { self.pads } else { (0, 0) };
        let inside = self.pads.0 - before..self.pads.0 + self.size + behind;
        let place =
            |p: usize| (0..self.taps).filter(|t| inside.contains(&(p * self.stride + t * self.dilation))).count();
        (0..self.places).map(place).collect()
    }
}

/// How the window of a call slides over each axis.
fn windows(site: &Site, x: Term) -> Result<Vec<AxisWindow>, String> {
    let axes = x.rank().checked_sub(2).ok_or("it needs axes for batch and channels")?;
    let given = window::WindowAttributes::of(site.call, axes)?;
    let taps = window::list(site.call, "kernel_shape", axes, 1)?;
    let places = site.result_shape(0).ok_or("its shape is not known")?;
    let along = |axis: usize| {
        let (size, taps) = (x.size(axis + 2), taps[axis].max(1) as usize);
        let why = "its padding takes elements away, which is not supported";
        let (stride, dilation, before) = given.step(axis, &size.into(), &taps.into()).ok_or(why)?;
        if taps.checked_mul(dilation).is_none_or(|reach| reach > 1 << 24) {
            return Err("its window is too large".into());
        }
        let places = places.get(axis + 2).and_then(|d| d.size()).filter(|&n| n > 0).ok_or("it has no windows")?;
        let mut window = AxisWindow { size, taps, stride, dilation, pads: (before, 0), places };
        let declared = given.padding(axis).size().and_then(|all| all.checked_sub(before));
        window.pads.1 = if given.same { window.behind() } else { declared.ok_or(why)? };
        Ok(window)
    };
    (0..axes).map(along).collect()
}

/// The mean over each window, all that pads included as zero.
fn means<'b>(x: Term<'b>, windows: &[AxisWindow]) -> Term<'b> {
    in_planes(x, windows, |x, windows| {
        let (x, kernel) = planned(x, windows, 0.0);
        if kernel.dilation == [1, 1] {
            return x.mean_pool(kernel);
        }
        // The engine's means know no gaps, but its convolutions do.
        let [n, c, h, w] = x.shape()[..] else { return x };
        let [rows, columns] = kernel.size;
        let even = x.builder().full(((rows * columns) as f64).recip(), &[1, 1, rows, columns]);
        let [stride, padding, dilation] = [kernel.stride, kernel.padding, kernel.dilation].map(|v| v.to_vec());
        let y = x.reshape(&[n * c, 1, h, w]).conv(even, Window { stride, padding, dilation, groups: 1 });
        y.reshape(&[n, c, y.size(2), y.size(3)])
    })
}

/// Runs a pool over two axes as often as it takes: once for one or two axes, twice for three.
fn in_planes<'b>(x: Term<'b>, windows: &[AxisWindow], run: impl Fn(Term<'b>, [AxisWindow; 2]) -> Term<'b>) -> Term<'b> {
    let mut shape = x.shape();
    let (n, c) = (shape[0], shape[1]);
    let mut y = x;
    let mut first = windows.len() % 2;
    if first == 1 {
        let window = windows[0];
        let rest = shape[3..].iter().product();
        let still = AxisWindow { size: rest, places: rest, ..AxisWindow::STILL };
        y = run(y.reshape(&[n, c, window.size, rest]), [window, still]);
        shape[2] = window.places;
    }
    while first + 1 < windows.len() {
        let pair = [windows[first], windows[first + 1]];
        let lead: usize = shape[1..first + 2].iter().product();
        let rest: usize = shape[first + 4..].iter().product();
        if rest != 1 {
            y.builder().fail(format!("a pool over {} axes is not supported", windows.len()));
            return y;
        }
        y = run(y.reshape(&[n, lead, pair[0].size, pair[1].size]), pair);
        shape[first + 2] = pair[0].places;
        shape[first + 3] = pair[1].places;
        first += 2;
    }
    y.reshape(&shape)
}

/// The data and the kernel of a pool; what pads is written out where the engine could not know of it.
fn planned<'b>(x: Term<'b>, windows: [AxisWindow; 2], value: f64) -> (Term<'b>, Kernel) {
    let [size, stride, dilation] = [windows.map(|s| s.taps), windows.map(|s| s.stride), windows.map(|s| s.dilation)];
    if windows.iter().all(AxisWindow::is_even) {
        return (x, Kernel { size, stride, dilation, padding: windows.map(|s| s.pads.0) });
    }
    let [rows, columns] = windows.map(|s| (s.pads.0, s.behind()));
    (x.pad(&[(0, 0), (0, 0), rows, columns], value), Kernel { size, stride, dilation, padding: [0, 0] })
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::{Trial, close};
    use crate::ir::{DType, Tensor};

    const WINDOWS: [(&str, &str); 9] = [
        ("kernel_shape=[3] strides=[2]", "2 3 8"),
        ("kernel_shape=[2,2] strides=[2,2]", "2 3 6 7"),
        ("kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1]", "2 3 7 8"),
        ("kernel_shape=[3,2] pads=[0,1,2,0]", "1 3 5 6"),
        ("kernel_shape=[3,3] strides=[2,2] ceil_mode=1", "1 2 6 8"),
        ("kernel_shape=[3,3] strides=[2,2] auto_pad=SAME_UPPER", "1 2 6 7"),
        ("kernel_shape=[2,2] auto_pad=SAME_LOWER", "1 2 5 5"),
        ("kernel_shape=[2,3,2] strides=[2,1,2] pads=[1,0,0,0,1,1]", "2 2 4 5 6"),
        ("kernel_shape=[2,2] strides=[3,3] auto_pad=VALID", "1 2 7 6"),
    ];

    #[test]
    fn maxima() {
        for (attributes, x) in WINDOWS {
            Trial::new("MaxPool", 12, attributes, &[x], 1).check();
        }
        Trial::new("MaxPool", 12, "kernel_shape=[2,2] dilations=[2,1]", &["1 2 6 5"], 1).check();
    }

    #[test]
    fn means() {
        for (attributes, x) in WINDOWS {
            Trial::new("AveragePool", 11, attributes, &[x], 1).check();
        }
        Trial::new("AveragePool", 11, "kernel_shape=[3,2] pads=[1,1,1,0] count_include_pad=1", &["1 2 5 5"], 1).check();
    }

    #[test]
    fn means_with_gaps_or_rounded_up() {
        let mean = |attributes: &str, size: usize| {
            let ones =
                Tensor::from_f64(DType::F32, vec![1, 1, size], &(1..=size).map(|i| i as f64).collect::<Vec<_>>());
            let x = format!("1 1 {size}");
            let trial = Trial::new("AveragePool", 19, attributes, &[&x], 1).with("x0", ones.unwrap());
            trial.check_derivative();
            trial.run()[0].1.to_f64().unwrap()
        };
        close("gaps", &[2.0, 3.0, 4.0], &mean("kernel_shape=[2] dilations=[2]", 5), 1e-6);
        let padded = "kernel_shape=[3] strides=[2] pads=[1,1] ceil_mode=1";
        close("real", &[1.5, 3.0, 4.0], &mean(padded, 4), 1e-6);
        // The last window has one place behind the padding.
        close("padded", &[1.0, 3.0, 2.0], &mean(&format!("{padded} count_include_pad=1"), 4), 1e-6);
    }

    #[test]
    fn norms() {
        let norm = |attributes: &str| {
            let x = Tensor::from_f64(DType::F32, vec![1, 1, 4], &[3.0, -4.0, 12.0, 5.0]).unwrap();
            let trial = Trial::new("LpPool", 18, attributes, &["1 1 4"], 1).with("x0", x);
            trial.check_derivative();
            trial.run()[0].1.to_f64().unwrap()
        };
        close("2", &[5.0, 13.0], &norm("kernel_shape=[2] strides=[2]"), 1e-6);
        close("1", &[7.0, 16.0, 17.0], &norm("kernel_shape=[2] p=1"), 1e-6);
        close("3", &[4.497941445], &norm("kernel_shape=[2] p=3 strides=[4]"), 1e-6);
        Trial::new("GlobalLpPool", 2, "p=2", &["2 3 4 5"], 1).check_derivative();
    }

    #[test]
    fn of_everything() {
        for x in ["1 3 2 3", "2 3 4", "2 2 1 3 2"] {
            Trial::new("GlobalAveragePool", 1, "", &[x], 1).check();
            Trial::new("GlobalMaxPool", 1, "", &[x], 1).check();
        }
    }
}
