"""A fleet whose programs are killed in the middle of an update, and whose packages and metadata are bad."""

import contextlib
import itertools
import json
import re
import sqlite3
import subprocess
import threading
import time

import pytest
from fleet import fake_package, reason_of, running_fleet, wait_for

FILLER = 24 << 20
"""So much of a package is random bytes: the steps that fetch and hash it last long enough to be caught."""
TRIES = 6


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with running_fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def device(fleet):
    return fleet.device("cam-1")


@pytest.fixture(scope="module")
def next_version(fleet, device, tmp_path_factory):
    """Pushes the next version of the model 'm', of which 1.0.0 runs, and gives its number."""
    folder, numbers = tmp_path_factory.mktemp("packages"), itertools.count(1)
    fleet.push(fake_package(folder, "m", "1.0.0"))
    fleet.deploy("m@1.0.0")

    def push(**options):
        version = f"1.0.{next(numbers)}"
        package = fake_package(folder, "m", version, **options)
        fleet.push(package)
        return version
    return push


@contextlib.contextmanager
def traffic(device, model):
    """Requests, one after the other, whatever becomes of them."""
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                device.predict(model)
            time.sleep(0.002)
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def seen_at(device, version, step, deadline):
    """Whether the update to `version` was seen at `step`: polled as fast as it goes."""
    file = device.state / "applications" / "m" / "update.json"
    wanted = re.compile(r'"step": ?"' + step + '"')
    ended = re.compile(r'"step": ?"(committed|rolled_back|refused|failed)"')
    this = f'"target": "models/m/{version}.json"'
    while time.monotonic() < deadline:
        text = file.read_text()
        if this not in text:
            continue
        if wanted.search(text):
            return True
        if ended.search(text):
            return False
    return False


