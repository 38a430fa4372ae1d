//! The files that examples name, here and in the help texts.

use ndarray_npy::NpzWriter;
use secateur::ir::{Model, Tensor, parse};
use secateur::onnx;
use std::fs::{File, copy, create_dir};
use std::path::Path;

/// The exit code of an example of the help texts.
pub(crate) fn exit_code(command: &str) -> i32 {
    match command {
        // Two models that differ; others do in their weights alone.
        _ if command.starts_with("secateur diff ") && !command.contains("--no-weights") => 1,
        // Nobody trained the models, so that one misses its gate.
        _ if command.starts_with("secateur verify ") && command.contains("--gate") => 4,
        _ => 0,
    }
}

/// Few samples with labels, so that the examples take little time.
fn samples(path: &Path) {
    let mut npz = NpzWriter::new(File::create(path).unwrap());
    let pixel = |(i, _, y, x): (usize, usize, usize, usize)| ((i * 31 + y * 7 + x * 5) % 17) as f32 / 16.0;
    npz.add_array("input", &ndarray::Array4::from_shape_fn((40, 1, 8, 8), pixel)).unwrap();
    npz.add_array("labels", &ndarray::Array1::from_shape_fn(40, |i| (i % 10) as i64)).unwrap();
    npz.finish().unwrap();
}

/// A net with the names that the examples use: two residual branches and a head.
fn net(seed: u32) -> Model {
    let mut weights = vec![("conv1.weight".to_owned(), vec![16, 1, 3, 3]), ("head.weight".to_owned(), vec![10, 16])];
    let mut body = "  h0 = Conv<pads=[1,1,1,1]>(input, conv1.weight)\n".to_owned();
    for i in 0..2 {
        body += &format!(
            "  a{i} = Conv<pads=[1,1,1,1]>(h{i}, b{i}.0.weight)\n  r{i} = Relu(a{i})\n  \
             c{i} = Conv<pads=[1,1,1,1]>(r{i}, b{i}.1.weight)\n  h{} = Add(h{i}, c{i})\n",
            i + 1
        );
        let shapes = [vec![24, 16, 3, 3], vec![16, 24, 3, 3]];
        weights.extend(shapes.into_iter().enumerate().map(|(j, shape)| (format!("b{i}.{j}.weight"), shape)));
    }
    body += "  p = GlobalAveragePool(h2)\n  f = Flatten(p)\n  logits = Gemm<transB=1>(f, head.weight)\n";
    let shape = |s: &[usize]| s.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let declared = weights.iter().enumerate().map(|(i, (n, s))| format!("  f32[{}] {n} #{:016x}\n", shape(s), i + 1));
    let declared: String = declared.collect();
    let text = format!("net (f32[batch,1,8,8] input) => (f32[batch,10] logits) {{\n{declared}{body}}}");
    let tensor = |hash: u64| {
        let shape = &weights.get(hash as usize - 1)?.1;
        let mut state = seed.wrapping_mul(77).wrapping_add(hash as u32);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
        Some(Tensor::from_f32(shape.clone(), &values))
    };
    parse(&text, &tensor).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The files that examples name, and the fixtures.
pub(crate) fn prepare(dir: &Path) {
    link(&crate::root().join("fixtures"), &dir.join("fixtures"));
    let write = |name: &str, model: &Model| std::fs::write(dir.join(name), onnx::to_bytes(model).unwrap()).unwrap();
    write("model.onnx", &net(1));
    write("rewritten.onnx", &net(1));
    write("finetuned.onnx", &net(2));
    write("small.onnx", &net(3));
    let tokens = "gpt (i64[batch,length] tokens) => (f32[batch,length,16] logits) {
        f32[16,2] emb #0000000000000001
        f32[2,16] out #0000000000000002
        h = Gather(emb, tokens)
        logits = MatMul(h, out)
    }";
    let values: Vec<f32> = (0..32).map(|i| (i % 7) as f32 - 3.0).collect();
    let tensor = |hash| Some(Tensor::from_f32(if hash == 1 { vec![16, 2] } else { vec![2, 16] }, &values));
    write("gpt.onnx", &parse(tokens, &tensor).unwrap());
    let build = "[model.small]\ninput = 'model.onnx'\noutput = 'small.onnx'\nratio = 0.5\n\n[profile.edge]\n";
    std::fs::write(dir.join("secateur.toml"), build).unwrap();
    create_dir(dir.join("models")).unwrap();
    copy(dir.join("secateur.toml"), dir.join("models/secateur.toml")).unwrap();
    write("models/model.onnx", &net(1));
    let mut npz = NpzWriter::new(File::create(dir.join("tokens.npz")).unwrap());
    npz.add_array("tokens", &ndarray::Array2::from_shape_fn((4, 8), |(i, j)| ((i * 5 + j) % 16) as i64)).unwrap();
    npz.finish().unwrap();
    samples(&dir.join("samples.npz"));
    samples(&dir.join("test.npz"));
    std::fs::create_dir_all(dir.join(".local/share/bash-completion/completions")).unwrap();
    create_dir(dir.join("images")).unwrap();
    for class in ["cat", "dog"] {
        create_dir(dir.join("images").join(class)).unwrap();
        let picture = image::GrayImage::from_fn(12, 10, |x, y| image::Luma([(x * 20 + y) as u8]));
        picture.save(dir.join("images").join(class).join("1.png")).unwrap();
    }
}

/// Makes a folder appear in another one.
fn link(from: &Path, to: &Path) {
    #[cfg(unix)]
    std::os::unix::fs::symlink(from, to).unwrap();
    #[cfg(not(unix))]
    copy_all(from, to);
}

#[cfg(not(unix))]
fn copy_all(from: &Path, to: &Path) {
    create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { copy_all(&entry.path(), &to) } else { _ = copy(entry.path(), to).unwrap() }
    }
}
