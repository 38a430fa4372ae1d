"""Gradients beside PyTorch's, for every model of the table.

    cargo build --release --features gradients
    pip install numpy onnx onnxruntime torch scikit-learn
    python benches/accuracy/gradients.py

`tune` makes one tiny step of SGD on one batch; what the optimizer remembers of it, which stands in the checkpoint, is the
gradient. The loss is the distance from another model of the same task; PyTorch differentiates the same loss of the same
samples. Weights are matched by their values. A model's error is that of all its gradients as one vector, relative to
its length.
"""

import argparse
import pathlib
import subprocess
import tempfile

import numpy as np
import torch

import tasks
import tuning
import weights

TEACHERS = {"digits": ("digits_mlp", "digits_vgg"), "letters": ("letters_mobilenet", "letters_resnet")}
RATE = 1e-12


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=tasks.ROOT / "target/release/secateur")
    args = parser.parse_args()
    everything = {t.name: t for t in tasks.tasks()}
    for name, task in everything.items():
        names = TEACHERS.get(name.split("_")[0])
        if names is None:
            continue
        teacher = everything[names[0] if names[0] != name else names[1]]
        error, tensors = compared(args.bin, task, teacher)
        print(f"{name}: {error:.1e} over {tensors} tensors")
        if not error < 1e-3:
            raise SystemExit(f"{name}: the gradients are not those of PyTorch")


def compared(binary, task, teacher):
    student, x, _ = weights.load(task)
    other, _, _ = weights.load(teacher)
    kept = x[torch.arange(len(x)) % tuning.HELD_OUT != tuning.HELD_OUT - 1]
    with torch.no_grad():
        goals = other(kept)
    tuning.distance(student(kept), goals).backward()
    stepped = step(binary, task, teacher, len(kept))
    theirs = {}
    for parameter in student.parameters():
        found = match(stepped, parameter.detach().numpy())
        if parameter.grad is not None and found is not None:
            at, turned = found
            slope = parameter.grad.numpy().astype(np.float64)
            # Exporters write equal tensors once; its gradient is the sum of theirs.
            theirs[at] = theirs.get(at, 0) + (slope.T if turned else slope).ravel()
    ours = np.concatenate([stepped[at][1] for at in theirs])
    whole = np.concatenate(list(theirs.values()))
    return np.linalg.norm(ours - whole) / np.linalg.norm(whole), len(theirs)


def match(stepped, values):
    """The place of the tensor of these values, and whether it is turned."""
    for at, (weights, _) in enumerate(stepped):
        for turned in (False, True):
            flat = (values.T if turned else values).ravel()
            if flat.size > 1 and flat.size == weights.size and np.allclose(weights, flat, atol=1e-7):
                return at, turned
    return None


def step(binary, task, teacher, batch):
    """The weights after a step that hardly moves them, and their gradients, as flat arrays."""
    with tempfile.TemporaryDirectory() as folder:
        out, state = pathlib.Path(folder) / "out.onnx", pathlib.Path(folder) / "state.npz"
        tuning.run([binary, "tune", task.model, "--teacher", teacher.model, "--data", task.calib, "-o", out,
                    "--epochs", "1", "--batch", str(batch), "--optimizer", "sgd", "--lr", str(RATE), "--clip", "0",
                    "--weight-decay", "0", "--warmup", "0", "--schedule", "constant", "--checkpoint", state])  # fmt: skip
        with np.load(state) as data:
            count = sum(name.endswith(" weights") for name in data.files)
            return [(data[f"variable {i} weights"], data[f"variable {i} first"]) for i in range(count)]


if __name__ == "__main__":
    main()
