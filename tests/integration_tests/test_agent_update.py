"""The agent's own update: verge-launcher, releases from the hub, and every way back."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from conftest import BUILD, verge
from fleet import DOG, Device, fake_package, reason_of, running_fleet, wait_for
from grpc_load import GrpcLoad, ask
from test_fleet_load import Load

NAME = "verge-agent"
QUICK = ("verge-launcher", "--ready-timeout", "5", "--watchdog", "4")


class Launched(Device):
    """A device whose agent verge-launcher looks after."""

    program = QUICK
    api = "port: 0, grpc: { port: 0, unix_socket: grpc.sock }"

    def agents(self):
        """Process numbers of the agents that run: children of the launcher."""
        children = pathlib.Path(f"/proc/{self.agent.process.pid}/task/{self.agent.process.pid}/children")
        return [int(number) for number in children.read_text().split()]

    def release(self):
        """The release that runs; "" for the agent of the system, None for none."""
        for number in self.agents():
            try:
                program = os.readlink(f"/proc/{number}/exe")
            except FileNotFoundError:
                continue  # It has just ended.
            found = re.search(r"/agents/([0-9a-f]{64})/", program)
            return json.loads((self.state / "agents" / f"{found[1]}.json").read_text())["release"] if found else ""
        return None

    def runs(self, release, timeout=60):
        """Waits until the release runs and answers."""
        def answers():
            try:
                return self.release() == release and self.status()["agent_version"]
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                return False
        wait_for(answers, timeout, f"release '{release}' (it is '{self.release()}'): {self.agent.log[-3000:]}")
        return self

    def kill(self):
        """As a loss of power ends everything at once."""
        agents = self.agents()
        self.agent.process.send_signal(signal.SIGSTOP)
        for number in agents:
            os.kill(number, signal.SIGKILL)
        super().kill()

    def end(self):
        if self.agent and self.agent.process.poll() is None:
            self.kill()

    def update(self, version, timeout=90):
        """The record of the update to the release once it has ended; the agent is away meanwhile."""
        def ended():
            record = self.record(NAME)
            over = record.get("step") in ("committed", "rolled_back", "refused", "failed")
            return record if over and record["desired"]["version"] == version else None
        return wait_for(ended, timeout, f"end of {version}: {self.record(NAME)}, {self.agent.log[-3000:]}")

    def installed(self):
        return sorted(path.stem for path in (self.state / "agents").glob("*.json") if "." not in path.stem)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A release out of this build."""
    folder = tmp_path_factory.mktemp("system") / "release"
    verge("agent", "package", BUILD, folder, "--version", "1.0.0")
    return folder


@pytest.fixture
def release(system, tmp_path):
    """Makes releases: the same agent, or one behind a script that gets its arguments."""
    def make(version, script=None, without=(), **document):
        folder = tmp_path / f"release-{version}"
        shutil.copytree(system, folder)
        described = json.loads((folder / "release.json").read_text())
        described.update(version=version, **document)
        if script:
            (folder / "bin" / "verge-agent").rename(folder / "bin" / "real")
            described["executables"].append("bin/real")
            program = folder / "bin" / "verge-agent"
            program.write_text('#!/bin/sh\nreal="$(dirname "$0")/real"\n'
                               f'case "$1" in --config) ;; *) exec "$real" "$@" ;; esac\n{script}\n')
            program.chmod(0o755)
        for path in without:
            for file in folder.glob(path):
                file.unlink()
        (folder / "release.json").write_text(json.dumps(described))
        return folder
    return make


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as fleet:
        yield fleet


@pytest.fixture
def device(fleet, tmp_path):
    device = fleet.device("cam-1", kind=Launched)
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    fleet.deploy("m@1.0.0")
    return device


def push(fleet, folder):
    return fleet.json("agent", "push", folder)


def deploy(fleet, version, watch=0, check=True, options=()):
    return fleet.deploy(f"{NAME}@{version}", watch=watch, check=check, options=options)


