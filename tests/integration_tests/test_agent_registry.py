"""An agent whose configuration names packages in a registry."""

import base64
import contextlib
import json
import re
import shutil
import signal
import subprocess
import time

import pytest
from conftest import BUILD, ROOT, verge
from registry_peers import Authority, distribution

MODEL = ROOT / "models" / "unet_fashion"


@pytest.fixture
def place(tmp_path):
    """A registry with TLS and a password, and the agent's part of the configuration for it."""
    authority = Authority(tmp_path / "authority")
    running = distribution(tmp_path / "registry", authority, password="secret")
    (tmp_path / "credentials.json").write_text(json.dumps({"auths": {running.host: {
        "auth": base64.b64encode(b"me:secret").decode()}}}))
    running.ca = authority.ca
    running.config = (f"version: 1\nstate_directory: state\napi: {{ port: 0 }}\n"
                      f"registry: {{ credentials: credentials.json, ca_certificate: {authority.ca} }}\n")
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: running.process.poll() is None and running.stop())
        yield running


def push(place, tmp_path, tag, version="1.0.0", folder=MODEL):
    package = tmp_path / f"package-{version}"
    if not package.exists():
        shutil.copytree(folder, package)
        metadata = json.loads((package / "metadata.json").read_text())
        metadata["version"] = version
        (package / "metadata.json").write_text(json.dumps(metadata))
    done = verge("package", "push", package, f"{place.host}/team/unet:{tag}", "--ca-file", place.ca, "--username", "me",
                 "--password-stdin", "--output", "json", input="secret")
    return json.loads(done.stdout)["digest"]


def wait_until(holds, timeout=20):
    end = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def version(agent, name="unet", wanted=None, timeout=60):
    """The version that is served; waited for when `wanted` is given."""
    end = time.monotonic() + timeout
    while True:
        status, answer = agent.json(f"/v2/models/{name}")
        found = answer["versions"][0] if status == 200 else None
        if wanted is None or found == wanted:
            return found
        assert time.monotonic() < end, f"expected {wanted}, got {found}: {agent.log}"
        time.sleep(0.05)


def test_a_tag_is_pulled_kept_and_looked_at_again_on_reload(agent, place, tmp_path):
    first = push(place, tmp_path, "stable")
    config = place.config + f"models:\n  - {{ name: unet, package: 'oci://{place.host}/team/unet:stable' }}\n"
    running = agent(config)
    version(running, wanted="1.0.0")
    assert re.search(rf"package pulled.*{first}", running.log)
    second = push(place, tmp_path, "stable", "2.0.0")
    running.stop()
    running.log_path.unlink()  # The next one writes anew.
    place.stop()
    running = agent(config)
    assert version(running) == "1.0.0", "at once, and without the registry"
    assert first in (tmp_path / "state" / "registry" / "index.json").read_text()
    running.process.send_signal(signal.SIGHUP)
    running.wait("package not pulled; it is tried again")
    assert version(running) == "1.0.0", "a registry that fails stops nothing"
    place.start()
    version(running, wanted="2.0.0", timeout=90)
    running.wait(rf"package pulled.*{second}")
    blobs = tmp_path / "state" / "registry" / "blobs" / "sha256"
    wait_until(lambda: first.removeprefix("sha256:") not in {path.name for path in blobs.iterdir()})
    assert running.stop() == 0


def test_a_package_by_digest_beside_one_in_a_folder(agent, place, tmp_path):
    made = push(place, tmp_path, "1.0.0")
    running = agent(place.config + f"models:\n  - {{ name: local, package: {MODEL} }}\n"
                    f"  - {{ name: unet, package: 'oci://{place.host}/team/unet@{made}' }}\n"
                    f"  - {{ name: same, package: 'oci://{place.host}/team/unet:1.0.0' }}\n"
                    f"  - {{ name: none, package: 'oci://{place.host}/team/nothing:1.0.0' }}\n")
    assert version(running, "local") == "1.0.0", "what is in a folder waits for no registry"
    version(running, "unet", "1.0.0")
    version(running, "same", "1.0.0")
    running.wait(r"package not pulled.*team/nothing.*VRG-REG-006")
    assert running.stop() == 0


