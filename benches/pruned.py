"""What the tables of models have in common: results that are kept, and a model that is pruned under a limit."""

import hashlib
import json
import os
import subprocess


def kept(folder, parts, make):
    """The result that depends on these texts, from the folder or made."""
    file = folder / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}.json"
    if not file.exists():
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(json.dumps(make()))
    return json.loads(file.read_text())


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def prune(args, file, out, report, options):
    """How a call of `prune` ended and its processor time in seconds; `None` where it took longer than the limit."""
    command = [args.bin, "prune", file, "-o", out, "--report", report, *options]
    before = os.times()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.limit)
    except subprocess.TimeoutExpired:
        return None
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return done, round(cpu, 1)