def test_the_agent_becomes_another_release_and_no_request_is_lost(fleet, device, release, capsys):
    for version in ("1.1.0", "1.2.0"):
        pushed = push(fleet, release(version))
        assert pushed["agent"] == NAME and pushed["version"] == version
    assert device.release() == ""
    port = device.agent.url
    grpc = device.agent.wait(r"ready.*grpc=(\S+)")[1]
    tensor = ask("m", "picture", "UINT8", [1, 16, 16, 3], bytes(16 * 16 * 3))
    with Load(device.agent.url, DOG, 100, model="m", again=True) as load, GrpcLoad(grpc, tensor, 100) as tcp, \
            GrpcLoad(f"unix:{device.folder}/grpc.sock", tensor, 20) as local:
        time.sleep(1)
        began = time.monotonic()
        number, on, _ = deploy(fleet, "1.1.0", watch=1)
        assert on["cam-1"]["state"] == "committed"
        device.runs("1.1.0")
        first = time.monotonic()
        deploy(fleet, "1.2.0", watch=1)
        device.runs("1.2.0")
        fleet.verge("rollback", NAME, "--to", "all", "--timeout", 60)
        device.runs("1.1.0")
        time.sleep(1)
    assert device.agent.url == port
    lost = [answer for answer in load.answers if answer[2] != 200]
    longest = max(load.between(began, first))
    with capsys.disabled():
        print(f"\n{len(load.answers)} requests through three restarts of the agent, {len(lost)} lost, "
              f"{load.repeated} sent again because their idle connection ended; the longest "
              f"beside the first took {longest * 1000:.0f} ms")
        for name, calls in (("TCP", tcp), ("the Unix socket", local)):
            print(f"{len(calls.answers)} gRPC calls over {name}, {len(calls.lost)} lost; the longest took "
                  f"{calls.longest_ms:.0f} ms")
    assert lost == [] and tcp.lost == [] and local.lost == []
    explained = fleet.explain(number, "cam-1")
    for text in ("golden samples right", "every digest is right", "watched for"):
        assert text in explained
    shown = fleet.json("device", "show", "cam-1")["report"]["applications"]
    one = next(one for one in shown if one["application"] == NAME)
    assert one["active"]["version"] == "1.1.0" and one["active"]["target"] == f"agents/{NAME}/1.1.0.json"
    # What is not needed any more is removed: at most the one that runs and the one before.
    wait_for(lambda: len(device.installed()) <= 2, what="tidy folder")
    listed = fleet.json("agent", "releases")["versions"]
    assert [(entry["version"], entry["devices"]) for entry in listed] == [("1.2.0", 0), ("1.1.0", 1)]
    refused = fleet.verge("agent", "delete", "1.1.0", check=False)
    assert refused.returncode != 0 and "VRG-HUB-027" in refused.stderr
    assert device.agent.stop() == 0


def test_what_did_not_change_does_not_travel(fleet, device, release):
    push(fleet, release("1.1.0"))
    push(fleet, release("1.2.0"))
    deploy(fleet, "1.1.0")
    device.runs("1.1.0")
    deploy(fleet, "1.2.0")
    device.runs("1.2.0")
    progress = device.record(NAME)["progress"]
    assert progress["bytes_total"] > 1_000_000 and progress["bytes_fetched"] < 20_000


@pytest.mark.parametrize("name, script, reason", [
    ("ends at once", "exit 3", "ended with status 3"),
    ("crashes", "kill -SEGV $$", "ended by signal 11"),
    ("is never ready", "exec sleep 1000", "was not ready within 5 s"),
])
def test_a_release_that_does_not_start_is_left(fleet, device, release, name, script, reason):
    push(fleet, release("1.1.0", script))
    with Load(device.agent.url, DOG, 2, model="m", again=True) as load:  # All may wait.
        number, on, _ = deploy(fleet, "1.1.0", check=False)
    assert on["cam-1"]["state"] == "rolled_back", name
    identifier, message = reason_of(fleet.explain(number, "cam-1"))
    assert identifier == "VRG-AGT-101" and reason in message
    assert [answer for answer in load.answers if answer[2] != 200] == []
    device.runs("")
    assert device.version("m") == "1.0.0"
    # Asked for anew, it is tried anew; the good one that follows is taken.
    push(fleet, release("1.1.1"))
    deploy(fleet, "1.1.1")
    device.runs("1.1.1")


def test_a_release_that_gives_no_sign_of_life_is_left(fleet, device, release):
    push(fleet, release("1.1.0", '"$real" "$@" & child=$!\nsleep 1\nkill -9 $child\nexec sleep 1000'))
    _, on, _ = deploy(fleet, "1.1.0", watch=60, check=False)
    assert on["cam-1"]["state"] == "rolled_back"
    device.runs("")


