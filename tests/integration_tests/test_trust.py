"""Trust against an independent peer: python-tuf reads our repository, our client reads python-tuf's, attacked or not."""

import copy
import functools
import hashlib
import pathlib

import pytest
from tuf.api.exceptions import ExpiredMetadataError
from tuf.api.metadata import Delegations, Metadata, SuccinctRoles, Targets
from tuf_peer import (TOP, Client, Peer, Signer, client, ecdsa, in_days, peer, repository, rsa, served,  # Fixtures too.
                      updater)


def test_python_tuf_trusts_our_repository(tmp_path, served):
    content = b"the content of a target"
    file = tmp_path / "content"
    file.write_bytes(content)
    target = "application/app-1.0.0.json"
    repository(served.folder, "publish", f"{target}={file}")
    digest = hashlib.sha256(content).hexdigest()
    (served.folder / "targets" / "application").mkdir()
    (served.folder / "targets" / "application" / f"{digest}.app-1.0.0.json").write_bytes(content)
    root = (served.folder / "metadata" / "1.root.json").read_bytes()
    peer = updater(tmp_path, served, "peer", root)
    info = peer.get_targetinfo(target)
    assert info.custom == {"from": 'a "test" with ü and \\', "count": -3}
    assert pathlib.Path(peer.download_target(info)).read_bytes() == content
    assert peer.get_targetinfo("other") is None

    for role in ["timestamp", "snapshot", "targets", "root"]:
        repository(served.folder, "rotate", role)
        assert updater(tmp_path, served, "peer", root).get_targetinfo(target) is not None, role
    assert updater(tmp_path, served, "new", root).get_targetinfo(target) is not None, "from the first root on"
    assert repository(served.folder, "renew") == "nothing to do\n"
    for days in [5, 20, 200]:
        assert repository(served.folder, "renew", days=days) == "renewed\n"
        assert updater(tmp_path, served, "peer", root).get_targetinfo(target) is not None


def test_python_tuf_refuses_our_repository_when_it_has_expired(tmp_path, served):
    repository(served.folder, "publish", days=-8)
    root = (served.folder / "metadata" / "1.root.json").read_bytes()
    with pytest.raises(ExpiredMetadataError):
        updater(tmp_path, served, "peer", root).refresh()
    repository(served.folder, "renew")
    updater(tmp_path, served, "peer", root).refresh()


# python-tuf's repository, our client.

@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("scheme", ["ed25519", "ecdsa", "rsa"])
def test_refreshes_and_downloads(tmp_path, served, consistent, hashes, scheme):
    peer = Peer(served.folder, consistent, hashes, functools.partial(Signer, scheme))
    client = Client(tmp_path, served, peer.first_root)
    content = b"content"
    peer.add_target("targets", "a b/ü.bin", content)
    peer.publish()
    # The server takes paths as they come: the file's name is encoded, as the client asks for it.
    for file in list((served.folder / "targets").rglob("*.bin")):
        moved = served.folder / "targets" / "a%20b" / file.name.replace("ü", "%C3%BC")
        moved.parent.mkdir(exist_ok=True)
        file.rename(moved)
    assert client.download("a b/ü.bin") == ""
    assert [path.read_bytes() for path in client.targets.iterdir()] == [content]
    for role in TOP:
        assert client.trusts(role, peer.written(role)), role
    before = len(served.requests)
    assert client.download("a b/ü.bin") == ""
    assert [path for path in served.requests[before:] if path.startswith("/targets")] == [], "it is kept"
    assert client.download("none") == "VRG-TUF-007"


def test_targets_in_turn_until_one_fails(client, peer):
    for name in ["a", "c"]:
        peer.add_target("targets", name, name.encode())
    peer.publish()
    assert client.download("a", "b", "c") == "VRG-TUF-007"
    assert [path.name for path in client.targets.iterdir()] == ["a"]


