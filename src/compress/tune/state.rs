//! The state of a training, in a file: all that a run which goes on needs to end with the same bits.

use super::Curve;
use crate::files;
use crate::ir::Tensor;
use ndarray::Array1;
use ndarray_npy::{NpzReader, NpzWriter};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Cursor, Error};
use std::path::{Path, PathBuf};

/// A training between two steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub progress: Progress,
    /// For each variable its weights, what the optimizer remembers, and the average.
    pub variables: Vec<[Vec<f32>; 4]>,
    /// Running means and variances, which batches move.
    pub statistics: Vec<Vec<f32>>,
    /// The best weights so far, and the statistics of that time.
    pub best: Vec<Vec<f32>>,
}

/// The numbers of a training between two steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// What the training depends on; another one can't go on from here.
    pub fingerprint: String,
    /// Steps that were made.
    pub step: usize,
    /// The sum of this epoch's losses so far.
    pub sum: f64,
    /// The lowest held-out loss.
    pub lowest: Option<f64>,
    /// Epochs since then, and how often the learning rate was lowered for that.
    pub since: usize,
    pub stalls: u32,
    pub curve: Curve,
}

/// Why a state can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{}: {cause}", path.display())]
    Io { path: PathBuf, cause: Error },
    #[error("{}: this is not a training checkpoint: {what}", path.display())]
    Format { path: PathBuf, what: String },
    #[error("{} is the checkpoint of another training: model, samples or options differ", .0.display())]
    Other(PathBuf),
}

impl State {
    /// Writes the state; the file is there whole or as it was.
    pub(crate) fn write(&self, path: &Path) -> Result<(), StateError> {
        let mut bytes = Cursor::new(vec![]);
        self.encode(NpzWriter::new(&mut bytes)).map_err(|what| StateError::Format { path: path.into(), what })?;
        files::write(path, bytes.into_inner()).map_err(|cause| StateError::Io { path: path.into(), cause })
    }

    fn encode(&self, mut npz: NpzWriter<&mut Cursor<Vec<u8>>>) -> Result<(), String> {
        let text = serde_json::to_vec(&self.progress).map_err(|e| e.to_string())?;
        npz.add_array("progress", &Array1::from_vec(text)).map_err(|e| e.to_string())?;
        for (name, numbers) in self.arrays() {
            npz.add_array(name, &Array1::from_vec(numbers.clone())).map_err(|e| e.to_string())?;
        }
        npz.finish().map(drop).map_err(|e| e.to_string())
    }

    fn arrays(&self) -> Vec<(String, &Vec<f32>)> {
        let variables = self.variables.iter().enumerate();
        let variables =
            variables.flat_map(|(i, parts)| parts.iter().enumerate().map(move |(j, p)| (variable(i, j), p)));
        let statistics = self.statistics.iter().enumerate().map(|(i, s)| (format!("statistic {i}"), s));
        let best = self.best.iter().enumerate().map(|(i, s)| (format!("best {i}"), s));
        variables.chain(statistics).chain(best).collect()
    }

    /// Reads a state of the training with this fingerprint.
    pub(crate) fn read(path: &Path, fingerprint: &str) -> Result<State, StateError> {
        let file = File::open(path).map_err(|cause| StateError::Io { path: path.into(), cause })?;
        let state = State::decode(file).map_err(|what| StateError::Format { path: path.into(), what })?;
        match state.progress.fingerprint == fingerprint {
            true => Ok(state),
            false => Err(StateError::Other(path.into())),
        }
    }

    fn decode(file: File) -> Result<State, String> {
        let mut npz = NpzReader::new(file).map_err(|e| e.to_string())?;
        let text: Array1<u8> = npz.by_name("progress").map_err(|e| e.to_string())?;
        let progress = serde_json::from_slice(&text.to_vec()).map_err(|e| e.to_string())?;
        let mut numbers =
            |name: String| -> Option<Vec<f32>> { npz.by_name(&name).ok().map(|a: Array1<f32>| a.to_vec()) };
        let mut state = State { progress, ..State::default() };
        for i in 0.. {
            let Some(weights) = numbers(variable(i, 0)) else { break };
            let mut part = |j| numbers(variable(i, j)).ok_or_else(|| format!("{} is missing", variable(i, j)));
            state.variables.push([weights, part(1)?, part(2)?, part(3)?]);
        }
        state.statistics = (0..).map_while(|i| numbers(format!("statistic {i}"))).collect();
        state.best = (0..).map_while(|i| numbers(format!("best {i}"))).collect();
        Ok(state)
    }
}

fn variable(at: usize, part: usize) -> String {
    format!("variable {at} {}", ["weights", "first", "second", "average"][part])
}

/// The elements of a tensor of floats.
pub(super) fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.to_f64().map(|v| v.into_iter().map(|x| x as f32).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("state.npz");
        let progress = Progress { fingerprint: "f".into(), step: 7, lowest: Some(0.25), ..Progress::default() };
        let state = State {
            progress,
            variables: vec![[vec![1.0, -0.0], vec![2.0, 3.0], vec![], vec![]], [vec![0.5], vec![0.0], vec![], vec![]]],
            statistics: vec![vec![1.5]],
            best: vec![vec![1.0, 2.0], vec![0.5]],
        };
        state.write(&path).expect("it is written");
        assert_eq!(State::read(&path, "f").expect("it is read"), state);
        assert!(matches!(State::read(&path, "g"), Err(StateError::Other(_))));
        std::fs::write(&path, "no archive").expect("it is written");
        assert!(matches!(State::read(&path, "f"), Err(StateError::Format { .. })));
        assert!(matches!(State::read(&dir.path().join("nowhere"), "f"), Err(StateError::Io { .. })));
    }
}
