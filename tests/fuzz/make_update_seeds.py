"""Writes seeds for the fuzz targets of what travels with updates: make_update_seeds.py FOLDER. Deltas are made by `verge`
(from VERGE_BUILD, default build/dev), where it is built."""

import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
VERGE = pathlib.Path(os.environ.get("VERGE_BUILD", ROOT / "build/dev")) / "bin/verge"
DESCRIPTION = {"version": 1, "created_ms": 1, "devices": [{"version": 1, "device": "cam-1"}]}


def archive(kind, entries):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=kind) as tar:
        for name, text in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
    return content.getvalue()


def bundles():
    entries = [("oci-layout", b"{}"), ("bundle.json", json.dumps(DESCRIPTION).encode()), ("metadata/timestamp.json", b"{}"),
               ("blobs/sha256/" + 64 * "a", 700 * b"b"), ("index.json", b"{}")]
    for number, kind in enumerate((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        yield str(number), archive(kind, entries)
    yield "long_name", archive(tarfile.PAX_FORMAT, [*entries, (300 * "x", b"y")])


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def onnx(weights):
    """A model with one initializer of float32."""
    tensor = varint(1 << 3) + varint(len(weights) // 4) + varint(2 << 3) + varint(1) + field(8, b"w") + field(9, weights)
    return varint(1 << 3) + varint(8) + field(7, field(5, tensor))


def safetensors(weights):
    header = json.dumps({"w": {"dtype": "F32", "shape": [len(weights) // 4], "data_offsets": [0, len(weights)]}}).encode()
    return struct.pack("<Q", len(header)) + header + weights


def weights(step):
    return struct.pack("<400f", *(0.01 * i + step for i in range(400)))


IR = (b'<net><layers><layer id="0" name="w" type="Const"><data element_type="f32" offset="0" size="1600"/></layer>'
      b"</layers></net>")


def deltas():
    if not VERGE.exists():
        print(f"no seeds of deltas: {VERGE} is not built", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        old, new, delta = (pathlib.Path(folder) / name for name in ("old", "new", "delta"))
        for name, form in (("onnx", onnx), ("safetensors", safetensors), ("plain", lambda content: content)):
            old.write_bytes(form(weights(0)))
            new.write_bytes(form(weights(1e-4)))
            subprocess.run([VERGE, "delta", "create", old, new, delta], check=True, stdout=subprocess.DEVNULL)
            yield name, delta.read_bytes()


def main():
    root = pathlib.Path(sys.argv[1])
    models = [("onnx", onnx(weights(0))), ("safetensors", safetensors(weights(0))), ("ir", IR)]
    for target, seeds in (("fuzz_bundle", bundles()), ("fuzz_model_file", models), ("fuzz_delta", deltas())):
        (root / target).mkdir(parents=True, exist_ok=True)
        for name, content in seeds:
            (root / target / name).write_bytes(content)


main()
