//! Operators that make tensors of a given shape: random ones, and the identity matrix. Only their types are known;
//! what they draw depends on the shape, so their axes are pinned.

use super::{Rule, Site, lower};
use crate::facts::Fact;
use crate::ir::{Call, DType, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("RandomNormal", SHAPED),
    ("RandomUniform", SHAPED),
    ("RandomNormalLike", LIKE),
    ("RandomUniformLike", LIKE),
    ("Bernoulli", LIKE),
    ("EyeLike", Rule { lower: lower::random::eye, ..LIKE }),
    ("Multinomial", MULTINOMIAL),
];

/// Whether a call gives something else each time that it runs, or may: one by the name of an operator that draws.
pub fn is_random(call: &Call) -> bool {
    const DRAWN: &[&str] = &[
        "Bernoulli",
        "Dropout",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    ];
    DRAWN.contains(&call.op.as_str())
}

/// RandomNormal, RandomUniform: the shape is an attribute.
const SHAPED: Rule = Rule {
    infer: |site| {
        let shape = site.call.ints("shape").map(|s| s.iter().map(|&n| Dim::Fixed(n)).collect::<Vec<_>>());
        if shape.iter().flatten().any(|d| d.size().is_none()) {
            return Err("a negative dimension".into());
        }
        Ok(vec![Fact::maybe(dtype(site, Some(DType::F32)), shape)])
    },
    ..Rule::OPAQUE
};

/// RandomNormalLike, RandomUniformLike, Bernoulli, EyeLike: the operand's shape, and its type unless another is given.
const LIKE: Rule = Rule {
    infer: |site| Ok(vec![Fact::maybe(dtype(site, site.dtype(0)), site.fact(0).shape.clone())]),
    ..Rule::OPAQUE
};

/// Multinomial: classes drawn for each row of the batch.
const MULTINOMIAL: Rule = Rule {
    infer: |site| {
        let samples = Dim::Fixed(site.call.int("sample_size", 1).max(0));
        let batch = site.dim(0, 0).cloned().unwrap_or_else(|| site.unknown());
        Ok(vec![Fact::maybe(dtype(site, Some(DType::I32)), Some(vec![batch, samples]))])
    },
    ..Rule::OPAQUE
};

/// The attribute `dtype`, or what it is by default.
fn dtype(site: &Site, default: Option<DType>) -> Option<DType> {
    if !site.call.has("dtype") {
        return default;
    }
    i32::try_from(site.call.int("dtype", 0)).ok().and_then(DType::from_code)
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::nets::{Net, int, ints};

    #[test]
    fn types_are_known_and_axes_pinned() {
        let mut net = Net::new(17);
        let noise = net.call("RandomNormal", &[], &[("shape", ints(&[2, 3]))]);
        let w = net.weight(&[4, 4]);
        let eye = net.call("EyeLike", &[w], &[("dtype", int(7))]);
        assert_eq!([net.show(noise), net.show(eye)], ["f32[2, 3]", "i64[4, 4]"]);
        assert_eq!(net.show_axes(&[w]), "[4, 4]");
    }
}
