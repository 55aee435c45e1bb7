"""Exports that somebody made to do harm, for ``hostile.py``; none has a signature.

The files that only torch can write are made by this file as a program, so that whoever opens the
exports has not imported torch:

    python benchmarks/hostile_exports.py FOLDER VICTIM MARKER
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

SIDE = 8
CONTENT: dict[str, Any] = {
    "schema": "archfront-export/1",
    "study": "hostile",
    "trial": 0,
    "candidate_id": "0",
    "candidate": {},
    "task": "classification",
    "class_names": ["a", "b"],
    "preprocess": {
        "input_size": SIDE,
        "channels": 3,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bilinear",
        "resize": "squash",
    },
    "output_names": ["probabilities"],
    "decode": "",
    "thresholds": {"score": 0.0},
    "metric": "accuracy",
    "metrics": {"accuracy": 1.0},
    "weights": {},
    "data": {},
    "licence": "",
    "versions": {},
    "created": "2026-01-01T00:00:00Z",
    "failed": {},
}
Make = Callable[[Path], None]


def artifact(opener: str, file: str, files: dict[str, str], /, **changes: Any) -> dict[str, Any]:
    """Return the entry of a manifest."""
    shape = [3, SIDE, SIDE]
    return {
        "format": opener,
        "opener": opener,
        "input": {"name": "images", "dtype": "float32", "batch": 1, "shape": shape},
        "file": file,
        "files": files,
        "precision": "fp32",
        "runtime": "onnxruntime 1",
        "size_mb": 1.0,
        "parity": 0.0,
        "metrics": {"accuracy": 1.0},
        "lost": 0.0,
        "latency": None,
        "marks": [],
    } | changes


def export(opener: str, files: dict[str, bytes | Make], main: str, /, **changes: Any) -> Make:
    """Return what writes an export whose checksums match, with changes of its entry."""

    def make(place: Path) -> None:
        digests = {}
        for name, content in files.items():
            file = place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(file)
                digests[name] = "0" * 64
            else:
                file.write_bytes(content)
                digests[name] = hashlib.sha256(content).hexdigest()
        entry = artifact(opener, main, digests, **changes)
        write(place, {**CONTENT, "artifacts": {"onnx": entry}})

    return make


def write(place: Path, content: Any) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "manifest.json").write_text(json.dumps(content))


def graph(nodes: Sequence[Any], constants: Sequence[Any] = ()) -> bytes:
    """Return an ONNX file."""
    taken = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    given = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None)
    made = helper.make_graph(nodes, "graph", [taken], [given], list(constants))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def whole(name: str, *values: int) -> TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def endless() -> bytes:
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Identity", ["go"], ["goes"]),
        helper.make_node("Sin", ["before"], ["after"]),
    ]
    inputs = [
        value("step", TensorProto.INT64, []),
        value("go", TensorProto.BOOL, []),
        value("before", TensorProto.FLOAT, None),
    ]
    outputs = [value("goes", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, None)]
    body = helper.make_graph(nodes, "body", inputs, outputs)
    steps = helper.make_tensor("steps", TensorProto.INT64, [], [2**62])
    return graph(
        [helper.make_node("Loop", ["steps", "", "images"], ["probabilities"], body=body)], [steps]
    )


def outside(place: str) -> bytes:
    """Return an ONNX file whose weights lie elsewhere."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", "16")):
        weights.external_data.add(key=key, value=value)
    return graph([helper.make_node("Identity", ["w"], ["probabilities"])], [weights])


GOOD = graph(
    [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "one"], ["row"]),
        helper.make_node("Concat", ["row", "row"], ["probabilities"], axis=1),
    ],
    [whole("one", 1, 1)],
)
IR = '<?xml version="1.0"?>{}<net name="n" version="11"><layers/><edges/></net>'


def onnx_export(content: bytes | Make, **changes: Any) -> Make:
    return export("onnx", {"onnx/model.onnx": content}, "onnx/model.onnx", **changes)


def changed(**changes: Any) -> Make:
    """Return what writes a right export with another manifest."""

    def make(place: Path) -> None:
        onnx_export(GOOD)(place)
        write(place, json.loads((place / "manifest.json").read_text()) | changes)

    return make


