//! The examples of all help texts do what they say, and the manual pages have them.

use crate::{Folder, fixture, json, stdout, text};
use ndarray_npy::NpzWriter;
use secateur::ir::{Model, Tensor, parse};
use secateur::save;
use std::fs::{File, copy, create_dir};
use std::path::Path;
use std::process::Command;

/// The verbs that `--help` lists.
fn verbs() -> Vec<String> {
    let help = stdout(&["--help"], 0);
    let listed = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let indented = |l: &&str| l.starts_with("  ") && !l.starts_with("   ");
    let names = listed.lines().filter(indented).map(|l| l.split_whitespace().next().unwrap().to_owned());
    names.filter(|v| v != "help").collect()
}

/// The commands under "Example" in a help text.
fn examples(help: &str) -> Vec<String> {
    let after = help.split_once("\nExample").unwrap_or_else(|| panic!("no example in\n{help}")).1;
    let lines = after.lines().skip(1).take_while(|l| l.starts_with("  "));
    lines.map(|l| l.trim().to_owned()).collect()
}

/// The words of a command, as a shell parts them, without what it writes its output to.
fn words(command: &str) -> Vec<String> {
    let command = command.split(" > ").next().unwrap();
    let parts = command.split('\'').enumerate();
    let mut words = vec![];
    for (i, part) in parts {
        match i % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
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

/// The files that the examples name.
fn prepare(dir: &Path) {
    let write = |name: &str, model: &Model| std::fs::write(dir.join(name), save::to_bytes(model).unwrap()).unwrap();
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
    copy(fixture("digits_calib.npz"), dir.join("samples.npz")).unwrap();
    copy(fixture("digits_test.npz"), dir.join("test.npz")).unwrap();
    create_dir(dir.join("images")).unwrap();
    for class in ["cat", "dog"] {
        create_dir(dir.join("images").join(class)).unwrap();
        let picture = image::GrayImage::from_fn(12, 10, |x, y| image::Luma([(x * 20 + y) as u8]));
        picture.save(dir.join("images").join(class).join("1.png")).unwrap();
    }
}

#[test]
fn examples_run() {
    let folder = Folder::new();
    let dir = Path::new(&folder.path("")).to_owned();
    prepare(&dir);
    let helps = [vec![]].into_iter().chain(verbs().into_iter().map(|v| vec![v]));
    for help in helps {
        let args: Vec<&str> = help.iter().map(String::as_str).chain(["--help"]).collect();
        for example in examples(&stdout(&args, 0)) {
            let words = words(&example);
            assert_eq!(words[0], "secateur", "{example}");
            if words[1] == "tune" && !cfg!(feature = "gradients") {
                continue;
            }
            let out =
                Command::new(env!("CARGO_BIN_EXE_secateur")).args(&words[1..]).current_dir(&dir).output().unwrap();
            // `diff` says by 1 that there are differences.
            // A gate may be missed by a model that nobody trained.
            let fine = match out.status.code() {
                Some(1) => words[1] == "diff",
                Some(4) => text(&out.stderr).contains("gate missed"),
                code => code == Some(0),
            };
            assert!(fine, "{example}: {:?}\n{}", out.status.code(), text(&out.stderr));
        }
    }
}

#[test]
fn words_are_parted_as_a_shell_does() {
    assert_eq!(words("secateur x --a 'b c' -d > ~/e"), ["secateur", "x", "--a", "b c", "-d"]);
}

#[test]
fn every_verb_has_a_manual_page() {
    let folder = Folder::new();
    let dir = folder.path("deep/man1");
    stdout(&["man", "-o", &dir], 0);
    let page = stdout(&["man"], 0);
    assert!(page.starts_with(".ie") && page.contains("Exit codes") && page.contains("secateur"), "{page}");
    for verb in verbs() {
        let page = std::fs::read_to_string(Path::new(&dir).join(format!("secateur-{verb}.1"))).unwrap();
        assert!(page.contains(".SH OPTIONS") && page.contains("Example"), "{verb}: {page}");
    }
    let pages = json(&["man", "--json"], 0);
    assert_eq!(pages.as_array().unwrap().len(), 1 + verbs().len());
}
