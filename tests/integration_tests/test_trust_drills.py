"""Bad days, with the real programs: the hub lost, a targets key stolen, roots rotated while devices are off, signers who
come after what they signed has expired."""

import json
import re
import shutil
import subprocess

import pytest
from conftest import Hub
from fleet import fake_package, faketime, wait_for
from test_fleet_identity import start_hub
from trust_ceremony import PASSPHRASE, ceremony, fleet  # Fixtures too.

OFF = 3
"""Of ten devices."""


def root_of(device):
    return json.loads((device.state / "trust" / "root.json").read_text())["signed"]["version"]


@pytest.mark.parametrize("authority_kept", [True, False])
def test_the_hub_is_lost(fleet, ceremony, tmp_path, authority_kept):
    device = fleet.device("cam-1")
    packages = [fake_package(tmp_path, "m", version) for version in ("1.0.0", "2.0.0")]
    fleet.push(packages[0])
    ceremony.take_offline()
    fleet.deploy("m@1.0.0")
    assert root_of(device) == 2
    kept = tmp_path / "kept"
    shutil.copytree(fleet.hub.folder / "tls", kept)
    # It burns; there is a copy of its certificates, or there is none.
    fleet.hub.kill()
    shutil.rmtree(fleet.hub.folder)
    assert device.version("m") == "1.0.0", "what runs goes on"
    if authority_kept:
        shutil.copytree(kept, tmp_path / "hub" / "tls")
    fleet.hub = Hub(tmp_path / "hub")
    fleet.login()
    for package in packages:
        fleet.push(package)
    ceremony.fetch("--new-hub")
    assert set(ceremony.drafts()) == {"3.root.json"}, "only the new hub's keys are new"
    ceremony.sign("alice", "carol")
    ceremony.publish()
    # The signatures on what was there are good still; what is new needs one.
    assert [one["path"] for one in fleet.json("trust", "status")["changes"]] == ["models/m/2.0.0.json"]
    ceremony.sign_all("dave")
    device.stop()
    device.enrol().start()
    wait_for(lambda: fleet.json("device", "list")["devices"], what="the device at the new hub")
    _, devices, _ = fleet.deploy("m@2.0.0")
    assert devices["cam-1"]["state"] == "committed" and device.version("m") == "2.0.0"
    assert root_of(device) == 3, "the chain that it trusts goes on"
    # Another chain cannot be put in place of one that devices trust.
    assert fleet.hub.call("POST", "/trust/publications?adopt=true")[1]["id"] == "VRG-HUB-048"


def sign_as_thief(ceremony, key, text):
    """A targets file for a model of the thief's, signed by the stolen key, as the openssl program does."""
    signed = json.loads(text)["signed"]
    signed["version"] += 10
    signed["targets"] = {"models/m/6.6.6.json": {"length": 1, "hashes": {"sha256": "66" * 32}}}
    message = json.dumps(signed, sort_keys=True, separators=(",", ":")).encode()
    file = ceremony.folder.parent / "message"
    file.write_bytes(message)
    plain = subprocess.run(["openssl", "pkey", "-in", key, "-passin", "pass:" + PASSPHRASE], capture_output=True,
                           check=True).stdout
    (ceremony.folder.parent / "stolen.pem").write_bytes(plain)
    made = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", ceremony.folder.parent / "stolen.pem",
                           "-in", file], capture_output=True, check=True).stdout
    return json.dumps({"signatures": [{"keyid": json.loads(text)["signatures"][0]["keyid"], "sig": made.hex()}],
                       "signed": signed}).encode()


def test_a_targets_key_is_stolen(fleet, ceremony, tmp_path):
    device = fleet.device("cam-1")
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    ceremony.take_offline()
    fleet.deploy("m@1.0.0")
    metadata = fleet.hub.folder / "trust" / "metadata"
    forged = sign_as_thief(ceremony, ceremony.keys / "dave.pem", (metadata / "3.targets.json").read_bytes())

    def offer():
        fleet.hub.call("DELETE", "/trust/incoming")
        assert fleet.hub.call("PUT", "/trust/incoming/13.targets.json", forged)[0] == 204
        return fleet.hub.call("POST", "/trust/publications")[1]
    # The drill: another key, and root says so. What the thief signed before nobody published.
    ceremony.trust("rotate", ceremony.folder, "targets", "--in", ceremony.key("erin"))
    drafts = ceremony.drafts()
    assert set(drafts) == {"3.root.json", "4.targets.json"}
    assert any(line.startswith("- key of targets: dave") for line in drafts["3.root.json"]["differences"])
    ceremony.sign("alice", "bob", "erin")
    ceremony.publish()
    assert offer()["id"] == "VRG-TUF-001", "the stolen key counts no more"
    fleet.push(fake_package(tmp_path, "m", "2.0.0"))
    ceremony.sign_all("erin")
    fleet.deploy("m@2.0.0")
    assert device.version("m") == "2.0.0" and root_of(device) == 3


