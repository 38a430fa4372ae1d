//! What a model is fed: random numbers, or samples from files.
//!
//! All samples come through `feed::Samples`, wherever they are from: a source is cut into portions, and makes the feed of
//! any list of them. So a source is a file with one function, and batches, limits and folds (each `k`-th portion is held
//! out) are lists of numbers, the same for all. A portion is one sample, or as many as a model of fixed batch takes.
//! Nothing but arrays is held in memory; a feed is read when it is asked for, and read again by the next iteration. A source
//! says which portions are of one kind (equally long); these go into a feed.

mod arrays;
mod images;
mod labels;
pub(crate) mod made_up;
mod npz;
mod pb;
mod preprocess;
mod source;

pub use arrays::ArrayError;
pub use images::ImageError;
pub use labels::{LabelError, Labels, labels};
pub use npz::NpzError;
pub use pb::PbError;
pub use preprocess::{Preprocess, PreprocessError};
pub use source::{Options, Samples};

use crate::ir::Signature;
use crate::ir::{Atom, DType, Dim, Payload, Tensor};
pub use crate::sizes::Kind;
use crate::sizes::{Start, Values};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// An input: what the model declares of it, and what is fed where there are no samples.
#[derive(Clone, Debug)]
pub struct InputSpec {
    /// The input's name.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The declared dimensions, open ones included.
    pub shape: Vec<Dim>,
    /// How long each axis is in what is made up.
    pub lengths: Vec<Length>,
    /// What made-up tensors are filled with.
    pub values: Values,
    /// What it looks like.
    pub kind: Kind,
    /// The axis that counts samples.
    pub batch: usize,
    /// Whether it is a state that the model returns as well, so that samples may lack it: it begins with zeros.
    pub state: bool,
}

/// How long an axis is in what is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// How many elements along the axis.
    pub size: i64,
    /// Whether the user said so.
    pub given: bool,
}

impl InputSpec {
    /// An input of which nothing but its declaration is known: an open first axis is 2 long in what is made up, others
    /// are 16.
    pub fn new(name: impl Into<String>, dtype: DType, shape: Vec<Dim>) -> InputSpec {
        let (name, first) = (name.into(), Start::RUN.first);
        let length = |axis: usize| Length { size: if axis == 0 { first } else { Start::RUN.other }, given: false };
        let lengths = (0..shape.len()).map(length).collect();
        InputSpec {
            values: Values::of(&name, dtype),
            kind: Kind::Unknown,
            name,
            dtype,
            shape,
            lengths,
            batch: 0,
            state: false,
        }
    }

    /// The shape in words, `x [batch, 3, 64]`.
    pub fn describe(&self) -> String {
        let dims: Vec<String> = self.shape.iter().map(Dim::to_string).collect();
        format!("{} [{}]", self.name, dims.join(", "))
    }
}

/// A tensor for each input, by name.
#[derive(Clone, Debug, Default)]
pub struct Feed(Vec<(String, Tensor)>);

