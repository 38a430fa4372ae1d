use super::super::{LabelError, NpzError, labels};
use super::*;
use ndarray::{Array, Array1, Array2};
use ndarray_npy::NpzWriter;
use std::fs::File;
use std::path::PathBuf;

fn input(name: &str, dtype: DType, shape: Vec<Dim>) -> InputSpec {
    InputSpec::new(name, dtype, shape)
}

/// A file with 5 samples of `x` (f64, 3 each), of `ids` (i32) and a table that is none.
fn file(dir: &Path) -> PathBuf {
    let path = dir.join("samples.npz");
    let mut npz = NpzWriter::new_compressed(File::create(&path).unwrap());
    npz.add_array("x", &Array::from_shape_fn((5, 3), |(i, j)| (i * 3 + j) as f64)).unwrap();
    npz.add_array("ids", &Array2::from_elem((5, 2), 7i32)).unwrap();
    npz.add_array("table", &Array1::from_vec(vec![1u8, 2])).unwrap();
    npz.add_array("labels", &Array1::from_vec(vec![3u8, 1, 4, 1, 5])).unwrap();
    npz.finish().unwrap();
    path
}

#[test]
fn samples_are_split_into_batches() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let n = Dim::symbol("n");
    let inputs = [
        input("x", DType::F32, vec![n.clone(), Dim::Fixed(3)]),
        input("ids", DType::I64, vec![n, Dim::symbol("seq")]),
        input("table", DType::F32, vec![Dim::Fixed(2)]),
    ];
    let feeds = Feed::from_npz(&path, &inputs, Some(2)).unwrap();
    let shapes: Vec<_> = feeds.iter().map(|f| f.get("x").unwrap().shape[0]).collect();
    assert_eq!(shapes, [2, 2, 1]);
    assert_eq!(feeds[1].get("x").unwrap().to_f64().unwrap(), [6., 7., 8., 9., 10., 11.]);
    assert_eq!(feeds[2].get("ids").unwrap().to_i64().unwrap(), [7, 7]);
    assert_eq!(feeds[2].get("table").unwrap().to_f64().unwrap(), [1., 2.]);
    assert_eq!(Feed::from_npz(&path, &inputs, None).unwrap().len(), 1);
}

#[test]
fn a_fixed_batch_divides_the_samples() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let feeds = |k: i64| Feed::from_npz(&path, &[input("x", DType::F64, vec![k.into(), Dim::Fixed(3)])], Some(4));
    assert_eq!(feeds(1).unwrap().len(), 5);
    assert_eq!(feeds(5).unwrap().len(), 1);
    let error = feeds(2).unwrap_err().to_string();
    assert_eq!(error, "samples are fed 2 at a time, and 5 is not a multiple of that");
}

#[test]
fn what_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let n = || Dim::symbol("n");
    let error = |inputs: &[InputSpec]| Feed::from_npz(&path, inputs, None).unwrap_err().to_string();
    let missing = error(&[input("y", DType::F32, vec![n()])]);
    assert!(missing.ends_with("has no array \"y\"; it has [\"x\", \"ids\", \"table\", \"labels\"]"), "{missing}");
    let shape = error(&[input("x", DType::F32, vec![n(), Dim::Fixed(4)])]);
    assert_eq!(shape, "the array \"x\" has the shape [5, 3], but the input is [n, 4]");
    let dtype = error(&[input("x", DType::I64, vec![n(), Dim::Fixed(3)])]);
    assert_eq!(dtype, "the array \"x\" has elements of type f64, which can't be read as i64");
    let rank = error(&[input("x", DType::F32, vec![n()])]);
    assert_eq!(rank, "the array \"x\" has the shape [5, 3], but the input is [n]");
    let symbol =
        [input("x", DType::F32, vec![n(), Dim::symbol("s")]), input("ids", DType::I32, vec![n(), Dim::symbol("s")])];
    assert_eq!(error(&symbol), "the array \"ids\" makes s 2, but another one makes it 3");
    let table = [input("x", DType::F32, vec![n(), Dim::Fixed(3)]), input("table", DType::U8, vec![n()])];
    assert_eq!(error(&table), "the array \"table\" has 2 samples, but \"x\" has 5");
    let garbage = dir.path().join("garbage.npz");
    std::fs::write(&garbage, b"no zip").unwrap();
    assert!(matches!(labels(&garbage), Err(LabelError::Npz(NpzError::Read { .. }))));
    assert!(matches!(labels(&dir.path().join("none.npz")), Err(LabelError::Npz(NpzError::Open { .. }))));
    assert_eq!(labels(&path).unwrap(), [3, 1, 4, 1, 5]);
    let (by_two, by_five) = ([Dim::Fixed(2), Dim::Fixed(3)], [Dim::Fixed(1), Dim::Fixed(2)]);
    let batches = [input("x", DType::F32, by_two.to_vec()), input("ids", DType::I32, by_five.to_vec())];
    assert_eq!(error(&batches), "the input \"ids\" takes 1 samples at a time, but \"x\" takes 2");
}
