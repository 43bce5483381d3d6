"""Writes seeds with zero bytes for the fuzz targets package and image_layout: make_format_seeds.py FOLDER."""

import pathlib
import sys

METADATA = (
    '{"schema_version":1,"name":"s","version":"1.0.0","task":"%s","model":{"file":"model_files/model.fake","format":"fake"},'
    '"inputs":[{"name":"x","datatype":"UINT8","shape":[1,16,16,3]}],"outputs":[{"name":"y","datatype":"UINT8","shape":[1,4]}]}')
PREPROCESSING = ("version: 1\nsample: tensor\nsteps: []\n", "version: 1\nsample: image\nsteps: [{resize: {width: 16, height: 16}}]\n")
POSTPROCESSING = ("version: 1\nsteps: []\n", "version: 1\nlabels: labels.txt\nsteps: [{softmax: {}}, {top_k: {k: 2}}]\n")
GOLDEN = ('{"version":1,"samples":[{"name":"g","tensors":["in.bin"],"outputs":["in.bin"]}]}',
          '{"version":1,"samples":[{"name":"g","image":"in.bin","classes":[{"label":"a","score":1}]}]}')
INDEX = ('{"schemaVersion":2,"manifests":[{"digest":"$M","size":$m,"annotations":'
         '{"org.opencontainers.image.ref.name":"1.0.0","org.opencontainers.image.title":"s"}}]}')
MANIFEST = ('{"artifactType":"application/vnd.cncf.model.manifest.v1+json","config":{"digest":"$C","size":$c},"layers":['
            '{"mediaType":"application/vnd.cncf.model.weight.config.v1.raw","digest":"$L","size":$l,'
            '"annotations":{"org.cncf.model.filepath":"%s"}}]}')


def main():
    root = pathlib.Path(sys.argv[1])
    for number, task in enumerate(("tensor", "classification")):
        parts = (METADATA % task, PREPROCESSING[number], POSTPROCESSING[number], GOLDEN[number], "x" * (768, 60)[number])
        (root / "fuzz_package").mkdir(parents=True, exist_ok=True)
        (root / "fuzz_package" / task).write_bytes("\0".join(parts).encode())
    for number, path in enumerate(("metadata.json", "model_files/a/b", "../x")):
        parts = (INDEX, MANIFEST % path, "{}", METADATA % "tensor")
        (root / "fuzz_image_layout").mkdir(parents=True, exist_ok=True)
        (root / "fuzz_image_layout" / str(number)).write_bytes("\0".join(parts).encode())


main()
