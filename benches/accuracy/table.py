"""Writes the results: `TABLE.md` to read, `table.json` to compute with."""

import json

import tasks

OURS = ("obs + repair + search", "obs + repair")
HEAD = """# Accuracy after pruning

{date}. {versions}. Written by `python benches/accuracy/run.py`; [CONTRIBUTING.md](../../CONTRIBUTING.md) says how.

Nothing was trained after pruning. Each cell: the metric in ONNX Runtime, and in brackets the share of MACs really
left. `obs` chooses from 256 unlabeled samples (`--calib`); *repair* refits what is left to them. Torch-Pruning's
Taylor has their labels too. Of the peers the best of all ways they offer is shown, picked on the test data: each layer
by the same share or all in one ranking, with and without the residual width of a transformer, and for onnxsim with and
without `apply_pruning_finetune`. "–": there was no result; the reasons are below.

"""


def write(found, wholes, versions, date):
    """Rows of models that this run did not touch stay as they were."""
    file = tasks.HERE / "table.json"
    data = json.loads(file.read_text()) if file.exists() else {"models": {}, "wholes": {}}
    for name, rows in found.items():
        data["models"].setdefault(name, {}).update(rows)
    data["wholes"].update(wholes)
    data |= {"date": date, "versions": versions}
    file.write_text(json.dumps(data, indent=1) + "\n")
    told = ", ".join(f"{k} {v}" if k != "secateur" else v for k, v in versions.items())
    text = HEAD.format(date=date, versions=told) + goals(data)
    for name in sorted(data["models"]):
        text += section(name, data["models"][name], data["wholes"][name])
    (tasks.HERE / "TABLE.md").write_text(text)


def section(name, rows, whole):
    text = f"\n## {name}\n\nWhole: {100 * whole['accuracy']:.1f} %, {whole['macs'] / 1e6:.2f} M MACs"
    bits = f", {whole['bits']:.3f} bits per byte" if name.startswith("text") else ""
    text += f"{bits}; judged on {whole['judged']} samples.\n\n" + grid(rows, lambda r: f"{100 * r['accuracy']:.1f}")
    if bits:
        text += "\nBits per byte:\n\n" + grid(rows, lambda r: f"{r['bits']:.3f}")
    notes = {f"- {m}: {r['error']}" for m, results in rows.items() for r in results if "error" in r}
    return text + ("\n" + "\n".join(sorted(notes)) + "\n" if notes else "")


def grid(rows, cell):
    shares = [r["target"] for r in next(iter(rows.values()))]
    lines = ["| MACs kept | " + " | ".join(f"{s:.0%}" for s in shares) + " |", "|---" * (1 + len(shares)) + "|"]
    for method, results in rows.items():
        cells = [f"{cell(r)} ({100 * r['macs']:.0f})" if "macs" in r else "–" for r in results]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def goals(data):
    """What was aimed at, and what came out."""
    lines = ["| model | at 50 %: l2 loses | we lose | at 35 %: l2 loses | we lose | a peer is ahead |", "|---" * 6 + "|"]
    for name, rows in sorted(data["models"].items()):
        ours = next((rows[m] for m in OURS if m in rows), None)
        if ours is None or "l2" not in rows:
            continue
        whole = data["wholes"][name]["accuracy"]
        cells = [loss(results, whole, share) for share in (0.5, 0.35) for results in (rows["l2"], ours)]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {ahead(rows, ours)} |")
    aim = "Aims, in points of accuracy: lose at most 1 at 50 % of the MACs where `l2` loses more than 10, at most 3 at"
    aim += "\n35 %, and never be worse than a peer. *We* are " + "\nor else ".join(f"`{m}`" for m in OURS) + ".\n\n"
    return aim + "\n".join(lines) + "\n"


def loss(results, whole, share):
    row = at(results, share)
    return f"{100 * (whole - row['accuracy']):.1f}" if row else "–"


def at(results, share):
    return next((r for r in results if r["target"] == share and "macs" in r), None)


def ahead(rows, ours):
    """Where another tool's model is more accurate at the same target, and by how much."""
    told = []
    for method, results in rows.items():
        if not method.startswith(("Torch", "onnxsim")):
            continue
        for row in results:
            mine = at(ours, row["target"])
            if "macs" in row and (mine is None or row["accuracy"] > mine["accuracy"]):
                by = f"by {100 * (row['accuracy'] - mine['accuracy']):.1f}" if mine else "alone"
                told.append(f"{method} at {row['target']:.0%} {by}")
    return ", ".join(told) or "no"
