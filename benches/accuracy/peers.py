"""Prunes a model with another tool, to given shares of its MACs: run by `run.py`, a process for each model and tool.

    python benches/accuracy/peers.py l2|taylor|onnxsim NAME FOLDER SHARE...

    pip install torch-pruning onnxsim==0.8.1

Both tools take a share of channels, no budget; it is found by bisection, as the one that leaves most MACs within
half a point above the target. Each way that a tool offers makes its own file in FOLDER, and the runner takes the best.
"""

import copy
import json
import pathlib
import sys

import numpy as np
import onnx

import judge
import tasks

# Over the target by this much is as good as met.
SLACK = 0.005
# Torch-Pruning ranks all channels in so many rounds: in a single one it may pick whole layers, which it then leaves.
STEPS = 10


def main():
    tool, name, folder, *shares = sys.argv[1:]
    task = next(t for t in tasks.tasks([name]) if t.name == name)
    make = onnxsim_ways if tool == "onnxsim" else lambda t: torch_ways(t, tool)
    found = []
    for way, cut in make(task):
        found += [f | {"way": way} for f in search(task, cut, [float(s) for s in shares])]
    for k, entry in enumerate(found):
        for label, data in entry.pop("files", {}).items():
            file = pathlib.Path(folder) / f"{k}-{label}.onnx"
            file.write_bytes(data)
            entry.setdefault("written", {})[label] = file.name
    (pathlib.Path(folder) / "found.json").write_text(json.dumps(found))


def search(task, cut, shares):
    """For each target: the files of the model that keeps most MACs within it."""
    for target, pruned, error in fitting(task, cut, shares):
        try:
            yield {"target": target} | ({"error": error} if error else {"files": pruned.files()})
        except Exception as cause:  # noqa: BLE001 - whatever another tool fails of is its result
            yield {"target": target, "error": named(cause)}


def fitting(task, cut, shares):
    """For each target: the model that keeps most MACs within it, or why there is none."""
    whole, seen = judge.macs(task.model.read_bytes(), task), {}

    def share(ratio):
        if ratio not in seen:
            pruned = cut(ratio)
            seen[ratio] = (pruned.count() / whole, pruned)
        return seen[ratio][0]

    for target in shares:
        try:
            # Not monotone: a tool may refuse to empty a layer, and leave it whole then.
            steps = [0.0, *(round(0.05 * k, 2) for k in range(1, 20))]
            high = next((r for r in steps if share(r) <= target + SLACK), None)
            if high is None:
                yield target, None, f"no less than {min(s for s, _ in seen.values()):.0%} can be had"
                continue
            low = steps[max(steps.index(high) - 1, 0)]
            for _ in range(5):
                middle = round((low + high) / 2, 6)
                low, high = (middle, high) if share(middle) > target + SLACK else (low, middle)
            yield target, seen[high][1], None
        except Exception as cause:  # noqa: BLE001 - whatever another tool fails of is its result
            yield target, None, named(cause)


def named(cause):
    return f"{type(cause).__name__}: {str(cause).splitlines()[0][:120]}"


# ---------------------------------------------------------------- onnxsim


class Simplified:
    def __init__(self, task, original, model, calib):
        self.task, self.original, self.model, self.calib = task, original, model, calib

    def count(self):
        return judge.macs(self.model, self.task)

    def files(self):
        import onnxsim

        tuned = onnxsim.apply_pruning_finetune(self.original, self.model, calibration_data=self.calib)
        return {"plain": self.model.SerializeToString(), "tuned": tuned.SerializeToString()}


def onnxsim_ways(task):
    import onnxsim

    original, _ = onnxsim.simplify(onnx.load(task.model))
    with np.load(task.calib) as data:
        calib = [{task.input: task.fed(rows)} for rows in np.array_split(data[task.input], 8)]
    for way, everywhere in (("each layer", False), ("global", True)):
        yield way, lambda ratio, g=everywhere: Simplified(
            task, original,
            onnxsim.apply_structured_pruning(copy.deepcopy(original), sparsity=ratio, global_sparsity=g), calib,
        )  # fmt: skip


# ---------------------------------------------------------------- Torch-Pruning


class Torch:
    def __init__(self, task, model, example):
        self.task, self.model, self.example = task, model, example

    def count(self):
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            self.model(self.example)
        return counter.get_total_flops() / 2

    def files(self):
        import io

        import torch

        data, name = io.BytesIO(), self.task.input
        example = torch.cat([self.example, self.example])
        torch.onnx.export(
            self.model, (example,), data, dynamo=False, opset_version=17, input_names=[name],
            output_names=["logits"], dynamic_axes={name: {0: "batch"}, "logits": {0: "batch"}},
        )  # fmt: skip
        return {"plain": data.getvalue()}


def torch_ways(task, importance):
    import torch

    import weights

    torch.set_num_threads(1)
    model, x, y = weights.load(task)
    if importance == "taylor":
        for rows in torch.arange(len(x)).split(64):
            loss = torch.nn.functional.cross_entropy(model(x[rows]).flatten(0, -2), y[rows].flatten(), reduction="sum")
            (loss / y.numel()).backward()
    normed = any(isinstance(m, torch.nn.LayerNorm) for m in model.modules())
    for everywhere in (False, True):
        for width in (True, False) if normed else (True,):
            way = ("global" if everywhere else "each layer") + (", width kept" if not width else "")
            yield way, lambda ratio, g=everywhere, w=width: cut(task, model, x[:1], importance, ratio, g, w)


def cut(task, model, example, importance, ratio, everywhere, width):
    import torch
    import torch_pruning as tp

    pruned = copy.deepcopy(model)
    for mine, theirs in zip(pruned.parameters(), model.parameters()):
        mine.grad = None if theirs.grad is None else theirs.grad.clone()
    heads = {m.qkv: m.heads for m in pruned.modules() if hasattr(m, "qkv")}
    last = [m for m in pruned.modules() if isinstance(m, torch.nn.Linear)][-1]
    kinds = {"l2": tp.importance.MagnitudeImportance(p=2), "taylor": tp.importance.TaylorImportance()}
    pruner = tp.pruner.BasePruner(
        pruned, example, importance=kinds[importance], global_pruning=everywhere, pruning_ratio=ratio,
        num_heads=heads, ignored_layers=[last] + ([] if width else stream(pruned)),
        iterative_steps=STEPS if everywhere else 1,
    )  # fmt: skip
    for _ in range(STEPS if everywhere else 1):
        pruner.step()
    with torch.no_grad():
        pruned(example)
    return Torch(task, pruned, example)


def stream(model):
    """The layers that write the residual stream of a transformer."""
    names = (".proj", ".mlp.2", "embed")
    return [m for n, m in model.named_modules() if n.endswith(names)]


if __name__ == "__main__":
    main()
