"""The models of the table, with what calibrates and what judges them."""

import dataclasses
import pathlib

import numpy as np

import images

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / "target/accuracy"
TYPES = {"tokens": np.int64}
# Judged on this many rendered letters.
LETTERS = 2000


@dataclasses.dataclass
class Task:
    name: str
    model: pathlib.Path
    calib: pathlib.Path
    input: str
    inputs: np.ndarray
    labels: np.ndarray

    def fed(self, rows):
        """Rows of the data as the model takes them."""
        return rows.astype(TYPES.get(self.input, np.float32))


def tasks(only=()):
    """All tasks whose name contains one of the words, if there are words."""
    fixtures = sorted((ROOT / "fixtures").glob("digits_*.onnx"))
    paths = [p for p in fixtures if p.stem != "digits_vgg_dynamo"] + sorted((HERE / "models").glob("*.onnx"))
    return [task(p) for p in paths if not only or any(word in p.stem for word in only)]


def task(path):
    family = path.stem.split("_")[0]
    calib, test = {"digits": digits, "letters": letters, "text": text}[family]()
    with np.load(test) as data:
        name = next(k for k in data.files if k != "labels")
        return Task(path.stem, path, calib, name, data[name], data["labels"].astype(np.int64))


def digits():
    return ROOT / "fixtures/digits_calib.npz", ROOT / "fixtures/digits_test.npz"


def text():
    return HERE / "models/text_calib.npz", HERE / "models/text_test.npz"


def letters():
    """Rendered once; the seeds are not those of the training."""
    CACHE.mkdir(parents=True, exist_ok=True)
    files = []
    for name, count, seed in (("letters_calib", 256, [1, 0]), ("letters_test", LETTERS, [2, 0])):
        file = CACHE / f"{name}.npz"
        if not file.exists():
            pixels, labels = images.render(count, seed)
            part = CACHE / f"{name}.part.npz"
            np.savez_compressed(part, pixels=pixels, labels=labels)
            part.rename(file)
        files.append(file)
    return tuple(files)
