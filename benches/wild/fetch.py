"""The packages of `packages.txt`, fetched by the registries' own clients, and the models in them."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).parent
CLIENTS = {
    "pypi": lambda name, version: [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--ignore-requires-python", "--disable-pip-version-check", f"{name}=={version}"],
    "npm": lambda name, version: ["npm", "pack", "--silent", f"{name}@{version}"],
}


def packages():
    """[(registry, name, version, {file: [argument, …]})]"""
    found = []
    for line in (HERE / "packages.txt").read_text().splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if line[0].isspace():
            found[-1][3][words[0]] = words[1:]
        else:
            found.append((*words, {}))
    return found


def models(cache, only=()):
    """Fetches what is not there yet. Yields (package, version, file, how to feed it), each content once."""
    seen = set()
    for registry, name, version, feeds in packages():
        if only and not any(word in name for word in only):
            continue
        try:
            folder = fetched(cache, registry, name, version)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"{name} {version} can't be fetched: {error}", file=sys.stderr)
            continue
        for file in sorted(folder.glob("*.onnx")):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            if content not in seen:
                seen.add(content)
                yield name, version, file, feeds.get(file.name, [])


def fetched(cache, registry, name, version):
    """The folder with the package's models."""
    folder = cache / name.replace("/", "+")
    done = folder / "version"
    if done.exists() and done.read_text() == version:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run(CLIENTS[registry](name, version), cwd=temporary, check=True, stdout=subprocess.DEVNULL)
        for archive in pathlib.Path(temporary).iterdir():
            unpack(members(archive), folder)
    done.write_text(version)
    return folder


def members(archive):
    """{path: a function that reads it}"""
    if archive.suffix in (".whl", ".zip"):
        opened = zipfile.ZipFile(archive)
        return {i.filename: lambda i=i: opened.read(i) for i in opened.infolist() if not i.is_dir()}
    opened = tarfile.open(archive)
    return {i.name: lambda i=i: opened.extractfile(i).read() for i in opened if i.isfile()}


def unpack(members, folder):
    """Writes the models, also those that a `resources.json` says lie there in pieces."""
    for path, read in members.items():
        path = pathlib.PurePosixPath(path)
        if path.suffix == ".onnx":
            target = folder / path.name
            if target.exists():  # two of one name
                target = folder / f"{path.parent.name}_{path.name}"
            target.write_bytes(read())
        if path.name == "resources.json":
            for name, resource in json.loads(read()).items():
                pieces = [members.get(str(path.parent / piece["hash"])) for piece in resource["chunks"]]
                if "models" in name and all(pieces):
                    (folder / f"{pathlib.PurePosixPath(name).name}.onnx").write_bytes(b"".join(piece() for piece in pieces))
