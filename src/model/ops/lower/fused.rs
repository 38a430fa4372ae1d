//! ONNX Runtime's fusions of a product with what follows it.

use super::{conv, matmul as product};
use crate::ir::Attribute;
use crate::ops::Site;
use crate::program::{Args, Term};

/// `activation(conv(x, w) + b + z)`.
pub(crate) fn conv<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let y = conv::conv(site, at)?[0];
    Ok(vec![activated(site, at.get(3).map_or(y, |z| y + z))?])
}

/// `activation(alpha · a · b + beta · c)`.
pub(crate) fn gemm<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    Ok(vec![activated(site, product::gemm(site, at)?[0])?])
}

/// `alpha · aᵀ · bᵀ`, each transposed where asked for.
pub(crate) fn matmul<'b>(site: &Site, at: &Args<'b>) -> Result<Vec<Term<'b>>, String> {
    let flag = |name: &str| site.call.int(name, 0) != 0;
    let turned = |name: &str, batch: &str, t: Term<'b>| {
        let mut order: Vec<usize> = (0..t.rank()).collect();
        // With the batch turned, the first axis goes behind the other batch axes.
        if flag(batch) && t.rank() > 2 {
            let last = t.rank() - 2;
            order[..=last].rotate_left(1);
        }
        if flag(name) && t.rank() > 1 {
            let n = t.rank();
            order.swap(n - 2, n - 1);
        }
        t.permute(&order)
    };
    let (a, b) = (turned("transA", "transBatchA", at.at(0)?), turned("transB", "transBatchB", at.at(1)?));
    Ok(vec![product::product(a, b) * f64::from(site.call.float("alpha", 1.0))])
}

/// The activation that a fusion ends with.
fn activated<'b>(site: &Site, y: Term<'b>) -> Result<Term<'b>, String> {
    // Gemms have their parameters as attributes of their own.
    let listed = match site.call.attributes.get("activation_params") {
        Some(Attribute::Floats(v)) => v.as_slice(),
        _ => &[],
    };
    let parameter = |at: usize, name: &str, default: f32| {
        f64::from(listed.get(at).copied().unwrap_or_else(|| site.call.float(name, default)))
    };
    Ok(match site.call.string("activation", "") {
        "" => y,
        "Relu" => y.relu(),
        "Sigmoid" => y.sigmoid(),
        "Tanh" => y.tanh(),
        "LeakyRelu" => y.relu() - (-y).relu() * parameter(0, "activation_alpha", 0.01),
        "Clip" => {
            y.clamp(parameter(0, "activation_min", f32::NEG_INFINITY), parameter(1, "activation_max", f32::INFINITY))
        }
        "HardSigmoid" => {
            let (alpha, beta) = (parameter(0, "activation_alpha", 0.2), parameter(1, "activation_beta", 0.5));
            (y * alpha + beta).clamp(0.0, 1.0)
        }
        other => return Err(format!("the activation {other:?} is not supported")),
    })
}

#[cfg(test)]
#[cfg(all(feature = "tract", feature = "gradients"))]
mod tests {
    use crate::autograd::testing::Trial;

    fn trial(op: &str, attributes: &str, operands: &[&str]) -> Trial {
        Trial::new(&format!("com.microsoft.{op}"), 1, attributes, operands, 1)
    }

    #[test]
    fn products_with_activations() {
        let operands = ["1 2 4 4", "=3 2 3 3", "=3", "1 3 2 2"];
        for activation in
            ["Relu", "Sigmoid", "Tanh", "LeakyRelu activation_params=[0.3]", "Clip activation_params=[-0.4,0.5]"]
        {
            trial("FusedConv", &format!("activation={activation}"), &operands).check_derivative();
        }
        let gemm = "transB=1 activation=LeakyRelu activation_alpha=0.3";
        trial("FusedGemm", gemm, &["2 3", "=4 3", "=4"]).check_derivative();
    }

    #[test]
    fn turned_products() {
        let one = |attributes: &str, a: &str, b: &str| {
            let found = trial("FusedMatMul", attributes, &[a, b]);
            found.check_derivative();
            found.run().remove(0).1
        };
        assert_eq!(one("transA=1 transB=1 alpha=0.5", "2 3 4", "2 5 3").shape, [2, 4, 5]);
        assert_eq!(one("transBatchA=1 transBatchB=1", "3 2 4", "4 2 5").shape, [2, 3, 5]);
    }
}
