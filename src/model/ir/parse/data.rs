//! Reads types, dimensions, numbers and tensors.

use super::super::tensor::element_count;
use super::super::{DType, Dim, Extra, Payload, Store, Tensor, TensorType, Type, ValueInfo};
use super::{DEPTH, ParseError, Parser};
use std::str::FromStr;

impl<'a> Parser<'a> {
    /// An element type, if one is next.
    fn dtype(&mut self) -> Option<DType> {
        let dtype = DType::from_name(self.cursor.clone().bare()?)?;
        self.cursor.bare();
        Some(dtype)
    }

    /// A tensor type, if one is next.
    pub(super) fn tensor_type(&mut self) -> Result<Option<TensorType>, ParseError> {
        let Some(dtype) = self.dtype() else { return Ok(None) };
        if !self.cursor.eat("[") {
            return Ok(Some(TensorType::new(dtype, vec![])));
        }
        if self.cursor.eat("..") {
            self.cursor.expect("]")?;
            return Ok(Some(TensorType { dtype, shape: None }));
        }
        let mut dims = Vec::new();
        self.separated("]", |p| p.dim().map(|d| dims.push(d)))?;
        Ok(Some(TensorType::new(dtype, dims)))
    }

    /// The type before a declared name; none is one too.
    pub(super) fn declared_type(&mut self) -> Result<(Type, Extra), ParseError> {
        if self.cursor.eat_word("other") {
            return Ok((Type::Other, self.cursor.opaque()?.into()));
        }
        Ok((self.tensor_type()?.map_or(Type::Other, Type::Tensor), Extra::new()))
    }

    /// An entry of `value_info`, or the declaration of an output.
    pub(super) fn value_info(&mut self) -> Result<ValueInfo, ParseError> {
        let (ty, extra) = self.declared_type()?;
        let name = if self.cursor.eat_word("_") { String::new() } else { self.name("a name")? };
        Ok(ValueInfo { name, ty, extra })
    }

    /// Items up to a closing token, with commas between.
    pub(super) fn separated(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Result<(), ParseError>,
    ) -> Result<(), ParseError> {
        while !self.cursor.eat(close) {
            item(self)?;
            if !self.cursor.eat(",") && !self.cursor.sees(close) {
                return Err(self.cursor.expected(&format!("`,` or `{close}`")));
            }
        }
        Ok(())
    }

