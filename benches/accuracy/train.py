"""Train and export the models of the accuracy table.

    pip install numpy torch onnx onnxruntime
    python benches/accuracy/train.py                           # all of them
    python benches/accuracy/train.py letters_resnet text_gpt   # only these

`letters_*` name rendered letters (`images.py`): new images all the time, so nothing is learnt by heart.
`text_gpt` predicts bytes of documentation (`text.py`). Seeds are fixed, but threads and versions of PyTorch
round differently, so that the weights differ a little elsewhere; the exported files are committed.
"""

import argparse
import pathlib
import time
import warnings

import numpy as np
import torch
import torch.nn.functional as F

import images
import nets
import text

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE / "models"
SEED = 7
# name: (samples to learn from, peak learning rate)
NETS = {
    "letters_resnet": (200_000, 4e-3),
    "letters_mobilenet": (150_000, 4e-3),
    "text_gpt": (90_000, 3e-3),
}
BATCH = 128


def image_batches(count):
    """Batches of new images; 4000 are rendered at a time."""
    for chunk in range(-(-count // 4000)):
        x, y = (torch.from_numpy(a) for a in images.render(4000, [SEED, chunk]))
        for rows in torch.randperm(len(x)).split(BATCH):
            yield x[rows].float(), y[rows]


def text_batches(count, data):
    rng = np.random.default_rng(SEED)
    for _ in range(-(-count // BATCH)):
        part = torch.from_numpy(text.sequences(data, BATCH, rng).astype(np.int64))
        yield part[:, :-1], part[:, 1:]


def train(model, batches, steps, rate, smoothing):
    """AdamW with one cycle of the learning rate."""
    gains = [p for p in model.parameters() if p.ndim < 2]
    kernels = [p for p in model.parameters() if p.ndim >= 2]
    groups = [{"params": kernels, "weight_decay": 0.05}, {"params": gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    model.train().to(memory_format=torch.channels_last)
    started = time.time()
    for step, (x, y) in zip(range(steps), batches):
        out = model(x)
        loss = F.cross_entropy(out.flatten(0, -2), y.flatten(), label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"  {step + 1}/{steps}: {loss.item():.3f}, {time.time() - started:.0f} s", flush=True)
    return model.eval().to(memory_format=torch.contiguous_format)


def export(model, path, example, name):
    """The TorchScript exporter with its defaults: BatchNormalization is folded into the convolutions."""
    torch.onnx.export(
        model, (example,), path, dynamo=False, opset_version=17, input_names=[name], output_names=["logits"],
        dynamic_axes={name: {0: "batch"}, "logits": {0: "batch"}},
    )  # fmt: skip


def make(name):
    samples, rate = NETS[name]
    torch.manual_seed(SEED)
    model = nets.build(name)
    steps = -(-samples // BATCH)
    if name == "text_gpt":
        learn, held = text.collect()
        print(f"{len(learn)} bytes to learn from, {len(held)} held out")
        rng = np.random.default_rng(SEED + 1)
        for file, source, count in (("text_calib", learn, 256), ("text_test", held, 1000)):
            rows = text.sequences(source, count, rng)
            np.savez_compressed(MODELS / f"{file}.npz", tokens=rows[:, :-1], labels=rows[:, 1:])
        train(model, text_batches(samples, learn), steps, rate, 0.0)
        export(model, MODELS / f"{name}.onnx", torch.zeros(2, text.LENGTH, dtype=torch.int64), "tokens")
    else:
        # Batches do not divide a chunk evenly, so there are a few more of them than steps.
        train(model, image_batches(samples), steps, rate, 0.05)
        export(model, MODELS / f"{name}.onnx", torch.zeros(2, 3, images.SIZE, images.SIZE), "pixels")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NET", help="which nets; all without")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
    MODELS.mkdir(exist_ok=True)
    for name in args.names or NETS:
        started = time.time()
        make(name)
        print(f"{name}: trained and exported in {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
