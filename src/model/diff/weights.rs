//! How two constants differ that were matched.

use super::{Weight, WeightDiff};
use crate::ir::{Constant, Tensor};
use std::fmt;

impl Weight {
    pub(super) fn of(constant: &Constant) -> Weight {
        let Constant { name, tensor, .. } = constant;
        let hash = format!("{:016x}", tensor.hash());
        Weight { name: name.clone(), dtype: tensor.dtype.to_string(), shape: tensor.shape.clone(), hash }
    }
}

/// The differences of two constants, if there are any. Without `content`, names, types and shapes alone count.
pub(super) fn diff(way: &str, a: &Constant, b: &Constant, content: bool) -> Option<WeightDiff> {
    let same_type = a.tensor.dtype == b.tensor.dtype && a.tensor.shape == b.tensor.shape;
    let same = same_type && (!content || a.tensor.same(&b.tensor));
    if same && a.name == b.name {
        return None;
    }
    let numbers = if content && same_type && !same { distance(&a.tensor, &b.tensor) } else { None };
    let name = format!("{way}{}", a.name);
    let (max_abs, differing) = numbers.unzip();
    Some(WeightDiff { name, before: Some(Weight::of(a)), after: Some(Weight::of(b)), max_abs, differing })
}

/// The largest difference and how many elements differ, where both are numbers.
fn distance(a: &Tensor, b: &Tensor) -> Option<(f64, u64)> {
    let (left, right) = (a.to_f64().ok()?, b.to_f64().ok()?);
    let (mut most, mut count) = (0.0, 0);
    for (x, y) in left.into_iter().zip(right) {
        // Zeros of either sign are one number, and so are all that are none.
        if x == y || x.is_nan() && y.is_nan() {
            continue;
        }
        count += 1;
        let distance = (x - y).abs();
        most = f64::max(most, if distance.is_finite() { distance } else { f64::INFINITY });
    }
    Some((most, count))
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let shape = self.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        write!(f, "{}[{shape}] #{}", self.dtype, self.hash)
    }
}

impl fmt::Display for WeightDiff {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (a, b) = match (&self.before, &self.after) {
            (Some(a), Some(b)) => (a, b),
            (Some(a), None) => return write!(f, "- {}: {a}", self.name),
            (None, Some(b)) => return write!(f, "+ {}: {b}", self.name),
            (None, None) => return Ok(()),
        };
        write!(f, "~ {}: ", self.name)?;
        let renamed = if a.name == b.name { String::new() } else { format!("now called {}", b.name) };
        let same_type = a.dtype == b.dtype && a.shape == b.shape;
        match (self.max_abs, self.differing) {
            (Some(most), Some(n)) => {
                let all: usize = a.shape.iter().product();
                write!(f, "{n} of {all} elements differ, by {most:.1e} at most")?;
            }
            _ if same_type && !renamed.is_empty() => return f.write_str(&renamed),
            _ => write!(f, "{a} → {b}")?,
        }
        if renamed.is_empty() { Ok(()) } else { write!(f, "; {renamed}") }
    }
}
