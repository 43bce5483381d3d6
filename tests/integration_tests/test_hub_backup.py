"""A hub's backup, with the real programs: made while devices are served, brought back where the hub was lost."""

import os
import shutil
import subprocess

import pytest
from conftest import BUILD, Hub, verge
from fleet import fake_package, running_fleet, wait_for

PASSPHRASE = "six dice make a good one"


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as fleet:
        yield fleet


def hub_verb(verb, *arguments, passphrase=PASSPHRASE):
    environment = {**os.environ, "VERGE_BACKUP_PASSPHRASE": passphrase} if passphrase is not None else os.environ
    return subprocess.run([BUILD / "bin" / "verge-hub", verb, *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, env=environment)


def lose(hub):
    hub.kill()
    shutil.rmtree(hub.folder)


def test_a_lost_hub_comes_back_and_devices_go_on(fleet, tmp_path):
    device = fleet.device("cam-1")
    for version in ("1.0.0", "2.0.0"):
        fleet.push(fake_package(tmp_path, "m", version))
    fleet.push(fake_package(tmp_path, "late", "1.0.0"))
    fleet.deploy("m@1.0.0")
    backup = tmp_path / "hub.backup"
    made = hub_verb("backup", backup, "--data", fleet.hub.folder)
    assert made.returncode == 0, made.stderr
    assert "encrypted" in made.stdout and b"PRIVATE KEY" not in backup.read_bytes()
    # What the backup does not know: an update, another application, a device, and the disk burns.
    fleet.deploy("m@2.0.0")
    fleet.deploy("late@1.0.0")
    fleet.device("cam-2")
    lose(fleet.hub)
    done = hub_verb("restore", backup, "--data", fleet.hub.folder)
    assert done.returncode == 0 and "verge fleet thaw" in done.stdout, done.stderr
    fleet.hub.start()
    # Nobody has to log in or to enrol again, and devices keep what they run: the fleet is frozen.
    status = fleet.json("hub", "status")
    assert status["frozen"] and status["devices"] == 1
    wait_for(lambda: fleet.json("device", "show", "cam-1").get("report", {}).get("instance") ==
             device.status()["instance"], what="report at the restored hub")
    held = wait_for(lambda: device.record("m")["desired"]["version"] == "1.0.0" and device.record("m"),
                    what="the wish of the backup")
    assert held["step"] == "pending"
    assert device.version("m") == "2.0.0" and device.version("late") == "1.0.0"
    assert not device.status()["hub"]["troubles"], "neither a clone nor a rollback of metadata"
    # What came after the backup is deployed again before the thaw: cam-1 runs on as it is.
    for what in ("m@2.0.0", "late@1.0.0"):
        fleet.verge("deploy", what, "--to", "all", "--watch", "0", "--no-wait")
    fleet.verge("fleet", "thaw")
    number = fleet.json("deploy", "list")["deployments"][0]["deployment"]
    assert int(number[2:]) > 1_000_000_000, "no number that a device knows is given again"
    wait_for(lambda: device.ended("m", "2.0.0")["step"] == "committed", what="m 2.0.0")
    assert device.ended("late", "1.0.0")["step"] == "committed"
    assert device.version("m") == "2.0.0" and device.version("late") == "1.0.0"
    # And it goes on as ever: new metadata are believed.
    fleet.push(fake_package(tmp_path, "m", "3.0.0"))
    _, devices, _ = fleet.deploy("m@3.0.0", to="name=cam-1")
    assert devices["cam-1"]["state"] == "committed" and device.version("m") == "3.0.0"
    # A device that joined after the backup is unknown, and joins again.
    late = fleet.devices[-1]
    late.stop()
    late.enrol().start()
    wait_for(lambda: fleet.json("hub", "status")["devices"] == 2, what="the second device")


def test_an_older_backup_may_be_brought_back_twice(fleet, tmp_path):
    device = fleet.device("cam-1")
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    fleet.deploy("m@1.0.0")
    backup = tmp_path / "hub.backup"
    assert hub_verb("backup", backup, "--data", fleet.hub.folder).returncode == 0
    for version in ("2.0.0", "3.0.0"):
        lose(fleet.hub)
        assert hub_verb("restore", backup, "--data", fleet.hub.folder).returncode == 0
        fleet.hub.start()
        fleet.verge("fleet", "thaw")
        fleet.push(fake_package(tmp_path, "m", version))
        _, devices, _ = fleet.deploy(f"m@{version}")
        assert devices["cam-1"]["state"] == "committed" and device.version("m") == version


def test_what_is_wrong_is_said(fleet, tmp_path):
    folder, backup = fleet.hub.folder, tmp_path / "hub.backup"
    passphrase = tmp_path / "passphrase.txt"
    passphrase.write_text(PASSPHRASE + "\nand a second line\n")
    # Through the command line, as the guide has it.
    made = verge("hub", "backup", backup, "--data", folder, "--passphrase-file", passphrase)
    assert str(backup) in made.stdout
    cases = [(("backup", backup, "--data", folder), PASSPHRASE, "VRG-HUB-087", "choose another"),
             (("backup", tmp_path / "b", "--data", tmp_path), PASSPHRASE, "VRG-HUB-086", "no hub.db"),
             (("backup", tmp_path / "b", "--data", folder), None, "VRG-HUB-088", "VERGE_BACKUP_PASSPHRASE"),
             (("backup", tmp_path / "b", "--data", folder), "short", "VRG-HUB-088", "12 characters"),
             (("restore", backup, "--data", folder), PASSPHRASE, "VRG-HUB-087", "empty folder"),
             (("restore", backup, "--data", tmp_path / "n"), "another passphrase", "VRG-HUB-090", "another passphrase"),
             (("restore", passphrase, "--data", tmp_path / "n"), PASSPHRASE, "VRG-HUB-091", "expected a backup"),
             (("restore", tmp_path / "no", "--data", tmp_path / "n"), PASSPHRASE, "VRG-BAS-001", "check the path")]
    for arguments, given, error, advice in cases:
        done = hub_verb(*arguments, passphrase=given)
        assert done.returncode != 0 and error in done.stderr and advice in done.stderr, (arguments, done.stderr)
        assert not (tmp_path / "n").exists() and not (tmp_path / "b").exists()
    done = verge("hub", "restore", backup, "--data", tmp_path / "n", "--passphrase-file", passphrase)
    assert "frozen" in done.stdout
    other = Hub(tmp_path / "n")
    assert other.login.split(" --token")[1] == fleet.hub.login.split(" --token")[1]
    assert other.stop() == 0
