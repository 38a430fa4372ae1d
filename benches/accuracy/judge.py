"""What a model is worth and what it costs, by ONNX Runtime alone."""

import numpy as np
import onnx
import onnxruntime

COUNTED = ("Conv", "Gemm", "MatMul")


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def score(model, task):
    """Accuracy, and the mean of −log2 of the probability of what is right ("bits")."""
    run = session(model)
    right, bits = [], []
    for at in range(0, len(task.inputs), 250):
        logits = run.run(None, {task.input: task.fed(task.inputs[at : at + 250])})[0].astype(np.float64)
        labels = task.labels[at : at + 250]
        right.append((logits.argmax(-1) == labels).ravel())
        logits -= logits.max(-1, keepdims=True)
        chosen = np.take_along_axis(logits, labels[..., None], -1)[..., 0]
        bits.append(((np.log(np.exp(logits).sum(-1)) - chosen) / np.log(2)).ravel())
    return {"accuracy": float(np.concatenate(right).mean()), "bits": float(np.concatenate(bits).mean())}


def macs(model, task):
    """Multiply-accumulates of one sample: convolutions and products of matrices. Sizes are those of a run."""
    model = onnx.ModelProto.FromString(model if isinstance(model, bytes) else model.SerializeToString())
    graph = model.graph
    sizes = {t.name: list(t.dims) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            sizes[node.output[0]] = list(node.attribute[0].t.dims)
    counted = [n for n in graph.node if n.op_type in COUNTED]
    wanted = {name for n in counted for name in (*n.input[:2], n.output[0])} - set(sizes)
    wanted -= {task.input} | {o.name for o in graph.output}
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted))
    run, feed = session(model), {task.input: task.fed(task.inputs[:1])}
    sizes[task.input] = list(feed[task.input].shape)
    for output, value in zip(run.get_outputs(), run.run(None, feed)):
        sizes[output.name] = list(value.shape)
    return sum(cost(n, sizes) for n in counted)


def cost(node, sizes):
    left, right, out = (sizes[name] for name in (node.input[0], node.input[1], node.output[0]))
    if node.op_type == "Conv":
        return int(np.prod(out)) * int(np.prod(right[1:]))
    across = node.op_type == "Gemm" and any(a.name == "transA" and a.i for a in node.attribute)
    return int(np.prod(out)) * left[0 if across else -1]
