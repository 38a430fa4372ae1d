"""The PyTorch modules of the table's models, with the weights of the ONNX files, for tools that need PyTorch."""

import importlib.util
import sys

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

import judge
import nets
import tasks


def load(task):
    """A module that computes what the file computes, and samples with labels."""
    family, kind = task.name.split("_", 1)
    with np.load(task.calib) as data:
        x = torch.from_numpy(task.fed(data[task.input]))
        y = torch.from_numpy(data["labels"].astype(np.int64)) if "labels" in data.files else None
    if family == "digits":
        generate = fixtures()
        y = torch.from_numpy(generate.split()[1][: len(x)])
        model = generate.NETS[kind][0]()
    else:
        model = nets.build(task.name)
    proto = onnx.load(task.model)
    model = filled(model.eval(), proto, x)
    with torch.no_grad():
        ours = model(x[:8]).numpy()
    theirs = judge.session(proto).run(None, {task.input: x[:8].numpy()})[0]
    if not np.allclose(ours, theirs, atol=2e-3):
        raise SystemExit(f"{task.name}: the PyTorch module computes something else than the file")
    return model, x, y


def fixtures():
    spec = importlib.util.spec_from_file_location("generate", tasks.ROOT / "fixtures/generate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    return module


def filled(model, proto, x):
    """The module with the file's weights: by name, and where the exporter renamed them in the order of the calls."""
    arrays = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "Identity" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]]
    missing = set(model.load_state_dict({k: v for k, v in arrays.items() if k in model.state_dict()}, False)[0])
    if all(k.endswith("num_batches_tracked") for k in missing):
        return model
    calls = [n for n in proto.graph.node if n.op_type in ("Conv", "Gemm", "MatMul") and n.input[1] in arrays]
    for layer, node in zip(order(model, x), calls, strict=True):
        weight = arrays[node.input[1]]
        straight = node.op_type == "Conv" or any(a.name == "transB" and a.i for a in node.attribute)
        layer.weight = nn.Parameter(weight if straight else weight.T.contiguous())
        if len(node.input) > 2:
            layer.bias = nn.Parameter(arrays[node.input[2]])
    return without_norms(model)


def order(model, x):
    """Convolutions and linear layers in the order in which they run."""
    calls, hooks = [], []
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            hooks.append(layer.register_forward_hook(lambda m, i, o: calls.append(m)))
    with torch.no_grad():
        model(x[:1])
    for hook in hooks:
        hook.remove()
    return calls


def without_norms(model):
    """BatchNormalization is in the convolutions already."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    return model
