use super::super::{Length, PbError};
use super::*;
use crate::ir::{DType, Dim};
use image::{Rgb, RgbImage};
use ndarray::{Array1, Array2};
use ndarray_npy::{NpzWriter, write_npy};
use std::fs::{self, File};

fn input(name: &str, dtype: DType, shape: &[Dim]) -> InputSpec {
    InputSpec::new(name, dtype, shape.to_vec())
}

fn n() -> Dim {
    Dim::symbol("n")
}

fn open(path: &Path, inputs: &[InputSpec], options: &Options) -> Result<Samples, FeedError> {
    Samples::open(path.to_str().unwrap(), inputs, options)
}

/// What each feed holds for an input, as numbers.
fn numbers<'a>(feeds: impl Iterator<Item = Result<Feed, FeedError>> + 'a, name: &str) -> Vec<Vec<f64>> {
    feeds.map(|f| f.unwrap().get(name).unwrap().to_f64().unwrap()).collect()
}

/// Five samples of `x` and `labels`.
fn arrays(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("samples.npz");
    let mut npz = NpzWriter::new(File::create(&path).unwrap());
    npz.add_array("x", &Array2::from_shape_fn((5, 1), |(i, _)| i as f32)).unwrap();
    npz.add_array("labels", &Array1::from_vec(vec![10i64, 11, 12, 13, 14])).unwrap();
    npz.finish().unwrap();
    path
}

fn labelled(path: &Path) -> Options {
    Options { labels: Some(Labels { path: path.into(), array: "labels".into() }), ..Options::default() }
}

#[test]
fn samples_can_be_read_again_and_the_last_feed_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = arrays(dir.path());
    let samples = open(&path, &[input("x", DType::F32, &[n(), Dim::Fixed(1)])], &labelled(&path)).unwrap();
    assert_eq!((samples.len(), samples.per_feed(2)), (5, 2));
    for _ in 0..2 {
        assert_eq!(numbers(samples.feeds(2), "x"), [vec![0., 1.], vec![2., 3.], vec![4.]]);
    }
    assert_eq!(numbers(samples.full_feeds(2), "x"), [[0., 1.], [2., 3.]]);
    assert_eq!(numbers(samples.full_feeds(8), "x"), [[0., 1., 2., 3., 4.]]);
    assert_eq!(samples.labels().unwrap().to_i64().unwrap(), [10, 11, 12, 13, 14]);
}

#[test]
fn folds_part_the_samples_with_their_labels() {
    let dir = tempfile::tempdir().unwrap();
    let path = arrays(dir.path());
    let samples = open(&path, &[input("x", DType::F32, &[n(), Dim::Fixed(1)])], &labelled(&path)).unwrap();
    let (rest, held_out) = samples.fold(1, 3);
    assert_eq!(numbers(held_out.feeds(9), "x"), [[1., 4.]]);
    assert_eq!(held_out.labels().unwrap().to_i64().unwrap(), [11, 14]);
    assert_eq!(numbers(rest.feeds(2), "x"), [vec![0., 2.], vec![3.]]);
    let (inner, _) = rest.fold(0, 3);
    assert_eq!(inner.labels().unwrap().to_i64().unwrap(), [12, 13]);
    let (all, none) = samples.fold(3, 3);
    assert!(none.is_empty() && none.full_feeds(2).next().is_none() && all.len() == 5);
}

#[test]
fn a_limit_comes_before_the_fixed_batch() {
    let dir = tempfile::tempdir().unwrap();
    let path = arrays(dir.path());
    let twos = [input("x", DType::F32, &[Dim::Fixed(2), Dim::Fixed(1)])];
    let error = |options: &Options| open(&path, &twos, options).err().unwrap().to_string();
    assert_eq!(error(&Options::default()), "samples are fed 2 at a time, and 5 is not a multiple of that");
    let samples = open(&path, &twos, &Options { limit: Some(4), ..labelled(&path) }).unwrap();
    assert_eq!(numbers(samples.feeds(64), "x"), [[0., 1.], [2., 3.]]);
    let (_, second) = samples.fold(1, 2);
    assert_eq!((second.len(), second.labels().unwrap().to_i64().unwrap()), (2, vec![12, 13]));
    assert!(matches!(open(&path, &twos, &Options { limit: Some(0), ..labelled(&path) }), Err(FeedError::Empty(_))));
}

