//! Tests of rewrites, in this crate and in others (feature `testing`).
//!
//! | what | asserts that |
//! |---|---|
//! | [`assert_graph_snapshot!`](crate::assert_graph_snapshot) | a model is what it was when the snapshot was reviewed, as text with weights as hashes |
//! | [`prune_snapshot!`](crate::prune_snapshot) | pruning each of some files cuts what it did, and leaves the graph that it did |
//! | [`assert_equivalent`] | two models compute the same |
//!
//! Snapshots are those of [insta](https://insta.rs): `cargo insta review`, or `INSTA_UPDATE=always`, takes new ones. They
//! are stored beside the test, in the crate that has the test.
//!
//! In `Cargo.toml`:
//!
//! ```toml
//! [dev-dependencies]
//! secateur = { version = "0.1", features = ["testing"] }
//! ```
//!
//! and in a test:
//!
//! ```
//! use secateur::{ir, passes::Pipeline, testing};
//!
//! let before = ir::parse("g (f32[3] x) => (f32[3] y) { i = Identity(x)  y = Relu(i) }", &|_| None).unwrap();
//! let mut after = before.clone();
//! "drop-identity,dce".parse::<Pipeline>().unwrap().run(&mut after, Default::default()).unwrap();
//!
//! testing::assert_equivalent(&before, &after, 1e-6);
//! secateur::assert_graph_snapshot!(after, @r#"
//! <ir_version: 8, opset_import: ["" : 17]>
//! g (f32[3] x) => (f32[3] y) {
//!   y = Relu(x)
//! }
//! "#);
//! ```

mod equivalent;
mod snapshot;

#[doc(hidden)]
pub use insta;

pub use equivalent::{Mismatch, assert_equivalent, mismatch};
pub use snapshot::{pruned, text};

#[doc(hidden)]
pub use snapshot::each;

/// Asserts that a model's text is the one of the snapshot. Weights stand in it as hashes, so any change of any number
/// shows; what secateur writes into metadata (its version, for one) does not.
///
/// ```
/// # let model = secateur::ir::parse("g (f32[3] x) => (f32[3] y) { y = Relu(x) }", &|_| None).unwrap();
/// # if false {
/// secateur::assert_graph_snapshot!(model); // in a file called like the test
/// secateur::assert_graph_snapshot!("a name", model);
/// # }
/// secateur::assert_graph_snapshot!(model, @r#"
/// <ir_version: 8, opset_import: ["" : 17]>
/// g (f32[3] x) => (f32[3] y) {
///   y = Relu(x)
/// }
/// "#);
/// ```
#[macro_export]
macro_rules! assert_graph_snapshot {
    ($model:expr, @$inline:literal $(,)?) => {
        $crate::testing::insta::assert_snapshot!($crate::testing::text(&$model), @$inline)
    };
    ($name:expr, $model:expr $(,)?) => {
        $crate::testing::insta::assert_snapshot!($name, $crate::testing::text(&$model))
    };
    ($model:expr $(,)?) => {
        $crate::testing::insta::assert_snapshot!($crate::testing::text(&$model))
    };
}

/// Prunes every file that a glob finds and asserts that [what comes out](crate::testing::pruned) is what it was: the
/// costs, the units that go of each group, what stays whole and why, and the text of the pruned model. The glob begins at
/// the folder of the crate's `Cargo.toml`, and it is an error that it finds nothing. There is a snapshot for each file,
/// and all of them are looked at before the test fails.
///
/// ```no_run
/// use secateur::plan::{Budget, Criterion, Options};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = Options { inexact: true, ..Options::new(Budget::macs(0.5), Criterion::named("l2")?) };
/// secateur::prune_snapshot!("fixtures/*.onnx", options);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! prune_snapshot {
    ($pattern:expr, $options:expr $(,)?) => {{
        let texts = $crate::testing::pruned(env!("CARGO_MANIFEST_DIR"), $pattern, $options);
        let texts = texts.unwrap_or_else(|e| panic!("{e}"));
        $crate::testing::each(&texts, |name, text| {
            let mut settings = $crate::testing::insta::Settings::clone_current();
            settings.set_snapshot_suffix(name);
            settings.set_omit_expression(true);
            settings.bind(|| $crate::testing::insta::assert_snapshot!(text));
        });
    }};
}

#[cfg(test)]
mod tests;
