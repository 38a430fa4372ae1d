"""The tuning table: what a few epochs of distillation give back, beside the same schedule in PyTorch.

    cargo build --release --features gradients
    pip install numpy onnx onnxruntime torch scikit-learn torch-pruning
    python benches/accuracy/tuning.py                       # everything: TUNING.md and tuning.json
    python benches/accuracy/tuning.py --only letters_resnet # rows that are there already stay

Ours: `prune --criterion obs --calib` and then `tune --teacher`, without labels. Beside it Torch-Pruning's Taylor (with
labels, the way that loses least before the training) and the same training in PyTorch: the same samples, loss,
optimizer, schedule and batches, the same part held out to pick the best weights. Models are judged in ONNX Runtime on
data that neither has seen.
"""

import argparse
import copy
import datetime
import importlib.metadata
import json
import math
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F

import images
import judge
import peers
import tasks
import text
import weights

SHARES = (0.5, 0.35, 0.25, 0.15)
EPOCHS = (1, 3, 10)
# Letters can be rendered without end; digits are no more than there are.
SAMPLES = {"digits": 2000, "letters": 16000, "text": 2000}
BATCH, RATE, WARMUP, CLIP, TEMPERATURE, HELD_OUT = 32, 1e-3, 0.05, 5.0, 2.0, 10
THREADS = 2
ROUNDS = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=tasks.ROOT / "target/release/secateur")
    parser.add_argument("--only", nargs="+", default=[], help="models whose names contain one of these words")
    parser.add_argument("--tools", nargs="+", default=["secateur", "torch", "time"])
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    file = tasks.HERE / "tuning.json"
    data = json.loads(file.read_text()) if file.exists() else {"models": {}}
    for task in tasks.tasks(args.only):
        rows = data["models"].setdefault(task.name, {"whole": judge.score(task.model.read_bytes(), task)["accuracy"]})
        with tempfile.TemporaryDirectory() as folder:
            made = learned(task, pathlib.Path(folder))
            if "secateur" in args.tools:
                rows["secateur"] = [ours(args.bin, task, made, pathlib.Path(folder), share) for share in SHARES]
            if "torch" in args.tools:
                rows["torch"], rows["torch_samples"] = theirs(task, made), SAMPLES[task.name.split("_")[0]]
            if "time" in args.tools:
                rows["time"] = timed(args.bin, task, made, pathlib.Path(folder))
        rows["samples"] = SAMPLES[task.name.split("_")[0]]
        data |= {"date": datetime.date.today().isoformat(), "versions": versions(args.bin)}
        file.write_text(json.dumps(data, indent=1) + "\n")
        (tasks.HERE / "TUNING.md").write_text(page(data))
        print(task.name, "done", flush=True)


def learned(task, folder):
    """Samples to learn from; no tool has their labels, and the test data is none of them."""
    family, file = task.name.split("_")[0], folder / "learned.npz"
    if family == "digits":
        rows = weights.fixtures().split()[0]
    elif family == "letters":
        rows = images.render(SAMPLES[family], [3, 0])[0]
    else:
        rows = text.sequences(text.collect()[0], SAMPLES[family], np.random.default_rng(3))[:, :-1]
    np.savez(file, **{task.input: task.fed(rows)})
    return file


# ---------------------------------------------------------------- secateur


def ours(binary, task, made, folder, share):
    small = folder / "small.onnx"
    run([binary, "prune", task.model, "-o", small, "--macs", f"{share:.0%}", "--criterion", "obs", "--calib", task.calib])
    row = {"target": share, "macs": kept(small, task), "accuracy": [accuracy(small, task)]}
    for epochs in EPOCHS:
        row["accuracy"].append(accuracy(tuned(binary, small, task, made, folder, epochs), task))
    return row


def tuned(binary, small, task, made, folder, epochs):
    out = folder / "tuned.onnx"
    run([binary, "tune", small, "--teacher", task.model, "--data", made, "-o", out, "--overwrite",
         "--epochs", str(epochs), "--batch", str(BATCH), "--lr", str(RATE)])  # fmt: skip
    return out


def run(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(str(c) for c in command)}\n{done.stderr}")


def accuracy(file, task):
    return judge.score(file.read_bytes(), task)["accuracy"]


def kept(file, task):
    return judge.macs(file.read_bytes(), task) / judge.macs(task.model.read_bytes(), task)


# ---------------------------------------------------------------- PyTorch


def theirs(task, made):
    """Torch-Pruning's models, trained: of its ways the one that is best before the training."""
    with np.load(made) as data:
        x = torch.from_numpy(data[task.input])
    teacher, _, _ = weights.load(task)
    best = {}
    for way, cut in peers.torch_ways(task, "taylor"):
        torch.set_num_threads(THREADS)
        for share, pruned, error in peers.fitting(task, cut, SHARES):
            score = -1.0 if error else judge.score(pruned.files()["plain"], task)["accuracy"]
            if share not in best or score > best[share][0]:
                best[share] = (score, pruned, way)
    return [trained(task, teacher, x, share, *best[share]) for share in SHARES]


def trained(task, teacher, x, share, score, pruned, way):
    if pruned is None:
        return {"target": share, "error": "it can't be had"}
    macs = pruned.count() / judge.macs(task.model.read_bytes(), task)
    row = {"target": share, "macs": macs, "way": way, "accuracy": [score]}
    for epochs in EPOCHS:
        model = copy.deepcopy(pruned.model)
        train(model, teacher, x, epochs)
        done = peers.Torch(task, model.eval(), pruned.example)
        row["accuracy"].append(judge.score(done.files()["plain"], task)["accuracy"])
    return row


