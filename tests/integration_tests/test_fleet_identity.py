"""Devices with a doubtful identity or a wrong clock: each gets a plain message, and goes on inferring."""

import re
import shutil
import time

import pytest
from fleet import Device, fake_package, faketime, running_fleet, wait_for


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as fleet:
        yield fleet


def with_model(fleet, folder, device, model="m", version="1.0.0"):
    fleet.push(fake_package(folder, model, version))
    fleet.deploy(model)
    assert device.version(model) == version
    return device


def trouble(device, pattern, timeout=60):
    """The trouble with the hub in the device's status that the pattern finds, waited for."""
    def look():
        return next((text for text in device.status()["hub"]["troubles"] if re.search(pattern, text)), None)
    return wait_for(look, timeout, pattern)


def test_a_cloned_card_is_told_on_both_machines_and_to_the_administrator(fleet, tmp_path):
    first = with_model(fleet, tmp_path, fleet.device("cam-1"))
    first.stop()
    clone = Device(fleet, "clone")
    fleet.devices.append(clone)
    for name in ("edge_config.yaml", "enrolment.json"):
        shutil.copy(first.folder / name, clone.folder / name)
    shutil.copytree(first.state, clone.state)
    first.start()
    wait_for(lambda: fleet.json("device", "show", "cam-1")["report"]["instance"] == first.status()["instance"],
             what="report of the first")
    clone.start()
    said = "two machines use the identity of 'cam-1'"
    text = trouble(clone, said)
    for device in (first, clone):
        assert device.status()["instance"] in text and device.version("m") == "1.0.0"
    shown = fleet.verge("device", "show", "cam-1")
    assert "conflict: two machines use the identity" in shown.stderr and "verge device resolve cam-1" in shown.stderr
    assert trouble(first, said)
    # Neither gets updates, until one of them is gone.
    fleet.push(fake_package(tmp_path, "m", "1.1.0"))
    fleet.verge("deploy", "m@1.1.0", "--to", "all", "--watch", "0", "--no-wait")
    time.sleep(1)
    assert first.version("m") == clone.version("m") == "1.0.0"
    clone.stop()
    fleet.verge("device", "resolve", "cam-1")
    assert first.ended("m", "1.1.0")["step"] == "committed" and first.version("m") == "1.1.0"
    wait_for(lambda: not first.status()["hub"]["troubles"], what="end of the trouble")
    assert "conflict" not in fleet.verge("device", "show", "cam-1").stderr


def test_an_expired_token_and_a_used_one_are_told_plainly(fleet, tmp_path):
    late = Device(fleet, "late").enrol("--expires", "0.0003")
    fleet.devices.append(late)
    time.sleep(1.5)
    late.start()
    text = trouble(late, "VRG-HUB-014")
    assert "expected a one-time token that is still good, got one that expired at" in text
    assert "verge device enrol late" in text and not late.status()["hub"]["joined"]
    # A new file, and it joins by itself.
    late.enrol().joined()
    wait_for(lambda: late.status()["hub"]["joined"], what="joining")

    thief = Device(fleet, "thief")
    fleet.devices.append(thief)
    shutil.copy(late.folder / "enrolment.json", thief.folder / "enrolment.json")
    text = (thief.folder / "edge_config.yaml").read_text()
    (thief.folder / "edge_config.yaml").write_text(text.replace("name: thief", "name: late"))
    thief.start()
    assert "expected an unused one-time token, got one that 'late' used at" in trouble(thief, "one-time token")
    assert not thief.status()["hub"]["joined"] and not (thief.state / "identity" / "identity.json").exists()


@pytest.mark.parametrize("hub_ran_on", [True, False], ids=["hub_ran_on", "hub_was_off_too"])
def test_a_device_that_was_off_for_a_year_comes_back_by_itself(fleet, tmp_path, hub_ran_on):
    device = with_model(fleet, tmp_path, fleet.device("cam-1"))
    before = (device.state / "identity" / "identity.json").read_text()
    device.stop()
    fleet.hub.stop()
    later = faketime("+400d")
    if hub_ran_on:
        # A hub that ran all the year has renewed what it signs in time: here, at a start in between.
        for days in ("+200d", "+399d"):
            start_hub(fleet, faketime(days))
            fleet.hub.stop()
    # First the device alone: its certificate and its metadata have expired.
    device.start(later)
    assert device.version("m") == "1.0.0"
    assert trouble(device, "desired state")
    start_hub(fleet, later)
    wait_for(lambda: not device.status()["hub"]["troubles"], 90, "hub in reach again")
    assert (device.state / "identity" / "identity.json").read_text() != before
    assert "the certificate is renewed" in device.agent.log
    fleet.environment.update(later)
    fleet.push(fake_package(tmp_path, "m", "1.1.0"))
    fleet.deploy("m@1.1.0")
    assert device.version("m") == "1.1.0"


def start_hub(fleet, environment):
    import os
    saved = dict(os.environ)
    os.environ.update(environment)
    try:
        fleet.hub.start()
    finally:
        os.environ.clear()
        os.environ.update(saved)


@pytest.mark.parametrize("offset", ["-800d", "+800d", "-2h"])
def test_a_device_with_a_wrong_clock_says_so_and_goes_on(fleet, tmp_path, offset):
    device = with_model(fleet, tmp_path, fleet.device("cam-1"))
    device.restart(faketime(offset))
    assert device.version("m") == "1.0.0"
    device.agent.wait("wrong clock", timeout=60)
    message, = wait_for(lambda: device.status().get("messages"), what="message")
    assert re.match(r"this device's clock says \d{4}-\d\d-\d\d \d\d:\d\d UTC, the hub's \d{4}-", message)
    assert "timedatectl set-ntp true" in message and message in device.agent.log
    assert device.version("m") == "1.0.0"
    # Once the clock is right, everything is as it was.
    device.restart()
    fleet.push(fake_package(tmp_path, "m", "1.1.0"))
    fleet.deploy("m@1.1.0")
    assert device.version("m") == "1.1.0" and "messages" not in device.status()


def test_a_device_whose_clock_is_wrong_at_its_first_start_joins_once_it_is_right(fleet, tmp_path):
    device = Device(fleet, "cam-1").enrol()
    fleet.devices.append(device)
    device.start(faketime("-3000d"))
    device.agent.wait("wrong clock", timeout=60)
    assert "the hub's" in device.status()["messages"][0] and not device.status()["hub"]["joined"]
    device.restart().joined()
    with_model(fleet, tmp_path, device)
