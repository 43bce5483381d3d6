"""Trust against an independent peer: python-tuf reads our repository, our client reads python-tuf's, attacked or not."""

import copy
import datetime
import functools
import hashlib
import http.server
import pathlib
import subprocess
import tempfile
import threading
import time

import pytest
from conftest import BUILD
from securesystemslib.signer import Signature, SSlibKey
from tuf.api.exceptions import ExpiredMetadataError
from tuf.api.metadata import (DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, SuccinctRoles,
                              TargetFile, Targets, Timestamp)
from tuf.ngclient import Updater

CLIENT = BUILD / "bin" / "verge-tuf-client"
REPOSITORY = BUILD / "tests" / "programs" / "test_tuf_repository"
TOP = {"root": Root, "timestamp": Timestamp, "snapshot": Snapshot, "targets": Targets}


class Signer:
    """Signs with the openssl program: neither our code nor a package beside python-tuf. Fits Metadata.sign()."""

    KINDS = {"ed25519": ("ed25519", ["-algorithm", "ed25519"], ["pkeyutl", "-sign", "-rawin", "-in"]),
             "ecdsa": ("ecdsa-sha2-nistp256", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                       ["dgst", "-sha256"]),
             "rsa": ("rsassa-pss-sha256", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
                     ["dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1"])}

    def __init__(self, kind="ed25519"):
        scheme, options, self.command = self.KINDS[kind]
        self.pem = self.openssl("genpkey", *options)
        self.kind = kind
        if kind == "ed25519":  # The last 32 bytes of the key in DER.
            public = self.openssl("pkey", "-pubout", "-outform", "DER", text=self.pem)[-32:].hex()
        else:
            public = self.openssl("pkey", "-pubout", text=self.pem).decode()
        keyid = hashlib.sha256(public.encode()).hexdigest()  # Any text serves: clients take it as declared.
        self.public_key = SSlibKey(keyid, kind, scheme, {"public": public})

    @staticmethod
    def openssl(*words, text=b""):
        return subprocess.run(["openssl", *words], input=text, capture_output=True, check=True).stdout

    def sign(self, payload):
        with tempfile.NamedTemporaryFile() as key, tempfile.NamedTemporaryFile() as message:
            for file, content in [(key, self.pem), (message, payload)]:
                file.write(content)
                file.flush()
            tail = ["-inkey", key.name] if self.kind == "ed25519" else ["-sign", key.name]
            words = [*self.command, message.name, *tail] if self.kind == "ed25519" else [*self.command, *tail,
                                                                                         message.name]
            return Signature(self.public_key.keyid, self.openssl(*words).hex())


ecdsa = functools.partial(Signer, "ecdsa")
rsa = functools.partial(Signer, "rsa")


@pytest.fixture
def served(tmp_path):
    """A folder behind a URL; `requests` are the paths that were asked for."""
    folder = tmp_path / "served"
    (folder / "metadata").mkdir(parents=True)
    (folder / "targets").mkdir()
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            super().do_GET()

        def translate_path(self, path):  # Names of files are percent-encoded, as they are in URLs.
            return str(folder / path.lstrip("/"))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder_and_url = type("Served", (), {"folder": folder, "url": f"http://127.0.0.1:{server.server_port}",
                                         "requests": requests})
    yield folder_and_url
    server.shutdown()
    server.server_close()


class Client:
    """Our program and its folders."""

    def __init__(self, tmp_path, served, root):
        self.metadata = tmp_path / "client"
        self.metadata.mkdir()
        self.targets = tmp_path / "fetched"
        self.served = served
        (tmp_path / "trusted_root.json").write_bytes(root)
        done = self.run("init", tmp_path / "trusted_root.json")
        assert done.returncode == 0, done.stderr

    def run(self, *arguments, days=0):
        faketime = ["faketime", "-f", f"+{days}d"] if days else []
        return subprocess.run([*faketime, CLIENT, "--metadata-dir", self.metadata, *map(str, arguments)],
                              capture_output=True, text=True, timeout=60)

    def refresh(self, **options):
        """The identifier of the error, "" when there is none."""
        return self.outcome(self.run("--metadata-url", self.served.url + "/metadata", "refresh", **options))

    def download(self, *names, **options):
        arguments = [word for name in names for word in ("--target-name", name)]
        return self.outcome(self.run("--metadata-url", self.served.url + "/metadata/", *arguments, "--target-dir",
                                     self.targets, "--target-base-url", self.served.url + "/targets", "download",
                                     **options))

    @staticmethod
    def outcome(done):
        assert done.returncode in (0, 1), done.stderr
        assert (done.returncode == 1) == bool(done.stderr), done.stderr
        return done.stderr.strip().rpartition("[")[2].rstrip("]")

    def trusts(self, role, content):
        path = self.metadata / f"{role}.json"
        return path.exists() and path.read_bytes() == content