#[test]
fn a_single_array_is_for_a_single_input() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    write_npy(&path, &Array2::from_elem((3, 2), 1i32)).unwrap();
    let x = input("anything", DType::I64, &[n(), Dim::Fixed(2)]);
    let samples = open(&path, std::slice::from_ref(&x), &Options::default()).unwrap();
    assert_eq!(numbers(samples.feeds(4), "anything"), [[1.0; 6]]);
    let told = open(&path, &[x.clone(), x.clone()], &Options::default()).err().unwrap().to_string();
    assert!(told.contains("give a .npz file"), "{told}");
    let short = dir.path().join("labels.npy");
    write_npy(&short, &Array1::from_vec(vec![1i64])).unwrap();
    let told = open(&path, std::slice::from_ref(&x), &labelled(&short)).err().unwrap().to_string();
    assert_eq!(told, "there are 1 labels for 3 samples");
    let options = Options { preprocess: Some("size=2".into()), ..Options::default() };
    assert!(matches!(open(&path, &[x], &options), Err(FeedError::NoImages(_))));
}

#[test]
fn made_up_samples_do_not_depend_on_how_they_are_batched() {
    let ids = input("ids", DType::I64, &[n(), Dim::symbol("s")]);
    let inputs = [ids.clone(), input("x", DType::F32, &[n(), Dim::Fixed(2)])];
    let samples = Samples::open("random:3", &inputs, &Options { seed: 5, ..Options::default() }).unwrap();
    assert_eq!(samples.len(), 3);
    let one: Vec<f64> = numbers(samples.feeds(1), "x").concat();
    assert_eq!(one, numbers(samples.feeds(2), "x").concat());
    assert_ne!(one[..2], one[2..4]);
    assert_eq!(samples.feeds(3).next().unwrap().unwrap().get("ids").unwrap().shape, [3, 16]);
    // Something else depends on the batch, or its size is given: each feed is drawn as a whole.
    let tied = [ids.clone(), input("y", DType::F32, &[Dim::Fixed(1), n()])];
    let shape = |s: Samples| s.feeds(8).next().unwrap().unwrap().signature()[0].2.clone();
    assert_eq!(shape(Samples::open("random:3", &tied, &Options::default()).unwrap()), [2, 16]);
    let mut sized = ids;
    sized.lengths[0] = Length { size: 4, given: true };
    let samples = Samples::open("random:6", &[sized], &Options::default()).unwrap();
    assert_eq!((samples.len(), shape(samples)), (8, vec![4, 16]));
    for wrong in ["random:0", "random:abc", "random:", "random:-1"] {
        assert!(matches!(Samples::open(wrong, &inputs, &Options::default()), Err(FeedError::Random(_))));
    }
}

