//! Local functions: their bodies become graphs.

use super::graph::Loader;
use super::opsets;
use crate::ir::{Attribute, Function};
use crate::proto::*;

impl Loader {
    /// Reads a function. One whose body is no sound graph stays as it was encoded, and opaque.
    pub(super) fn function(&mut self, p: FunctionProto) -> Function {
        let domain = if p.domain() == "ai.onnx" { "" } else { p.domain() };
        let names = |list: &[String]| -> Vec<ValueInfoProto> {
            list.iter().map(|name| ValueInfoProto { name: Some(name.clone()), ..Default::default() }).collect()
        };
        let body = GraphProto {
            name: p.name.clone(),
            input: names(&p.input),
            output: names(&p.output),
            node: p.node.clone(),
            ..GraphProto::default()
        };
        let defaults = p.attribute_proto.iter().map(|a| Ok((a.name().to_owned(), self.default(a)?)));
        let defaults = defaults.collect::<Result<_, super::LoadError>>().ok();
        Function {
            domain: domain.to_owned(),
            name: p.name().to_owned(),
            overload: p.overload().to_owned(),
            body: self.subgraph(body, &mut vec![]).ok().filter(|_| defaults.is_some()),
            opsets: opsets(&p.opset_import),
            defaults: defaults.unwrap_or_default(),
            encoded: remainder(&p),
        }
    }

    fn default(&mut self, p: &AttributeProto) -> Result<Attribute, super::LoadError> {
        Ok(self.attribute(p.clone(), "a function")?.attribute)
    }
}