def test_a_new_package_that_cannot_be_loaded_does_not_take_the_place(agent, place, tmp_path):
    push(place, tmp_path, "stable")
    running = agent(place.config + f"models:\n  - {{ name: unet, package: 'oci://{place.host}/team/unet:stable' }}\n")
    version(running, wanted="1.0.0")
    broken = tmp_path / "broken"
    shutil.copytree(MODEL, broken)
    for file in (broken / "model_files").iterdir():
        file.write_bytes(b"no model")
    bad = push(place, tmp_path, "stable", "3.0.0", broken)
    running.process.send_signal(signal.SIGHUP)
    running.wait(rf"the package that was pulled is not served; the one before goes on.*{bad}")
    assert version(running) == "1.0.0"
    assert running.stop() == 0


def test_content_that_is_damaged_on_the_disk_is_pulled_again(agent, place, tmp_path):
    push(place, tmp_path, "1.0.0")
    config = place.config + f"models:\n  - {{ name: unet, package: 'oci://{place.host}/team/unet:1.0.0' }}\n"
    running = agent(config)
    version(running, wanted="1.0.0")
    running.stop()
    running.log_path.unlink()  # The next one writes anew.
    largest = max((tmp_path / "state" / "registry" / "blobs" / "sha256").iterdir(), key=lambda p: p.stat().st_size)
    content = largest.read_bytes()
    largest.write_bytes(bytes(len(content)))
    running = agent(config)
    version(running, wanted="1.0.0")
    assert largest.read_bytes() == content
    assert running.stop() == 0


def test_what_is_pulled_is_encrypted_where_the_device_is(agent, place, tmp_path):
    """Pulled in plain, then encrypted, served without the registry, renewed, rotated, damaged, and in plain again."""
    first = push(place, tmp_path, "stable")
    models = f"models:\n  - {{ name: unet, package: 'oci://{place.host}/team/unet:stable' }}\n"
    plain = place.config + models
    encrypted = place.config + "at_rest: { key: file, lock: best_effort }\n" + models
    blobs = tmp_path / "state" / "registry" / "blobs" / "sha256"
    weights = max((MODEL / "model_files").iterdir(), key=lambda path: path.stat().st_size).read_bytes()

    def heads():
        return {path.read_bytes()[:8] for path in blobs.iterdir()}

    def serve(config, wanted):
        running = agent(config)
        version(running, wanted=wanted)
        return running

    def end(running):
        assert running.stop() == 0
        running.log_path.unlink()  # The next one writes anew.

    end(serve(plain, "1.0.0"))
    assert any(path.read_bytes() == weights for path in blobs.iterdir())
    place.stop()
    running = serve(encrypted, "1.0.0")
    assert heads() == {b"VRGREST1"}, "encrypted where it lay, and served at once, without the registry"
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file() and weights in path.read_bytes()]
    place.start()
    second = push(place, tmp_path, "stable", "2.0.0")
    running.process.send_signal(signal.SIGHUP)
    version(running, wanted="2.0.0", timeout=90)
    wait_until(lambda: first.removeprefix("sha256:") not in {path.name for path in blobs.iterdir()})
    assert second.removeprefix("sha256:") in {path.name for path in blobs.iterdir()}
    assert heads() == {b"VRGREST1"}
    end(running)

    def key_numbers():
        return {path.read_bytes()[8:16] for path in blobs.iterdir()}

    before = key_numbers()
    assert len(before) == 1
    config = tmp_path / "edge_config.yaml"
    done = subprocess.run([BUILD / "bin" / "verge-agent", "keys", "rotate", "--config", config], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    running = serve(encrypted, "2.0.0")
    running.wait("the one before is forgotten")
    assert not before & key_numbers(), "encrypted anew with the new key"
    end(running)

    largest = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    running = serve(encrypted, "2.0.0")
    running.wait("package pulled")
    end(running)
    end(serve(plain, "2.0.0"))
    assert any(path.read_bytes() == weights for path in blobs.iterdir()), "in plain again, and not pulled again"


def test_configurations_that_cannot_work_are_refused(tmp_path):
    def refusal(text):
        config = tmp_path / "edge_config.yaml"
        config.write_text("version: 1\n" + text)
        done = subprocess.run([BUILD / "bin" / "verge-agent", "--config", config, "--check"], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode != 0
        return done.stderr
    model = "models: [{ package: 'oci://ghcr.io/team/cat:1.0.0' }]\n"
    assert "VRG-AGT-002" in refusal(model)
    assert "VRG-REG-001" in refusal("state_directory: state\nmodels: [{ package: 'oci://cat' }]\n")