def said(text: str) -> Make:
    """Return what writes a manifest of this text."""

    def make(place: Path) -> None:
        place.mkdir(parents=True)
        (place / "manifest.json").write_text(text)

    return make


def other(make_file: Make) -> Make:
    """Return what writes something else in the place of a manifest."""

    def make(place: Path) -> None:
        place.mkdir(parents=True)
        make_file(place / "manifest.json")

    return make


def sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(10**11)


def link(target: str | Path) -> Make:
    return lambda file: file.symlink_to(target)


def preprocess(**changes: Any) -> Make:
    return changed(preprocess=CONTENT["preprocess"] | changes)


def exports(secret: Path, marker: Path, programs: Path) -> dict[str, Make]:
    """Return what writes each export by its name.

    Args:
        secret: A file that nothing may read.
        marker: A file that nothing may make.
        programs: Where the files lie that torch has made.
    """
    return (
        program_exports(secret, marker, programs)
        | onnx_exports(secret)
        | openvino_exports(secret)
        | manifests()
    )


def program_exports(secret: Path, marker: Path, programs: Path) -> dict[str, Make]:
    """Return exports in formats that are programs, or may have some beside them."""
    code = f"open({str(marker)!r}, 'w')".encode()
    config = {"model_type": "timm_wrapper", "architecture": "test_resnet"}

    def hf(**changes: Any) -> dict[str, bytes | Make]:
        return {"hf/config.json": json.dumps({**config, **changes}).encode()}

    made: dict[str, Make] = {
        f"torch: {file.name}": export(
            "torch-export" if file.suffix == ".pt2" else "torchscript",
            {f"onnx/{file.name}": file.read_bytes()},
            f"onnx/{file.name}",
        )
        for file in sorted(programs.iterdir())
    }
    return made | {
        "torchscript: no archive": export("torchscript", {"ts/m.pt": b"x"}, "ts/m.pt"),
        "torch.export: no archive": export("torch-export", {"te/m.pt2": b"PK\3\4"}, "te/m.pt2"),
        "hf: code beside it": export(
            "hf", {**hf(auto_map={"AutoModel": "m.N"}), "hf/m.py": code}, "hf"
        ),
        "hf: a pickle": export("hf", {**hf(), "hf/pytorch_model.bin": b"\x80\4."}, "hf"),
        "hf: a network of the hub": export("hf", hf(architecture="hf-hub:a/b"), "hf"),
        "hf: a folder as network": export(
            "hf", hf(architecture=f"local-dir:{secret.parent}"), "hf"
        ),
        "hf: a checkpoint elsewhere": export(
            "hf", hf(model_args={"checkpoint_path": str(secret)}), "hf"
        ),
    }


