"""Telemetry: samples of a real device reach a real hub once each and in order, whoever is away or killed meanwhile."""

import json
import time

import pytest

from fleet import fake_package, running_fleet, wait_for

SPOOL = "telemetry: { interval_s: 1, spool: { durable_after_ms: 100 } }\n"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with running_fleet(tmp_path_factory.mktemp("telemetry"), "--telemetry-samples", "500") as running:
        yield running


def samples(fleet, device):
    return fleet.json("device", "telemetry", device, "--limit", "10000")["samples"]


def certificate_of(device, folder):
    identity = json.loads((device.state / "identity/identity.json").read_text())
    (folder / "device.pem").write_text(identity["certificate"])
    return folder / "device.pem", device.state / "identity/device.key"


def test_samples_say_how_the_device_is(fleet, tmp_path):
    fake_package(tmp_path, "m", "1.0.0")
    fleet.push(tmp_path / "m-1.0.0")
    device = fleet.device("cam", SPOOL)
    fleet.deploy("m@1.0.0", to="name=cam")
    for _ in range(7):
        assert device.predict("m")[0] == 200
    wait_for(lambda: sum(model.get("requests", 0) for one in samples(fleet, "cam") for model in one.get("models", [])) >= 7,
             what="requests")
    newest = samples(fleet, "cam")[-1]
    assert 0 <= newest["processor_load"] <= 1 and newest["uptime_s"] > 0
    assert newest["memory_available_bytes"] > 0 and newest["disk_free_bytes"] > 0 and newest["resident_bytes"] > 0
    assert newest["models"][0]["name"] == "m" and newest["models"][0]["version"] == "1.0.0"
    assert abs(newest["time_ms"] / 1000 - time.time()) < 30
    text = fleet.verge("device", "telemetry", "cam", "--since", "2h").stdout
    assert "PROCESSOR" in text and "MiB" in text
    assert "VRG-CLI-090" in fleet.verge("device", "telemetry", "cam", "--since", "2 weeks", check=False).stderr
    assert fleet.verge("device", "telemetry", "nobody", check=False).returncode == 3
    device.stop()


def test_after_days_offline_all_come_in_order_and_none_twice(fleet):
    device = fleet.device("away", SPOOL)
    wait_for(lambda: len(samples(fleet, "away")) >= 2, what="samples")
    fleet.hub.kill()
    for _ in range(2):
        time.sleep(3)
        device.kill()
        device.start()
    time.sleep(3)
    fleet.hub.start()
    begin = time.time()
    wait_for(lambda: samples(fleet, "away")[-1]["time_ms"] / 1000 > begin, 120, "samples of now")
    fleet.hub.kill()  # And once more, while it takes them.
    time.sleep(2)
    fleet.hub.start()
    begin = time.time()
    wait_for(lambda: samples(fleet, "away")[-1]["time_ms"] / 1000 > begin, 120, "samples of now")
    found = samples(fleet, "away")
    numbers = [one["sequence"] for one in found]
    assert numbers == sorted(set(numbers))
    moments = [one["time_ms"] for one in found]
    assert moments == sorted(moments)
    # Nothing is missing while an agent ran: only at its two kills, a start and a tenth of a second each.
    gaps = [later - earlier for earlier, later in zip(moments, moments[1:])]
    assert sum(gap > 1700 for gap in gaps) <= 2, gaps
    device.stop()


def test_what_floods_is_bounded(fleet, tmp_path):
    device = fleet.device("loud", "")
    certificate = certificate_of(device, tmp_path)
    device.stop()

    def send(first, count, size=10):
        batch = {"version": 1, "stream": "ab", "samples": [
            {"sequence": first + i, "time_ms": 1, "x": "y" * size} for i in range(count)]}
        return fleet.hub.request("POST", "/api/v1/device/telemetry", batch, "", certificate)
    status, _, text = send(1, 500, 4000)
    assert status == 413 and b"VRG-HUB-080" in text
    assert send(1, 501)[0] == 400
    status, _, text = send(1, 500)
    assert status == 200 and json.loads(text)["stored_to"] == 500
    answers = [send(501 + 100 * i, 100) for i in range(80)]
    throttled = [answer for answer in answers if answer[0] == 429]
    assert len(throttled) >= 20 and 0 < int(throttled[0][1]["Retry-After"]) <= 60
    assert b"VRG-HUB-081" in throttled[0][2]
    assert len(samples(fleet, "loud")) == 500
    assert fleet.hub.call("GET", "/devices/loud/telemetry", token="wrong")[0] == 401
    assert fleet.hub.request("POST", "/api/v1/device/telemetry", b"{}")[0] in (401, 403)
