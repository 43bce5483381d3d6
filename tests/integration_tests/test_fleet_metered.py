"""Links that cost money: what comes over a metered link, and what waits for another."""

import pathlib

import pytest
from fleet import running_fleet, wait_for
from test_fleet_deltas import MIB, delta_made, version

METERED = ", downloads: {{ metered: {{ {} }} }}"
ALL_DAY = "hours: [{ from: '00:00', to: '00:00' }]"


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as running:
        yield running


def waits(device, identifier):
    """The message with which the update to what is desired waits."""
    def reason():
        found = device.record("m").get("progress", {}).get("reason")
        return found["message"] if found and found["id"] == identifier else None
    return wait_for(reason, 30, identifier)


def deploy(fleet, number):
    fleet.verge("deploy", f"m@{number}", "--to", "all", "--watch", "0", "--no-wait")


def restart(device, metered):
    device.stop()
    device.configure(METERED.format(metered) if metered else "").start()


def test_in_metered_hours_only_deltas_come(fleet, tmp_path):
    device = fleet.device("cam-1", hub=METERED.format(ALL_DAY))
    fleet.push(version(tmp_path, "1.0.0"))
    deploy(fleet, "1.0.0")
    assert "metered until" in waits(device, "VRG-AGT-051")
    assert not list((device.state / "store").rglob("*/*")), "nothing has come"

    restart(device, ALL_DAY + ", allow: deltas_only")
    assert "there is none for a file that is needed" in waits(device, "VRG-AGT-052")
    fetched = device.record("m")["progress"]["bytes_fetched"]
    assert 0 < fetched < 0.2 * MIB and device.version("m") is None

    restart(device, "")
    assert device.ended("m", "1.0.0")["step"] == "committed"

    restart(device, ALL_DAY + ", allow: deltas_only")
    fleet.push(version(tmp_path, "1.1.0"))
    delta_made(fleet, "1.0.0", "1.1.0")
    deploy(fleet, "1.1.0")
    assert device.ended("m", "1.1.0")["step"] == "committed"
    assert device.record("m")["progress"]["bytes_fetched"] < 0.1 * MIB


def test_an_interface_is_metered_while_the_default_route_goes_through_it(fleet, tmp_path):
    lines = pathlib.Path("/proc/net/route").read_text().splitlines()[1:]
    routes = [line.split() for line in lines if line.split()[1] == line.split()[7] == "00000000"]
    if not routes:
        pytest.skip("needs a machine with a default route")
    interface = min(routes, key=lambda route: int(route[6]))[0]
    device = fleet.device("cam-1", hub=METERED.format(f"interfaces: [{interface}], allow: everything, "
                                                      f"max_bytes_per_day: {MIB}"))
    fleet.push(version(tmp_path, "1.0.0"))
    deploy(fleet, "1.0.0")
    assert "in 'hub: downloads: metered' have come today" in waits(device, "VRG-AGT-053")
    _, total, metered = (device.state / "downloads.txt").read_text().split()
    assert MIB <= int(metered) == int(total) < 1.1 * MIB

    restart(device, "interfaces: [none0], allow: everything, max_bytes_per_day: 65536")
    assert device.ended("m", "1.0.0")["step"] == "committed"
