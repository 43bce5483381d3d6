"""Updates over links that are thin, metered, or bad: windows, rates, a day's bytes, a proxy that cuts, delays and refuses."""

import os
import time

import pytest
from fleet import fake_package, faketime, running_fleet, wait_for
from hostile_links import HostileProxy, LyingLink

MIB = 1 << 20


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as fleet:
        yield fleet


def waiting_reason(device, application, part):
    def look():
        record = device.record(application)
        reason = record.get("progress", {}).get("reason", {})
        return reason if part in reason.get("message", "") else None
    return wait_for(look, what=f"reason with {part!r}")


def update_again_and_again(fleet, device, folder):
    """VERGE_PROXY_UPDATES updates of 3 MB: all must be committed, and at most one percent of the bytes come twice. The bytes
    that they needed."""
    fetched = needed = 0
    updates = int(os.environ.get("VERGE_PROXY_UPDATES", "5"))
    for number in range(updates):
        version = f"1.0.{number}"
        fleet.push(fake_package(folder, "m", version, filler=3 * MIB))
        fleet.verge("deploy", f"m@{version}", "--to", "all", "--watch", "0", "--no-wait")
        record = device.ended("m", version, timeout=240)
        assert record["step"] == "committed", record
        assert device.version("m") == version
        progress = record["progress"]
        fetched += progress["bytes_fetched"]
        needed += progress["bytes_total"] - progress.get("bytes_reused", 0)
    assert fetched <= needed * 1.01, f"{fetched} bytes came for {needed}"
    print(f"{updates} of {updates} updates committed, {fetched} bytes fetched for {needed}: {fetched / needed - 1:.3%} twice")
    return needed


def test_every_update_through_a_bad_proxy_ends_right_and_little_comes_twice(fleet, tmp_path):
    proxy = HostileProxy(seed=int(os.environ.get("VERGE_PROXY_SEED", "7")), cut=2 * MIB, refuse=0.1, delay_s=0.002)
    try:
        device = fleet.device("cam-1", hub=f", proxy: {{ url: '{proxy.url}' }}")
        needed = update_again_and_again(fleet, device, tmp_path)
        print(f"{proxy.cuts} cuts")
        assert proxy.cuts > 0 and proxy.passed > needed
    finally:
        proxy.stop()


def test_every_update_ends_right_though_the_link_lies_about_lengths(fleet, tmp_path):
    device = fleet.device("cam-1")
    device.stop()
    link = LyingLink(fleet.hub, device, seed=int(os.environ.get("VERGE_PROXY_SEED", "7")))
    try:
        device.configure(f", proxy: {{ url: '{link.url}' }}").start()
        needed = update_again_and_again(fleet, device, tmp_path)
        print(f"{link.told}, {link.refused} refusals")
        assert sum(link.told.values()) > 0 and link.refused > 0 and link.passed > needed * 0.99
    finally:
        link.stop()


def local(offset_h):
    return time.strftime("%H:%M", time.localtime(time.time() + offset_h * 3600))


def test_downloads_wait_for_their_window(fleet, tmp_path):
    closed = f", downloads: {{ windows: [{{ from: '{local(3)}', to: '{local(4)}' }}] }}"
    device = fleet.device("cam-1", hub=closed)
    fleet.push(fake_package(tmp_path, "m", "1.0.0", filler=MIB))
    fleet.verge("deploy", "m@1.0.0", "--to", "all", "--watch", "0", "--no-wait")
    reason = waiting_reason(device, "m", "no window of 'hub: downloads' is open now")
    assert reason["id"] == "VRG-AGT-036" and local(3) in reason["message"]
    device.stop()
    device.configure(f", downloads: {{ windows: [{{ from: '{local(-1)}', to: '{local(1)}' }}] }}").start()
    assert device.ended("m", "1.0.0", timeout=120)["step"] == "committed"


def test_a_days_bytes_are_kept_and_the_next_day_goes_on_at_the_byte(fleet, tmp_path):
    device = fleet.device("cam-1", hub=f", downloads: {{ max_bytes_per_day: {2 * MIB} }}")
    fleet.push(fake_package(tmp_path, "m", "1.0.0", filler=3 * MIB))
    fleet.verge("deploy", "m@1.0.0", "--to", "all", "--watch", "0", "--no-wait")
    assert waiting_reason(device, "m", "wait for tomorrow")["id"] == "VRG-AGT-037"
    device.restart()
    assert waiting_reason(device, "m", "wait for tomorrow"), "a restart must not give the day anew"
    device.stop()
    device.start(faketime("+1d"))
    record = device.ended("m", "1.0.0", timeout=120)
    assert record["step"] == "committed"
    progress = record["progress"]
    assert progress["bytes_fetched"] <= (progress["bytes_total"] - progress.get("bytes_reused", 0)) * 1.01


def test_downloads_keep_to_their_rate(fleet, tmp_path):
    device = fleet.device("cam-1", hub=f", downloads: {{ max_bytes_per_s: {MIB} }}")
    fleet.push(fake_package(tmp_path, "m", "1.0.0", filler=4 * MIB))
    fleet.verge("deploy", "m@1.0.0", "--to", "all", "--watch", "0", "--no-wait")
    record = device.ended("m", "1.0.0")
    assert record["step"] == "committed"
    assert record["progress"]["numbers"]["download_ms"] > 2000, "4 MiB at 1 MiB/s, of which some may come at once"
