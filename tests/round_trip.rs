//! Every model of `fixtures/` comes out as it went in, byte for byte.

use secateur::onnx::load;
use secateur::onnx::{ExternalData, SaveOptions, Saved, save, to_bytes};
use std::path::{Path, PathBuf};

fn fixtures() -> Vec<PathBuf> {
    let all = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")).unwrap();
    let models: Vec<PathBuf> =
        all.map(|entry| entry.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
    assert!(!models.is_empty());
    models
}

#[test]
fn every_fixture_survives() {
    let dir = tempfile::tempdir().unwrap();
    for path in fixtures() {
        let out = dir.path().join("out.onnx");
        let saved = save(&load(&path).unwrap(), &out, &SaveOptions::default()).unwrap();
        let (before, after) = (std::fs::read(&path).unwrap(), std::fs::read(&out).unwrap());
        assert!(before == after && saved.bytes == before.len() as u64, "{}", path.display());
    }
}

#[test]
fn external_data_comes_back_in() {
    let dir = tempfile::tempdir().unwrap();
    for path in fixtures() {
        let (apart, again) = (dir.path().join("apart.onnx"), dir.path().join("again.onnx"));
        let model = load(&path).unwrap();
        let options = |external| SaveOptions { external, ..SaveOptions::default() };
        let saved = save(&model, &apart, &options(ExternalData::Always)).unwrap();
        assert!(saved.data.is_some(), "{}", path.display());
        let loaded = load(&apart).unwrap();
        let copied = save(&loaded, &again, &options(ExternalData::Auto)).unwrap();
        // Data of a model that is replaced keep their file until the new one is there, so names may differ.
        let data = |saved: &Saved| std::fs::read(&saved.data.as_ref().unwrap().0).unwrap();
        assert!(data(&saved) == data(&copied), "{}", path.display());
        // Typed data comes back raw, so the files may differ where the tensors do not.
        let tensors = |bytes: Vec<u8>| {
            let model = secateur::onnx::from_bytes(bytes.into(), None).unwrap();
            let hash = |&n| model.graph.constant(n).unwrap().tensor.hash();
            model.graph.constants().iter().map(hash).collect::<Vec<u64>>()
        };
        assert_eq!(tensors(to_bytes(&loaded).unwrap()), tensors(to_bytes(&model).unwrap()));
    }
}
