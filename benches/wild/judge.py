"""Judges a pruned model with onnx and ONNX Runtime alone."""

import itertools

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

TOLERANCE = 2e-3, 3e-2  # of floats; with weights of 8 or 16 bits
FLOOR = 1e-4  # of the largest number: approximations of Sigmoid and its kin are off by some 1e-7 where they vanish
TYPES = {
    "float": np.float32, "double": np.float64, "float16": np.float16, "bool": np.bool_, "string": np.str_,
    **{kind: np.dtype(kind).type for kind in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")},
}  # fmt: skip


class Unfit(Exception):
    """The original model can't be run with made-up inputs."""


def judge(original, pruned, removed, given):
    """(valid, largest difference from the masked original or why there is none)"""
    model = onnx.load(original)
    onnx.checker.check_model(str(pruned))
    if not same_interface(interface(model), interface(onnx.load(pruned))):
        return False, "its interface changed"
    before, after = session(str(original)), session(str(pruned))
    try:
        feed, whole = fitting(before, given)
    except Unfit as error:
        return True, str(error)
    masked, missing = zeroed(model, removed)
    if missing:
        return True, f"there is no constant {missing}"
    want, got = session(masked.SerializeToString()).run(None, feed), after.run(None, feed)
    if [np.shape(x) for x in got] != [np.shape(x) for x in whole]:
        return False, "its outputs' shapes changed"
    return True, max((apart(a, b) for a, b in zip(want, got)), default=0.0)


def tolerance(model):
    """By the types of the constants."""
    few_bits = any(t.data_type in (2, 3, 10, 16, 21, 22) and t.dims for t in model.graph.initializer)
    return TOLERANCE[few_bits]


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def same_interface(before, after):
    """Whether names, types and shapes are alike. A size that was open may have become known."""
    if len(before) != len(after):
        return False
    for (*was, old), (*now, new) in zip(before, after):
        known = old is not None and new is not None and len(old) == len(new)
        fits = known and all(a == b or not isinstance(a, int) for a, b in zip(old, new))
        if was != now or not (fits or old == new):
            return False
    return True


def interface(model):
    """What the file declares. A runtime tells what it infers instead, which may change though the outputs do not."""
    fixed = {t.name for t in model.graph.initializer}
    inputs = [x for x in model.graph.input if x.name not in fixed]
    return [(x.name, *kind(x.type)) for x in (*inputs, *model.graph.output)]


def kind(type):
    """The kind of a type, its element type, and its shape, with None for open sizes."""
    name = type.WhichOneof("value")
    if name != "tensor_type":
        return name, type.SerializeToString(), None
    tensor = type.tensor_type
    shape = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim] if tensor.HasField("shape") else None
    return name, tensor.elem_type, shape


def fitting(it, given):
    """A feed that the model takes, and what it answers: open sizes and ranges of integers are tried."""
    cause = "it takes nothing"
    # A size with a name is the same everywhere; the batch begins inputs and stands nowhere else.
    inner = {d for i in it.get_inputs() for d in i.shape[1:]}
    batches = {d for i in it.get_inputs() for d in i.shape[:1] if d is None or d not in inner}
    for size, top in itertools.product((16, 64, 96, 32, 128, 320, 512, 1024, 16000, 1, 4, 8), (100, 2, 1)):
        try:
            feed = {i.name: made_up(i, (batches, size), top, given) for i in it.get_inputs()}
            return feed, it.run(None, feed)
        except Exception as error:  # ONNX Runtime's errors have no class of their own
            cause = str(error).splitlines()[0]
    raise Unfit(f"no made-up input fits: {cause[:120]}")


def made_up(entry, sizes, top, given):
    kind = TYPES[entry.type.removeprefix("tensor(").removesuffix(")")]
    batches, size = sizes
    shape = [d if isinstance(d, int) else 1 if k == 0 and d in batches else size for k, d in enumerate(entry.shape)]
    fill = None
    for word in given:
        if word.startswith(entry.name + "="):
            shape = [int(d) for d in word.split("=")[1].split("x")]
        if word.startswith(entry.name + ":"):
            shape, fill = list(entry.shape), int(word.split(":")[1])
    random = np.random.default_rng(1)
    if fill is not None:
        return np.full(shape, fill, kind)
    if kind is np.str_:
        return np.full(shape, "a", object)
    if kind is np.bool_ or "mask" in entry.name:
        return np.ones(shape, kind)
    if np.issubdtype(kind, np.integer):
        return random.integers(0, top, shape).astype(kind)
    return random.standard_normal(shape).astype(kind)


def zeroed(model, removed):
    """The model with the removed slices at zero, for all uses of a tensor or for those named; and what was not found."""
    masked = onnx.ModelProto()
    masked.CopyFrom(model)
    found, changed = tensors(masked.graph), {}
    for cut in removed:
        uses = tuple(map(tuple, cut.get("uses") or ()))
        if cut["tensor"] not in found:
            return None, cut["tensor"]
        arrays = changed.setdefault((cut["tensor"], uses), [numpy_helper.to_array(t).copy() for t in found[cut["tensor"]]])
        for array in arrays:
            array[(slice(None),) * cut["axis"] + (cut["indices"],)] = 0
    for number, ((name, uses), arrays) in enumerate(changed.items()):
        if not uses:
            for tensor, array in zip(found[name], arrays):
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
            continue
        copy = f"{name}/zeroed/{number}"
        masked.graph.initializer.append(numpy_helper.from_array(arrays[0], copy))
        for at, slot in uses:
            node = masked.graph.node[at]
            if slot < len(node.input):
                node.input[slot] = copy
            else:  # a slot behind a call's operands is what its bodies read from outside
                for body in bodies(node):
                    rename(body, name, copy)
    return masked, None


def tensors(graph):
    """Every constant by name: initializers and Constant nodes, those in bodies too, where a name may stand twice."""
    found = {}
    for tensor in graph.initializer:
        found.setdefault(tensor.name, []).append(tensor)
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    found.setdefault(node.output[0], []).append(attribute.t)
        for body in bodies(node):
            for name, inner in tensors(body).items():
                found.setdefault(name, []).extend(inner)
    return found


def bodies(node):
    return [g for a in node.attribute for g in ([a.g] if a.HasField("g") else a.graphs)]


def rename(graph, name, copy):
    """Reads `copy` where the graph reads `name` from outside."""
    for node in graph.node:
        node.input[:] = [copy if x == name else x for x in node.input]
        for body in bodies(node):
            rename(body, name, copy)
    for output in graph.output:
        output.name = copy if output.name == name else output.name


def apart(a, b):
    """The largest difference over the largest number; of anything but numbers, the share that differs."""
    if not isinstance(a, np.ndarray) or a.dtype.kind not in "fiu" or a.shape != b.shape:
        return float(repr(a) != repr(b)) if np.shape(a) == np.shape(b) else float("inf")
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not (np.isfinite(a) == np.isfinite(b)).all():
        return float("inf")
    finite = np.isfinite(a)
    return float(np.abs(a - b)[finite].max(initial=0) / max(np.abs(a)[finite].max(initial=0), FLOOR))
