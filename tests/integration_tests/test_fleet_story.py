"""A fleet through its life, with the real programs over TLS: deploy, update, roll back, apply, freeze, scripts."""

import json
import time

import pytest
from conftest import photograph
from fleet import DOG, fake_package, real_package, reason_of, running_fleet, wait_for


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with running_fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def device(fleet):
    return fleet.device("cam-1")


def test_a_real_model_is_deployed_updated_and_rolled_back(fleet, tmp_path):
    device = fleet.device("real-1")
    cat = photograph("chelsea.png").read_bytes()
    fleet.push(real_package(tmp_path, "1.0.0", "v1 "))
    first, on, _ = fleet.deploy("efficientnet_lite0@1.0.0", "name=real-1")
    assert on["real-1"]["state"] == "committed"
    _, answer = device.predict("efficientnet_lite0", cat)
    assert answer["version"] == "1.0.0" and answer["classes"][0]["label"] == "v1 Egyptian cat"

    fleet.push(real_package(tmp_path, "1.1.0", "v2 "))
    second, on, _ = fleet.deploy("efficientnet_lite0@1.1.0", "name=real-1")
    assert on["real-1"]["state"] == "committed" and on["real-1"]["before"] == "1.0.0"
    assert on["real-1"]["bytes_fetched"] < 0.01 * on["real-1"]["bytes_total"], "the weights were here already"
    _, answer = device.predict("efficientnet_lite0", cat)
    assert answer["version"] == "1.1.0" and answer["classes"][0]["label"] == "v2 Egyptian cat"
    told = fleet.explain(second, "real-1")
    for text in ("4 golden samples right, inference", "every digest is right", "traffic switched from 1.0.0",
                 "latency_ms", "memory_bytes", "switch_ms"):
        assert text in told, told

    go_back(fleet, device, "efficientnet_lite0", "1.0.0", second)
    _, answer = device.predict("efficientnet_lite0", cat)
    assert answer["version"] == "1.0.0" and answer["classes"][0]["label"] == "v1 Egyptian cat"
    assert first != second
    device.stop()


def deployed(fleet, device, folder, model):
    """1.0.0 of a fake model runs on the device."""
    fleet.push(fake_package(folder, model, "1.0.0"))
    _, on, _ = fleet.deploy(model, f"name={device.name}")
    assert on[device.name]["state"] == "committed"
    assert device.version(model) == "1.0.0"


def go_back(fleet, device, application, version, *what):
    """Rolls back what the hub knows to be possible, and sees that the version before is active."""
    wait_for(lambda: fleet.previous(device.name, application) == version, what="report of the switch")
    fleet.verge("rollback", *(what or (application, "--to", f"name={device.name}")))
    assert device.active(application) == version


def traffic(device, model, deployment, seconds=30):
    """Predictions until the update to the version of `deployment` has ended; the versions and failures seen."""
    seen = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end and deployment.poll() is None:
        status, answer = device.predict(model)
        key = answer.get("version") if status == 200 else status
        seen[key] = seen.get(key, 0) + 1
    return seen


