"""Bundles that somebody puts into a folder: on a stick that is mounted later, several at once, bad and hostile ones."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest
from fleet import fake_package, running_fleet, wait_for

LOOK_S = 2


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as running:
        yield running


@pytest.fixture
def stick(tmp_path):
    return tmp_path / "media" / "usb"


def bundle_of(fleet, tmp_path, number, name, **options):
    """A bundle with this version of m for every device."""
    fleet.push(fake_package(tmp_path, "m", number, **options))
    fleet.verge("deploy", f"m@{number}", "--to", "all", "--watch", "0", "--no-wait")
    file = tmp_path / name
    fleet.verge("bundle", "create", file, "--to", "all")
    return file


def watching(fleet, tmp_path, stick):
    """A device that runs 1.0.0, watches the folder, and is stopped: what is deployed now comes by bundle only."""
    device = fleet.device("cam-1", configuration=f"bundles: {{ folder: {stick} }}\n")
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    fleet.deploy("m@1.0.0")
    device.stop()
    return device


def outcome(stick, name):
    file = stick / f"{name}.outcome.txt"
    return wait_for(lambda: file.exists() and file.read_text(), 60, f"outcome of {name}")


@contextlib.contextmanager
def read_only(folder, at):
    """The folder, mounted there so that nobody can write to it."""
    try:
        subprocess.run(["mount", "--bind", "-o", "ro", folder, at], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def libraries(device):
    return pathlib.Path(f"/proc/{device.agent.process.pid}/maps").read_text()


def refused(device, pattern):
    return device.agent.wait(rf"a bundle is refused.*{pattern}", 30)


def test_a_stick_that_is_mounted_later_and_once_more(fleet, tmp_path, stick):
    device = watching(fleet, tmp_path, stick)
    file = bundle_of(fleet, tmp_path, "1.1.0", "plant.bundle")
    fleet.hub.kill()
    device.start()
    time.sleep(LOOK_S)
    assert device.version("m") == "1.0.0"
    assert "libarchive" not in libraries(device), "it is loaded with the first bundle"
    stick.mkdir(parents=True)
    shutil.copy2(file, stick)
    assert "m 1.1.0: committed" in outcome(stick, "plant.bundle")
    assert device.version("m") == "1.1.0" and "libarchive" in libraries(device)
    # The same stick again, after a restart too: nothing is done.
    device.restart()
    os.utime(stick / "plant.bundle")
    time.sleep(3 * LOOK_S)
    assert "updates come from a bundle" not in device.agent.log
    fleet.hub.start()
    wait_for(lambda: [one for one in fleet.json("deploy", "list")["deployments"]
                      if one["version"] == "1.1.0" and one["counts"].get("committed")], what="the hub's word")


def test_a_stick_that_is_pulled_out_too_early_goes_on_when_it_is_back(fleet, tmp_path, stick):
    device = watching(fleet, tmp_path, stick)
    file = bundle_of(fleet, tmp_path, "1.1.0", "plant.bundle", filler=400 << 20)
    fleet.hub.kill()
    stick.mkdir(parents=True)
    content = file.read_bytes()
    os.link(file, stick / "plant.bundle")
    device.start()
    device.agent.wait("updates come from a bundle", 30)
    os.truncate(stick / "plant.bundle", 0)  # What is open cannot be read any more, as that of a stick that is gone.
    wait_for(lambda: "VRG-BDL-001" in str(device.record("m").get("progress", {}).get("reason")), 30, "trouble")
    (stick / "plant.bundle").unlink()
    time.sleep(2 * LOOK_S)
    assert device.version("m") == "1.0.0"
    (stick / "plant.bundle").write_bytes(content)
    assert "m 1.1.0: committed" in outcome(stick, "plant.bundle")
    assert device.version("m") == "1.1.0"


def test_the_newest_of_several_wins_and_others_are_passed_over(fleet, tmp_path, stick):
    device = watching(fleet, tmp_path, stick)
    old = bundle_of(fleet, tmp_path, "1.1.0", "z-old.bundle")
    new = bundle_of(fleet, tmp_path, "1.2.0", "a-new.bundle")
    fleet.device("cam-2", start=False)
    fleet.hub.kill()
    stick.mkdir(parents=True)
    for file in (old, new):
        shutil.copy2(file, stick)
    (stick / "notes.txt").write_text("not a bundle")
    device.start()
    assert "m 1.2.0: committed" in outcome(stick, "a-new.bundle")
    device.agent.wait(r"passed over for a newer one.*z-old\.bundle", 10)
    time.sleep(2 * LOOK_S)
    assert device.version("m") == "1.2.0" and device.agent.log.count("updates come from a bundle") == 1
    assert sorted(path.name for path in stick.iterdir()) == ["a-new.bundle", "a-new.bundle.outcome.txt", "notes.txt",
                                                             "z-old.bundle"]


def test_one_that_is_bad_says_so_and_a_good_copy_of_it_is_taken(fleet, tmp_path, stick):
    device = watching(fleet, tmp_path, stick)
    file = bundle_of(fleet, tmp_path, "1.1.0", "plant.bundle", golden_label="no such animal")
    fleet.hub.kill()
    stick.mkdir(parents=True)
    content = file.read_bytes()
    (stick / "plant.bundle").write_bytes(content[: len(content) // 2])
    device.start()
    assert "VRG-BDL-003" in outcome(stick, "plant.bundle")
    (stick / "plant.bundle").write_bytes(content)
    wait_for(lambda: "m 1.1.0" in outcome(stick, "plant.bundle"), 60, "outcome of the good copy")
    text = outcome(stick, "plant.bundle")
    assert "m 1.1.0: refused: " in text and "VRG-UPD-007" in text
    assert device.version("m") == "1.0.0"


def test_links_and_hostile_names_are_refused(fleet, tmp_path, stick):
    device = watching(fleet, tmp_path, stick)
    file = bundle_of(fleet, tmp_path, "1.1.0", "plant.bundle")
    fleet.hub.kill()
    stick.mkdir(parents=True)
    precious = tmp_path / "precious.txt"
    precious.write_text("keep")
    (stick / "link.bundle").symlink_to(file)
    shutil.copy2(file, stick / "-rf $(reboot)\n.bundle")
    (stick / "folder.bundle").mkdir()
    os.mkfifo(stick / "pipe.bundle")
    # Where the outcome of a bundle that is refused would go.
    (stick / "bad.bundle").write_bytes(b"no bundle")
    (stick / "bad.bundle.outcome.txt").symlink_to(precious)
    device.start()
    for name in ("link", "folder", "pipe", r"-rf%20%24%28reboot%29%0A"):
        refused(device, rf"file={name}\.bundle.*VRG-AGT-095")
    refused(device, r"bad\.bundle.*VRG-BDL-003")
    wait_for(lambda: not (stick / "bad.bundle.outcome.txt").is_symlink(), 30, "outcome in place of the link")
    assert "VRG-BDL-003" in outcome(stick, "bad.bundle")
    assert precious.read_text() == "keep"
    time.sleep(2 * LOOK_S)
    assert device.version("m") == "1.0.0" and device.agent.log.count("VRG-AGT-095") == 4


def test_a_read_only_stick_has_its_outcome_in_log_and_status(fleet, tmp_path, stick):
    device = watching(fleet, tmp_path, stick)
    file = bundle_of(fleet, tmp_path, "1.1.0", "plant.bundle")
    fleet.hub.kill()
    (tmp_path / "content").mkdir()
    shutil.copy2(file, tmp_path / "content")
    stick.mkdir(parents=True)
    with read_only(tmp_path / "content", stick):
        device.start()
        device.agent.wait(r"a bundle has ended.*plant\.bundle.*committed=true", 60)
        device.agent.wait("the outcome stands in the log only", 10)
        assert device.version("m") == "1.1.0"
        application = next(one for one in device.status()["applications"] if one["application"] == "m")
        assert application["update"]["state"] == "committed" and application["active"]["version"] == "1.1.0"
        device.stop()


def test_a_reload_watches_another_folder(fleet, tmp_path, stick):
    device = watching(fleet, tmp_path, stick)
    file = bundle_of(fleet, tmp_path, "1.1.0", "plant.bundle")
    fleet.hub.kill()
    device.start()
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy2(file, other)
    configuration = device.folder / "edge_config.yaml"
    configuration.write_text(configuration.read_text().replace(str(stick), str(other)))
    device.agent.process.send_signal(signal.SIGHUP)
    assert "m 1.1.0: committed" in outcome(other, "plant.bundle")
