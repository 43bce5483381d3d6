"""Deployments through the real verge-hub: held requests, refusals, rollbacks, floors, freezing, fleet files."""

import json
import os
import threading
import time

from hub_clients import Device, deploy, push_model, sha256, state_on


def test_a_change_reaches_a_held_request_at_once(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1").join()
    assert device.report()[0] == 200
    assert push_model(hub, "cat", "1.0.0")[0] == 201
    assert device.desired(after=0)[0] == 204
    arrived = []

    def wait():
        arrived.append((device.desired(after=0, wait_s=30), time.monotonic()))
    held = threading.Thread(target=wait)
    held.start()
    time.sleep(0.5)
    status, detail = deploy(hub, "cat", watch={"duration_s": 5})
    asked = time.monotonic()
    held.join(timeout=10)
    (status, state), when = arrived[0]
    assert status == 200 and when - asked < 0.1
    wanted = state["applications"][0]
    assert (wanted["application"], wanted["version"], wanted["target"]) == ("cat", "1.0.0", "models/cat/1.0.0.json")
    assert wanted["deployment"] == detail["summary"]["deployment"] and wanted["watch"] == {"duration_s": 5}
    start = time.monotonic()
    assert device.desired(wait_s=1)[0] == 204 and 0.9 < time.monotonic() - start < 3
    hold = threading.Thread(target=lambda: device.desired(wait_s=30))
    hold.start()
    time.sleep(0.3)
    start = time.monotonic()
    assert hub.stop() == 0 and time.monotonic() - start < 5, "held requests do not keep it"
    hold.join()


def test_content_comes_by_digest_and_in_part(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1").join()
    content = os.urandom(2_000_000)
    push_model(hub, "cat", "1.0.0", weights=content)
    path, pair = f"/api/v1/device/blobs/{sha256(content)}", (device.certificate, device.key)
    assert hub.request("GET", path, token="", certificate=pair)[2] == content
    status, headers, text = hub.request("GET", path, token="", certificate=pair, headers={"Range": "bytes=1500000-"})
    assert status == 206 and text == content[1500000:] and headers["Content-Length"] == "500000"
    assert hub.request("GET", path, token="", certificate=pair, headers={"Range": "bytes=2000000-"})[0] == 416
    assert hub.request("GET", path)[0] == 401
    assert hub.request("GET", "/api/v1/device/blobs/../../hub.db", token="", certificate=pair)[0] == 404


def test_who_cannot_take_it_is_skipped_with_the_reason(hub, tmp_path):
    push_model(hub, "cat", "1.0.0", requirements={"engines": [{"name": "openvino", "min_version": "2026.2"}],
                                                  "memory_bytes": 310 << 20})
    devices = {}
    for name in ("cam-1", "cam-17", "cam-9"):
        devices[name] = Device(hub, tmp_path, name).join()
    devices["cam-1"].report()
    devices["cam-17"].report(engines=[{"name": "litert", "version": "2.3"}], memory_available_bytes=190 << 20)
    status, dry = deploy(hub, "cat", dry_run=True)
    assert status == 200 and dry["summary"]["counts"] == {"pending": 1, "skipped": 1, "waiting": 1}
    assert hub.call("GET", "/deployments")[1]["deployments"] == []
    status, detail = deploy(hub, "cat")
    assert status == 201
    states = {entry["device"]: entry for entry in detail["devices"]}
    assert states["cam-1"]["state"] == "pending"
    assert states["cam-17"]["state"] == "skipped"
    assert states["cam-17"]["reason"]["message"] == ("cam-17 skipped: needs openvino>=2026.2 and 310.0 MiB of memory; "
                                                     "has litert 2.3 and 190.0 MiB of memory")
    assert states["cam-9"]["state"] == "waiting"
    assert devices["cam-17"].desired(after=0)[0] == 204 and devices["cam-9"].desired(after=0)[0] == 204
    devices["cam-9"].report()
    assert devices["cam-9"].desired(after=0)[1]["applications"][0]["version"] == "1.0.0"
    assert state_on(hub, "d-1", "cam-9")["state"] == "pending"


def test_selectors_go_by_labels_of_device_and_hub(hub, tmp_path):
    push_model(hub, "cat", "1.0.0")
    assert deploy(hub, "cat")[1]["id"] == "VRG-HUB-021"
    for name, site in (("cam-1", "plant1"), ("cam-2", "plant2")):
        Device(hub, tmp_path, name).join().report(labels={"site": site})

    def matching(selector):
        status, found = hub.call("GET", f"/devices?selector={selector}")
        return [device["device"] for device in found["devices"]] if status == 200 else found
    assert matching("all") == ["cam-1", "cam-2"]
    assert matching("site=plant1") == ["cam-1"] and matching("site!=plant1") == ["cam-2"]
    assert matching("type=camera,site=plant2") == ["cam-2"] and matching("name=cam-1") == ["cam-1"]
    assert hub.call("PUT", "/devices/cam-2/labels", {"labels": {"site": "plant1", "line": "3"}})[0] == 200
    assert matching("site=plant1") == ["cam-1", "cam-2"] and matching("line=3") == ["cam-2"]
    nothing = matching("site=plant9")
    assert nothing["id"] == "VRG-HUB-021" and "site=plant1" in nothing["error"]
    assert matching("site")["id"] == "VRG-HUB-020"


def test_the_story_of_an_update_and_its_rollbacks(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1").join()
    device.report()
    first, second = push_model(hub, "cat", "1.0.0")[1], push_model(hub, "cat", "1.1.0", weights=b"new")[1]
    push_model(hub, "dog", "1.0.0")
    assert deploy(hub, "cat", "1.0.0")[1]["summary"]["deployment"] == "d-1"
    device.desired()
    device.run("cat", "1.0.0", first, deployment="d-1")
    assert hub.call("GET", "/deployments/d-1")[1]["summary"]["state"] == "done"
    assert deploy(hub, "dog")[0] == 201
    assert deploy(hub, "cat")[1]["devices"][0]["before"] == "1.0.0"
    _, state = device.desired()
    assert [(a["application"], a["version"]) for a in state["applications"]] == [("cat", "1.1.0"), ("dog", "1.0.0")]
    now = int(time.time() * 1000)
    device.run("cat", "1.0.0", first, deployment="d-3", state="rolled_back", bytes_total=100, bytes_fetched=60,
               bytes_reused=40,
               reason={"id": "VRG-UPD-014", "message": "too slow: expected at most 10 ms, got 14 ms"},
               numbers={"latency_ms": 14},
               timeline=[{"at_ms": now, "state": "testing", "text": "5 golden samples agree"}])
    on_device = state_on(hub, "d-3", "cam-1")
    assert on_device["state"] == "rolled_back" and on_device["reason"]["id"] == "VRG-UPD-014"
    assert on_device["bytes_fetched"] == 60
    assert hub.call("GET", "/deployments/d-3")[1]["summary"]["state"] == "failed"
    _, story = hub.call("GET", "/deployments/d-3/devices/cam-1")
    told = [(line["source"], line["text"]) for line in story["timeline"]]
    assert told[0][0] == "hub" and "admin asked for cat 1.1.0 on 'all'; the device has 1.0.0" in told[0][1]
    assert ("device", "5 golden samples agree") in told
    assert "rolled_back [VRG-UPD-014]" in told[-1][1] and "60 fetched" in told[-1][1]
    assert "too slow" in story["status"]["reason"]["message"] and story["status"]["numbers"] == {"latency_ms": 14}
    assert sorted(story["timeline"], key=lambda line: line["at_ms"]) == story["timeline"]
    # Again, and this time it commits; then an administrator takes it back.
    assert deploy(hub, "cat", "1.1.0")[1]["summary"]["deployment"] == "d-4"
    device.desired()
    device.run("cat", "1.1.0", second, previous=("1.0.0", first), deployment="d-4")
    status, back = hub.call("POST", "/deployments/d-4/rollback")
    assert status == 201 and back["summary"]["rolls_back"] == "d-4" and back["devices"][0]["version"] == "1.0.0"
    _, state = device.desired()
    assert [(a["application"], a["version"]) for a in state["applications"]] == [("cat", "1.0.0"), ("dog", "1.0.0")]
    status, error = hub.call("POST", "/deployments/d-4/rollback")
    assert status == 409 and "d-5 came after d-4" in error["error"]
    device.run("cat", "1.0.0", first, previous=("1.1.0", second), deployment="d-5")
    status, back = hub.call("POST", "/rollbacks", {"application": "cat", "selector": "all"})
    assert status == 201 and back["devices"][0]["version"] == "1.1.0"
    device.desired()
    device.run("cat", "1.1.0", second, deployment=back["summary"]["deployment"])
    status, end = hub.call("POST", "/removals", {"application": "cat", "selector": "all"})
    assert status == 201
    _, state = device.desired()
    assert [a["application"] for a in state["applications"]] == ["dog"]
    device.report()
    assert state_on(hub, end["summary"]["deployment"], "cam-1")["state"] == "committed"
    assert hub.call("POST", "/removals", {"application": "cat", "selector": "all"})[1]["id"] == "VRG-HUB-038"
    actions = [event["action"] for event in hub.call("GET", "/events")[1]["events"]]
    assert actions[0] == "removal.create" and "deployment.create" in actions and "device.join" in actions
    page = hub.call("GET", "/events?limit=2")[1]
    assert len(page["events"]) == 2
    assert hub.call("GET",
                    f"/events?limit=2&after={page['next_after']}")[1]["events"][0]["id"] == page["next_after"] - 1


def test_a_newer_deployment_supersedes_the_older(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1").join()
    device.report()
    push_model(hub, "cat", "1.0.0")
    push_model(hub, "cat", "1.1.0")
    deploy(hub, "cat", "1.0.0")
    _, state = device.desired()
    deploy(hub, "cat", "1.1.0")
    assert state_on(hub, "d-1", "cam-1")["state"] == "superseded"
    before = state["version"]
    _, state = device.desired()
    assert state["version"] > before and [a["version"] for a in state["applications"]] == ["1.1.0"]
    status, error = hub.call("DELETE", "/models/cat/versions/1.1.0")
    assert status == 409 and "'cam-1' is to run it" in error["error"]


def test_floors_hold(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1").join()
    first, second = push_model(hub, "cat", "1.0.0")[1], push_model(hub, "cat", "1.1.0")[1]
    device.run("cat", "1.1.0", second, previous=("1.0.0", first))
    assert hub.call("PUT", "/models/cat/floor", {"version": "1.1.0"})[0] == 200
    status, error = deploy(hub, "cat", "1.0.0")
    assert status == 409 and error["id"] == "VRG-HUB-030"
    status, error = hub.call("POST", "/rollbacks", {"application": "cat", "selector": "all"})
    assert status == 409 and "smallest version allowed" in error["error"]
    assert hub.call("GET", "/models/cat")[1]["versions"][0]["custom"]["version_floor"] == "1.1.0"
    assert hub.call("PUT", "/models/cat/floor", {})[0] == 200
    assert deploy(hub, "cat", "1.0.0")[0] == 201
    assert hub.call("PUT", "/models/nobody/floor", {"version": "1.0.0"})[0] == 404


def test_a_frozen_fleet_waits(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1").join()
    device.report()
    push_model(hub, "cat", "1.0.0")
    assert hub.call("PUT", "/freeze", {"frozen": True, "reason": "night shift"})[0] == 200
    _, state = device.desired()
    assert state["frozen"] is True
    _, detail = deploy(hub, "cat")
    assert detail["summary"]["state"] == "waiting" and "frozen" in detail["devices"][0]["reason"]["message"]
    assert device.desired()[0] == 204
    assert hub.call("GET", "/freeze")[1]["reason"] == "night shift"
    assert hub.call("PUT", "/freeze", {"frozen": False})[0] == 200
    _, state = device.desired()
    assert "frozen" not in state and state["applications"][0]["version"] == "1.0.0"


def test_applications_are_versions_too(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1").join()
    device.report(memory_available_bytes=1000)
    digest = push_model(hub, "cat", "1.0.0", requirements={"memory_bytes": 600})[1]
    push_model(hub, "dog", "1.0.0", requirements={"memory_bytes": 600})
    document = {"schema_version": 1, "name": "pets", "version": "1.0.0",
                "models": [{"model": "cat", "version": "1.0.0"}]}
    status, made = hub.call("POST", "/applications", document)
    assert status == 201 and made["document"]["models"][0]["digest"] == digest
    assert hub.call("POST", "/applications", document)[0] == 200
    assert hub.call("POST", "/applications", {**document, "description": "other"})[1]["id"] == "VRG-HUB-023"
    wrong = {**document, "version": "1.1.0", "models": [{"model": "cat", "version": "1.0.0", "digest": sha256(b"")}]}
    assert hub.call("POST", "/applications", wrong)[1]["id"] == "VRG-HUB-026"
    assert hub.call("POST", "/applications", {**document, "name": "cat"})[1]["id"] == "VRG-HUB-022"
    unknown = {**document, "version": "1.1.0", "models": [{"model": "cow", "version": "1.0.0"}]}
    assert hub.call("POST", "/applications", unknown)[1]["id"] == "VRG-HUB-025"
    both = {**document, "version": "2.0.0", "models": document["models"] + [{"model": "dog", "version": "1.0.0"}]}
    assert hub.call("POST", "/applications", both)[0] == 201
    _, detail = deploy(hub, "pets")
    assert "1.2 KiB of memory; has 1000 bytes" in detail["devices"][0]["reason"]["message"], "the sum of both"
    assert deploy(hub, "pets", "1.0.0")[1]["devices"][0]["state"] == "pending"
    wanted = device.desired()[1]["applications"][0]
    assert wanted["target"] == "applications/pets/1.0.0.json" and wanted["digest"] == made["digest"]
    content = hub.request("GET", f"/api/v1/device/blobs/{made['digest']}", token="",
                          certificate=(device.certificate, device.key))[2]
    assert sha256(content) == made["digest"] and json.loads(content)["models"][0]["digest"] == digest
    assert "names it" in hub.call("DELETE", "/models/cat/versions/1.0.0")[1]["error"]
    assert hub.call("GET", "/applications")[1]["applications"][0]["versions"] == ["2.0.0", "1.0.0"]


def test_a_fleet_file_is_made_so_once(hub, tmp_path):
    Device(hub, tmp_path, "cam-1").join().report(labels={"site": "plant1"})
    Device(hub, tmp_path, "cam-2").join()
    push_model(hub, "cat", "1.0.0")
    fleet = {"schema_version": 1, "floors": {"cat": "1.0.0"},
             "applications": [{"schema_version": 1, "name": "pets", "version": "1.0.0",
                               "models": [{"model": "cat", "version": "1.0.0"}]}],
             "deployments": [{"application": "pets", "selector": "site=plant1", "watch": {"duration_s": 3}},
                             {"application": "cat", "version": "1.0.0", "selector": "name=cam-2"}]}
    status, planned = hub.call("POST", "/fleet?dry_run=true", fleet)
    assert status == 200, planned
    assert [change["kind"] for change in planned["changes"]] == ["application", "floor", "deployment", "deployment"]
    assert hub.call("GET",
                    "/applications")[1]["applications"] == [] and hub.call("GET",
                                                                           "/deployments")[1]["deployments"] == []
    _, made = hub.call("POST", "/fleet", fleet)
    assert [change.get("deployment") for change in made["changes"]] == [None, None, "d-1", "d-2"]
    assert hub.call("POST", "/fleet", fleet)[1]["changes"] == [], "a second time changes nothing"
    push_model(hub, "cat", "1.1.0")
    fleet["deployments"][1]["version"] = "1.1.0"
    assert [change["text"] for change in hub.call("POST", "/fleet", fleet)[1]["changes"]] == ["cat 1.1.0 on name=cam-2"]
    assert hub.call("POST", "/fleet", fleet)[1]["changes"] == []
    _, reader = hub.call("POST", "/tokens", {"name": "deployer", "rights": ["deploy"]})
    fleet["applications"][0]["version"] = "1.1.0"
    assert hub.call("POST", "/fleet", fleet, token=reader["token"])[0] == 403
    assert hub.call("GET", "/applications")[1]["applications"][0]["versions"] == ["1.0.0"]