def onnx_exports(secret: Path) -> dict[str, Make]:
    """Return exports in ONNX."""
    large = [helper.make_node("ConstantOfShape", ["s"], ["probabilities"])]
    stray = helper.make_node("Run", ["images"], ["probabilities"], domain="evil")
    return {
        "onnx: 10^10 values": onnx_export(graph(large, [whole("s", 10**5, 10**5)])),
        "onnx: no end": onnx_export(endless()),
        "onnx: weights by an absolute path": onnx_export(outside(str(secret))),
        "onnx: weights above it": onnx_export(outside(os.path.relpath(secret, "/tmp/a/b/c"))),
        "onnx: an unknown operator": onnx_export(graph([stray])),
        "onnx: noise": onnx_export(bytes(range(256)) * 40),
        "onnx: cut off": onnx_export(GOOD[: len(GOOD) // 2]),
        "onnx: empty": onnx_export(b""),
        "onnx: other outputs": onnx_export(
            graph([helper.make_node("Identity", ["images"], ["probabilities"])])
        ),
        "onnx: a pipe": onnx_export(os.mkfifo),
        "onnx: /dev/zero": onnx_export(link("/dev/zero")),
        "onnx: a link to a secret": onnx_export(link(secret)),
        "onnx: 100 GB of nothing": onnx_export(sparse),
        "onnx: of another name": onnx_export(GOOD, file="../../secret"),
        "onnx: the root folder": onnx_export(GOOD, file="/"),
        "onnx: the folder above": onnx_export(GOOD, file=".."),
        "onnx: an unknown opener": onnx_export(GOOD, opener="pickle"),
        "onnx: a file that is a list": onnx_export(GOOD, file=["onnx"]),
        "onnx: a batch of 10^9": onnx_export(
            GOOD, input=artifact("onnx", "", {})["input"] | {"batch": 10**9}
        ),
        "onnx: a batch of -1": onnx_export(
            GOOD, input=artifact("onnx", "", {})["input"] | {"batch": -1}
        ),
    }


def openvino_exports(secret: Path) -> dict[str, Make]:
    """Return exports in OpenVINO's format, which is XML."""
    entity = f'<!DOCTYPE n [<!ENTITY a SYSTEM "file://{secret}">]>'
    laughs = "".join(f'<!ENTITY b{n} "{f"&b{n - 1};" * 10}">' for n in range(1, 10))
    return {
        "openvino: noise": export("openvino", {"ov/m.xml": b"<net", "ov/m.bin": b""}, "ov/m.xml"),
        "openvino: a secret as entity": export(
            "openvino", {"ov/m.xml": IR.format(entity).encode(), "ov/m.bin": b""}, "ov/m.xml"
        ),
        "openvino: entities of entities": export(
            "openvino",
            {"ov/m.xml": IR.format(f'<!DOCTYPE n [<!ENTITY b0 "xxxx">{laughs}]>').encode()},
            "ov/m.xml",
        ),
        "openvino: deep": export("openvino", {"ov/m.xml": b"<a>" * 200_000}, "ov/m.xml"),
    }


def manifests() -> dict[str, Make]:
    """Return exports whose manifest is not what it should be."""
    return {
        "manifest: a pipe": other(os.mkfifo),
        "manifest: /dev/zero": other(link("/dev/zero")),
        "manifest: 100 GB of nothing": other(sparse),
        "manifest: a folder": other(lambda file: file.mkdir()),
        "manifest: deep": said("[" * 1_000_000),
        "manifest: no text": other(lambda file: file.write_bytes(b"\xff\xfe\0")),
        "manifest: a number of 10^5 digits": said('{"schema": ' + "9" * 100_000 + "}"),
        "manifest: input of 10^9 px": preprocess(input_size=10**9),
        "manifest: no deviation": preprocess(std=[0, 0, 0]),
        "manifest: deviations missing": preprocess(std=[1]),
        "manifest: names that are a number": changed(class_names=5),
        "manifest: no names": changed(class_names=[]),
        "manifest: names that command the terminal": changed(
            class_names=["\x1b[2J\x1b]0;x\7", "\u202e"]
        ),
        "manifest: other output names": changed(output_names=["boxes"]),
        "manifest: another task": changed(task="detection"),
        "manifest: an unknown task": changed(task="os.system"),
        "manifest: a threshold that is text": changed(thresholds={"score": "x"}),
        "manifest: artifacts that are a list": changed(artifacts=[1, 2]),
        "manifest: a signature of its own": changed(signature="0" * 64),
        "manifest: more keys": changed(__class__="x", extra=1),
    }


def main() -> None:
    """Write what only torch can write."""
    import torch

    folder, victim, marker = map(Path, sys.argv[1:])

    class Writes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.path = str(victim)

        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [torch.from_file(self.path, True, 16).zero_()]

    class Loops(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            while bool(images.sum() < 1e30):
                images = images + 0
            return [images]

    class Plain(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(1, 2, 3))

    torch.jit.save(torch.jit.script(Writes()), str(folder / "writes.pt"))
    torch.jit.save(torch.jit.script(Loops()), str(folder / "loops.pt"))
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(Plain(), (torch.zeros(2, 3, SIDE, SIDE),), dynamic_shapes=shapes)
    torch.export.save(program, folder / "plain.pt2")
    call = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    with (
        zipfile.ZipFile(folder / "plain.pt2") as old,
        zipfile.ZipFile(folder / "evaluates.pt2", "w") as new,
    ):
        for name in old.namelist():
            held = old.read(name)
            if name.endswith("models/model.json"):
                symbols = json.loads(held)["range_constraints"]
                for symbol in symbols:
                    held = held.replace(f'"{symbol}"'.encode(), json.dumps(call).encode())
            new.writestr(name, held)
    (folder / "plain.pt2").unlink()


if __name__ == "__main__":
    main()
