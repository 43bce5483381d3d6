"""What tests of a fleet share: a hub with its command line, devices, packages made on the fly."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import time

import pytest
from conftest import ROOT, Agent, Hub, verge
from PIL import Image

MODELS = ROOT / "models"
SCRIPTS = ROOT / "infrastructure" / "deployment_scripts"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
DAY_S = 24 * 3600


def faketime(offset):
    """The environment of a program whose clock is `offset` ("+400d") wrong. Its stop-watches go right."""
    if not os.path.exists(FAKETIME):
        pytest.skip("needs Debian's package 'faketime'")
    # The library, not the program of that name: that one leaves a semaphore behind when it is killed, and ends when a
    # later process of the same number finds it.
    return {"LD_PRELOAD": FAKETIME, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}


def wait_for(condition, timeout=60, what="it"):
    """The first true value of `condition()`."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"no {what} within {timeout} s")


def picture(*values):
    """A PNG of 16 × 16 whose first values are these: the fake classifier's scores × 255."""
    pixels = bytes(values) + bytes(16 * 16 * 3 - len(values))
    png = io.BytesIO()
    Image.frombytes("RGB", (16, 16), pixels).save(png, "PNG")
    return png.getvalue()


DOG = picture(10, 200, 30, 40)


def fake_package(folder, name, version, function="identity", delay_ms=0, labels=None, golden_label=None, filler=0,
                 **metadata):
    """A classifier of 16 × 16 pictures for the engine 'fake', with labels that name the version, and its folder."""
    labels = labels or [f"{version} {animal}" for animal in ("cat", "dog", "bird", "fish")]
    package = folder / f"{name}-{version}"
    for part in ("model_files", "preprocessing", "postprocessing", "golden"):
        (package / part).mkdir(parents=True, exist_ok=True)
    quantisation = {"scale": 0.00392156862745098, "zero_point": 0}
    (package / "metadata.json").write_text(json.dumps({
        "schema_version": 1, "name": name, "version": version, "task": "classification", "engine": "fake",
        "model": {"file": "model_files/model.fake", "format": "fake"},
        "inputs": [{"name": "picture", "datatype": "UINT8", "shape": [1, 16, 16, 3]}],
        "outputs": [{"name": "scores", "datatype": "UINT8", "shape": [1, 4], "quantisation": quantisation}],
        **metadata}))
    (package / "model_files" / "model.fake").write_text(
        f"verge-fake 1\n# {name} {version}\ninput picture UINT8 [1,16,16,3]\n"
        f"output scores UINT8 [1,4] 0.00392156862745098 0\nfunction {function}\ndelay_ms {delay_ms}\n")
    (package / "preprocessing" / "preprocessing.yaml").write_text(
        "version: 1\nsample: image\nsteps:\n  - resize: { width: 16, height: 16 }\n")
    (package / "postprocessing" / "postprocessing.yaml").write_text(
        "version: 1\nlabels: labels.txt\nsteps:\n  - top_k: { k: 3 }\n")
    (package / "postprocessing" / "labels.txt").write_text("\n".join(labels) + "\n")
    (package / "golden" / "dog.png").write_bytes(DOG)
    (package / "golden" / "golden.json").write_text(json.dumps({"version": 1, "samples": [
        {"name": "dog", "image": "dog.png", "classes": [{"label": golden_label or labels[1], "score": 0.784}]}]}))
    if filler:
        (package / "model_files" / "filler.bin").write_bytes(os.urandom(filler))
    return package


def real_package(folder, version, prefix="", **metadata):
    """models/efficientnet_lite0 as another version; with `prefix`, its labels and golden samples begin with it."""
    source = MODELS / "efficientnet_lite0"
    if not (source / "model_files" / "model.onnx").exists():
        pytest.skip("needs './dev models'")
    package = folder / f"efficientnet_lite0-{version}"
    shutil.copytree(source, package)
    document = json.loads((package / "metadata.json").read_text())
    (package / "metadata.json").write_text(json.dumps({**document, "version": version, **metadata}))
    labels = package / "postprocessing" / "labels.txt"
    labels.write_text("".join(f"{prefix}{label}\n" for label in labels.read_text().splitlines()))
    golden = json.loads((package / "golden" / "golden.json").read_text())
    for sample in golden["samples"]:
        for expected in sample.get("classes", []):
            expected["label"] = prefix + expected["label"]
    (package / "golden" / "golden.json").write_text(json.dumps(golden))
    return package


