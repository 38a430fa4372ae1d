//! The operators of `ai.onnx.ml`: what scikit-learn's pipelines put in front of nets, and behind them.
//!
//! Features are the last axis. Operators that treat each on its own let units pass, and attributes that have a number for
//! each feature are cut along. Those that know features or classes by number are typed, and pinned.

use super::shared::dims::row;
use super::{AxisRule, CutSizes, Refit, Rule, Site, ValueLaws, ZeroLaws, lower, zero};
use crate::facts::Fact;
use crate::ir::{Attribute, DType, Dim};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("ai.onnx.ml.ArrayFeatureExtractor", ARRAY_FEATURE_EXTRACTOR),
    ("ai.onnx.ml.Binarizer", BINARIZER),
    ("ai.onnx.ml.CategoryMapper", CATEGORY_MAPPER),
    ("ai.onnx.ml.FeatureVectorizer", FEATURE_VECTORIZER),
    ("ai.onnx.ml.Imputer", IMPUTER),
    ("ai.onnx.ml.LabelEncoder", LABEL_ENCODER),
    ("ai.onnx.ml.LinearClassifier", CLASSIFIER),
    ("ai.onnx.ml.LinearRegressor", LINEAR_REGRESSOR),
    ("ai.onnx.ml.Normalizer", NORMALIZER),
    ("ai.onnx.ml.OneHotEncoder", ONE_HOT_ENCODER),
    ("ai.onnx.ml.SVMClassifier", CLASSIFIER),
    ("ai.onnx.ml.SVMRegressor", SVM_REGRESSOR),
    ("ai.onnx.ml.Scaler", SCALER),
    ("ai.onnx.ml.TreeEnsemble", TREE_ENSEMBLE),
    ("ai.onnx.ml.TreeEnsembleClassifier", CLASSIFIER),
    ("ai.onnx.ml.TreeEnsembleRegressor", TREE_REGRESSOR),
    ("ai.onnx.ml.ZipMap", ZIP_MAP),
];

/// `y = (x - offset) · scale`, one of each a feature or one for all, in floats.
const SCALER: Rule = Rule {
    infer: |site| {
        each_feature(site, "offset")?;
        each_feature(site, "scale")?;
        Ok(vec![same_shape(site, Some(DType::F32))])
    },
    axes: by_feature,
    zeros: ZeroLaws {
        results: |site, at| zero::first(site, at) && floats(site, "offset").iter().all(|&x| x == 0.0),
        ..ZeroLaws::OPAQUE
    },
    refit: |site, cut| Ok(shortened(site, cut, &["offset", "scale"])),
    lower: lower::ml::scaled,
    ..Rule::OPAQUE
};

/// Another number in place of one that stands for what is missing.
const IMPUTER: Rule = Rule {
    infer: |site| {
        each_feature(site, "imputed_value_floats")?;
        each_feature(site, "imputed_value_int64s")?;
        Ok(vec![same_shape(site, site.dtype(0))])
    },
    axes: by_feature,
    zeros: ZeroLaws {
        results: |site, at| {
            let replaced = match site.dtype(0) {
                Some(dtype) if dtype.is_float() => site.call.float("replaced_value_float", 0.0) == 0.0,
                _ => site.call.int("replaced_value_int64", 0) == 0,
            };
            zero::first(site, at) && !replaced
        },
        ..ZeroLaws::OPAQUE
    },
    refit: |site, cut| Ok(shortened(site, cut, &["imputed_value_floats", "imputed_value_int64s"])),
    ..Rule::OPAQUE
};

/// 1 above a threshold, and 0 elsewhere.
const BINARIZER: Rule = Rule {
    infer: |site| Ok(vec![same_shape(site, site.dtype(0))]),
    axes: |site| site.rank(0).map(|_| AxisRule::new("... -> ...")),
    zeros: ZeroLaws {
        results: |site, at| zero::first(site, at) && site.call.float("threshold", 0.0) >= 0.0,
        ..ZeroLaws::OPAQUE
    },
    ..Rule::OPAQUE
};

