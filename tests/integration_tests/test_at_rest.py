"""Models encrypted at rest, with a real hub, a real agent and a real software TPM: nothing of a model stands on the disk, a
stolen disk stays closed, and everything else goes on as without."""

import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
from conftest import BUILD
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fleet import fake_package, real_package, running_fleet, wait_for
from software_tpm import SoftwareTpm

AGENT = BUILD / "bin" / "verge-agent"
PIECE = 24
"""Bytes of a model that are looked for: more than come together by chance."""


@pytest.fixture
def tpm(tmp_path):
    tpm = SoftwareTpm(tmp_path / "tpm")
    yield tpm
    tpm.stop()


@pytest.fixture(scope="module")
def memory():
    """The agents' folder in memory, as systemd gives one: what killed ones leave there goes at the end."""
    with tempfile.TemporaryDirectory(prefix="verge-tests-", dir="/dev/shm") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIME_DIRECTORY", folder)
        yield folder


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, memory):
    with running_fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def packages(tmp_path_factory, fleet):
    """Versions of the model 'm' with content that is looked for on disks, pushed once each."""
    folder, made = tmp_path_factory.mktemp("packages"), {}

    def push(version, **options):
        if version not in made:
            made[version] = fake_package(folder, "m", version, filler=300_000, **options)
            fleet.push(made[version])
        return made[version]
    return push


def sealed(tpm, more=""):
    return f"at_rest: {{ key: tpm, tcti: '{tpm.tcti}'{more} }}\n"


