//! `remove-layers`: removes the residual branches that change least, as `secateur prune --layers` does.
//!
//! ```text
//! a = Conv(x, w)
//! b = Relu(a)               →          z = Relu(x)
//! y = Add(x, b)
//! z = Relu(y)
//! ```
//!
//! Lossy: what the branches computed is gone. What is a branch, and how it is scored, stands in [`crate::layers`].

use crate::ir::Model;
use crate::layers::{self, Layer, score::score};
use crate::oracle::Setup;
use crate::passes::Dce;
use crate::passes::{Change, Context, Effect, OptionError, Options, Pass, PassError};

/// Removes layers.
pub(super) struct RemoveLayers {
    layers: layers::Options,
    samples: Option<String>,
}

impl RemoveLayers {
    /// Options: `count`, `include` and `exclude` (a glob), `calib` (an `.npz` file).
    pub(super) fn new(options: &mut Options) -> Result<RemoveLayers, OptionError> {
        let count = options.take_or("count", 1)?;
        let include = options.take::<String>("include")?.into_iter().collect();
        let exclude = options.take::<String>("exclude")?.into_iter().collect();
        Ok(RemoveLayers { layers: layers::Options { count, include, exclude }, samples: options.take("calib")? })
    }
}

impl Pass for RemoveLayers {
    fn name(&self) -> &'static str {
        "remove-layers"
    }

    fn effect(&self) -> Effect {
        Effect::Lossy
    }

    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError> {
        if self.layers.count == 0 {
            return Ok(Change(0));
        }
        let found = layers::find(model, &cx.facts(model)).layers;
        let scores = score(model, &found, self.samples.as_deref(), &Setup::default()).map_err(PassError::new)?;
        let chosen = layers::choose(&model.graph, &found, &scores, &self.layers).map_err(PassError::new)?;
        let chosen: Vec<&Layer> = chosen.into_iter().map(|i| &found[i]).collect();
        layers::bypass(model, &cx.facts(model), &chosen);
        Dce.run(model, cx)?;
        Ok(Change(chosen.len()))
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::{self, Model};
    use crate::passes::Settings;

    fn run(pipeline: &str, text: &str) -> Result<Model, String> {
        let mut model = ir::parse(text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let pipeline = crate::pruning::registry().parse(pipeline).expect("the pipeline is one");
        pipeline.run(&mut model, Settings::default()).map_err(|e| e.to_string())?;
        Ok(model)
    }

    fn after(pipeline: &str, text: &str) -> String {
        ir::print(&run(pipeline, text).unwrap_or_else(|e| panic!("{e}")))
    }

    /// Two layers; the second has the smaller weights.
    const TWO: &str = "g (f32[N,2] x) => (f32[N,2] y) {
        f32[2,2] w1 = {1.0, 2.0, 3.0, 4.0}
        f32[2,2] w2 = {0.1, 0.2, 0.3, 0.4}
        h = Relu(x)
        a = MatMul(h, w1)
        b = Relu(a)
        s = Add(h, b)
        t = Relu(s)
        c = MatMul(t, w2)
        y = Add(c, t)
    }";

    #[test]
    fn what_changes_least_goes() {
        insta::assert_snapshot!(after("remove-layers", TWO), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[N,2] x) => (f32[N,2] y) {
          f32[2,2] w1 = {1.0, 2.0, 3.0, 4.0}
          h = Relu(x)
          a = MatMul(h, w1)
          b = Relu(a)
          s = Add(h, b)
          y = Relu(s)
        }
        "#);
        insta::assert_snapshot!(after("remove-layers{count=1 exclude=w2}", TWO), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[N,2] x) => (f32[N,2] y) {
          f32[2,2] w2 = {0.1, 0.2, 0.3, 0.4}
          h = Relu(x)
          t = Relu(h)
          c = MatMul(t, w2)
          y = Add(c, t)
        }
        "#);
        insta::assert_snapshot!(after("remove-layers{count=2}", TWO), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[N,2] x) => (f32[N,2] y) {
          h = Relu(x)
          y = Relu(h)
        }
        "#);
    }

    #[test]
    fn an_output_is_made_under_its_name() {
        let text = "g (f32[N,2] x) => (f32[N,2] y) {
            f32[2,2] w = {1.0, 2.0, 3.0, 4.0}
            a = MatMul(x, w)
            y = Add(x, a)
        }";
        insta::assert_snapshot!(after("remove-layers", text), @r#"
        <ir_version: 8, opset_import: ["" : 17]>
        g (f32[N,2] x) => (f32[N,2] y) {
          f32[] zero_0 = {0.0}
          y = Add(x, zero_0)
        }
        "#);
    }

    #[test]
    fn more_than_there_are_is_an_error() {
        let error = run("remove-layers{count=3}", TWO).unwrap_err();
        insta::assert_snapshot!(
            error,
            @"pass 1, remove-layers: too many layers: 3 asked for, but only 2 can go; `secateur layers --all` says why others can't"
        );
        let error = run("remove-layers{include=nothing*}", TWO).unwrap_err();
        insta::assert_snapshot!(
            error,
            @"pass 1, remove-layers: the pattern `nothing*` fits no constant and no node; `secateur groups` lists what there is"
        );
    }
}
