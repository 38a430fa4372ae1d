"""The table of widths: how much faster models run in ONNX Runtime after pruning, by what widths are rounded to.

    cargo build --release
    pip install numpy onnx onnxruntime
    python benches/widths/run.py MODELS...                   # TABLE.md and table.json
    python benches/widths/run.py MODELS... --only resnet     # the other rows stay as they are

MODELS are ONNX files or folders of them; those without weights are none for this. Each model is pruned by
`prune --macs 50%` and what WIDTHS say, and timed beside the original in ONNX Runtime on one thread: processor time of
turns A B B A, ratio by ratio, so that a slow moment of the machine cancels. Results are kept in `--cache` under a hash of
binary, options and model, so a run that was cut off goes on where it was.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import pruned  # noqa: E402

OPTIONS = ["--macs", "50%", "--no-verify"]
WIDTHS = {"auto": [], "1": ["--round-to", "1"], "8": ["--round-to", "8"], "16": ["--round-to", "16"]}
TYPES = {"float": np.float32, "float16": np.float16, "double": np.float64, "int64": np.int64, "int32": np.int32, "bool": np.bool_}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=pathlib.Path, nargs="+", help="ONNX files, or folders of them")
    parser.add_argument("--bin", type=pathlib.Path, default=HERE.parents[1] / "target/release/secateur")
    parser.add_argument("--commit", help="what --bin was built from, where that is not HEAD")
    parser.add_argument("--cache", type=pathlib.Path, default=HERE.parents[1] / "target/widths")
    parser.add_argument("--only", nargs="+", default=[], help="models whose names contain one of these words")
    parser.add_argument("--widths", nargs="+", default=["auto", "1"], choices=WIDTHS, help="what widths are rounded to")
    parser.add_argument("--options", nargs="+", default=[], help="more options of `prune`, without the dashes in front")
    parser.add_argument("--seconds", type=float, default=4, help="processor time for the turns of one pair")
    parser.add_argument("--limit", type=float, default=600, help="seconds for pruning one model")
    parser.add_argument("--print", action="store_true", help="print rows, and write no table")
    args = parser.parse_args()
    args.options = [*OPTIONS, *(f"--{option}" for option in args.options)]
    args.bin = args.bin.resolve()
    # The runtime that times is the one that widths are for.
    os.environ["ORT_DYLIB_PATH"] = str(pathlib.Path(ort.__file__).parent / "capi")
    binary = pruned.digest(args.bin)
    files = [f for m in args.models for f in (sorted(m.glob("*.onnx")) if m.is_dir() else [m])]
    files = [f for f in files if not args.only or any(word in f.name for word in args.only)]
    kept = HERE / "table.json"
    rows = {row["model"]: row for row in (json.loads(kept.read_text()) if kept.exists() else [])}
    for file in files:
        row = rows.setdefault(file.stem, {"model": file.stem})
        for widths in args.widths:
            row[widths] = once(args, binary, file, widths)
            print(file.stem, widths, json.dumps(row[widths]), flush=True)
        row["family"] = family(file)
        if not args.print:
            kept.write_text(json.dumps([rows[name] for name in sorted(rows)], indent=1) + "\n")
            (HERE / "TABLE.md").write_text(table([rows[name] for name in sorted(rows)], versions(args)))


def once(args, binary, file, widths):
    """What one way of rounding makes of a model, from the cache or made."""
    options = [*args.options, *WIDTHS[widths]]
    parts = [binary, pruned.digest(file), *options]
    return pruned.kept(args.cache, parts, lambda: measured(args, file, options))


def measured(args, file, options):
    with tempfile.TemporaryDirectory() as folder:
        out, report = pathlib.Path(folder, "out.onnx"), pathlib.Path(folder, "report.json")
        ended = pruned.prune(args, file, out, report, options)
        if ended is None:
            return {"note": f"no answer in {args.limit:.0f} s"}
        done, cpu = ended
        if not out.exists():
            said = [line for line in done.stderr.splitlines() if line.strip()]
            return {"cpu": cpu, "note": (said or ["(silent)"])[0][:160]}
        told = json.loads(report.read_text())
        row = {"cpu": cpu, "macs": told["after"]["macs"] / max(told["before"]["macs"], 1)}
        try:
            return row | paired(file, out, args.seconds)
        except Exception as error:  # of whatever library: it is what the table tells
            return row | {"note": str(error).strip().splitlines()[0][:160]}


def paired(file, out, seconds):
    """By how much faster the second model is, turn by turn."""
    sessions = [session(file), session(out)]
    feed = feeds(sessions[0])

    def taken(which, runs):
        start = time.process_time()
        for _ in range(runs):
            sessions[which].run(None, feed)
        return time.process_time() - start

    warm = [taken(which, 2) / 2 for which in (0, 1)]
    runs = max(1, int(0.02 / max(sum(warm), 1e-6)))
    ratios, spent = [], 0.0
    while len(ratios) < 6 or (spent < seconds and len(ratios) < 60):
        a, b, c, d = (taken(which, runs) for which in (0, 1, 1, 0))
        ratios.append((a + d) / (b + c))
        spent += a + b + c + d
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {"ms": round(1e3 * min(warm[0], 1e9), 2), "faster": middle, "low": low, "high": high}


def session(file):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def feeds(sess):
    """Made-up inputs: a batch of one, and 64 along what else is open, or as many as the model takes."""
    for length in (64, 16, 8):
        rng, feed = np.random.default_rng(1), {}
        for given in sess.get_inputs():
            shape = [d if isinstance(d, int) else 1 if at == 0 else length for at, d in enumerate(given.shape)]
            kind = TYPES[given.type.removeprefix("tensor(").removesuffix(")")]
            if np.issubdtype(kind, np.floating):
                feed[given.name] = rng.standard_normal(shape).astype(kind)
            else:
                feed[given.name] = (np.ones(shape) if "mask" in given.name else rng.integers(3, 100, shape)).astype(kind)
        try:
            sess.run(None, feed)
            return feed
        except Exception as error:
            failed = error
    raise failed


def family(file):
    """Whether a model is made of convolutions or of products of matrices."""
    kinds = [node.op_type for node in onnx.load(file, load_external_data=False).graph.node]
    count = lambda *names: sum(kind in names for kind in kinds)
    return "convolutional" if count("Conv", "ConvTranspose") >= count("MatMul", "Gemm") else "transformer"


def versions(args):
    head = ["git", "-C", HERE, "rev-parse", "--short", "HEAD"]
    commit = args.commit or subprocess.run(head, capture_output=True, text=True).stdout.strip()
    names = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("onnx", "onnxruntime"))
    found = json.loads(subprocess.run([args.bin, "doctor", "--json"], capture_output=True, text=True).stdout or "{}")
    return f"{datetime.date.today()}. secateur {commit}, {names}; target {found.get('target', 'not told')}."


def table(rows, versions):
    columns = [w for w in WIDTHS if any(w in row for row in rows)]
    lines, summary = [], []
    for kind in ("convolutional", "transformer"):
        here = [row for row in rows if row.get("family") == kind]
        for w in columns:
            found = sorted(row[w]["faster"] for row in here if "faster" in row.get(w, {}))
            if found:
                slow = sum(x < 1.05 for x in found)
                summary.append(
                    f"| {kind} | `--round-to {w}` | {len(found)} | {statistics.median(found):.2f} | {found[0]:.2f} | {slow} |"
                )
        lines += [line(row, columns) for row in here]
    head = " | ".join(f"`{w}`: MACs | faster (quartiles)" for w in columns)
    return f"""# Widths

{versions}
Written by `python benches/widths/run.py MODELS`; [CONTRIBUTING.md](../../CONTRIBUTING.md) says how.

Each model was pruned by `{" ".join(["prune", *OPTIONS])}` with each `--round-to`, and timed beside the original in ONNX
Runtime on one thread. *MACs* is the share left, *faster* the ratio of processor times.

| family | | models | median | slowest | below 1.05 |
|---|---|---|---|---|---|
{chr(10).join(summary)}

| model | family | ms | {head} | note |
|---|---|---|{"---|---|" * len(columns)}---|
{chr(10).join(lines)}
"""


def line(row, columns):
    cells, notes, ms = [], [], "–"
    for w in columns:
        found = row.get(w, {})
        ms = found.get("ms", ms)
        cells.append(f"{found['macs']:.2f}" if "macs" in found else "–")
        cells.append(f"{found['faster']:.2f} ({found['low']:.2f}–{found['high']:.2f})" if "faster" in found else "–")
        if found.get("note") and found["note"] not in notes:
            notes.append(found["note"])
    note = "; ".join(notes).replace("|", "\\|")
    return f"| {row['model']} | {row['family']} | {ms} | {' | '.join(cells)} | {note} |"


if __name__ == "__main__":
    main()
