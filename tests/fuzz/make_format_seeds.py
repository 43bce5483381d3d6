"""Writes seeds for fuzz targets, most of them with zero bytes: make_format_seeds.py FOLDER."""

import hashlib
import json
import os
import pathlib
import shutil
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
SCHEMAS = pathlib.Path(__file__).parents[2] / "schemas"
DIGEST = "sha256:" + 64 * "0"
EMPTY_INDEX = '{"schemaVersion":2,"manifests":[]}'
WIDE_DIGEST = "sha512:" + hashlib.sha512(EMPTY_INDEX.encode()).hexdigest()
# Content-Type, digest, manifest
REGISTRY_MANIFESTS = (
    ("application/vnd.oci.image.manifest.v1+json; charset=utf-8", DIGEST,
     '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"a/b","digest":"%s"},'
     '"layers":[{"digest":"%s"}],"subject":{"digest":"%s"},"annotations":{"a":"b"}}' % (DIGEST, WIDE_DIGEST, DIGEST)),
    ("", WIDE_DIGEST, '{"manifests":[{"digest":"%s"}]}' % WIDE_DIGEST))
SELECTORS = ("all", "name=cam-1", "site=plant1,type!=camera", " site = plant1 , zone!=b")
GET, POST, PUT, PATCH, DELETE, NOBODY = 0, 2, 3, 4, 5, 8
# method and caller, path, query, range, Content-Type, body
REQUESTS = (
    (GET, "/v2/models/cat/blobs/$B", "", "bytes=3-9"), (GET, "/v2/models/cat/blobs/$B", "", "bytes=-5"),
    (GET, "/v2/models/cat/blobs/$B", "", "bytes=7-"), (GET, "/v2/models/cat/tags/list", "n=3&last=1.0.0"),
    (POST, "/v2/models/cat/blobs/uploads/", "mount=$B&from=models/cat"), (POST, "/v2/models/cat/blobs/uploads/", f"digest={DIGEST}"),
    (PATCH, "/v2/models/cat/blobs/uploads/0", "", "0-4", "", "bytes"), (PUT, "/v2/models/cat/blobs/uploads/0", f"digest={DIGEST}"),
    (PUT, "/v2/models/cat/manifests/1.0.0", "", "", "application/vnd.oci.image.index.v1+json", '{"manifests":[]}'),
    (PUT, "/v2/models/cat/manifests/%0d%0a", "", "", "", '{"mediaType":"a\\r\\nb","manifests":[]}'),
    (GET, "/v2/models/cat/manifests/1.0.0"), (GET, f"/v2/models/cat/referrers/{DIGEST}", "artifactType=a/b"),
    (DELETE, "/v2/models/cat/blobs/$B"), (GET, "/api/v1/devices", "selector=site%3Dplant1"), (GET, "/api/v1/events", "after=0&limit=5"),
    (PUT, "/api/v1/models/cat/floor", "", "", "", '{"version":"1.0.0"}'), (GET, "/tuf/metadata/1.root.json"), (GET, "/tuf/targets/a/b"),
    (GET, "/v2/models/cat/referrers/$C", f"artifactType=a/b%2Bc&last={DIGEST}"), (GET, "/v2/_catalog", "n=1"),
    (PUT, f"/v2/a/manifests/{WIDE_DIGEST}", "tag=a&tag=b", "", "application/vnd.oci.image.index.v1+json", EMPTY_INDEX),
    (GET, "/api/v1/registry"), (POST, "/api/v1/registry/garbage-collections", "dry_run=1&untagged=true"),
    (NOBODY, "/v2/", "", "", "Basic YTpi"), (POST, "/api/v1/deployments", "", "", "", '{"application":"cat","selector":"all"}'))


def fleet(root):
    for target in ("fleet_documents", "manifest", "selector", "hub_request", "registry_manifest"):
        (root / f"fuzz_{target}").mkdir(parents=True, exist_ok=True)
    for folder in ("agent", "state", "hub"):
        for example in (SCHEMAS / folder / "examples/valid").iterdir():
            shutil.copy(example, root / "fuzz_fleet_documents")
    desired = json.loads((SCHEMAS / "state/examples/valid/desired_state.one_model.json").read_text())["applications"][0]
    progress = {"deployment": "d-2", "version": "1.1.0", "digest": DIGEST, "state": "testing", "numbers": {"latency_ms": 1.5}}
    record = {"version": 1, "desired": desired, "step": "watching", "starts": 1, "progress": progress}
    (root / "fuzz_fleet_documents/update_record.json").write_text(json.dumps(record))
    layer = MANIFEST % "metadata.json"
    for mark, value in (("$C", DIGEST), ("$L", DIGEST), ("$c", "2"), ("$l", "3")):
        layer = layer.replace(mark, value)
    (root / "fuzz_manifest/one_layer.json").write_text(layer)
    for number, selector in enumerate(SELECTORS):
        (root / "fuzz_selector" / str(number)).write_text(f"{selector}\0site=plant1\ntype=robot\nname=cam-1")
    for number, (choice, *parts) in enumerate(REQUESTS):
        (root / "fuzz_hub_request" / str(number)).write_bytes(bytes([choice]) + "\0".join(parts).encode())
    for number, parts in enumerate(REGISTRY_MANIFESTS):
        (root / "fuzz_registry_manifest" / str(number)).write_bytes(bytes([number]) + "\0".join(parts).encode())


def executorch(root):
    """A real program's structure, and XNNPACK's graph in it, without the weights; nothing where there are no real models."""
    data = pathlib.Path(os.environ.get("VERGE_TEST_DATA") or pathlib.Path(__file__).parents[3] / "shared/data")
    model = data / "models/cls/efficientnet_lite0/efficientnet_lite0_int8.pte"
    if not model.exists():
        return
    content = model.read_bytes()
    graph = content.find(b"XH00") - 4
    (root / "fuzz_executorch_file").mkdir(parents=True, exist_ok=True)
    (root / "fuzz_executorch_file/program").write_bytes(b"\0" + content[:graph + 52_000])
    (root / "fuzz_executorch_file/graph").write_bytes(b"\1" + content[graph:graph + 52_000])


def main():
    root = pathlib.Path(sys.argv[1])
    executorch(root)
    for number, task in enumerate(("tensor", "classification")):
        parts = (METADATA % task, PREPROCESSING[number], POSTPROCESSING[number], GOLDEN[number], "x" * (768, 60)[number])
        (root / "fuzz_package").mkdir(parents=True, exist_ok=True)
        (root / "fuzz_package" / task).write_bytes("\0".join(parts).encode())
    for number, path in enumerate(("metadata.json", "model_files/a/b", "../x")):
        parts = (INDEX, MANIFEST % path, "{}", METADATA % "tensor")
        (root / "fuzz_image_layout").mkdir(parents=True, exist_ok=True)
        (root / "fuzz_image_layout" / str(number)).write_bytes("\0".join(parts).encode())
    fleet(root)


main()
