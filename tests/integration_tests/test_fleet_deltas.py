"""Updates by delta: the hub makes them from the versions that devices have, devices apply them, and none can do harm."""

import json
import os
import random

import numpy as np
import pytest
from fleet import fake_package, real_package, running_fleet, wait_for

MIB = 1 << 20


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as running:
        yield running


def like(package, changed, seed=1, size=2 * MIB):
    """Gives a package a large file that differs in `changed` bytes from that of every other with this seed."""
    content = bytearray(random.Random(seed).randbytes(size))
    chance = random.Random(str(package))
    for _ in range(changed):
        content[chance.randrange(size)] ^= 0xFF
    (package / "model_files" / "filler.bin").write_bytes(content)
    return package


def version(folder, number, changed=100, **options):
    return like(fake_package(folder, "m", number), changed, **options)


def deltas(fleet, model, number):
    """Versions from which there are deltas, with their sizes."""
    detail = fleet.json("model", "show", model)
    found = next(one for one in detail["versions"] if one["version"] == number)
    return {one["from"]: one["size_bytes"] for one in found.get("deltas", [])}


def delta_made(fleet, old, new, model="m"):
    return wait_for(lambda: deltas(fleet, model, new).get(old), what=f"delta {old} → {new}")


def blob_files(fleet):
    return fleet.hub.folder / "blobs" / "sha256"


def test_a_new_version_comes_as_a_delta_that_was_made_in_the_background(fleet, tmp_path):
    device = fleet.device("cam-1")
    fleet.push(version(tmp_path, "1.0.0"))
    fleet.deploy("m@1.0.0")
    fleet.push(version(tmp_path, "1.1.0"))
    size = delta_made(fleet, "1.0.0", "1.1.0")
    assert size < 4096
    deployment, on, _ = fleet.deploy("m@1.1.0")
    assert on["cam-1"]["state"] == "committed" and device.version("m") == "1.1.0"
    progress = device.record("m")["progress"]
    assert progress["bytes_spared"] > 1.9 * MIB and progress["bytes_fetched"] < 0.1 * MIB
    assert "deltas spared" in fleet.explain(deployment, "cam-1")
    assert not list((device.state / "store" / "partial").glob("*")), "the delta itself is not kept"
    assert "from 1.0.0" in fleet.verge("model", "show", "m").stdout


def test_a_real_model_that_was_trained_on(fleet, tmp_path):
    import onnx
    from onnx import numpy_helper
    old = real_package(tmp_path, "1.0.0")
    new = real_package(tmp_path, "1.1.0")
    model = onnx.load(str(new / "model_files" / "model.onnx"))
    chance = np.random.default_rng(1)
    for tensor in model.graph.initializer:
        numbers = numpy_helper.to_array(tensor)
        if numbers.dtype == np.float32 and numbers.size > 1000:
            noise = 1 + chance.normal(0, 1e-6, numbers.shape).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(numbers * noise, tensor.name))
    (new / "model_files" / "model.onnx").write_bytes(model.SerializeToString())
    device = fleet.device("cam-1")
    fleet.push(old)
    fleet.deploy("efficientnet_lite0@1.0.0")
    fleet.push(new)
    size = delta_made(fleet, "1.0.0", "1.1.0", "efficientnet_lite0")
    whole = (new / "model_files" / "model.onnx").stat().st_size
    assert size < 0.5 * whole
    _, on, _ = fleet.deploy("efficientnet_lite0@1.1.0")
    assert on["cam-1"]["state"] == "committed"
    assert device.record("efficientnet_lite0")["progress"]["bytes_fetched"] < 1.01 * size + 65536


def test_any_tool_finds_it_as_a_referrer(fleet, tmp_path):
    fleet.device("cam-1")
    old = fleet.push(version(tmp_path, "1.0.0"))["digest"]
    fleet.deploy("m@1.0.0")
    new = fleet.push(version(tmp_path, "1.1.0"))["digest"]
    size = delta_made(fleet, "1.0.0", "1.1.0")

    def get(path):
        status, _, content = fleet.hub.request("GET", f"/v2/m/{path}")
        assert status == 200, content
        return content
    (entry,) = json.loads(get(f"referrers/{new}?artifactType=application/vnd.verge.delta.v1"))["manifests"]
    assert entry["annotations"] == {"vnd.verge.delta.from": old, "vnd.verge.delta.to": new}
    manifest = json.loads(get(f"manifests/{entry['digest']}"))
    (layer,) = manifest["layers"]
    assert layer["size"] == size and manifest["subject"]["digest"] == new
    files = blob_files(fleet)
    (tmp_path / "delta").write_bytes(get(f"blobs/{layer['digest']}"))
    fleet.verge("delta", "apply", files / layer["annotations"]["vnd.verge.delta.from"][7:], tmp_path / "delta",
                tmp_path / "made")
    assert (tmp_path / "made").read_bytes() == (files / layer["annotations"]["vnd.verge.delta.to"][7:]).read_bytes()


