"""The table of published models: what pruning by half makes of the ONNX models in packages of PyPI and npm.

    cargo build --release
    pip install numpy onnx onnxruntime
    python benches/wild/run.py ~/.cache/wild                  # everything: TABLE.md and table.json
    python benches/wild/run.py ~/.cache/wild --only silero    # the other rows stay as they are
    python benches/wild/run.py ~/.cache/wild --fetch          # only fetches

Packages and versions are in `packages.txt`. Each model is pruned by `prune --ratio 0.5` with its proof, and judged by
onnx and ONNX Runtime alone (`judge.py`). Results are kept in the cache under a hash of binary and model, so a run that
was cut off goes on where it was.
"""

import argparse
import datetime
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import fetch
import judge
import onnx

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import pruned  # noqa: E402

OPTIONS = ["--ratio", "0.5", "--no-compensate", "--no-merge"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=pathlib.Path, help="the folder for packages and results")
    parser.add_argument("--bin", type=pathlib.Path, default=HERE.parents[1] / "target/release/secateur")
    parser.add_argument("--commit", help="what --bin was built from, where that is not HEAD")
    parser.add_argument("--only", nargs="+", default=[], help="packages whose names contain one of these words")
    parser.add_argument("--limit", type=float, default=300, help="seconds for one model")
    parser.add_argument("--fetch", action="store_true", help="fetch the packages and stop")
    args = parser.parse_args()
    binary = None if args.fetch else pruned.digest(args.bin)
    kept = HERE / "table.json"
    rows = {(r["package"], r["model"]): r for r in (json.loads(kept.read_text()) if args.only and kept.exists() else [])}
    for package, version, file, given in fetch.models(args.cache, args.only):
        if args.fetch:
            print(file)
            continue
        row = once(args, binary, file, given)
        rows[package, file.stem] = {"package": package, "version": version, "model": file.stem, **row}
        print(package, file.stem, json.dumps(row, ensure_ascii=False), flush=True)
    if not args.fetch:
        kept.write_text(json.dumps(list(rows.values()), indent=1, ensure_ascii=False) + "\n")
        (HERE / "TABLE.md").write_text(table(list(rows.values()), versions(args)))


def once(args, binary, file, given):
    """The row of a model, from the cache or made."""
    parts = [binary, pruned.digest(file), *OPTIONS, *given]
    return pruned.kept(args.cache / "results", parts, lambda: measured(args, file, given))


def measured(args, file, given):
    with tempfile.TemporaryDirectory() as folder:
        out, report = pathlib.Path(folder, "out.onnx"), pathlib.Path(folder, "report.json")
        ended = pruned.prune(args, file, out, report, OPTIONS)
        if ended is None:
            return {"note": f"no answer in {args.limit:.0f} s"}
        done, cpu = ended
        row = {"cpu": cpu, "exit": done.returncode}
        if not report.exists():
            return row | {"note": last(done.stderr)}
        return row | told(json.loads(report.read_text())) | judged(file, out, report, given)


def told(report):
    """What the report says of sizes, proof and pins."""
    before, after, proof = report["before"], report["after"], report["verification"]
    whole = max(report["pinned"], key=lambda p: p["size"], default=None) if not report["groups"] else None
    return {
        "macs": after["macs"] / before["macs"] if before["macs"] else 1.0,
        "file": after["file"] / before["file"],
        "proof": ("equal" if proof["equal"] else "NOT EQUAL") if proof["status"] == "ran" else proof["status"],
        "why": re.sub(r"\s*\(/\S+\)", "", proof.get("why", "")),  # a panic's place in the sources
        "note": f"whole: {whole['why']}" if whole else "" if report["groups"] else "whole: no group",
    }


def judged(file, out, report, given):
    """What ONNX Runtime says of the file that was written."""
    if not out.exists():
        return {"valid": None, "apart": "no file was written"}
    try:
        valid, apart = judge.judge(file, out, json.loads(report.read_text())["removed"], given)
    except Exception as error:  # of whatever library: it is what the table tells
        return {"valid": False, "apart": last(str(error))}
    if isinstance(apart, float):
        return {"valid": valid, "apart": apart, "equal": apart <= judge.tolerance(onnx.load(file))}
    return {"valid": valid, "apart": apart}


def last(text):
    lines = text.strip().splitlines() or ["(silent)"]
    return next((line for line in reversed(lines) if line.startswith("error")), lines[-1])[:200]


def table(rows, versions):
    share = lambda x: "–" if x is None else f"{x:.2f}"
    lines = []
    for row in rows:
        name = row["package"] if row["package"] != (lines and lines[-1][0]) else ""
        proof = row.get("proof", "–") + (f": {row['why']}" if row.get("why") else "")
        apart = row.get("apart", "–")
        said = f"{'yes' if row.get('equal') else 'NO'} ({apart:.0e})" if isinstance(apart, float) else apart
        said = said if row.get("valid", True) is not False else f"INVALID: {apart}"
        cells = [name, row["model"], share(row.get("macs")), share(row.get("file")), proof, said, f"{row.get('cpu', '–')}", row.get("note", "")]
        lines.append((row["package"], "| " + " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in cells) + " |"))
    count = lambda ok: sum(bool(ok(row)) for row in rows)
    return f"""# Published models

{versions}
Written by `python benches/wild/run.py CACHE`; [CONTRIBUTING.md](../../CONTRIBUTING.md) says how.

Each model was pruned by `{" ".join(["prune", *OPTIONS])}`. *MACs* and *file* are the shares left. *Proof* is secateur's
own check, *ONNX Runtime* that of a judge of its own: whether the file is valid, has the interface of the original, and computes
what the original computes with the slices at zero that the report lists as removed (largest difference of any output over its
largest number; made-up inputs).

{len(rows)} models: {count(lambda r: r.get("proof") == "equal")} proved, {count(lambda r: r.get("equal"))} equal in ONNX Runtime,
{count(lambda r: r.get("macs") is not None and r["macs"] < 0.999)} cut, {count(lambda r: r.get("file", 0) > 1)} larger than before.

| package | model | MACs | file | proof | ONNX Runtime | CPU s | note |
|---|---|---|---|---|---|---|---|
""" + "".join(line + "\n" for _, line in lines)


def versions(args):
    commit = args.commit or subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, text=True).strip()
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("onnx", "onnxruntime"))
    return f"{datetime.date.today().isoformat()}. secateur {commit}, {libraries}."


if __name__ == "__main__":
    main()
