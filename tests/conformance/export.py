"""Writes the backend test cases of the `onnx` package into a folder, for the sweep (see CONTRIBUTING.md).

    pip install onnx==1.23.2
    python tests/conformance/export.py DIR

Each case becomes `DIR/<kind>/<case>/`, with `model.onnx` and `test_data_set_<i>/{input,output}_<j>.pb`; `DIR/about`
says when and of what the folder was made.
"""

import datetime
import shutil
import sys
import warnings
from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases

# Cases that the package keeps as files. `real` and `light` are downloads, and topologies without inputs.
FOLDERS = ["pytorch-converted", "pytorch-operator", "simple"]


def message(value, info):
    """The protobuf message of one input or output."""
    if isinstance(value, TensorProto):
        return value
    pack = {
        "map_type": numpy_helper.from_dict,
        "sequence_type": numpy_helper.from_list,
        "optional_type": numpy_helper.from_optional,
    }
    return pack.get(info.type.WhichOneof("value"), numpy_helper.from_array)(value, info.name)


def write(case, folder):
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString(deterministic=True))
    graph = case.model.graph
    for i, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{i}"
        data.mkdir()
        for side, values, infos in [("input", inputs, graph.input), ("output", outputs, graph.output)]:
            for j, (value, info) in enumerate(zip(values, infos, strict=True)):
                (data / f"{side}_{j}.pb").write_bytes(message(value, info).SerializeToString(deterministic=True))


def main(out):
    warnings.filterwarnings("ignore")  # Some cases overflow on purpose.
    for case in collect_testcases(None):
        write(case, out / case.kind / case.name)
    data = Path(onnx.__file__).parent / "backend/test/data"
    for kind in FOLDERS:
        shutil.copytree(data / kind, out / kind)
    (out / "about").write_text(f"onnx {onnx.__version__}, {datetime.date.today()}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        sys.exit("usage: export.py DIR   (a folder that does not exist yet)")
    main(Path(sys.argv[1]))