def test_delegations_in_the_order_of_trust(client, peer, served):
    peer.delegate("targets", "first", paths=["a/*"])
    peer.delegate("targets", "second", terminating=True, paths=["a/*", "b/*"])
    peer.delegate("targets", "third", paths=["*/*"])
    peer.delegate("first", "deep/../role", schemes=[rsa], paths=["a/deep*"])
    peer.add_target("first", "a/x", b"first")
    peer.add_target("second", "a/x", b"second")
    peer.add_target("second", "a/y", b"second")
    peer.add_target("third", "b/z", b"third")
    peer.add_target("deep/../role", "a/deep1", b"deep")
    peer.add_target("second", "a/deep1", b"not so deep")
    del peer.roles["deep/../role"].signed.targets["a/deep1"].hashes["sha256"]
    peer.roles["deep/../role"].signed.targets["a/deep1"].hashes["sha512"] = hashlib.sha512(b"deep").hexdigest()
    (served.folder / "targets" / "a" / f"{hashlib.sha512(b'deep').hexdigest()}.deep1").write_bytes(b"deep")
    # A role's file name is its encoded name.
    content_of = peer.write

    def write(role, content):
        if role == "deep/../role":
            peer.contents[role] = content
            (served.folder / "metadata" / "1.deep%2F..%2Frole.json").write_bytes(content)
        else:
            content_of(role, content)
    peer.write = write
    peer.publish("deep/../role", "first", "second", "third")
    for name, content in {"a/x": b"first", "a/y": b"second", "a/deep1": b"deep"}.items():
        assert client.download(name) == ""
        assert (client.targets / name.replace("/", "%2F")).read_bytes() == content
    assert client.download("b/z") == "VRG-TUF-007", "'second' is the last that is asked"
    assert "/metadata/1.third.json" not in served.requests
    assert client.download("c/none") == "VRG-TUF-007"
    assert "/metadata/1.third.json" in served.requests


def test_hash_bins(client, peer):
    signer = ecdsa()
    bins = SuccinctRoles([], 1, 5, "bin")
    peer.targets.delegations = Delegations({}, succinct_roles=bins)
    peer.targets.add_key(signer.public_key)
    names = list(bins.get_roles())
    assert len(names) == 32
    for name in names:
        peer.roles[name] = Metadata(Targets(expires=in_days(30)))
        peer.roles[name].signed.version = 0
        peer.signers[name] = [signer]
    paths = [f"file{i}" for i in range(20)]
    for path in paths:
        peer.add_target(bins.get_role_for_target(path), path, path.encode())
    peer.publish(*names)
    assert client.download(*paths) == ""
    assert sorted(path.name for path in client.targets.iterdir()) == sorted(paths)
    assert client.download("file99") == "VRG-TUF-007"


def test_path_hash_prefixes(client, peer):
    digest = hashlib.sha256(b"file").hexdigest()
    peer.delegate("targets", "other", path_hash_prefixes=[format((int(digest[0], 16) + 1) % 16, "x")])
    peer.delegate("targets", "right", path_hash_prefixes=[digest[:3]])
    peer.add_target("other", "file", b"wrong")
    peer.add_target("right", "file", b"right")
    peer.publish("other", "right")
    assert client.download("file") == ""
    assert (client.targets / "file").read_bytes() == b"right"


def test_thresholds_count_keys(client, peer):
    schemes = [Signer, ecdsa, rsa]
    peer.delegate("targets", "careful", threshold=2, schemes=schemes, paths=["*"])
    peer.add_target("careful", "file", b"x")
    peer.publish("careful")
    assert client.download("file") == ""
    signers = peer.signers["careful"]
    for few, outcome in [(signers[:1], "VRG-TUF-001"), (signers[1:], ""), (signers[2:], "VRG-TUF-001")]:
        peer.publish_targets("careful", few)
        peer.publish_snapshot()
        peer.publish_timestamp()
        assert client.download("file") == outcome


def test_a_key_under_two_ids_is_one(client, peer):
    peer.delegate("targets", "careful", threshold=2, paths=["*"])
    signer = peer.signers["careful"][0]
    twin = copy.deepcopy(signer)
    twin.public_key.keyid = "0" * 64
    peer.targets.add_key(twin.public_key, "careful")
    peer.add_target("careful", "file", b"x")
    peer.signers["careful"].append(twin)
    peer.publish("careful")
    assert client.download("file") == "VRG-TUF-001"


def test_root_rotation(client, peer):
    assert client.refresh() == ""
    for threshold, keys in [(1, 2), (2, 3), (3, 3)]:
        old = peer.signers["root"]
        new = [Signer() for _ in range(keys)]
        for signer in old:
            peer.root.revoke_key(signer.public_key.keyid, "root")
        for signer in new:
            peer.root.add_key(signer.public_key, "root")
        peer.root.roles["root"].threshold = threshold
        peer.publish_root(old + new)
        peer.signers["root"] = new
    assert client.refresh() == ""
    assert client.trusts("root", peer.written("root"))
    good = peer.written("root")
    peer.publish_root(peer.signers["root"][:2])
    assert client.refresh() == "VRG-TUF-001"
    assert client.trusts("root", good)


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_foreign_signatures_are_refused(client, peer, role):
    assert client.refresh() == ""
    good = peer.written(role)
    stranger = [Signer()]
    if role == "root":
        peer.publish_root(stranger)
    if role == "targets":
        peer.publish_targets(signers=stranger)
        peer.publish_snapshot()
    if role == "snapshot":
        peer.publish_snapshot(stranger)
    if role != "root":
        peer.publish_timestamp(stranger if role == "timestamp" else None)
    assert client.refresh() == "VRG-TUF-001"
    assert client.trusts(role, good)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "root"])