/// A `TensorProto` of bytes with these dimensions.
fn write_pb(path: &Path, dims: &[u8], data: &[u8]) {
    let mut bytes: Vec<u8> = dims.iter().flat_map(|&d| [0x08, d]).collect();
    bytes.extend([0x10, 2, 0x4a, data.len() as u8]);
    bytes.extend(data);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn encoded_tensors_are_stacked_where_they_are_single_samples() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    for i in 0..3u8 {
        write_pb(&file(&format!("sets/test_data_set_{i}/input_0.pb")), &[1, 2], &[i, i]);
        write_pb(&file(&format!("flat/input_{i}.pb")), &[2, 2], &[i; 4]);
    }
    let open = |name: &str, first: Dim| {
        open(&file(name), &[input("x", DType::U8, &[first, Dim::Fixed(2)])], &Options::default())
    };
    let stacked = open("sets", n()).unwrap();
    assert_eq!(numbers(stacked.feeds(2), "x"), [vec![0., 0., 1., 1.], vec![2., 2.]]);
    assert_eq!(numbers(open("sets", Dim::Fixed(1)).unwrap().feeds(2), "x").len(), 3);
    let pairs = open("flat", n()).unwrap();
    assert_eq!((pairs.len(), numbers(pairs.feeds(8), "x").len()), (6, 3));
    assert!(matches!(open("flat", Dim::Fixed(4)), Err(FeedError::Pb(PbError::Misfit { .. }))));
    write_pb(&file("sets/test_data_set_1/input_0.pb"), &[1, 1], &[1]);
    let told = open("sets", n()).err().unwrap().to_string();
    assert!(told.contains("test_data_set_1: the array \"x\" has the shape [1, 1]"), "{told}");
}

/// A folder of images in one color each, by path.
fn images(dir: &Path, colors: &[(&str, [u8; 3])]) {
    for (name, color) in colors {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(6, 4, Rgb(*color)).save(path).unwrap();
    }
}

#[test]
fn folders_of_images_are_read_in_order_and_name_the_classes() {
    let dir = tempfile::tempdir().unwrap();
    images(dir.path(), &[("dog/a.png", [2; 3]), ("cat/b.PNG", [1; 3]), ("cat/a.jpg", [0; 3])]);
    fs::write(dir.path().join("labels.csv"), "cat/a.jpg,7\ncat/b.PNG,8\ndog/a.png,9\nelsewhere.png,1\n").unwrap();
    let inputs = [input("x", DType::U8, &[n(), Dim::Fixed(3), Dim::Fixed(2), Dim::Fixed(2)])];
    let samples = open(dir.path(), &inputs, &Options::default()).unwrap();
    assert_eq!(numbers(samples.feeds(2), "x"), [[[0.; 12], [1.; 12]].concat(), vec![2.; 12]]);
    assert_eq!(samples.labels().unwrap().to_i64().unwrap(), [0, 0, 1]);
    let samples = open(dir.path(), &inputs, &labelled(&dir.path().join("labels.csv"))).unwrap();
    assert_eq!(samples.labels().unwrap().to_i64().unwrap(), [7, 8, 9]);
    let threes = [input("x", DType::U8, &[Dim::Fixed(3), Dim::Fixed(3), Dim::Fixed(2), Dim::Fixed(2)])];
    assert_eq!(open(dir.path(), &threes, &Options::default()).unwrap().feeds(1).count(), 1);
    let first = Options { limit: Some(1), ..Options::default() };
    assert_eq!(numbers(open(dir.path(), &inputs, &first).unwrap().feeds(2), "x"), [[0.; 12]]);
    images(dir.path(), &[("top.png", [3; 3])]);
    assert!(open(dir.path(), &inputs, &Options::default()).unwrap().labels().is_none());
}

#[test]
fn folders_that_hold_no_images_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let x = input("x", DType::F32, &[n(), Dim::Fixed(3), Dim::Fixed(2), Dim::Fixed(2)]);
    let told = |inputs: &[InputSpec]| open(dir.path(), inputs, &Options::default()).err().unwrap().to_string();
    assert!(told(std::slice::from_ref(&x)).ends_with("has no PNG or JPEG images"));
    fs::write(dir.path().join("a.png"), "no image").unwrap();
    let samples = open(dir.path(), std::slice::from_ref(&x), &Options::default()).unwrap();
    let error = samples.feeds(1).next().unwrap().unwrap_err().to_string();
    assert!(error.contains("a.png"), "{error}");
    fs::write(dir.path().join("b.webp"), "").unwrap();
    assert!(told(std::slice::from_ref(&x)).contains("only PNG and JPEG images are read"));
    assert!(told(&[x.clone(), x]).contains("one input"));
    assert!(matches!(Samples::open("nothing", &[], &Options::default()), Err(FeedError::Source(_))));
}