def train(model, teacher, x, epochs):
    """What `secateur tune` does: its order of samples is another one. Statistics of BatchNormalization stay."""
    held = torch.arange(len(x)) % HELD_OUT == HELD_OUT - 1
    learned, held_out = x[~held], x[held]
    with torch.no_grad():
        goals, checks = (torch.cat([teacher(part) for part in data.split(BATCH)]) for data in (learned, held_out))
    groups = [[p for p in model.parameters() if p.squeeze().ndim >= 2], [p for p in model.parameters() if p.squeeze().ndim < 2]]
    optimizer = torch.optim.AdamW([{"params": groups[0], "weight_decay": 1e-4}, {"params": groups[1], "weight_decay": 0}], lr=RATE)
    steps = epochs * (len(learned) // BATCH)
    warm = int(WARMUP * steps)
    half = lambda at: (1 + math.cos(math.pi * at)) / 2  # noqa: E731
    share = lambda s: (s + 1) / warm if s < warm else half((s - warm) / (steps - warm))  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    model.eval()
    torch.manual_seed(0)
    best = (judged(model, held_out, checks), copy.deepcopy(model.state_dict()))
    for _ in range(epochs):
        for rows in torch.randperm(len(learned)).split(BATCH):
            if len(rows) < BATCH:
                continue
            optimizer.zero_grad()
            distance(model(learned[rows]), goals[rows]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
        loss = judged(model, held_out, checks)
        if loss < best[0]:
            best = (loss, copy.deepcopy(model.state_dict()))
    model.load_state_dict(best[1])


def judged(model, x, goals):
    with torch.no_grad():
        return float(distance(torch.cat([model(part) for part in x.split(BATCH)]), goals))


def distance(student, teacher):
    ours, target = (F.log_softmax(t.flatten(0, -2) / TEMPERATURE, -1) for t in (student, teacher))
    return F.kl_div(ours, target, reduction="batchmean", log_target=True) * TEMPERATURE**2


# ---------------------------------------------------------------- time


def timed(binary, task, made, folder):
    """Seconds of one epoch of the whole model, ours and theirs in turns: ours a whole process, theirs without starting Python."""
    model, _, _ = weights.load(task)
    with np.load(made) as data:
        x = torch.from_numpy(data[task.input])
    rounds = []
    for _ in range(ROUNDS):
        started = time.time()
        tuned(binary, task.model, task, made, folder, 1)
        between = time.time()
        train(copy.deepcopy(model), model, x, 1)
        rounds.append((between - started, time.time() - between))
    return rounds


# ---------------------------------------------------------------- the page


def versions(binary):
    told = run_out([binary, "--version"]).strip()
    commit = run_out(["git", "-C", tasks.ROOT, "rev-parse", "--short", "HEAD"]).strip()
    return f"{told} ({commit}), " + ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("torch", "torch-pruning"))


def run_out(command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True).stdout


HEAD = """# Accuracy after tuning

{date}. {versions}.
Written by `python benches/accuracy/tuning.py`; its head says how.

Both tools prune and then learn from the whole model's answers to samples without labels (16000 letters, 2000 texts, all
digits that are not for the test): AdamW, {rate} at the highest, a cosine, batches of {batch}. Cells: accuracy in ONNX Runtime in percent. `+ 3` is after three
epochs of a schedule made for three. The times are those of one epoch of the whole model on {threads} threads, teacher and
judging included, in {rounds} turns of ours and PyTorch's; the ratio is the median of the turns'.

Aims: at 35 % of the MACs no loss after 3 epochs, at 25 % at most 1 point, an epoch at most twice PyTorch's.
"""


def page(data):
    told = HEAD.format(rate=RATE, batch=BATCH, threads=THREADS, rounds=ROUNDS, **{k: data[k] for k in ("date", "versions")})
    for name, rows in sorted(data["models"].items()):
        told += f"\n## {name}\n\nWhole: {100 * rows['whole']:.1f} %.{spent(rows.get('time'))}\n\n"
        told += "| MACs kept | tool | cut | " + " | ".join(f"+ {e}" for e in EPOCHS) + " |\n" + "|---" * (3 + len(EPOCHS)) + "|\n"
        for at, share in enumerate(SHARES):
            for tool, about in (("secateur", "secateur: obs + repair"), ("torch", "Torch-Pruning: Taylor")):
                about += f" ({rows['torch_samples']} samples)" if tool == "torch" and rows.get("torch_samples") != rows["samples"] else ""
                told += line(share, about, rows[tool][at]) if tool in rows else ""
    return told


def spent(rounds):
    if not rounds:
        return ""
    ours, theirs = np.array(rounds).T
    return f" An epoch takes {np.median(ours):.1f} s, {np.median(ours / theirs):.2f} times as long as PyTorch's."


def line(share, tool, row):
    if "error" in row:
        return f"| {share:.0%} | {tool} | {row['error']} |" + " |" * len(EPOCHS) + "\n"
    return f"| {share:.0%} ({100 * row['macs']:.0f}) | {tool} | " + " | ".join(f"{100 * a:.1f}" for a in row["accuracy"]) + " |\n"


if __name__ == "__main__":
    main()