def test_roots_are_rotated_while_three_devices_of_ten_are_off(fleet, ceremony, tmp_path):
    devices = [fleet.device(f"cam-{number}") for number in range(10)]
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    fleet.deploy("m@1.0.0")
    assert {root_of(device) for device in devices} == {1}
    for device in devices[:OFF]:
        device.stop()
    ceremony.take_offline()
    people = ["alice", "bob", "carol"]
    for newcomer in ["frank", "grace", "heidi"]:  # Three times, until nobody is left who signed the first.
        gone, *people = people
        ceremony.trust("rotate", ceremony.folder, "root", "--in", ceremony.key(newcomer), "--out", gone)
        people.append(newcomer)
        ceremony.sign(gone, people[0], people[1])
        ceremony.publish()
    ceremony.trust("rotate", ceremony.folder, "targets", "--in", ceremony.key("erin"))
    ceremony.sign(*people[:2], "erin")
    ceremony.publish()
    fleet.push(fake_package(tmp_path, "m", "2.0.0"))
    ceremony.sign_all("erin")
    _, states, _ = fleet.deploy("m@2.0.0", to="name!=cam-0,name!=cam-1,name!=cam-2")
    assert len(states) == 10 - OFF and {entry["state"] for entry in states.values()} == {"committed"}
    for device in devices[:OFF]:
        device.start()
        assert device.version("m") == "1.0.0", "what they had runs at once"
    _, states, _ = fleet.deploy("m@2.0.0")
    assert {device.version("m") for device in devices} == {"2.0.0"}, states
    assert {root_of(device) for device in devices} == {6}


def test_people_come_after_what_they_signed_has_expired(fleet, ceremony, tmp_path):
    device = fleet.device("cam-1")
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        fleet.push(fake_package(tmp_path, "m", version))
    ceremony.take_offline()
    fleet.deploy("m@1.0.0")
    running = "1.0.0"
    # Targets are good for 180 days, root for 365; each time nobody but its own holders comes.
    for later, role, people, version in [("+200d", "targets", ["dave"], "2.0.0"),
                                         ("+370d", "root", ["alice", "carol"], "3.0.0")]:
        device.stop()
        fleet.hub.stop()
        renewed = fleet.hub.log.count("metadata renewed")
        start_hub(fleet, faketime(later))
        wait_for(lambda: fleet.hub.log.count("metadata renewed") > renewed, what="the hub's own signatures")
        fleet.environment.update(faketime(later))
        device.start(faketime(later))
        deployment = json.loads(fleet.verge("deploy", f"m@{version}", "--to", "all", "--watch", 0, "--no-wait",
                                            "--output", "json").stdout)["summary"]["deployment"]
        expired = rf"role '{role}' version \d+ expired at .* the repository must sign it again.*VRG-TUF-005"
        wait_for(lambda: re.search(expired, fleet.explain(deployment, "cam-1")), 60, "reason")
        assert device.version("m") == running, "what runs goes on"
        said = ceremony.trust("fetch", ceremony.folder).stdout
        assert re.search(rf"^  {role} expired on \d{{4}}-\d\d-\d\d: sign and publish to renew$", said, re.MULTILINE)
        assert said.count("expired on") == 1, said
        draft = next(draft for draft in ceremony.drafts().values() if draft["role"] == role)
        assert [line[:12] for line in draft["differences"]] == ["~ good until"], "nothing but the date"
        ceremony.sign(*people)
        ceremony.publish()
        assert device.ended("m", version)["step"] == "committed", "it goes on by itself"
        running = device.version("m")
        assert running == version
    assert root_of(device) == 3
    assert "EXPIRED" not in fleet.verge("trust", "status").stdout
