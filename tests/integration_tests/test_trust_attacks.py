"""The agent against a hub that is an attacker's, with a repository of python-tuf's: each attack fails closed."""

import json

import pytest
from fleet import fake_package, running_fleet, wait_for
from hostile_hub import HostileHub, ModelPeer
from tuf_peer import Signer, ecdsa, in_days, rsa

VERSIONS = [f"1.0.{number}" for number in range(3)]


class Scene:
    """A device that runs m 1.0.0, put there by a repository of python-tuf's that it trusts, at a hub that is no longer
    ours."""

    def __init__(self, tmp_path):
        self.context = running_fleet(tmp_path)
        self.fleet = self.context.__enter__()
        for version in VERSIONS:
            self.fleet.push(fake_package(tmp_path, "m", version))
        self.fleet.push(fake_package(tmp_path, "other", "1.0.0"))
        models = {name: self.fleet.hub.call("GET", f"/models/{name}")[1] for name in ["m", "other"]}
        (tmp_path / "served" / "metadata").mkdir(parents=True)
        (tmp_path / "served" / "targets").mkdir()
        self.peer = ModelPeer(tmp_path / "served", self.fleet.hub, models)
        self.device = self.fleet.device("cam-1", start=False)
        enrolment = json.loads((self.device.folder / "enrolment.json").read_text())
        enrolment["trust_root"] = self.peer.first_root.decode()
        (self.device.folder / "enrolment.json").write_text(json.dumps(enrolment))
        self.device.start().joined()
        self.fleet.hub.stop()
        self.hub = HostileHub(self.fleet.hub, tmp_path / "served" / "metadata")
        self.digests = {"1.0.0": self.peer.add_model("m", "1.0.0")}
        self.peer.publish()
        self.install("1.0.0")

    def install(self, version):
        self.hub.ask_for("m", version, self.digests[version])
        assert self.device.ended("m", version)["step"] == "committed"
        assert self.device.version("m") == version

    def refusal(self, version, digest=None, target=None):
        """The identifier with which the agent refuses the version, at the first attempt."""
        self.hub.ask_for("m", version, digest or self.digests[version], target)

        def refused():
            record = self.device.record("m")
            reason = record["progress"].get("reason")
            return reason["id"] if record["desired"]["version"] == version and reason else None
        identifier = wait_for(refused, 30, "refusal")
        assert self.device.version("m") == "1.0.0" and self.device.active("m") == "1.0.0"
        assert self.device.agent.process.poll() is None
        # It is logged, and the hub is told, if it wants to hear it.
        self.device.agent.wait(rf"a version is not taken.*version={version}.*\[{identifier}\]", 10)
        wait_for(lambda: any(identifier in json.dumps(report) for report in self.hub.reports), 30, "report")
        return identifier

    def end(self):
        self.hub.stop()
        self.context.__exit__(None, None, None)


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.end()


def test_a_repository_of_python_tuf_feeds_the_agent(scene):
    peer = scene.peer
    peer.delegate("targets", "team", threshold=2, schemes=[Signer, ecdsa, rsa], paths=["models/m/*"])
    scene.digests["1.0.1"] = peer.add_model("m", "1.0.1", role="team")
    peer.signers["team"].pop(0)
    peer.publish("team")
    scene.install("1.0.1")
    peer.signers["root"].append(Signer())
    peer.root.add_key(peer.signers["root"][-1].public_key, "root")
    peer.root.roles["root"].threshold = 2
    peer.publish_root()
    peer.signers["timestamp"] = [Signer()]
    peer.root.add_key(peer.signers["timestamp"][0].public_key, "timestamp")
    peer.publish_root()
    scene.digests["1.0.2"] = peer.add_model("m", "1.0.2", role="team")
    peer.publish("team")
    scene.install("1.0.2")


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_foreign_keys_and_thresholds_short_by_one(scene, role):
    peer, stranger = scene.peer, [Signer()]
    scene.digests["1.0.1"] = peer.add_model("m", "1.0.1")
    if role == "root":
        second = Signer()
        peer.root.add_key(second.public_key, "root")
        peer.root.roles["root"].threshold = 2
        peer.publish_root()  # Signed by one of the two that it asks for.
    if role == "targets":
        peer.publish_targets(signers=stranger)
    if role in ("snapshot", "targets"):
        peer.publish_snapshot(stranger if role == "snapshot" else None)
    peer.publish_timestamp(stranger if role == "timestamp" else None)
    assert scene.refusal("1.0.1") == "VRG-TUF-001"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_swapped_signatures(scene, role):
    peer = scene.peer
    peer.hashes = False  # So that nothing but the signature gives it away.
    scene.digests["1.0.1"] = peer.add_model("m", "1.0.1")
    old = json.loads(peer.written(role))["signatures"]
    peer.publish_targets()
    peer.publish_snapshot()
    peer.publish_timestamp()
    version = peer.roles[role].signed.version
    name = "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"
    changed = json.loads(peer.written(role))
    changed["signatures"] = old
    scene.hub.instead[name] = json.dumps(changed).encode()
    assert scene.refusal("1.0.1") == "VRG-TUF-001"


