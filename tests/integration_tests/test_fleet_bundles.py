"""Bundles: updates that are carried to devices without a network, checked as if they had come over one."""

import json
import shutil
import subprocess

import pytest
from conftest import verge
from fleet import fake_package, faketime, running_fleet, wait_for


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as running:
        yield running


def bundle(fleet, name="b.bundle", to="all"):
    file = fleet.folder / name
    return file, fleet.json("bundle", "create", file, "--to", to)


def apply(device, file, *options, check=True):
    return verge("bundle", "apply", file, "--url", device.agent.url, *options, check=check)


def away(fleet, *devices):
    """The hub is out of reach from now on."""
    for device in devices:
        wait_for(lambda one=device: fleet.json("device", "show", one.name).get("report"), what="report")
    fleet.hub.kill()


def deployed_while_away(fleet, tmp_path, version="1.1.0", **options):
    """A device that runs 1.0.0 and a bundle with `version`; the hub has gone."""
    device = fleet.device("cam-1")
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    fleet.deploy("m@1.0.0")
    device.stop()
    fleet.push(fake_package(tmp_path, "m", version, **options))
    fleet.verge("deploy", f"m@{version}", "--to", "all", "--watch", "0", "--no-wait")
    file, made = bundle(fleet)
    assert made["devices"] == ["cam-1"]
    fleet.hub.kill()
    return device.start(), file


def test_an_update_comes_with_a_bundle_and_the_hub_hears_of_it_later(fleet, tmp_path):
    device, file = deployed_while_away(fleet, tmp_path)
    assert device.version("m") == "1.0.0"
    done = apply(device, file)
    assert "committed" in done.stdout and device.version("m") == "1.1.0"
    assert not (device.state / "bundle.json").exists()
    fleet.hub.start()
    detail = wait_for(lambda: [one for one in fleet.json("deploy", "list")["deployments"]
                               if one["version"] == "1.1.0" and one["counts"].get("committed")], what="the hub's word")
    explained = fleet.explain(detail[0]["deployment"], "cam-1")
    assert "committed" in explained
    assert device.version("m") == "1.1.0"


def test_a_bundle_says_what_it_is_for(fleet, tmp_path):
    fleet.device("cam-1")
    fleet.device("cam-2")
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    fleet.deploy("m@1.0.0")
    file, made = bundle(fleet)
    assert sorted(made["devices"]) == ["cam-1", "cam-2"] and made["size_bytes"] < file.stat().st_size
    said = json.loads(verge("bundle", "inspect", file, "--output", "json").stdout)
    assert [one["device"] for one in said["devices"]] == ["cam-1", "cam-2"]
    table = verge("bundle", "inspect", file).stdout
    assert "cam-1" in table and "1.0.0" in table and fleet.hub.url in table


def test_other_tools_read_it_as_an_image_layout(fleet, tmp_path):
    fleet.device("cam-1")
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    fleet.deploy("m@1.0.0")
    file, _ = bundle(fleet)
    layout = tmp_path / "layout"
    layout.mkdir()
    subprocess.run(["tar", "xf", file, "-C", layout], check=True)
    assert "1.0.0" in verge("package", "inspect", layout).stdout
    verge("package", "verify", layout)


def test_a_bundle_without_anything_for_the_device_is_refused(fleet, tmp_path):
    one, other = fleet.device("cam-1"), fleet.device("cam-2")
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    fleet.deploy("m@1.0.0", to="name=cam-1")
    assert fleet.verge("bundle", "create", tmp_path / "none", "--to", "name=cam-2", check=False).stderr.count("VRG-CLI-050")
    file, _ = bundle(fleet, to="name=cam-1")
    done = apply(other, file, check=False)
    assert done.returncode != 0 and "VRG-AGT-046" in done.stderr and "cam-1" in done.stderr
    assert "committed" in apply(one, file).stdout, "again changes nothing"


def test_an_old_bundle_is_refused(fleet, tmp_path):
    device = fleet.device("cam-1")
    for version in ("1.0.0", "1.1.0"):
        fleet.push(fake_package(tmp_path, "m", version))
    fleet.deploy("m@1.0.0")
    old, _ = bundle(fleet, "old")
    fleet.deploy("m@1.1.0")
    done = apply(device, old, check=False)
    assert done.returncode != 0 and "VRG-AGT-047" in done.stderr
    assert device.version("m") == "1.1.0"


