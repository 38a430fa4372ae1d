//! What samples should come out as.

use super::npz::{self, Archive, NpzError};
use crate::ir::{DType, Tensor};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Where labels stand.
#[derive(Clone, Debug)]
pub struct Labels {
    /// A `.npy`, `.npz` or `.csv` file.
    pub path: PathBuf,
    /// The array's name in a `.npz` file.
    pub array: String,
}

/// Why labels can't be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum LabelError {
    #[error(transparent)]
    Npz(#[from] NpzError),
    #[error("{}: {cause}", path.display())]
    Io { path: PathBuf, cause: std::io::Error },
    #[error("labels are integers, but {0} has elements of type {1}")]
    ElementType(PathBuf, DType),
    #[error("{}, line {line}: {text:?} is not a label (an integer)", path.display())]
    Line { path: PathBuf, line: usize, text: String },
    #[error("{} names files, but the samples are not a folder of images", .0.display())]
    Files(PathBuf),
    #[error("{} has no label for the image {image:?}", path.display())]
    Missing { path: PathBuf, image: String },
    #[error("{} is neither a .npy, .npz nor .csv file", .0.display())]
    Kind(PathBuf),
}

/// The labels of samples in order: a tensor whose first axis counts samples.
pub(super) fn read(labels: &Labels) -> Result<Tensor, LabelError> {
    match table(labels)? {
        Table::Rows(tensor) => Ok(tensor),
        Table::Files(_) => Err(LabelError::Files(labels.path.clone())),
    }
}

/// The labels of images, named by their paths in their folder.
pub(super) fn of_images(labels: &Labels, images: &[String]) -> Result<Tensor, LabelError> {
    let files = match table(labels)? {
        Table::Rows(tensor) => return Ok(tensor),
        Table::Files(files) => files,
    };
    let missing = |image: &String| LabelError::Missing { path: labels.path.clone(), image: image.clone() };
    let found: Result<Vec<i64>, _> = images.iter().map(|i| files.get(i).copied().ok_or_else(|| missing(i))).collect();
    Ok(Tensor::from_i64(vec![images.len()], &found?))
}

/// Integer labels, one a sample: the array `labels` of a `.npz` file, a `.npy` or a `.csv` file.
pub fn labels(path: &Path) -> Result<Vec<i64>, LabelError> {
    let tensor = read(&Labels { path: path.into(), array: "labels".into() })?;
    tensor.to_i64().ok_or_else(|| LabelError::ElementType(path.into(), tensor.dtype))
}

enum Table {
    Rows(Tensor),
    Files(HashMap<String, i64>),
}

fn table(labels: &Labels) -> Result<Table, LabelError> {
    let path = &labels.path;
    match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => Ok(Table::Rows(npz::array(path)?)),
        Some("npz") => Ok(Table::Rows(Archive::open(path)?.array(&labels.array)?)),
        Some("csv") => {
            let text = std::fs::read_to_string(path).map_err(|cause| LabelError::Io { path: path.clone(), cause })?;
            csv(&text).map_err(|(line, text)| LabelError::Line { path: path.clone(), line, text })
        }
        _ => Err(LabelError::Kind(path.clone())),
    }
}

/// One integer a line, or a file and an integer with a comma between. A first line without an integer is a heading.
fn csv(text: &str) -> Result<Table, (usize, String)> {
    let (mut plain, mut files) = (vec![], HashMap::new());
    for (at, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
        let (file, label) = line.rsplit_once(',').map_or((None, line), |(file, label)| (Some(file), label));
        match (file, label.trim().parse::<i64>()) {
            (None, Ok(label)) if files.is_empty() => plain.push(label),
            (Some(file), Ok(label)) if plain.is_empty() => _ = files.insert(file.trim().to_owned(), label),
            (_, Err(_)) if at == 0 => {}
            _ => return Err((at + 1, line.to_owned())),
        }
    }
    match files.is_empty() {
        true => Ok(Table::Rows(Tensor::from_i64(vec![plain.len()], &plain))),
        false => Ok(Table::Files(files)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array1;
    use ndarray_npy::write_npy;

    #[test]
    fn labels_come_from_arrays_and_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels.npy");
        write_npy(&path, &Array1::from_vec(vec![2i16, 7])).unwrap();
        assert_eq!(labels(&path).unwrap(), [2, 7]);
        write_npy(&path, &Array1::from_vec(vec![2.0f32])).unwrap();
        assert!(matches!(labels(&path), Err(LabelError::ElementType(..))));
        let path = dir.path().join("labels.csv");
        std::fs::write(&path, "label\n3\r\n1\n\n-100\n").unwrap();
        assert_eq!(labels(&path).unwrap(), [3, 1, -100]);
    }

    #[test]
    fn a_table_of_files_is_for_images() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels.csv");
        std::fs::write(&path, "file,label\nb/1.png, 4\n\"a, b\".png,5\n").unwrap();
        let at = Labels { path: path.clone(), array: String::new() };
        let images = ["\"a, b\".png".to_owned(), "b/1.png".to_owned()];
        assert_eq!(of_images(&at, &images).unwrap().to_i64().unwrap(), [5, 4]);
        let told = of_images(&at, &["c.png".to_owned()]).unwrap_err().to_string();
        assert!(told.ends_with("labels.csv has no label for the image \"c.png\""), "{told}");
        assert!(matches!(labels(&path), Err(LabelError::Files(_))));
    }

    #[test]
    fn what_is_no_label_is_told_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels.csv");
        for text in ["1\ntwo\n", "1\na.png,2\n", "a.png,2\n3\n"] {
            std::fs::write(&path, text).unwrap();
            let told = labels(&path).unwrap_err().to_string();
            assert!(told.contains("line 2") && told.contains("is not a label"), "{told}");
        }
        assert!(matches!(labels(Path::new("labels.txt")), Err(LabelError::Kind(_))));
        assert!(matches!(labels(Path::new("nowhere.npy")), Err(LabelError::Npz(NpzError::Open { .. }))));
    }
}