def deploy(fleet, version, *options):
    return subprocess.Popen([fleet.program, "deploy", f"m@{version}", "--to", "name=cam-1", "--output", "json",
                             "--no-wait", *options], env=fleet.environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def number_of(deployment, program):
    """The deployment's name; it may be that the program was cut off with the hub, and the hub knows."""
    out, _ = deployment.communicate(timeout=60)
    return json.loads(out)["summary"]["deployment"] if out else program()


def kill_at(fleet, device, next_version, step, kill, *options, **package):
    """Deploys versions until one is caught at `step`, where `kill` ends something; (version, deployment)."""
    for _ in range(TRIES):
        version = next_version(filler=FILLER, **package)
        deployment = deploy(fleet, version, *options)
        caught = seen_at(device, version, step, time.monotonic() + 30)
        if caught:
            kill()
        name = number_of(deployment, lambda: fleet.json("deploy", "list")["deployments"][0]["deployment"])
        if caught:
            return version, name
        device.ended("m", version)
    raise AssertionError(f"the step '{step}' was never seen in {TRIES} updates")


def on_hub(fleet, deployment, state):
    """What the hub says of the deployment on the device, once it is `state`."""
    def look():
        entry = fleet.json("deploy", "show", deployment)["devices"][0]
        return entry if entry["state"] == state else None
    return wait_for(look, what=f"state {state} of {deployment}")


GOOD = ("pending", "downloading", "verifying", "installing", "trying", "switching", "watching", "committed")


@pytest.mark.parametrize("step", GOOD)
def test_an_agent_killed_in_a_step_ends_where_it_would_have(fleet, device, next_version, step):
    version, deployment = kill_at(fleet, device, next_version, step, device.kill, "--watch", "0.3")
    before = device.active("m")
    device.start()
    # What was active answers at once, before anything is fetched or tried again.
    assert device.version("m") in (before, version)
    assert device.ended("m", version)["step"] == "committed"
    assert device.version("m") == version and device.active("m") == version
    on_hub(fleet, deployment, "committed")
    assert step == "committed" or "the agent started again" in fleet.explain(deployment, "cam-1")


@pytest.mark.parametrize("step", ("watching", "rolling_back", "rolled_back"))
def test_an_agent_killed_while_a_bad_version_shows_itself_goes_back(fleet, device, next_version, step):
    good = device.version("m")
    with traffic(device, "m"):
        time.sleep(0.5)  # So that the version before has a median to be compared with.
        version, deployment = kill_at(fleet, device, next_version, step, device.kill, "--watch", "60",
                                      "--max-latency-ratio", "3", "--min-requests", "10", delay_ms=30)
        device.start()
        assert device.ended("m", version)["step"] == "rolled_back"
    assert device.version("m") == good and device.active("m") == good
    assert on_hub(fleet, deployment, "rolled_back")["reason"]["id"] == "VRG-UPD-012"


def test_an_agent_killed_after_a_refusal_does_not_try_again(fleet, device, next_version):
    good = device.version("m")
    version, deployment = kill_at(fleet, device, next_version, "refused", device.kill, golden_label="nothing")
    device.start()
    assert device.ended("m", version)["step"] == "refused" and device.version("m") == good
    assert on_hub(fleet, deployment, "refused")["reason"]["id"] == "VRG-UPD-007"


@pytest.mark.parametrize("step", GOOD)
def test_a_hub_killed_in_a_step_changes_nothing_but_the_time(fleet, device, next_version, step):
    def kill_and_start():
        fleet.hub.kill()
        fleet.hub.start()
    version, deployment = kill_at(fleet, device, next_version, step, kill_and_start, "--watch", "0.3")
    assert device.ended("m", version)["step"] == "committed" and device.version("m") == version
    on_hub(fleet, deployment, "committed")


def test_a_hub_killed_while_a_version_goes_back_hears_of_it(fleet, device, next_version):
    good = device.version("m")

    def kill_and_start():
        fleet.hub.kill()
        fleet.hub.start()
    with traffic(device, "m"):
        time.sleep(0.5)
        version, deployment = kill_at(fleet, device, next_version, "rolling_back", kill_and_start, "--watch", "60",
                                      "--max-latency-ratio", "3", "--min-requests", "10", delay_ms=30)
        assert device.ended("m", version)["step"] == "rolled_back"
    assert device.version("m") == good
    on_hub(fleet, deployment, "rolled_back")


BAD = {
    "wrong golden": (dict(golden_label="1.9.9 bird"), "VRG-UPD-007", "1 of 1 golden samples are wrong"),
    "labels swapped": (dict(labels=["dog", "cat", "bird", "fish"], golden_label="dog"), "VRG-UPD-007", "'dog'"),
    "too slow": (dict(delay_ms=20, budget={"latency_ms": 5}), "VRG-UPD-008", "of at most 5 ms, got 20."),
    "too large": (dict(budget={"memory_bytes": 1024}), "VRG-UPD-009", "memory of at most 1.0 KiB, got"),
    "fails to load": (dict(function="nonsense"), "VRG-ENG-", "nonsense"),
    "fails at once": (dict(function="fail broken by design"), "VRG-ENG-016", "broken by design"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_package_is_refused_and_what_runs_goes_on(fleet, device, next_version, what):
    package, identifier, text = BAD[what]
    good = device.version("m")
    version = next_version(**package)
    deployment, on, errors = fleet.deploy(f"m@{version}", check=False)
    assert on["cam-1"]["state"] == "refused" and "VRG-CLI-018" in errors
    told = fleet.explain(deployment, "cam-1")
    found, message = reason_of(told)
    assert found.startswith(identifier) and text in message, told
    assert "signatures checked" in told
    assert device.version("m") == good and device.active("m") == good


@pytest.mark.parametrize("requirements, text", [
    ({"engines": [{"name": "openvino", "min_version": "9999.1"}]}, "openvino>=9999.1"),
    ({"device_types": ["toaster"]}, "toaster"), ({"architectures": ["pdp11"]}, "pdp11"),
    ({"memory_bytes": 1 << 39}, "512.0 GiB"),
])
def test_what_a_device_has_not_is_told_before_anything_is_sent(fleet, device, next_version, requirements, text):
    version = next_version(requirements=requirements)
    deployment, on, errors = fleet.deploy(f"m@{version}", check=False)
    assert on["cam-1"]["state"] == "skipped" and text in on["cam-1"]["reason"]["message"]
    assert "bytes_fetched" not in on["cam-1"] and "skipped" in errors
    assert text in fleet.explain(deployment, "cam-1")


def refused_after_tampering(fleet, device, next_version, tamper, repair):
    """What `deploy explain` says of an update whose hub lies."""
    good = device.version("m")
    version = next_version(filler=1 << 20)
    device.stop()
    name = number_of(deploy(fleet, version), None)
    tamper(version)
    device.start()
    try:
        assert device.ended("m", version)["step"] == "refused"
        assert device.version("m") == good and device.active("m") == good
        on_hub(fleet, name, "refused")
        return fleet.explain(name, "cam-1")
    finally:
        repair()


def flip(path, at):
    """Another digit at the place where `at` ends."""
    text = bytearray(path.read_bytes())
    place = text.index(at) + len(at) if isinstance(at, bytes) else at
    text[place] = ord("0") if text[place] != ord("0") else ord("1")
    path.write_bytes(bytes(text))


def newest(fleet, role):
    files = (fleet.hub.folder / "trust" / "metadata").glob(f"*.{role}.json")
    return max(files, key=lambda file: int(file.name.split(".")[0]))


@pytest.mark.parametrize("role, after", [("timestamp", b'"sig": "'), ("snapshot", b'"sig": "'),
                                         ("targets", b'"sig": "'), ("targets", b'"version": ')])
def test_metadata_that_was_not_signed_so_is_refused(fleet, device, next_version, role, after):
    changed = []

    def tamper(_):
        metadata = fleet.hub.folder / "trust" / "metadata"
        file = metadata / "timestamp.json" if role == "timestamp" else newest(fleet, role)
        changed.append((file, file.read_bytes()))
        flip(file, after)

    def repair():
        for file, content in changed:
            file.write_bytes(content)
    told = refused_after_tampering(fleet, device, next_version, tamper, repair)
    assert reason_of(told)[0].startswith("VRG-TUF-"), told
    # Once the hub is honest again, the same is taken.
    fleet.deploy(f"m@{device.record('m')['desired']['version']}")


def test_content_that_is_not_what_was_signed_is_refused(fleet, device, next_version):
    changed = []

    def tamper(version):
        blobs = fleet.hub.folder / "blobs" / "sha256"
        big = max(blobs.iterdir(), key=lambda file: (file.stat().st_size == 1 << 20, file.stat().st_mtime))
        changed.append((big, big.read_bytes()))
        flip(big, 1000)

    def repair():
        for file, content in changed:
            file.write_bytes(content)
    told = refused_after_tampering(fleet, device, next_version, tamper, repair)
    identifier, message = reason_of(told)
    assert identifier == "VRG-UPD-004" and "expected content with the digest" in message, told


def test_a_hub_that_asks_for_what_it_did_not_sign_is_refused(fleet, device, next_version):
    good = device.version("m")

    def tamper(version):
        with contextlib.closing(sqlite3.connect(fleet.hub.folder / "hub.db", timeout=30)) as store, store:
            other, = store.execute("select digest from versions where name = 'm' and version not in (?, ?)",
                                   (good, version)).fetchone()
            store.execute("update desired set digest = ? where application = 'm'", (other,))
    told = refused_after_tampering(fleet, device, next_version, tamper, lambda: None)
    identifier, message = reason_of(told)
    assert identifier == "VRG-UPD-001" and "what the hub asks for is not what was signed" in message, told