/// The features of a row over their greatest, the sum of their absolute values, or their length.
const NORMALIZER: Rule = Rule {
    infer: |site| Ok(vec![same_shape(site, Some(DType::F32))]),
    axes: |site| {
        let rows = row(site.rank(0)?.checked_sub(1)?, |i| format!("n{i}"));
        Some(AxisRule::new(format!("{rows} c! -> {rows} c")).why("it is divided by the norm of all of them"))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    ..Rule::OPAQUE
};

/// Tables of features side by side.
const FEATURE_VECTORIZER: Rule = Rule {
    infer: |site| {
        let features = |slot: usize| site.shape(slot).and_then(<[Dim]>::last).cloned();
        let widths: Option<Dim> = (0..site.arity()).map(features).sum();
        let rows = site.shape(0).map(rows);
        Ok(vec![floats_of([rows, widths], site)])
    },
    axes: |site| {
        if site.arity() == 0 || (0..site.arity()).any(|slot| site.rank(slot) != Some(2)) {
            return None;
        }
        let operands: Vec<String> = (0..site.arity()).map(|k| format!("n a{k}")).collect();
        let sum: Vec<String> = (0..site.arity()).map(|k| format!("a{k}")).collect();
        Some(AxisRule::new(format!("{} -> n {}", operands.join(", "), sum.join("+"))))
    },
    refit: |site, cut| {
        let widths = (0..site.arity()).map(|k| cut.operand(k).and_then(|d| d.last()).and_then(Dim::fixed));
        let old = site.call.ints("inputdimensions").unwrap_or_default();
        Ok(match widths.collect::<Option<Vec<i64>>>() {
            Some(new) if !old.is_empty() && new != old => {
                Refit::default().attribute("inputdimensions", Attribute::Ints(new))
            }
            _ => Refit::default(),
        })
    },
    zeros: ZeroLaws { results: zero::all, ..ZeroLaws::OPAQUE },
    values: ValueLaws::MOVED,
    ..Rule::OPAQUE
};

/// Features by number: `x[…, indices]`, and a row of them where x is a vector.
const ARRAY_FEATURE_EXTRACTOR: Rule = Rule {
    infer: |site| {
        let (Some(x), Some(indices)) = (site.shape(0), site.shape(1)) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None)]);
        };
        let mut shape = if x.len() > 1 { x[..x.len() - 1].to_vec() } else { vec![Dim::Fixed(1)] };
        shape.push(indices.iter().cloned().product());
        Ok(vec![Fact::maybe(site.dtype(0), Some(shape))])
    },
    axes: |site| {
        let rows = row(site.rank(0)?.checked_sub(1).filter(|&n| n > 0)?, |i| format!("n{i}"));
        Some(AxisRule::new(format!("{rows} _, _* -> {rows} _")).why(BY_NUMBER))
    },
    zeros: ZeroLaws { results: zero::first, ..ZeroLaws::OPAQUE },
    values: ValueLaws::MOVED,
    ..Rule::OPAQUE
};

/// One number or word for another.
const LABEL_ENCODER: Rule = Rule {
    infer: |site| {
        let call = site.call;
        let typed = |name: &str, dtype| call.has(name).then_some(dtype);
        let tensor = match call.attributes.get("values_tensor") {
            Some(Attribute::Tensor(tensor)) => Some(tensor.dtype),
            _ => None,
        };
        let listed = typed("values_int64s", DType::I64)
            .or(typed("values_floats", DType::F32))
            .or(typed("values_strings", DType::String));
        // Before version 2 there are words on one side, and their places in a list on the other.
        let other =
            typed("classes_strings", if site.dtype(0) == Some(DType::String) { DType::I64 } else { DType::String });
        Ok(vec![same_shape(site, tensor.or(listed).or(other))])
    },
    axes: |site| site.rank(0).map(|_| AxisRule::new("... -> ...")),
    ..Rule::OPAQUE
};

/// Words to numbers, or back.
const CATEGORY_MAPPER: Rule = Rule {
    infer: |site| {
        let other = |dtype| if dtype == DType::String { DType::I64 } else { DType::String };
        Ok(vec![same_shape(site, site.dtype(0).map(other))])
    },
    ..LABEL_ENCODER
};

/// A new last axis with a 1 at the category.
const ONE_HOT_ENCODER: Rule = Rule {
    infer: |site| {
        let words = match site.call.attributes.get("cats_strings") {
            Some(Attribute::Strings(words)) => words.len(),
            _ => 0,
        };
        let categories = site.call.ints("cats_int64s").map_or(words, <[i64]>::len);
        let shape = site.shape(0).map(|x| [x, &[Dim::from(categories)]].concat());
        Ok(vec![Fact::maybe(Some(DType::F32), shape)])
    },
    axes: |site| {
        let x = row(site.rank(0)?, |i| format!("x{i}"));
        Some(AxisRule::new(format!("{x} -> {x} _")).why("the categories are known by number"))
    },
    ..Rule::OPAQUE
};