/// Why a feed can't be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum FeedError {
    #[error("the input {0:?} has elements of type {1}, for which no random samples can be made")]
    ElementType(String, DType),
    #[error("the dimension {dim} of the input {name:?} has no valid size")]
    Size { name: String, dim: Dim },
    #[error("the input {name:?} would have {count} elements; no more than {most} are made up, so give smaller sizes")]
    Large { name: String, count: String, most: usize },
    #[error("{0}: neither a .npz or .npy file, nor a folder of images or tensors, nor random:N")]
    Source(String),
    #[error("{0:?}: give a number of samples, such as random:64")]
    Random(String),
    #[error("{0} has no samples")]
    Empty(String),
    #[error("samples are fed {portion} at a time, and {samples} is not a multiple of that")]
    Portion { portion: usize, samples: usize },
    #[error("there are {labels} labels for {samples} samples")]
    Labels { labels: usize, samples: usize },
    #[error("{0} is not a folder of images, so there is nothing to preprocess")]
    NoImages(String),
    #[error(transparent)]
    Npz(#[from] NpzError),
    #[error(transparent)]
    Array(#[from] ArrayError),
    #[error(transparent)]
    Pb(#[from] PbError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error(transparent)]
    Label(#[from] LabelError),
}

/// How long the open dimensions are taken to be.
#[derive(Clone, Debug, Default)]
pub struct Sizes(BTreeMap<Atom, i64>);

impl Sizes {
    /// A size for every symbol and unknown in the inputs, the same wherever it occurs: the length that its axis is said
    /// to have, where it is met first alone.
    pub fn assume(inputs: &[InputSpec]) -> Sizes {
        let mut sizes = Sizes::default();
        let axes = || inputs.iter().flat_map(|i| i.shape.iter().zip(&i.lengths));
        axes().filter(|(d, _)| d.as_atom().is_some()).for_each(|(d, length)| sizes.learn(d, length.size));
        for input in inputs {
            let start = |axis: usize| if axis == 0 { Start::RUN.first } else { Start::RUN.other };
            input.shape.iter().enumerate().for_each(|(axis, d)| sizes.learn(d, start(axis)));
        }
        sizes
    }

    /// The same, but with this size for a symbol.
    pub fn with(mut self, symbol: &str, size: i64) -> Sizes {
        self.0.insert(Atom::Symbol(symbol.into()), size);
        self
    }

    fn learn(&mut self, dim: &Dim, size: i64) {
        for atom in dim.terms().into_iter().flat_map(|(_, factors)| factors) {
            match &atom {
                Atom::Floor(n, d) => {
                    self.learn(n, size);
                    self.learn(d, size);
                }
                Atom::Symbol(_) | Atom::Unknown(_) | Atom::Large(_) => _ = self.0.entry(atom).or_insert(size),
            }
        }
    }

    /// The size of a dimension, if all its symbols have one.
    pub fn of(&self, dim: &Dim) -> Option<usize> {
        dim.eval(&|atom| self.0.get(atom).copied()).and_then(|n| usize::try_from(n).ok())
    }
}

impl Feed {
    /// A feed of these tensors.
    pub fn new(tensors: Vec<(String, Tensor)>) -> Feed {
        Feed(tensors)
    }

    /// The same with other numbers for the input of this name; `None` where its tensor can't hold them.
    pub(crate) fn with(&self, name: &str, numbers: &[f64]) -> Option<Feed> {
        let mut other = self.clone();
        for (_, tensor) in other.0.iter_mut().filter(|(n, _)| n == name) {
            *tensor = Tensor::from_f64(tensor.dtype, tensor.shape.clone(), numbers)?;
        }
        Some(other)
    }

    /// Random numbers in the sizes that [`Sizes::assume`] gives.
    pub fn random(inputs: &[InputSpec], seed: u64) -> Result<Feed, FeedError> {
        Feed::random_sized(inputs, &Sizes::assume(inputs), seed)
    }

    /// Random numbers of the kind that each input asks for ([`InputSpec::values`]). One seed, one feed, and what an input
    /// gets depends on nothing but the seed and its position.
    pub fn random_sized(inputs: &[InputSpec], sizes: &Sizes, seed: u64) -> Result<Feed, FeedError> {
        let mut tensors = Vec::with_capacity(inputs.len());
        for (stream, input) in inputs.iter().enumerate() {
            let size =
                |dim: &Dim| sizes.of(dim).ok_or_else(|| FeedError::Size { name: input.name.clone(), dim: dim.clone() });
            let shape = input.shape.iter().map(size).collect::<Result<Vec<usize>, FeedError>>()?;
            let count = counted(&input.name, &shape)?;
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(stream as u64);
            let values: Vec<f64> = match input.values {
                Values::Just(n) => vec![n as f64; count],
                Values::Normal => (0..count).map(|_| normal(&mut rng)).collect(),
                Values::Between(low, high) => {
                    let span = high.abs_diff(low).saturating_add(1);
                    (0..count).map(|_| (low + (rng.next_u64() % span) as i64) as f64).collect()
                }
            };
            let tensor = Tensor::from_f64(input.dtype, shape, &values);
            let tensor = tensor.ok_or_else(|| FeedError::ElementType(input.name.clone(), input.dtype))?;
            tensors.push((input.name.clone(), tensor));
        }
        Ok(Feed(tensors))
    }

    /// Samples from a `.npz` file in feeds of `batch` samples, all in one without it; see [`Samples::open`].
    pub fn from_npz(
        path: &std::path::Path,
        inputs: &[InputSpec],
        batch: Option<usize>,
    ) -> Result<Vec<Feed>, FeedError> {
        let samples = Samples::open(&path.to_string_lossy(), inputs, &Options::default())?;
        samples.feeds(batch.unwrap_or(usize::MAX)).collect()
    }

    /// The data sets of a folder in the layout of ONNX's backend tests: `test_data_set_0/input_0.pb` and so on, or
    /// the files of one data set in the folder itself. A file's tensor is for the input that it names, or for the
    /// one at its number.
    pub fn from_pb(dir: &std::path::Path, inputs: &[InputSpec]) -> Result<Vec<Feed>, FeedError> {
        Ok(pb::feeds(dir, inputs)?)
    }

    /// The tensor for an input.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, tensor)| tensor)
    }

    /// The names of the inputs.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Inputs and their tensors.
    pub fn iter(&self) -> impl Iterator<Item = &(String, Tensor)> {
        self.0.iter()
    }

    /// What a runner must be made for to run this feed.
    pub fn signature(&self) -> Vec<Signature> {
        self.0.iter().map(|(name, t)| (name.clone(), t.dtype, t.shape.clone())).collect()
    }
}

/// No input that is made up has more elements than this.
const MOST_ELEMENTS: usize = 1 << 26;

/// How many elements an input of a shape has.
fn counted(name: &str, shape: &[usize]) -> Result<usize, FeedError> {
    let count = shape.iter().map(|&n| n as u128).fold(1, u128::saturating_mul);
    match usize::try_from(count) {
        Ok(count) if count <= MOST_ELEMENTS => Ok(count),
        _ => Err(FeedError::Large { name: name.to_owned(), count: count.to_string(), most: MOST_ELEMENTS }),
    }
}

/// The feeds one after the other along the axis of each input that counts samples. They have the inputs in this order,
/// and the same shapes but for that axis.
fn stack(mut feeds: Vec<Feed>, inputs: &[InputSpec]) -> Feed {
    if feeds.len() < 2 {
        return feeds.pop().unwrap_or_default();
    }
    let column = |at: usize| {
        let parts: Vec<&Tensor> = feeds.iter().map(|f| &f.0[at].1).collect();
        (feeds[0].0[at].0.clone(), joined(&parts, inputs.get(at).map_or(0, |i| i.batch)))
    };
    Feed((0..feeds[0].0.len()).map(column).collect())
}

/// Tensors of whole bytes one after the other along an axis; the first one where it has no such axis.
fn joined(parts: &[&Tensor], axis: usize) -> Tensor {
    let mut whole = parts[0].clone();
    if axis >= whole.shape.len() {
        return whole;
    }
    whole.shape[axis] = parts.iter().map(|t| t.shape[axis]).sum();
    let blocks: usize = whole.shape[..axis].iter().product();
    let mut data = Vec::new();
    for block in 0..blocks {
        for bytes in parts.iter().filter_map(|t| t.raw().ok()) {
            let length = bytes.len() / blocks;
            data.extend_from_slice(&bytes[block * length..(block + 1) * length]);
        }
    }
    whole.payload = Payload::Raw(data.into());
    whole
}

/// A number from 0 up to 1.
pub(crate) fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A number from the standard normal distribution (Box and Muller).
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v) = (1.0 - uniform(rng), uniform(rng));
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, dtype: DType, shape: Vec<Dim>) -> InputSpec {
        InputSpec::new(name, dtype, shape)
    }

    #[test]
    fn open_dimensions_get_one_size_everywhere() {
        let (b, s) = (Dim::symbol("batch"), Dim::symbol("seq"));
        let inputs = [
            spec("ids", DType::I64, vec![b.clone(), s.clone()]),
            spec("Attention_Mask", DType::I64, vec![b.clone(), s.clone() * Dim::Fixed(2)]),
            spec("x", DType::F32, vec![s, b]),
        ];
        let feed = Feed::random(&inputs, 1).unwrap();
        let shapes: Vec<_> = feed.iter().map(|(_, t)| t.shape.clone()).collect();
        assert_eq!(shapes, [[2, 16], [2, 32], [16, 2]]);
        assert!(feed.get("ids").unwrap().to_i64().unwrap().iter().all(|n| (3..100).contains(n)));
        assert!(feed.get("Attention_Mask").unwrap().to_i64().unwrap().iter().all(|&n| n == 1));
        let one = Feed::random_sized(&inputs, &Sizes::assume(&inputs).with("batch", 1), 1).unwrap();
        assert_eq!(one.signature()[2], ("x".to_owned(), DType::F32, vec![16, 1]));
    }

    #[test]
    fn floats_are_standard_normal_and_seeded() {
        let inputs = [spec("x", DType::F64, vec![Dim::Fixed(10_000)])];
        let draw = |seed| Feed::random(&inputs, seed).unwrap().get("x").unwrap().to_f64().unwrap();
        let x = draw(7);
        let mean = x.iter().sum::<f64>() / 1e4;
        let variance = x.iter().map(|v| v * v).sum::<f64>() / 1e4;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        assert_eq!(x, draw(7));
        assert_ne!(x, draw(8));
    }

    #[test]
    fn what_has_no_numbers_is_refused() {
        let strings = [spec("s", DType::String, vec![])];
        assert!(matches!(Feed::random(&strings, 0), Err(FeedError::ElementType(..))));
        let negative = [spec("x", DType::F32, vec![Dim::symbol("n") - Dim::Fixed(5)])];
        assert!(matches!(Feed::random(&negative, 0), Err(FeedError::Size { .. })));
        let large = [spec("x", DType::F32, vec![Dim::symbol("n"), Dim::Fixed(i64::MAX), Dim::Fixed(i64::MAX)])];
        let told = Feed::random(&large, 0).unwrap_err().to_string();
        assert!(told.starts_with("the input \"x\" would have") && told.ends_with("give smaller sizes"), "{told}");
    }
}
