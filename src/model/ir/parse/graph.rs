//! Reads the header, and graphs from their name to the closing brace.

use super::super::{Function, Graph, Input, Model, Node, ValueInfo};
use super::build::{Builder, Key, Ref};
use super::{ParseError, Parser};
use std::collections::BTreeMap;

impl Parser<'_> {
    pub(super) fn model(mut self) -> Result<Model, ParseError> {
        let mut model = Model { ir_version: 8, opsets: BTreeMap::from([(String::new(), 17)]), ..Model::default() };
        if self.cursor.eat("<") {
            self.separated(">", |p| p.header_entry(&mut model))?;
        }
        let (graph, captures) = self.graph()?;
        if let Some(unknown) = captures.iter().find(|c| c.key != Key::None) {
            return Err(self.cursor.error(unknown.at, format!("no value is called {}", unknown.key)));
        }
        model.graph = graph;
        if self.cursor.at_end() { Ok(model) } else { Err(self.cursor.expected("the end of the text")) }
    }

    fn header_entry(&mut self, model: &mut Model) -> Result<(), ParseError> {
        let before = self.cursor.clone();
        let key = self.cursor.take(|c| c.is_ascii_alphanumeric() || c == '_');
        if !matches!(key, "ir_version" | "opset_import" | "metadata_props" | "metadata" | "functions") {
            self.cursor = before;
            return Err(self.cursor.expected("`ir_version`, `opset_import`, `metadata_props` or `functions`"));
        }
        self.cursor.expect(":")?;
        if key == "ir_version" {
            model.ir_version = self.whole("a version", "")?;
            return Ok(());
        }
        if key == "opset_import" {
            model.opsets.clear();
        }
        self.cursor.expect("[")?;
        self.separated("]", |p| {
            let first = p.required_string()?;
            p.cursor.expect(":")?;
            match key {
                "opset_import" => _ = model.opsets.insert(first, p.whole("a version", "")?),
                "functions" => {
                    let name = p.required_string()?;
                    model.functions.push(Function { domain: first, name, ..Function::default() });
                }
                _ => model.metadata.push((first, p.required_string()?)),
            }
            Ok(())
        })
    }

    fn required_string(&mut self) -> Result<String, ParseError> {
        self.cursor.string()?.ok_or_else(|| self.cursor.expected("a text in quotes"))
    }

    /// A name, quoted or not.
    pub(super) fn name(&mut self, what: &str) -> Result<String, ParseError> {
        if let Some(name) = self.cursor.string()? {
            return Ok(name);
        }
        self.cursor.bare().map(str::to_owned).ok_or_else(|| self.cursor.expected(what))
    }

    /// How the text calls a value: its name, `_` or `%0`.
    pub(super) fn key(&mut self, what: &str) -> Result<Ref, ParseError> {
        let at = self.cursor.place();
        let key = if self.cursor.eat_word("_") {
            Key::None
        } else if self.cursor.eat("%") {
            Key::Anonymous(self.whole("the number of a value without a name", "")?)
        } else {
            match self.name(what)? {
                name if name.is_empty() => Key::None,
                name => Key::Name(name),
            }
        };
        Ok(Ref { key, at })
    }

    /// A graph, and what it captures from the enclosing one.
    pub(super) fn graph(&mut self) -> Result<(Graph, Vec<Ref>), ParseError> {
        let mut b = Builder::default();
        if !self.cursor.eat_word("_") {
            b.graph.name = self.name("the name of a graph")?;
        }
        self.cursor.expect("(")?;
        self.separated(")", |p| p.input(&mut b))?;
        self.cursor.expect("=>")?;
        self.cursor.expect("(")?;
        let mut outputs = Vec::new();
        self.separated(")", |p| p.output().map(|o| outputs.push(o)))?;
        if self.cursor.eat("<") {
            self.separated(">", |p| p.value_info().map(|i| b.graph.value_info.push(i)))?;
        }
        self.cursor.expect("{")?;
        while !self.cursor.eat("}") {
            self.line(&mut b)?;
        }
        outputs.into_iter().for_each(|(info, value)| b.output(info, value));
        b.finish(&self.cursor)
    }

    fn input(&mut self, b: &mut Builder) -> Result<(), ParseError> {
        let captured = self.cursor.eat_word("captured");
        let start = self.cursor.place();
        let (ty, extra) = self.declared_type()?;
        let declared = ty.tensor().cloned();
        let here = self.key("the name of an input")?;
        let info = ValueInfo { name: here.key.name(), ty, extra };
        let mut default = None;
        if captured {
            let outer = if self.cursor.eat("=") { self.key("the name of an outer value")? } else { here.clone() };
            b.captures.push(outer);
        } else if self.cursor.eat("=") || self.cursor.clone().hash().is_some() {
            let Some(ty) = self.tensor_type()?.or(declared) else {
                return Err(self.cursor.expected("the type of the default"));
            };
            default = Some(self.tensor(&ty, start)?);
        }
        let node = b.graph.add(Node::Input(Input { info, captured, default }));
        b.define(&self.cursor, here, node, 0)
    }

    /// An output and the value that it is.
    fn output(&mut self) -> Result<(ValueInfo, Ref), ParseError> {
        let (ty, extra) = self.declared_type()?;
        let here = self.key("the name of an output")?;
        let info = ValueInfo { name: here.key.name(), ty, extra };
        let value = if self.cursor.eat("=") { self.key("the name of a value")? } else { here };
        Ok((info, value))
    }
}
