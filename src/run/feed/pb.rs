//! Samples from folders of encoded tensors, in the layout of ONNX's backend tests:
//!
//! ```text
//! test_data_set_0/input_0.pb  test_data_set_0/input_1.pb  test_data_set_1/input_0.pb  …
//! ```

use super::arrays::{self, ArrayError, Serves, Symbols};
use super::source::{Opened, Source, Together};
use super::{Feed, FeedError, InputSpec, stack};
use crate::ir::{DType, Payload, Tensor};
use crate::load::{LoadError, tensor_from_bytes};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a folder holds no samples for a model.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum PbError {
    #[error("{}: {cause}", path.display())]
    Io { path: PathBuf, cause: io::Error },
    #[error("{}: {cause}", path.display())]
    Load { path: PathBuf, cause: LoadError },
    #[error("{} has neither folders test_data_set_0, … nor files input_0.pb, …", .0.display())]
    Empty(PathBuf),
    #[error("{} has nothing for the input {name:?}", dir.display())]
    Missing { dir: PathBuf, name: String },
    #[error("{} is {found}, but the input {name:?} is {expected}", path.display())]
    ElementType { path: PathBuf, name: String, expected: DType, found: DType },
    #[error("{}: {cause}", dir.display())]
    Misfit { dir: PathBuf, cause: ArrayError },
    #[error("{} has another number of samples than {}", dir.display(), first.display())]
    Ragged { dir: PathBuf, first: PathBuf },
}

/// See [`Feed::from_pb`].
pub(super) fn feeds(dir: &Path, inputs: &[InputSpec]) -> Result<Vec<Feed>, PbError> {
    sets(dir)?.iter().map(|set| feed(set, inputs)).collect()
}

/// Whether a folder holds encoded tensors.
pub(super) fn is_layout(dir: &Path) -> Result<bool, PbError> {
    Ok(!paths(dir, "test_data_set_", "")?.is_empty() || !paths(dir, "input_", ".pb")?.is_empty())
}

/// Opens a folder as samples. A set is a feed; where all sets are single samples of an open batch, any number of them
/// can go into one.
pub(super) fn open(dir: &Path, inputs: &[InputSpec], limit: Option<usize>) -> Result<Opened, FeedError> {
    let mut sets = sets(dir)?;
    // Files in the folder itself are the inputs of one sample, or samples of the one input.
    if inputs.len() == 1 && sets[0].dir == dir {
        sets = sets.into_iter().flat_map(Set::singles).collect();
    }
    let first = feed(&sets[0], inputs)?;
    let rows = |feed: &Feed| {
        let mut counts = inputs.iter().filter_map(|i| feed.get(&i.name)?.shape.get(i.batch).copied());
        counts.next().unwrap_or(1)
    };
    let per_set = rows(&first);
    let (mut kinds, mut signatures) = (vec![], BTreeMap::<Vec<Vec<usize>>, usize>::new());
    let mut together = Together::Any;
    // What is beyond the limit is not read.
    let wanted = limit.map_or(sets.len(), |n| n.div_ceil(per_set.max(1)).clamp(1, sets.len()));
    for set in &sets[..wanted] {
        let feed = feed(set, inputs)?;
        let mut symbols = Symbols::default();
        for (input, (_, tensor)) in inputs.iter().zip(feed.iter()) {
            let misfit = |cause| PbError::Misfit { dir: set.dir.clone(), cause };
            let serves = arrays::serves(input, tensor, &mut symbols).map_err(misfit)?;
            if matches!(serves, Serves::By(_)) {
                return Err(misfit(ArrayError::misfit(input, tensor)).into());
            }
            let is_one = tensor.shape.get(input.batch).is_none_or(|&n| n == 1);
            let single = serves == Serves::Free && is_one && matches!(tensor.payload, Payload::Raw(_));
            // A scalar is the same for all.
            if !(single || tensor.shape.is_empty()) || tensor.dtype.bits() < 8 {
                together = Together::Just(per_set);
            }
        }
        if rows(&feed) != per_set {
            return Err(PbError::Ragged { dir: set.dir.clone(), first: sets[0].dir.clone() }.into());
        }
        let shapes = feed.iter().map(|(_, t)| t.shape.clone()).collect();
        let next = signatures.len();
        kinds.push(*signatures.entry(shapes).or_insert(next));
    }
    let samples = sets.len() * per_set;
    let left_out = inputs.iter().filter(|i| i.state && lacks(&sets[0], inputs, i)).map(|i| i.name.clone()).collect();
    let source = Folder { inputs: inputs.to_vec(), kinds, sets };
    Ok(Opened { source: Arc::new(source), samples, together, labels: None, left_out })
}