/// A class and a score for each, of every row.
const CLASSIFIER: Rule = Rule {
    infer: |site| {
        let named = ["classlabels_strings", "class_labels_strings"].iter().any(
            |name| matches!(site.call.attributes.get(*name), Some(Attribute::Strings(words)) if !words.is_empty()),
        );
        let rows = site.shape(0).map(rows);
        let label = if named { DType::String } else { DType::I64 };
        let scores = floats_of([rows.clone(), Some(site.unknown())], site);
        Ok(vec![Fact::maybe(Some(label), rows.map(|n| vec![n])), scores])
    },
    axes: |site| (site.rank(0)? == 2).then(|| AxisRule::new("n _ -> n, n _").why(BY_NUMBER)),
    ..Rule::OPAQUE
};

/// As many numbers of every row as `targets` says.
const LINEAR_REGRESSOR: Rule = regressor(|site| Ok(vec![predictions(site, "targets", Some(DType::F32))]));

const TREE_REGRESSOR: Rule = regressor(|site| Ok(vec![predictions(site, "n_targets", Some(DType::F32))]));

const TREE_ENSEMBLE: Rule = regressor(|site| Ok(vec![predictions(site, "n_targets", site.dtype(0))]));

const SVM_REGRESSOR: Rule = regressor(|site| Ok(vec![predictions(site, "", Some(DType::F32))]));

const fn regressor(infer: fn(&Site) -> Result<Vec<Fact>, String>) -> Rule {
    Rule {
        infer,
        axes: |site| (site.rank(0)? == 2).then(|| AxisRule::new("n _ -> n _").why(BY_NUMBER)),
        ..Rule::OPAQUE
    }
}

/// Scores by the names of their classes: no tensor any more.
const ZIP_MAP: Rule = Rule {
    axes: |site| (site.rank(0)? == 2).then(|| AxisRule::new("n _ -> _*").why("the classes have names")),
    ..Rule::OPAQUE
};

const BY_NUMBER: &str = "its features are known by number";

/// How many rows an operand has: a vector is one.
fn rows(x: &[Dim]) -> Dim {
    if x.len() > 1 { x[0].clone() } else { Dim::Fixed(1) }
}

/// A table of floats of so many rows and columns, where the rank of the first operand is known.
fn floats_of([rows, columns]: [Option<Dim>; 2], site: &Site) -> Fact {
    let shape = rows.map(|rows| vec![rows, columns.unwrap_or_else(|| site.unknown())]);
    Fact::maybe(Some(DType::F32), shape)
}

/// As many numbers of every row as the attribute says; one where there is none.
fn predictions(site: &Site, attribute: &str, dtype: Option<DType>) -> Fact {
    let columns = Some(site.call.int(attribute, 1)).filter(|&n| n > 0).map(Dim::Fixed);
    Fact { dtype, ..floats_of([site.shape(0).map(rows), columns], site) }
}

fn same_shape(site: &Site, dtype: Option<DType>) -> Fact {
    Fact::maybe(dtype, site.shape(0).map(<[Dim]>::to_vec))
}

/// All axes pass; the last one is that of the features.
fn by_feature(site: &Site) -> Option<AxisRule> {
    let rows = row(site.rank(0)?.checked_sub(1)?, |i| format!("n{i}"));
    Some(AxisRule::new(format!("{rows} c -> {rows} c")))
}

pub(super) fn floats<'a>(site: &Site<'a>, name: &str) -> &'a [f32] {
    match site.call.attributes.get(name) {
        Some(Attribute::Floats(list)) => list,
        _ => &[],
    }
}

/// A contradiction where an attribute has neither one number nor one for each feature.
fn each_feature(site: &Site, name: &str) -> Result<(), String> {
    let count = match site.call.attributes.get(name) {
        Some(Attribute::Floats(list)) => list.len(),
        Some(Attribute::Ints(list)) => list.len(),
        _ => return Ok(()),
    };
    let Some(features) = site.shape(0).and_then(<[Dim]>::last).and_then(Dim::size) else { return Ok(()) };
    match count == 1 || count == features {
        true => Ok(()),
        false => Err(format!("`{name}` has {count} numbers but there are {features} features")),
    }
}