class Device:
    """A device: its folder, and its agent when it runs."""

    api = "port: 0"
    program = ("verge-agent",)
    """What starts the agent, with its options."""

    def __init__(self, fleet, name, configuration="", hub=""):
        self.fleet, self.name, self.folder, self.agent = fleet, name, fleet.folder / name, None
        self.configuration = configuration
        self.folder.mkdir()
        self.configure(hub)

    def configure(self, hub=""):
        """Writes the configuration, with more settings of the hub; for the next start."""
        (self.folder / "edge_config.yaml").write_text(
            f"version: 1\nthreads: 2\napi: {{ {self.api} }}\nstate_directory: state\nhub: {{ enrolment: enrolment.json{hub} }}\n"
            f"device: {{ name: {self.name}, type: camera }}\n{self.configuration}")
        return self

    @property
    def state(self):
        return self.folder / "state"

    def enrol(self, *options):
        self.fleet.verge("device", "enrol", "--name", self.name, "--to", self.folder / "enrolment.json", *options)
        return self

    def start(self, environment=None):
        log = self.folder / "agent.log"
        if log.exists():
            log.rename(self.folder / f"agent-{len(list(self.folder.glob('agent-*.log')))}.log")
        self.agent = Agent(self.folder / "edge_config.yaml", environment, self.program)
        return self

    def kill(self):
        self.agent.process.kill()
        self.agent.process.wait()

    def stop(self):
        assert self.agent.stop() == 0

    def restart(self, environment=None):
        self.stop()
        return self.start(environment)

    def end(self):
        if self.agent and self.agent.process.poll() is None:
            self.agent.process.kill()
            self.agent.process.wait()

    def joined(self):
        wait_for(lambda: (self.state / "identity" / "identity.json").exists(), what="certificate")
        return self

    def status(self):
        return self.agent.json("/status")[1]

    def predict(self, model, body=DOG):
        return self.agent.json(f"/v2/models/{model}/predict", body)

    def version(self, model):
        """The version that a prediction names, or None."""
        status, answer = self.predict(model)
        return answer["version"] if status == 200 else None

    def record(self, application):
        """update.json; {} when there is none."""
        try:
            return json.loads((self.state / "applications" / application / "update.json").read_text())
        except FileNotFoundError:
            return {}

    def active(self, application):
        pointer = self.state / "applications" / application / "active.json"
        return json.loads(pointer.read_text())["version"] if pointer.exists() else None

    def ended(self, application, version=None, timeout=90):
        """The record of the update to `version` once it has ended."""
        def end():
            assert self.agent.process.poll() is None, f"the agent ended: {self.agent.log}"
            record = self.record(application)
            wanted = version is None or record.get("desired", {}).get("version") == version
            over = record.get("step") in ("committed", "rolled_back", "refused", "failed")
            return record if wanted and over else None
        try:
            return wait_for(end, timeout)
        except AssertionError as error:
            raise AssertionError(f"{application} {version or ''} does not end: {self.status()}") from error


class Fleet:
    """A hub with an administrator who is logged in, and devices. Everything is ended at the end."""

    def __init__(self, folder, *hub_options):
        self.folder, self.devices = folder, []
        self.hub = Hub(folder / "hub", *hub_options)
        self.environment = {**os.environ, "VERGE_HUB_LOGIN": str(folder / "login.json")}
        self.login()

    def login(self):
        self.verge(*self.hub.login.split()[1:])

    def verge(self, *arguments, check=True):
        return verge(*arguments, check=check, env=self.environment)

    def json(self, *arguments, check=True):
        return json.loads(self.verge(*arguments, "--output", "json", check=check).stdout)

    def script(self, name, *arguments):
        return subprocess.run([SCRIPTS / name, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                              env={**self.environment, "VERGE": str(self.program)})

    @property
    def program(self):
        from conftest import BUILD
        return BUILD / "bin" / "verge"

    def device(self, name, configuration="", start=True, hub="", kind=Device):
        device = kind(self, name, configuration, hub).enrol()
        self.devices.append(device)
        return device.start().joined() if start else device

    def push(self, package):
        return self.json("model", "push", package)

    def deploy(self, what, to="all", watch=0, check=True, options=()):
        """Deploys and waits for the end; (deployment, its devices by name, what was written to standard error)."""
        done = self.verge("deploy", what, "--to", to, "--watch", watch, "--timeout", 120, "--output", "json", *options,
                          check=check)
        return self.deployment(done)

    @staticmethod
    def deployment(done):
        detail = json.loads(done.stdout)
        return detail["summary"]["deployment"], {entry["device"]: entry for entry in detail["devices"]}, done.stderr

    def previous(self, device, application):
        """The version to which the device could go back, as it reported, or None."""
        applications = self.json("device", "show", device).get("report", {}).get("applications", [])
        one = next((one for one in applications if one["application"] == application), {})
        return one.get("previous", {}).get("version")

    def explain(self, deployment, device):
        return self.verge("deploy", "explain", deployment, device).stdout

    def stop(self):
        for device in self.devices:
            device.end()
        if self.hub.process.poll() is None:
            self.hub.process.kill()
            self.hub.process.wait()


@contextlib.contextmanager
def running_fleet(folder, *hub_options):
    """A fleet that is ended at the end, whatever happens."""
    fleet = Fleet(folder, *hub_options)
    try:
        yield fleet
    finally:
        fleet.stop()


def reason_of(text):
    """(identifier, message) at the end of what 'deploy explain' prints."""
    found = re.search(r"^Reason: (.*) \[(VRG-[A-Z]+-\d+)\]$", text, re.MULTILINE | re.DOTALL)
    assert found, text
    return found[2], found[1]
