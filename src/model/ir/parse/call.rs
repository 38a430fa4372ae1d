//! Reads the lines of a graph's body: constants and calls.

use super::super::print::is_reserved;
use super::super::{
    Attribute, Call, Constant, DType, Extra, Form, Node, Origin, Payload, Tensor, TensorType, Type, ValueInfo,
};
use super::build::{Builder, Ref};
use super::data::Float;
use super::{ParseError, Parser};

impl Parser<'_> {
    /// A constant or a call; only a constant begins with a type.
    pub(super) fn line(&mut self, b: &mut Builder) -> Result<(), ParseError> {
        let start = self.cursor.place();
        match self.tensor_type()? {
            Some(ty) => self.constant(b, &ty, start),
            None => self.call(b, start),
        }
    }

    fn constant(&mut self, b: &mut Builder, ty: &TensorType, start: usize) -> Result<(), ParseError> {
        let name = self.key("the name of a constant")?;
        self.cursor.eat("=");
        let (tensor, form) = if self.cursor.eat("@sparse") {
            let original: Extra = self.cursor.opaque()?.into();
            let payload = Payload::Absent(xxhash_rust::xxh3::xxh3_64(&original));
            let shape = self.fixed_shape(ty, start)?;
            let tensor = Tensor { dtype: ty.dtype, shape, payload, store: self.store(), extra: Extra::new() };
            (tensor, Form::Sparse { original })
        } else {
            (self.tensor(ty, start)?, self.form(&name, ty)?)
        };
        let constant = Constant { name: name.key.name(), tensor, form, origin: Origin::Here };
        let node = b.add_line(Node::Constant(constant));
        b.define(&self.cursor, name, node, 0)
    }

    fn form(&mut self, name: &Ref, ty: &TensorType) -> Result<Form, ParseError> {
        if self.cursor.eat("@node") {
            return Ok(Form::Node { extra: Extra::new(), original: None });
        }
        if self.cursor.eat("@sparse") {
            return Ok(Form::Sparse { original: Extra::new() });
        }
        if !self.cursor.eat("@input") {
            return Ok(Form::Initializer);
        }
        self.cursor.expect("(")?;
        let position = self.whole("the position of the input", "")?;
        let info = if self.cursor.eat(",") {
            self.value_info()?
        } else {
            ValueInfo::new(name.key.name(), Type::Tensor(ty.clone()))
        };
        self.cursor.expect(")")?;
        Ok(Form::InputInitializer { position, info })
    }

    fn call(&mut self, b: &mut Builder, start: usize) -> Result<(), ParseError> {
        let mut call = Call::default();
        let (name, named_as_result) = self.node_name()?;
        let results = self.results()?;
        call.results = results.iter().map(|r| r.key.name()).collect();
        call.name = if named_as_result { call.results.first().cloned().unwrap_or_default() } else { name };
        (call.domain, call.op) = self.operator()?;
        let mut captured = Vec::new();
        if self.cursor.eat("<") {
            self.separated(">", |p| p.attribute(&mut call, &mut captured))?;
        }
        self.cursor.expect("(")?;
        let mut operands = Vec::new();
        while !self.cursor.sees("|") && !self.cursor.sees(")") {
            operands.push(self.key("an operand")?);
            if !self.cursor.eat(",") && !self.cursor.sees("|") && !self.cursor.sees(")") {
                return Err(self.cursor.expected("`,` or `)`"));
            }
        }
        let arity = u16::try_from(operands.len());
        operands.extend(captured);
        self.cursor.eat("|");
        self.separated(")", |p| p.key("an operand").map(|o| operands.push(o)))?;
        let most = usize::from(u16::MAX);
        match arity {
            Ok(arity) if operands.len() <= most && results.len() <= most => call.arity = arity,
            _ => return Err(self.cursor.error(start, format!("more than {most} operands or results"))),
        }
        let node = b.add_line(Node::Call(Box::new(call)));
        b.wire(node, operands);
        (0..).zip(results).try_for_each(|(port, result)| b.define(&self.cursor, result, node, port))
    }

    /// The name of a node in brackets, and whether it is that of its first result.
    fn node_name(&mut self) -> Result<(String, bool), ParseError> {
        if !self.cursor.eat("[") {
            return Ok((String::new(), false));
        }
        let same = self.cursor.eat("=");
        let name = if same { String::new() } else { self.name("the name of a node or `=`")? };
        self.cursor.expect("]")?;
        Ok((name, same))
    }

    /// The results before `=`; a call may have none.
    fn results(&mut self) -> Result<Vec<Ref>, ParseError> {
        let before = self.cursor.clone();
        let mut results = vec![self.key("a constant, a call or `}`")?];
        if !self.cursor.sees(",") && !self.cursor.sees("=") {
            self.cursor = before;
            return Ok(vec![]);
        }
        while self.cursor.eat(",") {
            results.push(self.key("a result")?);
        }
        self.cursor.expect("=")?;
        Ok(results)
    }

    /// A domain and an operator.
    fn operator(&mut self) -> Result<(String, String), ParseError> {
        if let Some(first) = self.cursor.string()? {
            if !self.cursor.eat(".") {
                return Ok((String::new(), first));
            }
            return Ok((first, self.name("an operator")?));
        }
        let name = self.name("an operator")?;
        Ok(match name.rsplit_once('.') {
            Some((domain, op)) => (domain.to_owned(), op.to_owned()),
            None => (String::new(), name),
        })
    }

    fn attribute(&mut self, call: &mut Call, captured: &mut Vec<Ref>) -> Result<(), ParseError> {
        let at = self.cursor.place();
        let key = match self.cursor.string()? {
            Some(key) => key,
            None => self.cursor.take(|c| c.is_ascii_alphanumeric() || c == '_').to_owned(),
        };
        if self.cursor.place() == at {
            return Err(self.cursor.expected("the name of an attribute"));
        }
        let kind = if self.cursor.eat(":") { self.cursor.bare() } else { None };
        self.cursor.expect("=")?;
        let value = self.value(captured)?;
        let Some(value) = with_kind(kind, value) else {
            let what = format!("the value of `{key}` is not of the kind {}", kind.unwrap_or_default());
            return Err(self.cursor.error(at, what));
        };
        if call.attributes.insert(key.clone(), value).is_some() {
            return Err(self.cursor.error(at, format!("the attribute `{key}` is there before")));
        }
        Ok(())
    }

    /// The value of an attribute.
    fn value(&mut self, captured: &mut Vec<Ref>) -> Result<Attribute, ParseError> {
        if !self.cursor.eat("[") {
            return self.single(captured);
        }
        let mut values = Vec::new();
        let start = self.cursor.place();
        self.separated("]", |p| p.single(captured).map(|v| values.push(v)))?;
        list(values).ok_or_else(|| self.cursor.error(start, "expected a list of values of one kind".into()))
    }

    fn single(&mut self, captured: &mut Vec<Ref>) -> Result<Attribute, ParseError> {
        let before = self.cursor.clone();
        if let Some(text) = self.cursor.quoted()? {
            if !self.cursor.sees("(") {
                return Ok(Attribute::String(text.into()));
            }
            self.cursor = before;
            return self.subgraph(captured);
        }
        if self.cursor.eat_word("other") {
            return Ok(Attribute::Other(self.cursor.opaque()?.into()));
        }
        let start = self.cursor.place();
        let word = self.cursor.clone().bare().unwrap_or_default();
        if DType::from_name(word).is_some() {
            let Some(ty) = self.tensor_type()? else { return Err(self.cursor.expected("a type")) };
            return Ok(Attribute::Tensor(self.tensor(&ty, start)?));
        }
        let numeric = self.cursor.clone().take(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
        let is_graph = numeric.is_empty() && (word == "_" || !is_reserved(word)) && !word.is_empty();
        if is_graph { self.subgraph(captured) } else { self.numeric() }
    }

    fn subgraph(&mut self, captured: &mut Vec<Ref>) -> Result<Attribute, ParseError> {
        let (graph, captures) = self.nested(Self::graph)?;
        captured.extend(captures);
        Ok(Attribute::Graph(Box::new(graph)))
    }

    /// An integer, or a number with a point or an exponent.
    fn numeric(&mut self) -> Result<Attribute, ParseError> {
        let before = self.cursor.clone();
        let (word, bits) = self.number()?;
        let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
        let number = if bits.is_none() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            word.parse().ok().map(Attribute::Int)
        } else {
            Float::read(word, bits).and_then(Float::single).map(Attribute::Float)
        };
        number.ok_or_else(|| {
            self.cursor = before;
            self.cursor.expected("the value of an attribute")
        })
    }
}