def deploy_under_traffic(fleet, device, model, version, *options):
    import subprocess
    deployment = subprocess.Popen([fleet.program, "deploy", f"{model}@{version}", "--to", f"name={device.name}",
                                   "--output", "json", *options], env=fleet.environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen = traffic(device, model, deployment)
    out, errors = deployment.communicate(timeout=60)
    return json.loads(out)["summary"]["deployment"], seen, errors, deployment.returncode


def test_a_version_that_is_slower_on_live_traffic_goes_back_by_itself(fleet, device, tmp_path):
    deployed(fleet, device, tmp_path, "slow")
    for _ in range(30):
        device.predict("slow")
    fleet.push(fake_package(tmp_path, "slow", "1.1.0", delay_ms=40))
    deployment, seen, errors, code = deploy_under_traffic(fleet, device, "slow", "1.1.0", "--watch", "20",
                                                          "--max-latency-ratio", "2")
    assert code != 0 and "VRG-CLI-018" in errors and "rolled_back" in errors
    assert seen.keys() == {"1.0.0", "1.1.0"} and device.version("slow") == "1.0.0"
    told = fleet.explain(deployment, "cam-1")
    identifier, message = reason_of(told)
    assert identifier == "VRG-UPD-012" and "expected an inference of at most" in message and "got 40." in message
    for text in ("version 1.1.0 is wanted, 1.0.0 runs", "traffic switched from 1.0.0", "version 1.0.0 is back",
                 "watched_p50_ms 40."):
        assert text in told, told


def test_a_version_that_fails_on_live_input_goes_back_by_itself(fleet, device, tmp_path):
    deployed(fleet, device, tmp_path, "weak")
    fleet.push(fake_package(tmp_path, "weak", "1.1.0", function="fail_after 60"))
    deployment, seen, _, code = deploy_under_traffic(fleet, device, "weak", "1.1.0", "--watch", "20")
    assert code != 0 and seen["1.1.0"] == 60 and set(seen) == {"1.0.0", "1.1.0", 500}
    identifier, message = reason_of(fleet.explain(deployment, "cam-1"))
    assert identifier == "VRG-UPD-011" and "expected at most 2 % of requests to fail" in message
    assert device.version("weak") == "1.0.0"


def test_an_administrator_goes_back_to_what_each_device_had(fleet, device, tmp_path):
    deployed(fleet, device, tmp_path, "hand")
    fleet.push(fake_package(tmp_path, "hand", "1.1.0"))
    # During the watch, which would go on for ten minutes.
    fleet.verge("deploy", "hand@1.1.0", "--to", "name=cam-1", "--watch", "600", "--no-wait")
    wait_for(lambda: device.version("hand") == "1.1.0", what="1.1.0")
    wait_for(lambda: fleet.previous("cam-1", "hand"), what="report of the switch")
    fleet.verge("rollback", "hand", "--to", "name=cam-1")
    assert device.version("hand") == "1.0.0"
    # And after it.
    fleet.deploy("hand", "name=cam-1")
    assert device.version("hand") == "1.1.0"
    done = fleet.verge("rollback", "hand", "--to", "all", "--dry-run")
    assert "dry run" in done.stdout and device.version("hand") == "1.1.0"
    go_back(fleet, device, "hand", "1.0.0")


def test_an_application_is_switched_as_one(fleet, device, tmp_path):
    for model in ("left", "right"):
        for version in ("1.0.0", "2.0.0"):
            fleet.push(fake_package(tmp_path, model, version))
    inbox, out = tmp_path / "inbox", tmp_path / "out.jsonl"
    inbox.mkdir()

    def document(version):
        return {"schema_version": 1, "name": "pair", "version": version,
                "models": [{"model": "left", "version": version, "name": "l"}, {"model": "right", "version": version}],
                "pipelines": [{"name": "watch", "models": [{"model": "l"}], "source": {"folder": {"path": str(inbox), "watch": True}},
                               "sinks": [{"json_lines": {"path": str(out)}}]}]}
    for version in ("1.0.0", "2.0.0"):
        file = tmp_path / f"pair-{version}.json"
        file.write_text(json.dumps(document(version)))
        fleet.verge("app", "create", file)
    assert "left" in fleet.verge("app", "show", "pair").stdout
    fleet.deploy("pair@1.0.0", "name=cam-1")
    assert device.version("l") == device.version("right") == "1.0.0"
    (inbox / "a.png").write_bytes(DOG)
    wait_for(lambda: out.exists() and "1.0.0 dog" in out.read_text(), what="prediction of the pipeline")

    # Never one model of the one version beside one of the other: the second is asked after the first.
    fleet.verge("deploy", "pair@2.0.0", "--to", "name=cam-1", "--watch", "0", "--no-wait")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        first, second = device.version("l"), device.version("right")
        assert first and second and not (first == "2.0.0" and second == "1.0.0")
        if first == "2.0.0":
            break
    assert device.ended("pair", "2.0.0")["step"] == "committed" and device.version("right") == "2.0.0"
    (inbox / "b.png").write_bytes(DOG)
    wait_for(lambda: "2.0.0 dog" in out.read_text(), what="prediction of the pipeline")
    go_back(fleet, device, "pair", "1.0.0")
    assert device.version("l") == device.version("right") == "1.0.0"


def test_a_fleet_file_is_shown_made_so_and_then_changes_nothing(fleet, device, tmp_path):
    fleet.push(fake_package(tmp_path, "filed", "1.0.0"))
    file = tmp_path / "fleet.yaml"
    file.write_text("schema_version: 1\nfloors: { filed: 1.0.0 }\n"
                    "applications:\n  - schema_version: 1\n    name: both\n    version: 1.0.0\n"
                    "    models: [{ model: filed, version: 1.0.0, name: in-file }]\n"
                    "deployments:\n  - { application: both, version: 1.0.0, selector: name=cam-1, "
                    "watch: { duration_s: 0 } }\n")
    planned = fleet.verge("apply", "-f", file, "--dry-run").stdout
    assert "dry run: nothing was changed" in planned and "both 1.0.0" in planned and "floor" in planned
    assert not any(one["application"] == "both" for one in fleet.json("deploy", "list")["deployments"])
    fleet.verge("apply", "-f", file)
    assert device.ended("both", "1.0.0")["step"] == "committed" and device.version("in-file") == "1.0.0"
    assert "nothing to change" in fleet.verge("apply", "-f", file).stdout
    assert fleet.json("apply", "-f", file)["changes"] == []
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("schema_version: 1\ndeployment: []\n")
    refused = fleet.verge("apply", "-f", wrong, check=False)
    assert refused.returncode != 0 and "line 2" in refused.stderr and "deployment" in refused.stderr


def test_a_frozen_fleet_holds_an_update_back_until_it_is_thawed(fleet, device, tmp_path):
    deployed(fleet, device, tmp_path, "iced")
    fleet.push(fake_package(tmp_path, "iced", "1.1.0"))
    fleet.verge("fleet", "freeze", "--reason", "night shift")
    assert "FROZEN" in fleet.verge("status").stdout
    fleet.verge("deploy", "iced@1.1.0", "--to", "name=cam-1", "--watch", "0", "--no-wait")
    time.sleep(1.5)
    assert device.version("iced") == "1.0.0"
    fleet.verge("fleet", "thaw")
    assert device.ended("iced", "1.1.0")["step"] == "committed" and device.version("iced") == "1.1.0"


def test_an_application_is_removed(fleet, device, tmp_path):
    deployed(fleet, device, tmp_path, "gone")
    fleet.verge("deploy", "remove", "gone", "--to", "name=cam-1", "--timeout", "30")
    assert device.predict("gone")[0] == 404 and device.active("gone") is None
    # What nothing names any more leaves the store.
    assert device.record("gone") == {}


def test_the_three_scripts(fleet, device, tmp_path):
    package = fake_package(tmp_path, "scripted", "1.0.0")
    done = fleet.script("deploy_model.sh", package, "name=cam-1", "--watch", "0")
    assert done.returncode == 0, done.stderr
    assert device.version("scripted") == "1.0.0"
    fleet.push(fake_package(tmp_path, "scripted", "1.1.0"))
    done = fleet.script("update_model.sh", "scripted", "name=cam-1", "--watch", "0")
    assert done.returncode == 0 and device.version("scripted") == "1.1.0", done.stderr
    done = fleet.script("rollback_model.sh", "scripted", "name=cam-1")
    assert done.returncode == 0 and device.version("scripted") == "1.0.0", done.stderr
    fleet.push(fake_package(tmp_path, "scripted", "1.2.0", golden_label="1.2.0 bird"))
    done = fleet.script("update_model.sh", "scripted@1.2.0", "name=cam-1", "--watch", "0")
    assert done.returncode != 0 and "golden samples are wrong" in done.stdout and device.version("scripted") == "1.0.0"
    for name, arguments in (("deploy_model.sh", ()), ("deploy_model.sh", (package,)), ("rollback_model.sh", ()),
                            ("update_model.sh", ("A b", "all")), ("update_model.sh", ("scripted",))):
        assert fleet.script(name, *arguments).returncode == 2, name
    assert fleet.script("deploy_model.sh", tmp_path / "nowhere", "all").returncode == 3


def test_a_device_without_its_hub_serves_what_it_had(fleet, device, tmp_path):
    deployed(fleet, device, tmp_path, "alone")
    fleet.hub.kill()
    device.restart()
    assert device.version("alone") == "1.0.0"
    wait_for(lambda: device.status()["hub"]["troubles"], what="trouble in the status")
    fleet.hub.start()
    wait_for(lambda: not device.status()["hub"]["troubles"], what="hub in reach again")