def test_a_damaged_delta_does_no_harm(fleet, tmp_path):
    device = fleet.device("cam-1")
    fleet.push(version(tmp_path, "1.0.0"))
    fleet.deploy("m@1.0.0")
    before = set(os.listdir(blob_files(fleet)))
    new = version(tmp_path, "1.1.0")
    fleet.push(new)
    size = delta_made(fleet, "1.0.0", "1.1.0")
    (damaged,) = [blob_files(fleet) / name for name in set(os.listdir(blob_files(fleet))) - before
                  if (blob_files(fleet) / name).stat().st_size == size]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    _, on, _ = fleet.deploy("m@1.1.0")
    assert on["cam-1"]["state"] == "committed" and device.version("m") == "1.1.0"
    progress = device.record("m")["progress"]
    assert "bytes_spared" not in progress and progress["bytes_fetched"] > 2 * MIB


def test_devices_on_thin_links_wait_for_one_that_is_being_made(fleet, tmp_path):
    device = fleet.device("cam-1", hub=", downloads: { wait_for_delta_s: 120 }")
    fleet.push(version(tmp_path, "1.0.0", size=8 * MIB))
    fleet.deploy("m@1.0.0")
    fleet.push(version(tmp_path, "1.1.0", size=8 * MIB))
    fleet.deploy("m@1.1.0")
    progress = device.record("m")["progress"]
    assert progress["bytes_spared"] > 7 * MIB and progress["bytes_fetched"] < MIB
    assert any("VRG-AGT-045" in entry["text"] for entry in progress["timeline"])


def test_a_hub_may_make_none(tmp_path):
    with running_fleet(tmp_path, "--deltas", "false") as fleet:
        device = fleet.device("cam-1", hub=", downloads: { wait_for_delta_s: 120 }")
        fleet.push(version(tmp_path, "1.0.0"))
        fleet.deploy("m@1.0.0")
        fleet.push(version(tmp_path, "1.1.0"))
        fleet.deploy("m@1.1.0")
        assert device.record("m")["progress"]["bytes_fetched"] > 2 * MIB
        assert deltas(fleet, "m", "1.1.0") == {}


def test_a_hub_that_is_killed_while_it_makes_one_makes_it_later_and_leaves_nothing(fleet, tmp_path):
    fleet.device("cam-1")
    fleet.push(version(tmp_path, "1.0.0", size=24 * MIB))
    fleet.deploy("m@1.0.0")
    fleet.push(version(tmp_path, "1.1.0", size=24 * MIB))
    children = f"/proc/{fleet.hub.process.pid}/task"

    def child():
        found = [open(f"{children}/{task}/children").read().split() for task in os.listdir(children)]
        return next((int(one) for many in found for one in many), None)
    made_by = wait_for(child, what="process that makes the delta")
    fleet.hub.process.kill()
    fleet.hub.process.wait()
    wait_for(lambda: not os.path.exists(f"/proc/{made_by}"), what="end of the process that makes the delta")
    fleet.hub.start()
    delta_made(fleet, "1.0.0", "1.1.0")
    assert not list((fleet.hub.folder / "uploads").iterdir())


def test_what_no_device_needs_any_more_is_removed(tmp_path):
    with running_fleet(tmp_path, "--garbage-grace", "0", "--garbage-interval", "1") as fleet:
        fleet.device("cam-1")
        for number in ("1.0.0", "1.1.0"):
            fleet.push(version(tmp_path, number))
        fleet.deploy("m@1.0.0")
        size = delta_made(fleet, "1.0.0", "1.1.0")
        fleet.deploy("m@1.1.0")

        def gone():
            sizes = [path.stat().st_size for path in blob_files(fleet).iterdir()]
            return not deltas(fleet, "m", "1.1.0") and size not in sizes
        wait_for(gone, timeout=90, what="end of the delta")