/// Single values as a list, where they are of one kind. Among floats, integers are floats too.
fn list(values: Vec<Attribute>) -> Option<Attribute> {
    macro_rules! all {
        ($list:ident, $($one:ident($x:ident) => $value:expr),+) => {
            values.into_iter().map(|v| match v { $(Attribute::$one($x) => Some($value),)+ _ => None })
                .collect::<Option<Vec<_>>>().map(Attribute::$list)
        };
    }
    let floats = values.iter().any(|v| matches!(v, Attribute::Float(_)));
    match values.first() {
        None => Some(Attribute::Ints(vec![])),
        _ if floats => all!(Floats, Float(x) => x, Int(i) => i as f32),
        Some(Attribute::Int(_)) => all!(Ints, Int(i) => i),
        Some(Attribute::String(_)) => all!(Strings, String(s) => s),
        Some(Attribute::Tensor(_)) => all!(Tensors, Tensor(t) => t),
        Some(Attribute::Graph(_)) => all!(Graphs, Graph(g) => *g),
        Some(_) => None,
    }
}

/// The value as the kind that the text says it has. It must say so for an empty list.
fn with_kind(kind: Option<&str>, value: Attribute) -> Option<Attribute> {
    Some(match (kind, value) {
        (None, value) => value,
        (Some("floats"), Attribute::Ints(v)) if v.is_empty() => Attribute::Floats(vec![]),
        (Some("strings"), Attribute::Ints(v)) if v.is_empty() => Attribute::Strings(vec![]),
        (Some("tensors"), Attribute::Ints(v)) if v.is_empty() => Attribute::Tensors(vec![]),
        (Some("graphs"), Attribute::Ints(v)) if v.is_empty() => Attribute::Graphs(vec![]),
        (Some("float"), Attribute::Int(i)) => Attribute::Float(i as f32),
        (Some("floats"), Attribute::Ints(v)) => Attribute::Floats(v.into_iter().map(|i| i as f32).collect()),
        (Some("int"), v @ Attribute::Int(_))
        | (Some("ints"), v @ Attribute::Ints(_))
        | (Some("float"), v @ Attribute::Float(_))
        | (Some("floats"), v @ Attribute::Floats(_))
        | (Some("string"), v @ Attribute::String(_))
        | (Some("strings"), v @ Attribute::Strings(_))
        | (Some("tensor"), v @ Attribute::Tensor(_))
        | (Some("tensors"), v @ Attribute::Tensors(_))
        | (Some("graph"), v @ Attribute::Graph(_))
        | (Some("graphs"), v @ Attribute::Graphs(_)) => v,
        _ => return None,
    })
}