def test_replayed_metadata(scene):
    """Rollback: the state before, whole and well signed."""
    peer = scene.peer
    before = {path.name: path.read_bytes() for path in scene.hub.folder.iterdir()}
    scene.digests["1.0.1"] = peer.add_model("m", "1.0.1")
    peer.publish()
    assert scene.refusal("1.0.2", "sha256:" + "0" * 64) == "VRG-TUF-007", "the newer metadata has been seen"
    scene.hub.instead = {"timestamp.json": before["timestamp.json"]}
    assert scene.refusal("1.0.1") == "VRG-TUF-004"


def test_frozen_metadata(scene):
    """Freeze: old metadata goes on being offered until it expires."""
    peer = scene.peer
    scene.digests["1.0.1"] = peer.add_model("m", "1.0.1")
    peer.timestamp.expires = in_days(-1)
    peer.publish()
    assert scene.refusal("1.0.1") == "VRG-TUF-005"
    peer.timestamp.expires = in_days(1)
    peer.publish_timestamp()
    scene.install("1.0.1")


def test_metadata_of_two_states(scene):
    """Mix and match."""
    peer = scene.peer
    old = scene.hub.folder / f"{peer.targets.version}.targets.json"
    scene.digests["1.0.1"] = peer.add_model("m", "1.0.1")
    peer.publish()
    scene.hub.instead[f"{peer.targets.version}.targets.json"] = old.read_bytes()
    assert scene.refusal("1.0.1") in ("VRG-TUF-003", "VRG-TUF-006")


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_endless_metadata(scene, role):
    peer = scene.peer
    scene.digests["1.0.1"] = peer.add_model("m", "1.0.1")
    peer.publish()
    version = peer.roles[role].signed.version
    name = {"root": f"{version + 1}.root.json", "timestamp": "timestamp.json"}.get(role, f"{version}.{role}.json")
    scene.hub.instead[name] = None
    before_kib = scene.device.agent.resident_kib()
    assert scene.refusal("1.0.1") == "VRG-TUF-008"
    assert scene.hub.sent < 64 << 20, "it hangs up"
    assert scene.device.agent.resident_kib() - before_kib < 32 << 10


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b'{"signed":' * 50_000, b"\xff\xfe",
                                     b'{"signed": {"_type": "timestamp"}, "signatures": []}'],
                         ids=["empty", "cut", "brackets", "nested", "binary", "fields"])
def test_bombs_in_metadata(scene, content):
    scene.digests["1.0.1"] = scene.peer.add_model("m", "1.0.1")
    scene.hub.instead["timestamp.json"] = content
    assert scene.refusal("1.0.1") in ("VRG-TUF-002", "VRG-TUF-008")


def test_paths_that_escape(scene):
    """Names of delegated roles and of targets lead nowhere outside the device's folder."""
    peer = scene.peer
    before = {path for path in scene.fleet.folder.rglob("*") if "served" not in path.parts}
    role = "../../../../escaped"
    peer.delegate("targets", role, paths=["*/*/*"])
    scene.digests["1.0.1"] = peer.add_model("m", "1.0.1", role=role)
    write = peer.write

    def write_inside(name, content):
        if name != role:
            return write(name, content)
        peer.contents[name] = content
        encoded = name.replace("/", "%2F")
        (peer.folder / "metadata" / f"{peer.roles[name].signed.version}.{encoded}.json").write_bytes(content)
    peer.write = write_inside
    peer.publish(role)
    scene.install("1.0.1")  # A strange name is no crime: its metadata lies inside.
    new = {path for path in scene.fleet.folder.rglob("*") if "served" not in path.parts} - before
    outside = [path for path in new if scene.device.folder not in path.parents]
    assert not [path for path in outside if "escaped" in path.name], outside
    assert list((scene.device.state / "trust").glob("*escaped*.json"))


def test_content_that_is_not_what_was_signed(scene):
    digest = scene.digests["1.0.1"] = scene.peer.add_model("m", "1.0.1")
    scene.peer.publish()
    good = scene.hub.blob(digest)
    scene.hub.changed_blobs[digest] = good.replace(b"1.0.1", b"1.0.9")
    assert scene.refusal("1.0.1").startswith("VRG-UPD-")


@pytest.mark.parametrize("version, target, outcome", [("1.0.1", None, "VRG-TUF-007"), ("1.0.2", None, "VRG-UPD-001"),
                                                      ("1.0.2", "models/other/1.0.0.json", "VRG-UPD-001")],
                         ids=["unsigned", "another digest", "another model"])
def test_a_model_of_the_hubs_own(scene, version, target, outcome):
    """A hub without the offline keys asks for a model that nobody signed, or for another under a signed name."""
    scene.peer.add_model("m", "1.0.2")
    digest = scene.peer.add_model("other", "1.0.0")
    scene.peer.publish()
    assert scene.refusal(version, digest, target) == outcome


def test_a_version_below_the_floor(scene):
    """Old and well signed: the signed floor says no."""
    scene.digests["1.0.1"] = scene.peer.add_model("m", "1.0.1", version_floor="1.0.2")
    scene.peer.publish()
    assert scene.refusal("1.0.1") == "VRG-FIT-002"
    assert scene.device.record("m")["progress"]["state"] == "refused"
