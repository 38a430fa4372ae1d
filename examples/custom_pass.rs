//! A pass that is not secateur's own: registered, run from a pipeline's text, and snapshot-tested.
//!
//!     cargo run --features testing --example custom_pass
//!     cargo test --features testing --example custom_pass

#![allow(clippy::print_stdout)]

use secateur::ir::{self, Model, NodeId};
use secateur::passes::{Change, Context, Entry, Pass, PassError, Registry, Settings};
use std::error::Error;

/// `y = Relu(Relu(x))` is `y = Identity(Relu(x))`, and `drop-identity` does the rest.
struct ReluOnce;

impl Pass for ReluOnce {
    fn name(&self) -> &'static str {
        "relu-once"
    }

    fn run(&self, model: &mut Model, _: &mut Context) -> Result<Change, PassError> {
        let graph = &mut model.graph;
        let is_relu = |n: NodeId| graph.call(n).is_some_and(|c| c.qualified() == "Relu");
        let repeats = |n: &NodeId| is_relu(*n) && graph.operand(*n, 0).is_some_and(|x| is_relu(x.node));
        let again: Vec<NodeId> = graph.calls().into_iter().filter(repeats).collect();
        for &node in &again {
            graph.call_mut(node).expect("it is one of the calls").op = "Identity".to_owned();
        }
        Ok(Change(again.len()))
    }
}

const RELU_ONCE: Entry =
    Entry { name: "relu-once", doc: "makes the second of two Relus an Identity", make: |_| Ok(Box::new(ReluOnce)) };

const NET: &str = "g (f32[4] x) => (f32[4] y) { a = Relu(x)  b = Relu(a)  c = Relu(b)  y = Exp(c) }";

/// The net as it is, and as the pipeline leaves it.
fn before_and_after() -> Result<(Model, Model), Box<dyn Error>> {
    let before = ir::parse(NET, &|_| None)?;
    let mut after = before.clone();
    let pipeline = Registry::default().with(RELU_ONCE).parse("fix(relu-once,drop-identity,dce)")?;
    pipeline.run(&mut after, Settings::default())?;
    Ok((before, after))
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", ir::print(&before_and_after()?.1));
    Ok(())
}

#[test]
fn one_relu_is_left() {
    let (before, after) = before_and_after().unwrap();
    secateur::testing::assert_equivalent(&before, &after, 0.0);
    secateur::assert_graph_snapshot!(after, @r#"
    <ir_version: 8, opset_import: ["" : 17]>
    g (f32[4] x) => (f32[4] y) {
      a = Relu(x)
      y = Exp(a)
    }
    "#);
}
