//! What is made of the fixtures, byte for byte.
//!
//! A change of structure changes nothing here. One that is meant to make other plans or other files accepts the new
//! hashes (`cargo insta accept`, or by hand) and says in its message why they are others. The options are those that
//! depend on no runtime and no processor: norms of weights choose, nothing is refitted, no width is rounded.

use secateur::build::content;
use secateur::job::{self, Options};
use secateur::onnx;
use secateur::plan::RoundTo;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The line of a fixture: hashes of its plan and of the model that it makes, or why nothing is made.
fn line(path: &Path, folder: &Path) -> String {
    let mut options = Options { proof: false, input: Some(path.to_owned()), ..Options::default() };
    options.choice.selection.criterion = Some("l2".parse().expect("l2 is a criterion"));
    options.choice.selection.calibration.repair = false;
    options.choice.selection.lossless = None;
    options.choice.selection.round_to = RoundTo::Multiple(1);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let made = onnx::load(path).map_err(|e| e.to_string()).and_then(|model| {
        let done = job::prune(&model, &options).map_err(|e| e.to_string())?;
        let small = folder.join("small.onnx");
        done.save(&small).map_err(|e| e.to_string())?;
        let plan = serde_json::to_vec(&done.report.plan).map_err(|e| e.to_string())?;
        let file = content::hash(&small).map_err(|e| e.to_string())?;
        Ok(format!("{} {file}", content::of_bytes(&plan)))
    });
    format!("{name}: {}", made.unwrap_or_else(|why| why.replace(&path.display().to_string(), "FILE")))
}

#[test]
fn fixtures_are_pruned_to_the_same_bytes_as_ever() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut lines = String::new();
    let mut files: Vec<PathBuf> = content::files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"))?;
    files.retain(|f| f.extension().is_some_and(|e| e == "onnx"));
    for file in files {
        writeln!(lines, "{}", line(&file, folder.path())).expect("a string takes all");
    }
    insta::assert_snapshot!(lines, @r"
    digits_densenet: 99df987720c04222 1b787be4db838893
    digits_mlp: 858a13dfeccf5ce3 b57878629f7ad470
    digits_mobilenet: 91ad001f1355137d eb2fbf7fa4db25d6
    digits_resnet: 44b0f6085988508d 0b3ee4a10da5d2e4
    digits_shuffle: 3ebea6bb19bd102a ae0efcd75ee77132
    digits_vgg: 4710a67a5410bfd1 7d4bae7143b7f7d7
    digits_vgg_dynamo: 8e66d8f21d04af7b 5b056a4066966070
    branches: 1c2a73dc74aae145 4001b97f436ef07a
    concat_split: abcb78a894aac21c 9557d10c9aad6364
    everything: dab1a50bda8dca61 20206363e1712dd6
    external: 49df30f65a5a87bc d0fb1aad3aebd503
    fp16: 84c9d34dbb8627c7 e9f21c6fdf208efd
    functions: 0da92012823d1ecd ecc5bd7b95fd7c0c
    if_capture: 5c41d77af3c65c54 7a959ddd1f220a61
    int8_qdq: 00ab026649a92d7f 57866351698b4f6a
    ir3: d850785982ebad7c d54b7403ae55b09b
    loop: 5e3175b39f96cf94 d61cf16a95907616
    not_onnx: FILE: not an ONNX model: at byte 0 there is no field of wire type 4; is it cut off, or no ONNX file at all?
    opaque: b82349b9324c2f18 92b40ca4da679bca
    scan: 4698be6071fd376c 63555bca5ca7e8c1
    shared_bias: cb21972b0dee9777 e9a51ccf60b86139
    truncated: FILE: not an ONNX model: at byte 21 a field says that it has 7224 bytes, but only 3603 are left; is it cut off, or no ONNX file at all?
    ");
    Ok(())
}
