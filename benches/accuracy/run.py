"""The accuracy table: what each way of pruning leaves of each trained model, at given shares of its MACs.

    cargo build --release
    pip install numpy onnx onnxruntime torch scikit-learn torch-pruning onnxsim==0.8.1
    python benches/accuracy/run.py                       # everything: TABLE.md and table.json
    python benches/accuracy/run.py --only letters_resnet # rows that are there already stay

A model is judged in ONNX Runtime, on data that no tool has seen, and its MACs are counted here (`judge.py`).
Results are kept in `target/accuracy/results` under a hash of all that they depend on, so a run that was cut off
goes on where it was, and a new binary makes only secateur's rows again. Runs may go side by side.
"""

import argparse
import concurrent.futures
import datetime
import hashlib
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

import judge
import table
import tasks
from table import SHARES

RESULTS = tasks.CACHE / "results"
PEERS = {"Torch-Pruning L2": "l2", "Torch-Pruning Taylor": "taylor", "onnxsim": "onnxsim"}
PACKAGES = ("torch", "torch-pruning", "onnxsim", "onnxruntime")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=tasks.ROOT / "target/release/secateur")
    parser.add_argument("--commit", help="what --bin was built from, where that is not HEAD")
    parser.add_argument("--only", nargs="+", default=[], help="models whose names contain one of these words")
    parser.add_argument("--methods", nargs="+", help="methods whose names contain one of these words")
    parser.add_argument("--skip", nargs="+", default=[], help="methods whose names contain one of these words are left out")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one call of a tool")
    args = parser.parse_args()
    jobs = [(task, method, work) for task in tasks.tasks(args.only) for method, work in methods(args, task)]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        rows = list(pool.map(lambda job: once(args, *job), jobs))
    found = {}
    for (task, method, _), row in zip(jobs, rows):
        found.setdefault(task.name, {})[method] = row
    wholes = {task.name: whole(task) for task in tasks.tasks(args.only)}
    table.write(found, wholes, versions(args), datetime.date.today().isoformat())


# ---------------------------------------------------------------- methods


def methods(args, task):
    """Each method: its name, and a function that gives a list of results with all that they depend on."""
    listed = ours(args.bin, task) + [(name, peer(tool)) for name, tool in PEERS.items()]
    wanted = [(n, w) for n, w in listed if not args.methods or any(word in n for word in args.methods)]
    return [(n, w) for n, w in wanted if not any(word in n for word in args.skip)]


def ours(binary, task):
    """What this build of secateur can do."""
    known = json.loads(run([binary, "criteria", "--json"]).stdout)
    names = [c["name"] for c in (known["criteria"] if isinstance(known, dict) else known)]
    calib = ["--calib", task.calib]
    ways = {
        "l2": ["--criterion", "l2"],
        "fold": ["--criterion", "fold"],
        "l2 + repair": ["--criterion", "l2", *calib],
        "obs": ["--criterion", "obs", *calib, "--no-compensate"],
        "obs + repair": ["--criterion", "obs", *calib],
    }
    ways = {name: flags for name, flags in ways.items() if flags[1] in names}
    if "--made-up" in run([binary, "prune", "--help"]).stdout:
        ways = {"without samples": []} | ways
    if "--search" in run([binary, "prune", "--help"]).stdout:
        ways["obs + repair + search"] = ["--criterion", "obs", *calib, "--search", "8"]
    return [(name, secateur(flags)) for name, flags in ways.items()]


def secateur(flags):
    def work(args, task, folder):
        return [pruned(args, task, pathlib.Path(folder), flags, share) for share in SHARES]

    work.depends = lambda args: [args.bin.read_bytes(), *flags]
    return work