def test_rollbacks_are_refused(client, peer, role):
    peer.publish()
    assert client.refresh() == ""
    good = peer.written(role)
    old = peer.roles[role].signed.version - 1
    if role == "root":
        peer.folder.joinpath("metadata/2.root.json").write_bytes(peer.sign("root"))
    else:
        peer.roles[role].signed.version = old - 1
        if role == "targets":
            peer.publish_targets()
            peer.publish_snapshot()
        if role == "snapshot":
            peer.publish_snapshot()
        peer.publish_timestamp()
    assert client.refresh() == "VRG-TUF-004"
    assert client.trusts(role, good)


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "delegated"])
def test_expired_metadata_is_refused(client, peer, role):
    peer.delegate("targets", "delegated", paths=["*"])
    peer.add_target("delegated", "file", b"x")
    peer.roles[role].signed.expires = in_days(10)
    if role == "root":
        peer.publish_root()
    peer.publish("delegated")
    assert client.download("file", days=9) == ""
    assert client.download("file", days=11) == "VRG-TUF-005"
    peer.roles[role].signed.expires = in_days(20)
    if role == "root":
        peer.publish_root()
    peer.publish("delegated")
    assert client.download("file", days=11) == "", "and signed again it is taken"


def test_metadata_of_two_states_is_refused(client, peer, served):
    peer.add_target("targets", "file", b"x")
    peer.publish()
    metadata = served.folder / "metadata"
    old_snapshot, old_targets = ((metadata / f"1.{role}.json").read_bytes() for role in ["snapshot", "targets"])
    new_snapshot = (metadata / "2.snapshot.json").read_bytes()
    (metadata / "2.snapshot.json").write_bytes(old_snapshot)
    assert client.refresh() == "VRG-TUF-003"
    (metadata / "2.snapshot.json").write_bytes(new_snapshot)
    (metadata / "2.targets.json").write_bytes(old_targets)
    assert client.refresh() == "VRG-TUF-003"


def test_metadata_of_two_states_is_refused_without_digests(tmp_path, served):
    peer = Peer(served.folder, hashes=False)
    client = Client(tmp_path, served, peer.first_root)
    peer.publish()
    metadata = served.folder / "metadata"
    new_snapshot = (metadata / "2.snapshot.json").read_bytes()
    (metadata / "2.snapshot.json").write_bytes((metadata / "1.snapshot.json").read_bytes())
    assert client.refresh() == "VRG-TUF-006"
    (metadata / "2.snapshot.json").write_bytes(new_snapshot)
    (metadata / "2.targets.json").write_bytes((metadata / "1.targets.json").read_bytes())
    assert client.refresh() == "VRG-TUF-006"


def test_a_role_outside_the_snapshot_is_refused(client, peer):
    peer.delegate("targets", "delegated", paths=["*"])
    peer.publish()
    assert client.download("file") == "VRG-TUF-006"


@pytest.mark.parametrize("name, size", [("2.root.json", 512_001), ("timestamp.json", 16_385),
                                        ("1.snapshot.json", 2_000_001), ("1.targets.json", 4 * 1024 * 1024 + 1)])
def test_endless_data_is_refused(tmp_path, served, name, size):
    peer = Peer(served.folder, hashes=False)
    client = Client(tmp_path, served, peer.first_root)
    (served.folder / "metadata" / name).write_bytes(b" " * size)
    assert client.refresh() == "VRG-TUF-008"


@pytest.mark.parametrize("content, outcome", [(b"wrong content", "VRG-TUF-003"), (b"short", "VRG-TUF-003"),
                                              (b"longer than it should be", "VRG-HTC-006")])
def test_a_wrong_target_is_refused(client, peer, content, outcome):
    file = peer.add_target("targets", "file", b"right content")
    peer.publish()
    file.write_bytes(content)
    assert client.download("file") == outcome
    assert not client.targets.exists() or not list(client.targets.iterdir())


def test_too_many_delegations_are_refused(client, peer):
    names = [f"role{i}" for i in range(40)]
    for delegator, name in zip(["targets", *names], names):
        peer.delegate(delegator, name, paths=["*"])
    peer.add_target("role39", "file", b"x")
    peer.add_target("role20", "near", b"x")
    peer.publish(*names)
    assert client.download("near") == ""
    assert client.download("file") == "VRG-TUF-008"


def test_a_server_that_is_gone_leaves_what_is_trusted(client, peer):
    assert client.refresh() == ""
    client.served.url = "http://127.0.0.1:1"
    assert client.refresh() == "VRG-HTC-001"
    for role in TOP:
        assert client.trusts(role, peer.written(role))