/// A recurrence: data, and a state of the same batch on another axis.
fn recurrent() -> [InputSpec; 2] {
    let mut h = input("h", DType::F32, &[Dim::Fixed(1), n(), Dim::Fixed(2)]);
    (h.batch, h.state) = (1, true);
    [input("x", DType::F32, &[n(), Dim::Fixed(1)]), h]
}

#[test]
fn samples_are_counted_along_the_axis_of_each_input() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("states.npz");
    let mut npz = NpzWriter::new(File::create(&path).unwrap());
    npz.add_array("x", &Array2::from_shape_fn((3, 1), |(i, _)| i as f32)).unwrap();
    npz.add_array("h", &ndarray::Array3::from_shape_fn((1, 3, 2), |(_, i, k)| (10 * i + k) as f32)).unwrap();
    npz.finish().unwrap();
    let samples = open(&path, &recurrent(), &Options::default()).unwrap();
    assert_eq!(numbers(samples.feeds(2), "h"), [vec![0., 1., 10., 11.], vec![20., 21.]]);
    assert!(samples.left_out().is_empty());
    // Made-up ones too: what a sample gets does not depend on the batch.
    let made = Samples::open("random:3", &recurrent(), &Options::default()).unwrap();
    let shapes: Vec<_> = made.feeds(2).map(|f| f.unwrap().get("h").unwrap().shape.clone()).collect();
    assert_eq!(shapes, [[1, 2, 2], [1, 1, 2]]);
}

#[test]
fn states_may_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let samples = open(&arrays(dir.path()), &recurrent(), &Options::default()).unwrap();
    assert_eq!(samples.left_out(), ["h"]);
    let feed = samples.feeds(5).next().unwrap().unwrap();
    assert_eq!(feed.signature()[1], ("h".to_owned(), DType::F32, vec![1, 5, 2]));
    assert!(feed.get("h").unwrap().to_f64().unwrap().iter().all(|&x| x == 0.0));
    // What is no state, or may be one by another name, is missed.
    let [x, mut h] = recurrent();
    let missing = |inputs: &[InputSpec]| open(&arrays(dir.path()), inputs, &Options::default()).err().is_some();
    h.name = "y".into();
    h.state = false;
    assert!(missing(&[x.clone(), h]));
    let path = dir.path().join("typo.npz");
    let mut npz = NpzWriter::new(File::create(&path).unwrap());
    npz.add_array("x", &Array2::from_shape_fn((3, 1), |(i, _)| i as f32)).unwrap();
    npz.add_array("h0", &Array1::from_vec(vec![1f32])).unwrap();
    npz.finish().unwrap();
    assert!(open(&path, &recurrent(), &Options::default()).is_err());
}

#[test]
fn samples_of_one_length_go_together() {
    let dir = tempfile::tempdir().unwrap();
    for (i, length) in [2u8, 3, 2, 3, 2].into_iter().enumerate() {
        let data: Vec<u8> = (0..length).map(|k| 10 * i as u8 + k).collect();
        write_pb(&dir.path().join(format!("test_data_set_{i}/input_0.pb")), &[1, length], &data);
    }
    let inputs = [input("x", DType::U8, &[n(), Dim::symbol("s")])];
    let samples = open(dir.path(), &inputs, &Options::default()).unwrap();
    let feeds = numbers(samples.feeds(2), "x");
    assert_eq!(feeds, [vec![0., 1., 20., 21.], vec![40., 41.], vec![10., 11., 12., 30., 31., 32.]]);
    assert_eq!(samples.parts(2), [vec![0, 1], vec![2], vec![3, 4]]);
    assert_eq!(numbers(samples.full_feeds(2), "x").len(), 2);
}