def test_a_version_that_fails_its_samples_is_refused_as_over_a_network(fleet, tmp_path):
    device, file = deployed_while_away(fleet, tmp_path, golden_label="no such animal")
    done = apply(device, file, check=False)
    assert done.returncode != 0 and "refused" in done.stdout and "VRG-UPD-007" in done.stdout
    assert device.version("m") == "1.0.0"


@pytest.mark.parametrize("what", ("blob", "metadata", "desired"))
def test_a_forged_bundle_changes_nothing(fleet, tmp_path, what):
    device, file = deployed_while_away(fleet, tmp_path)
    forged = fleet.folder / "forged"
    forged.mkdir()
    subprocess.run(["tar", "xf", file, "-C", forged], check=True)
    if what == "blob":
        for blob in (forged / "blobs" / "sha256").iterdir():
            content = bytearray(blob.read_bytes())
            content[len(content) // 2] ^= 1
            blob.write_bytes(content)
    elif what == "metadata":
        for name in (forged / "metadata").glob("*targets.json"):
            name.write_text(name.read_text().replace("1.1.0", "1.1.1"))
    else:
        description = json.loads((forged / "bundle.json").read_text())
        description["devices"][0]["applications"][0]["digest"] = "sha256:" + 64 * "0"
        (forged / "bundle.json").write_text(json.dumps(description))
    made = fleet.folder / "forged.bundle"
    names = sorted(str(path.relative_to(forged)) for path in forged.rglob("*") if path.is_file())
    subprocess.run(["tar", "cf", made, "-C", forged, *names], check=True)
    done = apply(device, made, "--timeout", "25", check=False)
    assert done.returncode != 0, done.stdout
    assert device.version("m") == "1.0.0" and device.active("m") == "1.0.0"
    assert "committed" in apply(device, file).stdout, "the right one does"


def test_expired_metadata_of_a_bundle_are_not_trusted(fleet, tmp_path):
    device, file = deployed_while_away(fleet, tmp_path)
    device.stop()
    device.start(faketime("+40d"))
    done = apply(device, file, "--timeout", "5", check=False)
    assert done.returncode != 0 and "VRG-TUF-005" in done.stdout
    assert device.version("m") == "1.0.0"


def test_a_device_that_loses_power_goes_on_with_the_bundle(fleet, tmp_path):
    device, file = deployed_while_away(fleet, tmp_path, filler=8 << 20, delay_ms=200)
    apply(device, file, "--no-wait")
    device.kill()
    assert (device.state / "bundle.json").exists()
    device.start()
    assert device.ended("m", "1.1.0")["step"] == "committed"
    wait_for(lambda: not (device.state / "bundle.json").exists(), what="end of the bundle")


def test_a_stick_that_is_pulled_out_can_be_put_in_again(fleet, tmp_path):
    device, file = deployed_while_away(fleet, tmp_path)
    device.stop()
    device.start()
    moved = fleet.folder / "elsewhere"
    shutil.copy(file, moved)
    assert apply(device, fleet.folder / "not there", check=False).returncode != 0
    content = moved.read_bytes()
    moved.write_bytes(content[: len(content) // 2])
    assert apply(device, moved, check=False).returncode != 0
    assert device.version("m") == "1.0.0"
    assert "committed" in apply(device, file).stdout


def test_a_device_that_never_reached_its_hub_takes_one(fleet, tmp_path):
    """It joins in the workshop, gets its enrolment file there, and meets the hub only in bundles afterwards."""
    device = fleet.device("cam-1")
    away_state = device.state
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    device.stop()
    fleet.verge("deploy", "m@1.0.0", "--to", "all", "--watch", "0", "--no-wait")
    file, _ = bundle(fleet)
    fleet.hub.kill()
    shutil.rmtree(away_state)
    device.start()
    assert "committed" in apply(device, file).stdout
    assert device.version("m") == "1.0.0"


def test_only_who_is_at_the_device_may_hand_one_over(fleet, tmp_path):
    device = fleet.device("cam-1")
    status, answer = device.agent.json("/bundle", json.dumps({"file": "relative"}).encode())
    assert status == 400 and "file" in answer["error"]
    status, answer = device.agent.json("/bundle", b"no json")
    assert status == 400
