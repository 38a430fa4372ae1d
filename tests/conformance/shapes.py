"""What onnx knows of the values of models, beside what secateur does: nothing that onnx knows may be unknown to us.

usage: shapes.py [--bin PATH] MODEL...      needs: pip install onnx

Compares each value of the main graph: element type, rank, and every length that onnx's inference gives as a number or
by a name of the file. Prints a line for each value of which we know less or something else, and fails if there is one.
Weights are not looked at: those that a file leaves out are read as zeros.
"""
import argparse, json, os, re, subprocess, sys, tempfile
import onnx
from onnx import helper, shape_inference

NAMES = {"FLOAT": "f32", "DOUBLE": "f64", "FLOAT16": "f16", "BFLOAT16": "bf16", "BOOL": "bool", "STRING": "str"}


def dtype(number):
    name = onnx.TensorProto.DataType.Name(number)
    return NAMES.get(name) or name.lower().replace("uint", "u").replace("int", "i")


def zeros(model, folder):
    """Points weights that the file leaves out to a long file of zeros."""
    longest = 0
    for tensor in model.graph.initializer:
        if any(e.key == "random" for e in tensor.external_data):
            size = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            for d in tensor.dims: size *= d
            tensor.data_location = onnx.TensorProto.EXTERNAL
            del tensor.external_data[:]
            tensor.external_data.add(key="location", value="zeros")
            tensor.external_data.add(key="length", value=str(size))
            longest = max(longest, size)
    if longest:
        with open(os.path.join(folder, "zeros"), "wb") as f: f.truncate(longest)


def known(model):
    """Element type and shape of each value, as onnx infers them."""
    inferred = shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    found = {}
    for info in [*inferred.graph.value_info, *inferred.graph.output]:
        tensor = info.type.tensor_type
        if not info.type.HasField("tensor_type") or not tensor.elem_type: continue
        dims = None
        if tensor.HasField("shape"):
            dims = [(d.dim_value if d.dim_value >= 0 else None) if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim]
        found[info.name] = (dtype(tensor.elem_type), dims)
    return found


def compare(theirs, ours, names):
    """How a type of ours falls short of one of onnx's; None where it does not."""
    (element, dims), own = theirs, ours.get("shape")
    if ours.get("dtype") != element: return f"the element type is {element}, not {ours.get('dtype')}"
    if dims is None: return None
    if own is None: return f"the rank is {len(dims)}: {dims}"
    if len(own) != len(dims): return f"the rank is {len(dims)} ({dims}), not {len(own)} ({own})"
    for axis, (a, b) in enumerate(zip(dims, own)):
        vague = re.fullmatch(r"\?\d+", b)
        if isinstance(a, int) and b != str(a): return f"axis {axis} is {a}, not {b} ({own})"
        if isinstance(a, str) and a in names and vague: return f"axis {axis} is {a}, not {b} ({own})"
    return None


def main():
    ap = argparse.ArgumentParser(); ap.add_argument("--bin", default="target/release/secateur"); ap.add_argument("models", nargs="+")
    args = ap.parse_args(); short = count = 0
    for path in args.models:
        with tempfile.TemporaryDirectory() as folder:
            try: model = onnx.load(path, load_external_data=False)
            except Exception as e: print(f"{path}: onnx can't read it: {str(e)[:100]}"); continue
            zeros(model, folder)
            at = os.path.join(folder, "model.onnx"); onnx.save(model, at)
            run = subprocess.run([args.bin, "inspect", at, "--json"], capture_output=True, text=True)
            if run.returncode: print(f"{path}: {run.stderr.strip()[:200]}"); continue
            ours = json.loads(run.stdout)["values"]
            names = {d.dim_param for i in model.graph.input for d in i.type.tensor_type.shape.dim if d.dim_param}
            try: theirs = known(model)
            except Exception as e: print(f"{path}: onnx fails: {str(e)[:100]}"); continue
        for value, ty in theirs.items():
            if value not in ours: continue
            count += 1
            if said := compare(ty, ours[value], names): short += 1; print(f"{path}: {value}: {said}", flush=True)
    print(f"{short} of {count} values of {len(args.models)} models are known better by onnx"); sys.exit(short > 0)


if __name__ == "__main__": main()
