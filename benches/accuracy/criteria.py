"""The table of criteria: what choosing by each leaves of each trained model, after the same repair.

    cargo build --release --features gradients
    pip install numpy onnx onnxruntime scikit-learn
    python benches/accuracy/criteria.py                       # everything: CRITERIA.md and criteria.json
    python benches/accuracy/criteria.py --only letters_resnet # rows that are there already stay

Every criterion sees the same 256 samples without labels, and what it chose is repaired alike, so that rows differ by
the choice alone. Models are judged in ONNX Runtime on data that no criterion has seen.
"""

import argparse
import datetime
import json
import pathlib
import subprocess
import tempfile
import time

import judge
import tasks

SHARES = (0.5, 0.35, 0.25)
CRITERIA = ("l2", "obs", "taylor", "fisher", "hessian", "snip", "grasp", "synflow", "lrp", "obs*taylor")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=tasks.ROOT / "target/release/secateur")
    parser.add_argument("--only", nargs="+", default=[], help="models whose names contain one of these words")
    parser.add_argument("--criteria", nargs="+", default=CRITERIA)
    args = parser.parse_args()
    file = tasks.HERE / "criteria.json"
    data = json.loads(file.read_text()) if file.exists() else {"models": {}}
    for task in tasks.tasks(args.only):
        rows = data["models"].setdefault(task.name, {"whole": judge.score(task.model.read_bytes(), task)["accuracy"]})
        for criterion in args.criteria:
            rows[criterion] = [pruned(args.bin, task, criterion, share) for share in SHARES]
            print(task.name, criterion, rows[criterion], flush=True)
        data |= {"date": datetime.date.today().isoformat(), "version": version(args.bin)}
        file.write_text(json.dumps(data, indent=1) + "\n")
        (tasks.HERE / "CRITERIA.md").write_text(page(data))


def pruned(binary, task, criterion, share):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.onnx"
        command = [binary, "prune", task.model, "-o", out, "--macs", f"{share:.0%}", "--calib", task.calib]
        started = time.time()
        done = subprocess.run([str(c) for c in (*command, "--criterion", criterion)], capture_output=True, text=True)
        if done.returncode not in (0, 3):
            return {"error": (done.stderr.strip().splitlines() or ["no answer"])[0][:160]}
        seconds = round(time.time() - started, 1)
        return {"accuracy": judge.score(out.read_bytes(), task)["accuracy"], "seconds": seconds}


def version(binary):
    told = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    commit = ["git", "-C", str(tasks.ROOT), "rev-parse", "--short", "HEAD"]
    return f"{told} ({subprocess.run(commit, capture_output=True, text=True, check=True).stdout.strip()})"


HEAD = """# Criteria beside each other

{date}. {version}.
Written by `python benches/accuracy/criteria.py`; its head says how.

Accuracy in ONNX Runtime in percent, at 50 / 35 / 25 % of the MACs, after the repair that follows every choice. No
criterion has labels. "–": the reason is below.

"""


def page(data):
    names = list(dict.fromkeys(name for rows in data["models"].values() for name in rows if name != "whole"))
    text = HEAD.format(**{k: data[k] for k in ("date", "version")})
    text += "| model | whole | " + " | ".join(f"`{n}`" for n in names) + " |\n" + "|---" * (2 + len(names)) + "|\n"
    errors = set()
    for model, rows in sorted(data["models"].items()):
        cells = []
        for name in names:
            results = rows.get(name, [])
            errors |= {f"- {model}, `{name}`: {r['error']}" for r in results if "error" in r}
            cells.append(" / ".join(f"{100 * r['accuracy']:.1f}" if "accuracy" in r else "–" for r in results))
        text += f"| {model} | {100 * rows['whole']:.1f} | " + " | ".join(cells) + " |\n"
    text += "\nSeconds for one cut at 50 %, all in:\n\n| model | " + " | ".join(f"`{n}`" for n in names) + " |\n"
    text += "|---" * (1 + len(names)) + "|\n"
    for model, rows in sorted(data["models"].items()):
        seconds = [rows.get(name, [{}])[0].get("seconds", "–") for name in names]
        text += f"| {model} | " + " | ".join(map(str, seconds)) + " |\n"
    return text + ("\n" + "\n".join(sorted(errors)) + "\n" if errors else "")


if __name__ == "__main__":
    main()
