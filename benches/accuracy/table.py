"""Writes the results: `TABLE.md` to read, `table.json` to compute with."""

import json

import tasks

SHARES = (0.75, 0.60, 0.50, 0.35, 0.25)
OURS = ("obs + repair + search", "obs + repair")
HEAD = """# Accuracy after pruning

{date}. {versions}.
Written by `python benches/accuracy/run.py`; [CONTRIBUTING.md](../../CONTRIBUTING.md) says how.

Nothing was trained after pruning. Each cell: the accuracy in ONNX Runtime in percent, and in brackets the share of
MACs really left. `obs` chooses from 256 unlabeled samples (`--calib`); *repair* refits what is left to them. *Without
samples* is what the defaults do where none are given: they make some up.
Torch-Pruning's Taylor has their labels too. Of the peers the best of all ways they offer is shown, picked on the test
data: each layer by the same share or all in one ranking, with and without the residual width of a transformer, and for
onnxsim with and without `apply_pruning_finetune`. They may keep up to half a point of MACs more than asked. "–": there
was no result; the reasons are below. Guessing gives 10 % of the digits and 6 % of the letters.

{checked}
The tools took {minutes:.0f} minutes in all, on two cores that had other work too.

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
    checked, minutes = effort(data)
    text = HEAD.format(date=date, versions=told, checked=checked, minutes=minutes) + goals(data)
    for name in sorted(data["models"]):
        text += section(name, data["models"][name], data["wholes"][name])
    (tasks.HERE / "TABLE.md").write_text(text)


def effort(data):
    """How many of our models were run against their references, and how long all tools took."""
    rows = [r for models in data["models"].values() for results in models.values() for r in results]
    ours = [r for r in rows if "verified" in r]
    ran = sum(r["verified"] == "ran" for r in ours)
    # A peer's time is that of all its targets.
    seconds = sum(r.get("seconds", 0) / (1 if "verified" in r or "error" in r else len(SHARES)) for r in rows)
    told = f"Of our {len(ours)} models {ran} were proved equal to their reference (as cut, before any repair)."
    return told, seconds / 60


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
    aim = "Aims, in points of accuracy: lose at most 1 at 50 % of the MACs where `l2` loses more than 10, at most 3 at\n"
    aim += "35 %, and never be worse than a peer. *We* are " + ", or else ".join(f"`{m}`" for m in OURS) + ".\n\n"
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