def is_on(folder, package):
    """Files below `folder` that hold a piece of what only the package has."""
    secret = (package / "model_files" / "filler.bin").read_bytes()
    pieces = [secret[at:at + PIECE] for at in range(0, len(secret) - PIECE, len(secret) // 30)]
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if any(piece in content for piece in pieces):
            found.append(path)
    return found


def keys(device, *arguments):
    return subprocess.run([AGENT, "keys", *arguments, "--config", device.folder / "edge_config.yaml"], capture_output=True,
                          text=True, timeout=60)


def refuses_to_start(folder):
    """What an agent says that does not start."""
    done = subprocess.run([AGENT, "--config", folder / "edge_config.yaml"], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    return done.stderr


def memory_folders(device):
    """Of the device's decrypted packages."""
    maps = pathlib.Path(f"/proc/{device.agent.process.pid}/maps").read_text()
    return sorted({"/".join(line.split()[5].split("/")[:6]) for line in maps.splitlines() if "/verge-agent-" in line and "/dev/shm/" in line})


def test_an_update_leaves_nothing_of_a_model_on_the_disk(fleet, packages, tpm):
    device = fleet.device("sealed", sealed(tpm))
    first, second = packages("1.0.0"), packages("1.1.0")
    for version in ("1.0.0", "1.1.0"):
        fleet.deploy(f"m@{version}", to="name=sealed")
        assert device.version("m") == version
    for package in (first, second):
        assert not is_on(device.folder, package)
    assert any(file.read_bytes().startswith(b"VRGREST1") for file in (device.state / "store" / "blobs").rglob("*") if file.is_file())
    assert len(memory_folders(device)) == 1
    tpm.boot_again()
    device.restart()
    wait_for(lambda: device.version("m") == "1.1.0", what="model after a boot")
    assert not is_on(device.folder, second)
    assert "messages" not in device.status()


def test_a_stolen_disk_stays_closed(fleet, packages, tpm, tmp_path):
    device = fleet.device("stolen", sealed(tpm))
    package = packages("1.0.0")
    fleet.deploy("m@1.0.0", to="name=stolen")
    device.stop()
    loot = tmp_path / "loot"
    shutil.copytree(device.folder, loot)
    assert not is_on(loot, package)
    tpm.stop()  # It stays in the device.
    thief = SoftwareTpm(tmp_path / "thief")
    try:
        for name in ("edge_config.yaml", "state/at_rest/keys.json"):
            file = loot / name
            file.write_text(file.read_text().replace(tpm.tcti, thief.tcti))
        said = refuses_to_start(loot)
        assert "VRG-RST-009" in said and "another TPM" in said
        configuration = loot / "edge_config.yaml"
        text = configuration.read_text()
        for other in ("at_rest: { key: file }\n", "at_rest: { key: none }\n", ""):
            configuration.write_text(text.replace(sealed(thief), other))
            assert "VRG-RST-009" in refuses_to_start(loot), other
        assert not is_on(loot, package)
    finally:
        thief.stop()
    tpm.start()
    device.start()
    wait_for(lambda: device.version("m") == "1.0.0", what="model in the device itself")


def test_a_changed_register_stops_it_and_reset_brings_the_models_again(fleet, packages, tpm):
    device = fleet.device("changed", sealed(tpm))
    package = packages("1.0.0")
    fleet.deploy("m@1.0.0", to="name=changed")
    device.stop()
    tpm.measure(7)
    said = refuses_to_start(device.folder)
    assert "VRG-RST-008" in said and "verge-agent keys reset" in said
    assert keys(device, "status").returncode != 0
    for registers, wrong in (("24=" + "0" * 64, "24"), ("7=" + "0" * 63, "7="), ("7=" + "g" * 64, "7=g")):
        assert f"got '{wrong}" in keys(device, "reseal", "--expect", registers).stderr
    device.configuration = ""
    assert "VRG-RST-008" in refuses_to_start(device.configure().folder), "switching it off does not help"
    done = keys(device, "reset")
    assert done.returncode == 0, done.stderr
    assert "VRG-RST-020" in keys(device, "status").stderr
    device.configuration = sealed(tpm)
    device.configure().start()
    wait_for(lambda: device.version("m") == "1.0.0", what="model from the hub")
    assert not is_on(device.folder, package)


def test_suspend_lets_an_update_of_the_firmware_pass(fleet, packages, tpm):
    device = fleet.device("firmware", sealed(tpm))
    packages("1.0.0")
    fleet.deploy("m@1.0.0", to="name=firmware")
    assert "in use" in keys(device, "suspend").stderr, "the agent runs"
    device.stop()
    assert keys(device, "suspend").returncode == 0
    assert "none: suspended" in keys(device, "status").stdout
    tpm.measure(7)
    document = device.state / "at_rest" / "keys.json"  # The next boot: its identifier is another.
    content = json.loads(document.read_text())
    content["tpm"]["suspended_in_boot"] = "another"
    document.write_text(json.dumps(content))
    device.start()
    wait_for(lambda: device.version("m") == "1.0.0", what="model after the firmware's update")
    assert json.loads(document.read_text())["tpm"]["pcrs"] == [7]


def test_plain_stores_are_encrypted_and_decrypted_again(fleet, packages):
    device = fleet.device("migrated")
    package = packages("1.0.0")
    fleet.deploy("m@1.0.0", to="name=migrated")
    assert is_on(device.folder, package)
    device.stop()
    device.configuration = "at_rest: { key: file }\n"
    device.configure().start()
    wait_for(lambda: device.version("m") == "1.0.0", what="model of the encrypted store")
    assert not is_on(device.folder, package)
    assert "who has the disk" in device.status()["messages"][0]
    assert "who has the disk" in device.agent.log
    device.stop()
    device.configuration = ""
    device.configure().start()
    wait_for(lambda: device.version("m") == "1.0.0", what="model of the decrypted store")
    assert is_on(device.folder, package)
    assert not (device.state / "at_rest" / "keys.json").exists()


def sizes(files):
    """Of those that are there still."""
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            yield file.stat().st_size


def decrypted(file, data_keys):
    """What encrypted_file.hpp says, done by another library."""
    content = file.read_bytes()
    header, frames = content[:64], content[64:]
    assert header[:8] == b"VRGREST1" and header[48:] == bytes(16)
    key = HKDF(SHA256(), 32, salt=header[16:48], info=header).derive(data_keys[header[8:16]])
    plain, size = b"", (64 << 10) + 28
    for index, at in enumerate(range(0, len(frames), size)):
        frame = frames[at:at + size]
        about = index.to_bytes(8, "little") + bytes([at + size >= len(frames)])
        plain += AESGCM(key).decrypt(frame[:12], frame[12:], about)
    return plain


def test_another_library_reads_the_format(fleet, packages):
    device = fleet.device("format", "at_rest: { key: file }\n")
    packages("1.0.0")
    fleet.deploy("m@1.0.0", to="name=format")
    folder = device.state / "at_rest"
    master, data_keys = AESGCM((folder / "master.key").read_bytes()), {}
    for entry in json.loads((folder / "keys.json").read_text())["data_keys"]:
        name, sealed_key = bytes.fromhex(entry["id"]), bytes.fromhex(entry["sealed"])
        data_keys[name] = master.decrypt(sealed_key[:12], sealed_key[12:], name)
    blobs = list((device.state / "store" / "blobs" / "sha256").iterdir())
    assert len(blobs) > 5
    for blob in blobs:
        assert hashlib.sha256(decrypted(blob, data_keys)).hexdigest() == blob.name


def test_a_kill_in_the_middle_of_a_migration_loses_nothing(fleet, tmp_path):
    folder = tmp_path / "packages"
    package = fake_package(folder, "large", "1.0.0", filler=60 << 20)
    fleet.push(package)
    device = fleet.device("killed")
    fleet.deploy("large@1.0.0", to="name=killed")
    device.stop()
    device.configuration = "at_rest: { key: file }\n"
    device.configure()
    blobs = device.state / "store" / "blobs" / "sha256"
    for least in (1, 10 << 20, 40 << 20):
        process = subprocess.Popen([AGENT, "--config", device.folder / "edge_config.yaml"], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not any(size >= least for size in sizes(blobs.glob(".*.part"))):
            assert time.monotonic() < end and process.poll() is None, "no kill came in the middle of it"
        process.send_signal(signal.SIGKILL)
        process.wait()
    device.start()
    wait_for(lambda: device.version("large") == "1.0.0", what="model after the kills")
    assert not any(blobs.glob(".*"))
    assert not is_on(device.state, package)
    fetched = fleet.json("device", "show", "killed")["report"]["applications"][0]["update"].get("bytes_fetched", 0)
    assert fetched < (61 << 20), "it was fetched again"


def test_a_delta_is_applied_to_an_encrypted_version_while_keys_are_rotated(fleet, tmp_path):
    content = bytearray(random.Random(1).randbytes(2 << 20))
    device = fleet.device("delta", "at_rest: { key: file }\n")
    made = []
    for number in ("1.0.0", "1.1.0"):
        made.append(fake_package(tmp_path, "near", number))
        content[1 << 20] ^= 0xFF
        (made[-1] / "model_files" / "filler.bin").write_bytes(content)
        fleet.push(made[-1])
        if number == "1.0.0":
            fleet.deploy("near@1.0.0", to="name=delta")
    versions = lambda: {one["version"]: one for one in fleet.json("model", "show", "near")["versions"]}
    wait_for(lambda: versions()["1.1.0"].get("deltas"), 150, "delta")
    device.stop()
    assert keys(device, "rotate").returncode == 0
    device.start()
    fleet.deploy("near@1.1.0", to="name=delta")
    assert device.record("near")["progress"]["bytes_spared"] > 1.9 * (1 << 20)
    assert device.version("near") == "1.1.0"
    document = device.state / "at_rest" / "keys.json"
    device.restart()  # What came with the old key while the new one was made known is found at a start at the latest.
    wait_for(lambda: len(json.loads(document.read_text())["data_keys"]) == 1, what="end of the rotation")
    wait_for(lambda: device.version("near") == "1.1.0", what="model after the rotation")
    for package in made:
        assert not is_on(device.folder, package)


def test_rotation_encrypts_everything_anew(fleet, packages):
    device = fleet.device("rotated", "at_rest: { key: file }\n")
    package = packages("1.0.0")
    fleet.deploy("m@1.0.0", to="name=rotated")
    device.stop()
    blobs = [file for file in (device.state / "store" / "blobs" / "sha256").iterdir()]
    before = {file.name: file.read_bytes()[8:16] for file in blobs}
    assert keys(device, "rotate").returncode == 0
    assert "still needed" in keys(device, "status").stdout
    device.start()
    document = device.state / "at_rest" / "keys.json"
    wait_for(lambda: len(json.loads(document.read_text())["data_keys"]) == 1, what="end of the rotation")
    for file in blobs:
        assert file.read_bytes()[8:16] != before[file.name]
    assert device.version("m") == "1.0.0"
    assert not is_on(device.folder, package)
    device.stop()
    content = json.loads(document.read_text())
    first = content["data_keys"][0]["id"]
    content["data_keys"][0]["made_ms"] = 0  # Older than any limit.
    document.write_text(json.dumps(content))
    device.configuration = "at_rest: { key: file, rotate_every_days: 365 }\n"
    device.configure().start()
    wait_for(lambda: [key["id"] for key in json.loads(document.read_text())["data_keys"]] not in ([first], []) and
             len(json.loads(document.read_text())["data_keys"]) == 1, what="rotation by itself")
    assert "a new data key" in device.agent.log
    assert device.version("m") == "1.0.0"


def test_what_a_killed_agent_left_in_memory_goes_at_the_next_start(fleet, packages):
    device = fleet.device("left", "at_rest: { key: file }\n")
    packages("1.0.0")
    fleet.deploy("m@1.0.0", to="name=left")
    folder = pathlib.Path(memory_folders(device)[0])
    assert folder.stat().st_mode & 0o777 == 0o700
    device.kill()
    (folder / "left").write_text("behind")
    device.start()
    wait_for(lambda: device.version("m") == "1.0.0", what="model after the kill")
    assert not (folder / "left").exists()
    device.stop()
    assert not folder.parent.exists()


def test_isolated_engines_and_custom_steps_open_decrypted_packages(fleet, tmp_path):
    package = fake_package(tmp_path, "steps", "1.0.0", filler=100_000)
    (package / "postprocessing" / "steps.py").write_text(
        "import os\n\nNAME = 'postprocessing/labels.txt'\n\n\ndef postprocess(outputs, sample):\n"
        "    return {'labels': len(open(NAME).read().split('\\n')), 'best': int(outputs['scores'].argmax())}\n")
    (package / "postprocessing" / "postprocessing.yaml").write_text(
        "version: 1\nsteps:\n  - custom: { file: postprocessing/steps.py, function: postprocess, time_limit_ms: 5000 }\n")
    (package / "golden" / "golden.json").unlink()
    (package / "golden" / "dog.png").unlink()
    fleet.push(package)
    device = fleet.device("apart", "at_rest: { key: file }\nisolation: {}\n")
    fleet.deploy("steps@1.0.0", to="name=apart")
    status, answer = device.predict("steps")
    assert status == 200, answer
    assert answer["custom"] == {"labels": 5, "best": 1}
    assert not is_on(device.folder, package)


def test_a_real_engine_loads_from_memory_and_keeps_no_compiled_model(fleet, tmp_path):
    package = real_package(tmp_path, "1.0.0")
    fleet.push(package)
    device = fleet.device("real", "at_rest: { key: file }\n")
    fleet.deploy("efficientnet_lite0@1.0.0", to="name=real")
    weights = (package / "model_files" / "model.onnx").read_bytes()
    pieces = [weights[at:at + PIECE] for at in range(100_000, len(weights) - PIECE, 500_000)]
    for file in device.folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(piece in content for piece in pieces), file
    assert not (device.state / "compiled").exists()


def test_too_little_lockable_memory_is_said_with_what_to_do(fleet, packages):
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv, to take the right to lock away")
    package = packages("1.0.0")
    device = fleet.device("unlocked", "at_rest: { key: file }\n", start=False)
    limited = ["setpriv", "--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock", "prlimit", "--memlock=65536:65536", AGENT,
               "--config", device.folder / "edge_config.yaml"]
    log = (device.folder / "limited.log").open("w")
    process = subprocess.Popen(limited, stderr=log)
    try:
        wait_for(lambda: (device.state / "identity" / "identity.json").exists(), what="certificate")
        done = fleet.verge("deploy", "m@1.0.0", "--to", "name=unlocked", "--watch", 0, "--timeout", 60, check=False)
        assert done.returncode != 0
        deployment = fleet.json("deploy", "list")["deployments"][0]["deployment"]
        assert "LimitMEMLOCK" in fleet.explain(deployment, "unlocked")
        assert not is_on(device.folder, package)
    finally:
        process.kill()
        process.wait()


def test_memory_stays_flat_over_50_swaps(fleet, packages, tmp_path):
    device = fleet.device("swapped", "at_rest: { key: file }\n")
    packages("1.0.0")
    packages("1.1.0")
    def swap(count):
        for i in range(count):
            fleet.deploy(f"m@1.{i % 2}.0", to="name=swapped")
    swap(6)
    before = device.agent.resident_kib()
    swap(50)
    after = device.agent.resident_kib()
    assert after < before + 2048, f"{before} KiB before, {after} KiB after 50 swaps"
    folder = memory_folders(device)[0]
    assert len(list(pathlib.Path(folder).parent.iterdir())) == 1, "a package that nothing runs is in memory"