struct Folder {
    inputs: Vec<InputSpec>,
    /// A number for each set, the same for those of the same shapes.
    kinds: Vec<usize>,
    sets: Vec<Set>,
}

impl Source for Folder {
    fn feed(&self, portions: &[usize]) -> Result<Feed, FeedError> {
        let one = |&p: &usize| feed(&self.sets[p], &self.inputs);
        Ok(stack(portions.iter().map(one).collect::<Result<_, _>>()?, &self.inputs))
    }

    fn kind(&self, portion: usize) -> usize {
        self.kinds[portion]
    }
}

/// The tensors of one feed: files with their numbers.
struct Set {
    /// For messages: the folder, or the one file.
    dir: PathBuf,
    files: Vec<(usize, PathBuf)>,
}

impl Set {
    /// A set for each file, if there are several.
    fn singles(self) -> Vec<Set> {
        match self.files.len() {
            0 | 1 => vec![self],
            _ => self.files.into_iter().map(|(_, path)| Set { dir: path.clone(), files: vec![(0, path)] }).collect(),
        }
    }
}

/// The sets in a folder: its sub-folders, or itself.
fn sets(dir: &Path) -> Result<Vec<Set>, PbError> {
    let set = |dir: PathBuf| Ok(Set { files: paths(&dir, "input_", ".pb")?, dir });
    let folders = paths(dir, "test_data_set_", "")?;
    if !folders.is_empty() {
        return folders.into_iter().map(|(_, folder)| set(folder)).collect();
    }
    Ok(vec![set(dir.to_owned())?])
}

/// A file `input_<number>.pb`.
struct PbFile {
    number: usize,
    path: PathBuf,
    /// The tensor's own name; may be empty.
    name: String,
    tensor: Tensor,
}

fn read((number, path): &(usize, PathBuf)) -> Result<PbFile, PbError> {
    let bytes = std::fs::read(path).map_err(|cause| PbError::Io { path: path.clone(), cause })?;
    let (name, tensor) =
        tensor_from_bytes(bytes.into()).map_err(|cause| PbError::Load { path: path.clone(), cause })?;
    Ok(PbFile { number: *number, path: path.clone(), name, tensor })
}

/// Whether a set of fewer files than inputs has none for this one.
fn lacks(set: &Set, inputs: &[InputSpec], input: &InputSpec) -> bool {
    let at = inputs.iter().position(|i| i.name == input.name);
    set.files.len() < inputs.len() && at.is_some_and(|at| !set.files.iter().any(|(number, _)| *number == at))
}

/// The feed of a set; states that it lacks are zeros.
fn feed(set: &Set, inputs: &[InputSpec]) -> Result<Feed, PbError> {
    let (lacking, there): (Vec<&InputSpec>, Vec<&InputSpec>) =
        inputs.iter().partition(|i| i.state && lacks(set, inputs, i));
    if lacking.is_empty() || there.is_empty() {
        return whole_feed(set, inputs, &inputs.iter().collect::<Vec<_>>());
    }
    let given = whole_feed(set, inputs, &there)?;
    let mut symbols = Symbols::default();
    let misfit = |cause| PbError::Misfit { dir: set.dir.clone(), cause };
    for (input, (_, tensor)) in there.iter().zip(given.iter()) {
        arrays::serves(input, tensor, &mut symbols).map_err(misfit)?;
    }
    let samples = there.iter().find_map(|i| given.get(&i.name)?.shape.get(i.batch).copied()).unwrap_or(1);
    let tensor = |input: &InputSpec| {
        if let Some(tensor) = given.get(&input.name) {
            return Ok((input.name.clone(), tensor.clone()));
        }
        let shape = arrays::zeros_of(input, samples, &|dim| symbols.of(dim));
        let zeros = Tensor::from_f64(input.dtype, shape.clone(), &vec![0.0; shape.iter().product()]);
        Ok((input.name.clone(), zeros.ok_or_else(|| misfit(ArrayError::State(input.name.clone())))?))
    };
    Ok(Feed::new(inputs.iter().map(tensor).collect::<Result<_, _>>()?))
}