def test_a_release_that_crashes_while_it_is_watched_is_left(fleet, device, release):
    push(fleet, release("1.1.0", '(sleep 3; kill -9 $$) &\nexec "$real" "$@"'))
    number, on, _ = deploy(fleet, "1.1.0", watch=20, check=False)
    assert on["cam-1"]["state"] == "rolled_back"
    assert reason_of(fleet.explain(number, "cam-1"))[0] in ("VRG-AGT-101", "VRG-UPD-013")
    device.runs("")


def test_a_release_that_crashes_long_after_is_left(fleet, device, release, tmp_path):
    mark = tmp_path / "crash"
    push(fleet, release("1.1.0", f'[ -e {mark} ] && exit 7\nexec "$real" "$@"'))
    deploy(fleet, "1.1.0")
    device.runs("1.1.0")
    mark.touch()
    os.kill(device.agents()[0], signal.SIGKILL)
    device.runs("")
    wait_for(lambda: device.record(NAME)["step"] == "rolled_back", what="report")
    assert device.record(NAME)["progress"]["reason"]["id"] == "VRG-UPD-015"
    shown = fleet.json("device", "show", "cam-1")["report"]["applications"]
    assert "active" not in next(one for one in shown if one["application"] == NAME)


def test_a_release_is_tried_with_the_models_that_are_here(fleet, device, release):
    push(fleet, release("1.1.0", without=["lib/**/libverge_engine_fake.so"]))
    number, on, _ = deploy(fleet, "1.1.0", check=False)
    assert on["cam-1"]["state"] == "refused"
    assert "fake" in reason_of(fleet.explain(number, "cam-1"))[1]
    assert device.release() == ""
    wait_for(lambda: not any((device.state / "agents").iterdir()), what="tidy folder")


def test_a_release_brings_its_engines(fleet, device, release):
    before = {engine["name"] for engine in device.status()["device"]["engines"]}
    gone = sorted(before - {"fake"})[0]
    push(fleet, release("1.1.0", without=[f"lib/**/libverge_engine_{gone}.so"]))
    deploy(fleet, "1.1.0")
    device.runs("1.1.0")
    assert {engine["name"] for engine in device.status()["device"]["engines"]} == before - {gone}


def test_a_release_that_does_not_take_the_configuration_is_refused(fleet, device, release):
    folder = release("1.1.0", "exit 1")
    program = folder / "bin" / "verge-agent"
    program.write_text("#!/bin/sh\necho 'line 7: unknown key' >&2\nexit 2\n")
    push(fleet, folder)
    number, on, _ = deploy(fleet, "1.1.0", check=False)
    assert on["cam-1"]["state"] == "refused"
    identifier, message = reason_of(fleet.explain(number, "cam-1"))
    assert identifier == "VRG-AGT-102" and "line 7: unknown key" in message


def test_a_release_for_another_processor_is_not_offered(fleet, device, release):
    push(fleet, release("1.1.0+aarch64", requirements={"architectures": ["aarch64"]}))
    _, on, _ = deploy(fleet, "1.1.0+aarch64", check=False)
    assert on["cam-1"]["state"] == "skipped" and on["cam-1"]["reason"]["id"] == "VRG-FIT-001"


def test_an_agent_that_was_started_by_itself_says_what_to_do(fleet, release):
    alone = fleet.device("alone")
    push(fleet, release("1.1.0"))
    number, on, _ = deploy(fleet, "1.1.0", check=False)
    assert on["alone"]["state"] == "refused"
    identifier, message = reason_of(fleet.explain(number, "alone"))
    assert identifier == "VRG-AGT-100" and "verge-launcher --config" in message
    alone.stop()


def test_no_name_is_taken_for_the_agents(fleet, device, tmp_path):
    refused = fleet.verge("model", "push", fake_package(tmp_path, NAME, "1.0.0"), check=False)
    assert refused.returncode != 0 and "VRG-HUB-022" in refused.stderr