/// What is left of attributes that have a number for each feature.
fn shortened(site: &Site, cut: &CutSizes, names: &[&'static str]) -> Refit {
    let Some(kept) = cut.kept("c") else { return Refit::default() };
    let features = site.shape(0).and_then(<[Dim]>::last).and_then(Dim::size);
    let mut refit = Refit::default();
    for &name in names {
        match site.call.attributes.get(name) {
            Some(Attribute::Floats(list)) if Some(list.len()) == features => {
                refit = refit.attribute(name, Attribute::Floats(kept.iter().map(|&i| list[i]).collect()));
            }
            Some(Attribute::Ints(list)) if Some(list.len()) == features => {
                refit = refit.attribute(name, Attribute::Ints(kept.iter().map(|&i| list[i]).collect()));
            }
            _ => {}
        }
    }
    refit
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{Case, show};
    use insta::assert_snapshot;

    #[test]
    fn features_pass_one_by_one() {
        let scaler = |attributes: &str, x: &str| show("ai.onnx.ml.Scaler", 1, attributes, &[x]);
        assert_snapshot!(scaler("offset=[0.5] scale=[2.5]", "f64:=5 4"), @"[c0:5, c1:4] -> f32[c0:5, c1:4]");
        assert_snapshot!(scaler("offset=[0.5,1.5] scale=[2.5,1.5]", "=2"), @"[c0:2] -> f32[c0:2]");
        assert_snapshot!(
            scaler("offset=[0.5,1.5] scale=[2.5,1.5]", "=5 4"),
            @"error: `offset` has 2 numbers but there are 4 features"
        );
        let imputer = show("ai.onnx.ml.Imputer", 1, "imputed_value_int64s=[1,2,3]", &["i64:=5 3"]);
        assert_snapshot!(imputer, @"[c0:5, c1:3] -> i64[c0:5, c1:3]");
        let binarizer = show("ai.onnx.ml.Binarizer", 1, "threshold=0.5", &["=5 3"]);
        assert_snapshot!(binarizer, @"[c0:5, c1:3] -> f32[c0:5, c1:3]");
        assert_eq!(show("ai.onnx.ml.FeatureVectorizer", 1, "", &[]), " -> f32[..]");
        let joined = show("ai.onnx.ml.FeatureVectorizer", 1, "inputdimensions=[3,2]", &["i64:=5 3", "i64:=5 2"]);
        assert_snapshot!(joined, @"[c0:5, c1:3], [c0:5, c2:2] -> f32[c0:5, c1:3+c2:2]");
        let normal = show("ai.onnx.ml.Normalizer", 1, "norm=L2", &["=5 3"]);
        assert_snapshot!(normal, @"[c0:5, c1!:3] -> f32[c0:5, c1!:3]");
    }

    #[test]
    fn attributes_of_features_are_cut_along() {
        let case = Case::new("ai.onnx.ml.Scaler", 1, "offset=[0.5,1.5,2.5] scale=[2.5]", &["=5 3"], 1);
        assert_snapshot!(case.refit("c", &[0, 2]), @"offset=Floats([0.5, 2.5])");
        assert!(!case.zero(&[true]));
        assert!(Case::new("ai.onnx.ml.Scaler", 1, "offset=[0.0] scale=[2.5]", &["=5 3"], 1).zero(&[true]));
        let case = Case::new("ai.onnx.ml.Imputer", 1, "imputed_value_int64s=[1,2,3]", &["i64:=5 3"], 1);
        assert_snapshot!(case.refit("c", &[0, 2]), @"imputed_value_int64s=[1, 3]");
        assert!(!case.zero(&[true]));
    }

    #[test]
    fn what_knows_features_by_number_is_typed() {
        let of = |op: &str, attributes: &str, operands: &[&str], results: usize| {
            Case::new(&format!("ai.onnx.ml.{op}"), 1, attributes, operands, results).show()
        };
        assert_snapshot!(of("LinearRegressor", "targets=2", &["=5 3"], 1), @"[c0:5, 3] -> f32[c0:5, 2]");
        assert_snapshot!(of("SVMRegressor", "", &["=3"], 1), @"[3] -> f32[1, 1]");
        assert_snapshot!(of("TreeEnsembleRegressor", "", &["f64:N 3"], 1), @"[N, 3] -> f32[N, 1]");
        assert_snapshot!(
            of("TreeEnsembleClassifier", "classlabels_strings=[a,b]", &["=5 3"], 2),
            @"[c0:5, 3] -> string[c0:5], f32[c0:5, ?0]"
        );
        assert_snapshot!(of("OneHotEncoder", "cats_int64s=[1,2,3]", &["i64:=5 3"], 1), @"[c0:5, c1:3] -> f32[c0:5, c1:3, 3]");
        assert_snapshot!(of("ArrayFeatureExtractor", "", &["=5 3", "i64:=1 2"], 1), @"[c0:5, 3], [1, 2] -> f32[c0:5, 2]");
        assert_snapshot!(of("LabelEncoder", "values_int64s=[1,2]", &["string:5 1"], 1), @"[5, 1] -> i64[5, 1]");
        assert_snapshot!(of("ZipMap", "", &["=5 3"], 1), @"[c0!:5, 3] -> ?[..]");
    }
}