    /// Goes one level deeper, if that is allowed.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.depth == DEPTH {
            let at = self.cursor.place();
            return Err(self.cursor.error(at, format!("more than {DEPTH} levels of nesting")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn dim(&mut self) -> Result<Dim, ParseError> {
        let mut sum = self.dim_term()?;
        while self.cursor.sees("+") || self.cursor.sees("-") {
            self.cursor.eat("+");
            sum = sum + self.dim_term()?;
        }
        Ok(sum)
    }

    /// A product; its sign belongs to its number, so that the smallest number can be read.
    fn dim_term(&mut self) -> Result<Dim, ParseError> {
        let negative = self.cursor.eat("-");
        let mut product = self.dim_factor(negative)?;
        while self.cursor.eat("*") {
            product = product * self.dim_factor(false)?;
        }
        Ok(product)
    }

    fn dim_factor(&mut self, negative: bool) -> Result<Dim, ParseError> {
        let sign = if negative { "-" } else { "" };
        let signed = |d: Dim| if negative { -d } else { d };
        if let Some(name) = self.cursor.string()? {
            return Ok(signed(Dim::symbol(&name)));
        }
        if self.cursor.eat("?") {
            return Ok(signed(Dim::unknown(self.whole::<u32>("the number of an unknown", "")?.into())));
        }
        if self.cursor.sees("floor") && self.cursor.clone().take(char::is_alphanumeric) == "floor" {
            let before = self.cursor.clone();
            self.cursor.eat("floor");
            if self.cursor.eat("(") {
                return self.nested(Self::dim_quotient).map(signed);
            }
            self.cursor = before;
        }
        let at = self.cursor.clone();
        let word = self.cursor.take(|c| c.is_alphanumeric() || c == '_');
        match word.chars().next() {
            None => Err(self.cursor.expected("a dimension")),
            Some(c) if c.is_alphabetic() || c == '_' => Ok(signed(Dim::symbol(word))),
            Some(_) => {
                self.cursor = at;
                Ok(Dim::Fixed(self.whole("a dimension", sign)?))
            }
        }
    }

    fn dim_quotient(&mut self) -> Result<Dim, ParseError> {
        let numerator = self.dim()?;
        self.cursor.expect("/")?;
        let denominator = self.dim()?;
        self.cursor.expect(")")?;
        Ok(numerator.div_floor(&denominator))
    }

    /// A whole number of a given type.
    pub(super) fn whole<T: FromStr>(&mut self, what: &str, sign: &str) -> Result<T, ParseError> {
        let before = self.cursor.clone();
        let sign = if self.cursor.eat("-") { "-" } else { sign };
        let digits = self.cursor.take(char::is_alphanumeric);
        format!("{sign}{digits}").parse().map_err(|_| {
            self.cursor = before;
            self.cursor.expected(what)
        })
    }

    /// A number as it stands in the text; `nan(7fc00001)` comes with its bits.
    pub(super) fn number(&mut self) -> Result<(&'a str, Option<u64>), ParseError> {
        let word = self.cursor.take(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if word != "nan" || !self.cursor.eat("(") {
            return Ok((word, None));
        }
        let before = self.cursor.clone();
        let Ok(bits) = u64::from_str_radix(self.cursor.take(|c| c.is_ascii_hexdigit()), 16) else {
            self.cursor = before;
            return Err(self.cursor.expected("the bits of a number"));
        };
        self.cursor.expect(")")?;
        Ok((word, Some(bits)))
    }

    /// The data of a tensor of the type that the text declares, with how it is stored.
    pub(super) fn tensor(&mut self, ty: &TensorType, at: usize) -> Result<Tensor, ParseError> {
        let shape = self.fixed_shape(ty, at)?;
        let here = self.cursor.place();
        let payload = if let Some(hash) = self.cursor.hash() {
            match (self.weights)(hash) {
                None => Payload::Absent(hash),
                Some(t) if t.dtype == ty.dtype && t.shape == shape => t.payload,
                Some(t) => {
                    let what = format!("the tensor #{hash:016x} is {}{:?}, not {ty}", t.dtype, t.shape);
                    return Err(self.cursor.error(here, what));
                }
            }
        } else if self.cursor.eat("{") {
            self.elements(ty.dtype, &shape, here)?
        } else {
            return Err(self.cursor.expected("`{` or the hash of a tensor"));
        };
        Ok(Tensor { dtype: ty.dtype, shape, payload, store: self.store(), extra: Extra::new() })
    }

    /// How a tensor is stored.
    pub(super) fn store(&mut self) -> Store {
        match () {
            () if self.cursor.eat("@typed") => Store::Typed,
            () if self.cursor.eat("@external") => Store::External,
            () => Store::Raw,
        }
    }

    /// The shape of a constant: all its dimensions are numbers, and memory could hold so many elements.
    pub(super) fn fixed_shape(&self, ty: &TensorType, at: usize) -> Result<Vec<usize>, ParseError> {
        let shape: Option<Vec<usize>> = ty.shape.as_ref().and_then(|dims| dims.iter().map(Dim::size).collect());
        let Some(shape) = shape else {
            return Err(self.cursor.error(at, format!("expected a type with a fixed shape, found {ty}")));
        };
        match element_count(&shape) {
            Some(_) => Ok(shape),
            None => Err(self.cursor.error(at, format!("{ty} has more elements than memory could hold"))),
        }
    }

    fn elements(&mut self, dtype: DType, shape: &[usize], at: usize) -> Result<Payload, ParseError> {
        let mut data = Vec::new();
        let mut strings = Vec::new();
        let mut found = 0usize;
        self.separated("}", |p| {
            found += 1;
            if dtype != DType::String {
                return p.element(dtype, &mut data);
            }
            let Some(text) = p.cursor.quoted()? else { return Err(p.cursor.expected("a string")) };
            strings.push(text.into());
            Ok(())
        })?;
        if Some(found) != element_count(shape) {
            return Err(self.cursor.error(at, format!("{dtype}{shape:?} doesn't have {found} elements")));
        }
        Ok(if dtype == DType::String { Payload::Strings(strings) } else { Payload::Raw(data.into()) })
    }

    /// Appends an element to the data.
    fn element(&mut self, dtype: DType, data: &mut Vec<u8>) -> Result<(), ParseError> {
        let before = self.cursor.clone();
        let (word, nan) = self.number()?;
        let float = |nan: Option<u64>| Float::read(word, nan);
        let bytes = match dtype {
            DType::F32 => float(nan).and_then(Float::single).map(|x| x.to_le_bytes().to_vec()),
            DType::F64 => float(nan).map(|x| x.double().to_le_bytes().to_vec()),
            DType::F16 => float(nan).and_then(|x| x.half(half::f16::from_f32)).map(|b| b.to_le_bytes().to_vec()),
            DType::BF16 => float(nan).and_then(|x| x.half(half::bf16::from_f32)).map(|b| b.to_le_bytes().to_vec()),
            DType::I64 => whole(word, i64::to_le_bytes),
            DType::I32 => whole(word, i32::to_le_bytes),
            DType::I16 => whole(word, i16::to_le_bytes),
            DType::I8 => whole(word, i8::to_le_bytes),
            DType::U64 => whole(word, u64::to_le_bytes),
            DType::U32 => whole(word, u32::to_le_bytes),
            DType::U16 => whole(word, u16::to_le_bytes),
            DType::U8 => whole(word, u8::to_le_bytes),
            DType::Bool => word.parse().ok().map(|b: bool| vec![u8::from(b)]),
            _ => None,
        };
        let Some(bytes) = bytes.filter(|_| nan.is_none() || dtype.is_float()) else {
            self.cursor = before;
            return Err(self.cursor.expected(&format!("an element of type {dtype} (or a hash instead of elements)")));
        };
        data.extend(bytes);
        Ok(())
    }
}

fn whole<T: FromStr, const N: usize>(word: &str, bytes: impl Fn(T) -> [u8; N]) -> Option<Vec<u8>> {
    word.parse().ok().map(|x| bytes(x).to_vec())
}

/// A floating-point number in the text: a word, or the bits of an unusual NaN.
#[derive(Clone, Copy)]
pub(super) enum Float<'a> {
    Word(&'a str),
    Bits(u64),
}

impl<'a> Float<'a> {
    pub(super) fn read(word: &'a str, nan: Option<u64>) -> Option<Float<'a>> {
        match nan {
            Some(bits) => Some(Float::Bits(bits)),
            None => word.parse::<f64>().is_ok().then_some(Float::Word(word)),
        }
    }

    pub(super) fn single(self) -> Option<f32> {
        match self {
            Float::Word("nan") => Some(f32::NAN),
            Float::Word(word) => word.parse().ok(),
            Float::Bits(bits) => Some(f32::from_bits(u32::try_from(bits).ok()?)),
        }
    }

    fn double(self) -> f64 {
        match self {
            Float::Word("nan") => f64::NAN,
            Float::Word(word) => word.parse().unwrap_or(f64::NAN),
            Float::Bits(bits) => f64::from_bits(bits),
        }
    }

    /// The bits of a number of 16 bits. Its text is that of the same number in 32 bits.
    fn half<H: Half>(self, from: impl Fn(f32) -> H) -> Option<u16> {
        match self {
            Float::Word("nan") => Some(H::NAN),
            Float::Word(word) => Some(from(word.parse().ok()?).bits()),
            Float::Bits(bits) => u16::try_from(bits).ok(),
        }
    }
}

/// What the two formats of 16 bits have in common here.
trait Half {
    const NAN: u16;
    fn bits(self) -> u16;
}

impl Half for half::f16 {
    const NAN: u16 = half::f16::NAN.to_bits();
    fn bits(self) -> u16 {
        self.to_bits()
    }
}

impl Half for half::bf16 {
    const NAN: u16 = half::bf16::NAN.to_bits();
    fn bits(self) -> u16 {
        self.to_bits()
    }
}