/// The tensors for some of the inputs.
fn whole_feed(set: &Set, inputs: &[InputSpec], wanted: &[&InputSpec]) -> Result<Feed, PbError> {
    if set.files.is_empty() && !inputs.is_empty() {
        return Err(PbError::Empty(set.dir.clone()));
    }
    let files: Vec<PbFile> = set.files.iter().map(read).collect::<Result<_, _>>()?;
    let is_input = |name: &str| inputs.iter().any(|i| i.name == name);
    let tensor = |(at, input): (usize, &InputSpec)| {
        let named = files.iter().find(|f| f.name == input.name);
        let file = named.or_else(|| files.iter().find(|f| f.number == at && !is_input(&f.name)));
        let missing = || PbError::Missing { dir: set.dir.clone(), name: input.name.clone() };
        let PbFile { path, tensor, .. } = file.ok_or_else(missing)?;
        if tensor.dtype != input.dtype {
            let (path, name) = (path.clone(), input.name.clone());
            return Err(PbError::ElementType { path, name, expected: input.dtype, found: tensor.dtype });
        }
        Ok((input.name.clone(), tensor.clone()))
    };
    let wanted = inputs.iter().enumerate().filter(|(_, i)| wanted.iter().any(|w| w.name == i.name));
    Ok(Feed::new(wanted.map(tensor).collect::<Result<_, _>>()?))
}

/// What a folder holds that is called `<start><number><end>`, by number.
fn paths(dir: &Path, start: &str, end: &str) -> Result<Vec<(usize, PathBuf)>, PbError> {
    let failed = |cause| PbError::Io { path: dir.to_owned(), cause };
    let mut found: Vec<(usize, PathBuf)> = vec![];
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let number = path.file_name().and_then(|n| n.to_str()?.strip_prefix(start)?.strip_suffix(end)?.parse().ok());
        found.extend(number.map(|n| (n, path)));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Dim;

    /// A one-dimensional `TensorProto` of bytes: dims, data_type, name, raw_data.
    fn write(path: &Path, name: &str, data: &[u8]) {
        let mut bytes = vec![0x08, data.len() as u8, 0x10, 2, 0x42, name.len() as u8];
        bytes.extend(name.bytes());
        bytes.extend([0x4a, data.len() as u8]);
        bytes.extend(data);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn input(name: &str, dtype: DType) -> InputSpec {
        InputSpec::new(name, dtype, vec![Dim::symbol("n")])
    }

    #[test]
    fn a_file_is_for_the_input_it_names_or_else_for_that_of_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let set = |i: u32, file: &str| dir.path().join(format!("test_data_set_{i}")).join(file);
        for (i, names) in [["b", "a"], ["", "other"]].into_iter().enumerate() {
            write(&set(i as u32, "input_0.pb"), names[0], &[1]);
            write(&set(i as u32, "input_1.pb"), names[1], &[2, 3]);
        }
        let inputs = [input("a", DType::U8), input("b", DType::U8)];
        let feeds = Feed::from_pb(dir.path(), &inputs).unwrap();
        let a: Vec<_> = feeds.iter().map(|f| f.get("a").unwrap().raw().unwrap().to_vec()).collect();
        assert_eq!(a, [vec![2, 3], vec![1]]);
        let one = Feed::from_pb(set(1, "").as_path(), &inputs).unwrap();
        assert_eq!(one[0].get("b").unwrap().shape, [2]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = |inputs: &[InputSpec]| {
            let error = Feed::from_pb(dir.path(), inputs).unwrap_err().to_string();
            error.replace(dir.path().to_str().unwrap(), "DIR")
        };
        let a = input("a", DType::U8);
        let nothing = "DIR has neither folders test_data_set_0, … nor files input_0.pb, …";
        assert_eq!(told(std::slice::from_ref(&a)), nothing);
        write(&dir.path().join("input_0.pb"), "", &[1]);
        assert_eq!(told(&[a, input("b", DType::U8)]), "DIR has nothing for the input \"b\"");
        assert_eq!(told(&[input("a", DType::F32)]), "DIR/input_0.pb is u8, but the input \"a\" is f32");
        std::fs::write(dir.path().join("input_0.pb"), [0x4a, 9]).unwrap();
        let cut =
            "DIR/input_0.pb: not an encoded tensor: at byte 0 a field says that it has 9 bytes, but only 0 are left";
        assert_eq!(told(&[input("a", DType::U8)]), cut);
    }
}