def in_days(days):
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=days)


class Peer:
    """A repository by python-tuf's metadata API."""

    def __init__(self, folder, consistent=True, hashes=True, scheme=Signer):
        self.folder, self.hashes, self.consistent = folder, hashes, consistent
        self.signers = {role: [scheme()] for role in TOP}
        self.delegator = {}
        self.roles = {role: Metadata(kind(expires=in_days(30))) for role, kind in TOP.items()}
        self.root = self.roles["root"].signed
        self.root.consistent_snapshot = consistent
        self.contents = {}
        for role in TOP:
            self.root.add_key(self.signers[role][0].public_key, role)
        self.targets.version = self.snapshot.version = self.timestamp.version = 0
        self.root.version = 0
        self.publish_root()
        self.first_root = self.written("root")
        self.publish()

    targets = property(lambda self: self.roles["targets"].signed)
    snapshot = property(lambda self: self.roles["snapshot"].signed)
    timestamp = property(lambda self: self.roles["timestamp"].signed)

    def sign(self, role, signers=None):
        metadata = self.roles[role]
        metadata.signatures.clear()
        for signer in signers or self.signers[role]:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def write(self, role, content):
        version = self.roles[role].signed.version
        named = role if role == "timestamp" or (role != "root" and not self.consistent) else f"{version}.{role}"
        (self.folder / "metadata" / f"{named}.json").write_bytes(content)
        self.contents[role] = content

    def written(self, role):
        return self.contents[role]

    def publish_root(self, signers=None):
        self.root.version += 1
        self.write("root", self.sign("root", signers))

    def publish_targets(self, role="targets", signers=None):
        self.roles[role].signed.version += 1
        self.write(role, self.sign(role, signers))
        self.snapshot.meta[f"{role}.json"] = self.meta(role)

    def meta(self, role):
        content = self.written(role)
        if not self.hashes:
            return MetaFile(self.roles[role].signed.version)
        return MetaFile.from_data(self.roles[role].signed.version, content, ["sha256", "sha512"])

    def publish_snapshot(self, signers=None):
        self.snapshot.version += 1
        self.write("snapshot", self.sign("snapshot", signers))
        self.timestamp.snapshot_meta = self.meta("snapshot")

    def publish_timestamp(self, signers=None):
        self.timestamp.version += 1
        self.write("timestamp", self.sign("timestamp", signers))

    def publish(self, *delegated):
        for role in delegated:
            self.publish_targets(role)
        self.publish_targets()
        self.publish_snapshot()
        self.publish_timestamp()

    def add_target(self, role, path, content):
        self.roles[role].signed.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        digest = hashlib.sha256(content).hexdigest()
        folder, _, name = path.rpartition("/")
        file = self.folder / "targets" / folder / (f"{digest}.{name}" if self.consistent else name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def delegate(self, delegator, name, threshold=1, terminating=False, schemes=(Signer,),
                 **where):
        self.signers[name] = [scheme() for scheme in schemes]
        self.roles[name] = Metadata(Targets(expires=in_days(30)))
        self.roles[name].signed.version = 0
        parent = self.roles[delegator].signed
        if parent.delegations is None:
            parent.delegations = Delegations({}, {})
        parent.delegations.roles[name] = DelegatedRole(name, [], threshold, terminating, **where)
        for signer in self.signers[name]:
            parent.add_key(signer.public_key, name)


@pytest.fixture
def peer(served):
    return Peer(served.folder)


@pytest.fixture
def client(tmp_path, served, peer):
    return Client(tmp_path, served, peer.first_root)


# Our repository, python-tuf's client.

def repository(folder, *words, days=0, check=True):
    now_s = int(time.time()) + days * 86400
    done = subprocess.run([REPOSITORY, folder, str(now_s), *map(str, words)], capture_output=True, text=True,
                          timeout=60)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def updater(tmp_path, served, name, root):
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    return Updater(str(folder), served.url + "/metadata/", str(folder), served.url + "/targets/", bootstrap=root)


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
