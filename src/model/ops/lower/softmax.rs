//! Softmax and LogSoftmax.

use crate::ops::Site;
use crate::ops::softmax::normalized;
use crate::program::{Args, Term};

/// `exp(x) / Σ exp(x)`.
pub(crate) fn softmax<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![at.at(0)?.softmax(&axes(site)?)])
}

/// `x - ln Σ exp(x)`.
pub(crate) fn log_softmax<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![at.at(0)?.log_softmax(&axes(site)?)])
}

fn axes(site: &Site) -> Result<Vec<usize>, String> {
    Ok(normalized(site, site.opset)?.ok_or("its rank is not known")?.collect())
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;

    #[test]
    fn shares_along_one_axis_or_all_behind() {
        for op in ["Softmax", "LogSoftmax"] {
            Trial::new(op, 13, "", &["2 3 4"], 1).check();
            Trial::new(op, 13, "axis=1", &["2 3 4"], 1).check();
            Trial::new(op, 11, "axis=1", &["2 3 4"], 1).check();
        }
    }
}
