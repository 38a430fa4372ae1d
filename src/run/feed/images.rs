//! Samples from a folder of images, decoded when they are asked for.

use super::preprocess::Preprocess;
use super::source::{Opened, Options, Source, Together};
use super::{Feed, FeedError, InputSpec, labels};
use crate::ir::{DType, Tensor};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a folder holds no images for a model.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum ImageError {
    #[error("{}: {cause}", path.display())]
    Io { path: PathBuf, cause: io::Error },
    #[error("{}: {cause}", path.display())]
    Decode { path: PathBuf, cause: image::ImageError },
    #[error("{} has no PNG or JPEG images", .0.display())]
    Empty(PathBuf),
    #[error("{}: only PNG and JPEG images are read", .0.display())]
    Kind(PathBuf),
    #[error("{}: {width}x{height} pixels are too many once the shorter side is resized", path.display())]
    Long { path: PathBuf, width: u32, height: u32 },
    #[error("images can only be fed to a model of one input; this one has {0:?}")]
    Inputs(Vec<String>),
    #[error("the input {0:?} has elements of type {1}, which images can't be converted to")]
    ElementType(String, DType),
}

/// Endings of files that are images, but of no kind that is read.
const OTHER_IMAGES: [&str; 6] = ["bmp", "gif", "tif", "tiff", "webp", "avif"];

/// Opens a folder. Without other labels the sub-folders are the classes, numbered in the order of their names.
pub(super) fn open(dir: &Path, inputs: &[InputSpec], options: &Options) -> Result<Opened, FeedError> {
    let [input] = inputs else {
        return Err(ImageError::Inputs(inputs.iter().map(|i| i.name.clone()).collect()).into());
    };
    let preprocess = Preprocess::of(input, options.preprocess.as_deref().unwrap_or_default())?;
    if Tensor::from_f64(input.dtype, vec![0], &[]).is_none() || input.dtype == DType::Bool {
        return Err(ImageError::ElementType(input.name.clone(), input.dtype).into());
    }
    let mut files = vec![];
    walk(dir, &mut files)?;
    files.sort();
    if files.is_empty() {
        return Err(ImageError::Empty(dir.into()).into());
    }
    let names: Vec<String> = files.iter().map(|f| name(dir, f)).collect();
    let labels = match &options.labels {
        Some(labels) => Some(labels::of_images(labels, &names)?),
        None => classes(&names),
    };
    let together = input.shape[0].size().map_or(Together::Any, |n| Together::Just(n.max(1)));
    let samples = files.len();
    let source = Images { name: input.name.clone(), dtype: input.dtype, files, preprocess, together };
    Ok(Opened { source: Arc::new(source), samples, together, labels, left_out: vec![] })
}

struct Images {
    name: String,
    dtype: DType,
    files: Vec<PathBuf>,
    preprocess: Preprocess,
    together: Together,
}

impl Source for Images {
    fn feed(&self, portions: &[usize]) -> Result<Feed, FeedError> {
        let n = self.together.portion();
        let mut numbers = vec![];
        for at in portions.iter().flat_map(|p| p * n..(p + 1) * n) {
            let path = &self.files[at];
            let image = decode(path)?;
            let (width, height) = image.dimensions();
            let added = self.preprocess.add(&image, &mut numbers);
            added.ok_or_else(|| ImageError::Long { path: path.clone(), width, height })?;
        }
        let shape = self.preprocess.shape(portions.len() * n);
        let tensor = Tensor::from_f64(self.dtype, shape, &numbers);
        let tensor = tensor.ok_or_else(|| ImageError::ElementType(self.name.clone(), self.dtype))?;
        Ok(Feed::new(vec![(self.name.clone(), tensor)]))
    }
}

fn decode(path: &Path) -> Result<image::RgbImage, ImageError> {
    let failed = |cause| ImageError::Io { path: path.into(), cause };
    // What the file holds counts, not what it is called.
    let reader = image::ImageReader::open(path).and_then(|r| r.with_guessed_format()).map_err(failed)?;
    let image = reader.decode().map_err(|cause| ImageError::Decode { path: path.into(), cause })?;
    Ok(image.to_rgb8())
}

/// Collects the images in a folder and the folders in it. Links to folders are not followed.
fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), ImageError> {
    let failed = |cause| ImageError::Io { path: dir.into(), cause };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(&path, files)?;
            continue;
        }
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("png" | "jpg" | "jpeg") => files.push(path),
            Some(other) if OTHER_IMAGES.contains(&other) => return Err(ImageError::Kind(path)),
            _ => {}
        }
    }
    Ok(())
}

/// A file's path in its folder, with slashes.
fn name(dir: &Path, file: &Path) -> String {
    let parts = file.strip_prefix(dir).unwrap_or(file).components();
    parts.map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Classes by sub-folder, if every image lies in one.
fn classes(names: &[String]) -> Option<Tensor> {
    let folders: Vec<&str> = names.iter().map(|n| n.split_once('/').map(|(f, _)| f)).collect::<Option<_>>()?;
    let all: Vec<&str> = folders.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let labels: Vec<i64> = folders.iter().filter_map(|f| all.binary_search(f).ok()).map(|at| at as i64).collect();
    Some(Tensor::from_i64(vec![labels.len()], &labels))
}