def pruned(args, task, folder, flags, share):
    out, report = folder / f"{share}.onnx", folder / f"{share}.json"
    command = [args.bin, "prune", task.model, "-o", out, "--macs", f"{share:.0%}", *flags, "--report", report]
    started = time.time()
    done = run(command, timeout=args.timeout)
    row = {"target": share, "seconds": round(time.time() - started, 1)}
    if done.returncode or not out.exists():
        return row | {"error": (done.stderr.strip().splitlines() or ["no answer"])[0][:160]}
    told = json.loads(report.read_text())
    row["verified"] = told.get("verification", {}).get("status")
    row["repaired"] = [[r["node"], round(r["before"], 4), round(r["after"], 4)] for r in told.get("repaired", [])]
    return row | judged(task, out.read_bytes())


def peer(tool):
    def work(args, task, folder):
        command = [sys.executable, tasks.HERE / "peers.py", tool, task.name, folder, *map(str, SHARES)]
        started = time.time()
        done = run(command, timeout=args.timeout)
        found = pathlib.Path(folder) / "found.json"
        if not found.exists():
            error = (done.stderr.strip().splitlines() or ["no answer"])[-1][:160]
            return [{"target": share, "error": error} for share in SHARES]
        seconds = round(time.time() - started, 1)
        ways = json.loads(found.read_text())
        return [best(task, pathlib.Path(folder), ways, s) | {"seconds": seconds} for s in SHARES]

    source = (tasks.HERE / "peers.py").read_bytes()
    work.depends = lambda args: [tool, source, *(version(p) for p in PACKAGES)]
    return work


def best(task, folder, found, share):
    """Of all ways that a tool offers, the most accurate on the test data: more than it could know itself."""
    rows, errors = [], []
    for entry in found:
        if entry["target"] != share:
            continue
        for label, file in entry.get("written", {}).items():
            way = entry["way"] + (", tuned" if label == "tuned" else "")
            rows.append(judged(task, (folder / file).read_bytes()) | {"way": way})
        errors += [entry["error"]] if "error" in entry else []
    if not rows:
        return {"target": share, "error": "; ".join(sorted(set(errors)))}
    return {"target": share, "ways": rows} | max(rows, key=lambda r: r["accuracy"])


# ---------------------------------------------------------------- one result


def once(args, task, method, work):
    """The result, from the cache or made now."""
    arrays = [task.inputs, task.labels, *data(task.calib)]
    parts = [task.model.read_bytes(), *(a.tobytes() for a in arrays), (tasks.HERE / "judge.py").read_bytes()]
    parts += [part if isinstance(part, bytes) else str(part).encode() for part in (SHARES, *work.depends(args))]
    file = RESULTS / f"{task.name}-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:24]}.json"
    if not file.exists():
        with tempfile.TemporaryDirectory() as folder:
            rows = work(args, task, folder)
        RESULTS.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=RESULTS, delete=False) as part:
            json.dump(rows, part)
        pathlib.Path(part.name).rename(file)
        told = " ".join(f"{r['accuracy']:.1%}@{r['macs']:.0%}" if "macs" in r else "–" for r in rows)
        print(f"{task.name}: {method}: {told}", flush=True)
    return json.loads(file.read_text())


def data(path):
    with np.load(path) as arrays:
        return [arrays[k] for k in arrays.files]


def judged(task, model):
    try:
        return judge.score(model, task) | {"macs": judge.macs(model, task) / judge.macs(task.model.read_bytes(), task)}
    except Exception as error:  # noqa: BLE001 - a model that ONNX Runtime refuses is a result
        return {"error": f"not runnable: {str(error).splitlines()[0][:120]}", "accuracy": 0.0}


def whole(task):
    model = task.model.read_bytes()
    return judge.score(model, task) | {"macs": judge.macs(model, task), "judged": len(task.inputs)}


def run(command, timeout=60):
    try:
        return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer in {timeout:.0f} s")


def versions(args):
    told = run([args.bin, "--version"]).stdout.strip()
    commit = args.commit or run(["git", "-C", tasks.ROOT, "rev-parse", "--short", "HEAD"]).stdout.strip()
    before = json.loads((tasks.HERE / "table.json").read_text())["versions"]
    return {"secateur": f"{told} ({commit})"} | {p: version(p) or before[p] for p in PACKAGES}


def version(package):
    """`None` for one that is not installed: rows of peers are those that were made before then."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