@pytest.mark.parametrize("step", ["trying", "switching", "watching"])
def test_power_lost_in_the_update_changes_nothing_of_its_end(fleet, device, release, step):
    push(fleet, release("1.1.0"))
    record = device.state / "applications" / NAME / "update.json"
    seen = threading.Event()

    def watch():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if record.exists() and f'"step": "{step}"' in record.read_text():
                device.kill()
                seen.set()
                return
    thread = threading.Thread(target=watch)
    thread.start()
    fleet.verge("deploy", f"{NAME}@1.1.0", "--to", "all", "--watch", 1, "--no-wait")
    thread.join()
    assert seen.is_set()
    device.start()
    assert device.update("1.1.0")["step"] == "committed"
    device.runs("1.1.0")
    assert device.version("m") == "1.0.0"
    assert not [path for path in (device.state / "agents").iterdir() if path.name.endswith(".part")]


def test_a_release_that_rots_is_installed_anew(fleet, device, release):
    push(fleet, release("1.1.0"))
    deploy(fleet, "1.1.0")
    device.runs("1.1.0")
    program = pathlib.Path(os.readlink(f"/proc/{device.agents()[0]}/exe"))
    device.kill()
    content = program.read_bytes()
    at = len(content) // 2
    program.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1:])  # The blob is the same file.
    device.start()
    assert "VRG-LCH-001" in device.agent.log
    device.runs("1.1.0")
    assert device.record(NAME)["step"] == "committed"


def test_without_a_deployment_the_agent_of_the_system_is_back(fleet, device, release):
    push(fleet, release("1.1.0"))
    number, _, _ = deploy(fleet, "1.1.0")
    device.runs("1.1.0")
    fleet.verge("rollback", number, "--timeout", 60)
    device.runs("")
    assert device.version("m") == "1.0.0"


def test_an_encrypted_store_and_a_bundle_carry_releases(fleet, tmp_path, release):
    device = fleet.device("cam-1", "at_rest: { key: file, lock: best_effort }\n", kind=Launched)
    push(fleet, release("1.1.0"))
    fleet.verge("deploy", f"{NAME}@1.1.0", "--to", "all", "--watch", 0, "--timeout", 60)
    device.runs("1.1.0")
    push(fleet, release("1.2.0"))
    device.stop()
    fleet.verge("deploy", f"{NAME}@1.2.0", "--to", "all", "--watch", 0, "--no-wait")
    fleet.verge("bundle", "create", tmp_path / "release.bundle", "--to", "all")
    fleet.hub.stop()
    device.start()
    verge("bundle", "apply", tmp_path / "release.bundle", "--url", device.agent.url)
    device.runs("1.2.0")
    assert device.update("1.2.0")["step"] == "committed"


def test_the_launcher_passes_signals_and_errors_on(fleet, tmp_path):
    device = fleet.device("cam-1", kind=Launched)
    os.kill(device.agent.process.pid, signal.SIGHUP)
    device.agent.wait(r"reloaded")
    assert device.agent.stop() == 0 and "stopped" in device.agent.log
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: 1\nstate_directory: state\nmodel: []\n")
    done = subprocess.run([BUILD / "bin" / "verge-launcher", "--config", broken], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode != 0 and "did you mean 'models'" in done.stderr
    for text in ("--help", "--version"):
        assert subprocess.run([BUILD / "bin" / "verge-launcher", text], capture_output=True).returncode == 0


def test_the_launcher_starts_an_agent_again_that_is_killed(fleet, device):
    url = device.agent.url
    os.kill(device.agents()[0], signal.SIGKILL)
    device.runs("")
    assert device.agent.url == url and device.version("m") == "1.0.0"


def test_a_socket_that_is_not_configured_any_more_is_let_go(fleet, device):
    host, port = device.agent.wait(r"ready.*grpc=(\S+)")[1].rsplit(":", 1)
    url = device.agent.url
    device.api = "port: 0"
    device.configure()
    os.kill(device.agents()[0], signal.SIGKILL)
    device.runs("")
    assert device.agent.url == url
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


def test_making_a_release_says_what_is_wrong(tmp_path):
    for tree, text in ((tmp_path / "nothing", "cmake --install"), (tmp_path, "cmake --install")):
        done = verge("agent", "package", tree, tmp_path / "out", "--version", "1.0.0", check=False)
        assert done.returncode != 0 and text in done.stderr and "VRG-PKG-020" in done.stderr
    done = verge("agent", "package", BUILD, tmp_path / "out", "--version", "one", check=False)
    assert done.returncode != 0 and "version" in done.stderr and "VRG-DOC" in done.stderr
    assert not (tmp_path / "out").exists()
