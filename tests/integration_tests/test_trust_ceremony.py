"""Root and targets signed by people: the hub hands over, refuses what is wrong, and offers nothing unsigned."""

import contextlib
import io
import json
import pathlib
import shutil
import socket
import subprocess
import urllib.error
import urllib.request

import pytest
from fleet import fake_package, wait_for
from trust_ceremony import ceremony, error_id, fleet  # Fixtures too.
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater


def waiting(fleet):
    return {(one["kind"], one["path"], one["role"]) for one in fleet.json("trust", "status")["changes"]}


def ngclient(fleet, tmp_path, path):
    """What python-tuf's client finds at the hub, from its first root on."""
    class Fetcher:  # python-tuf's own takes no certificate authority.
        def fetch(self, url):
            try:
                with urllib.request.urlopen(url, context=fleet.hub.tls()) as answer:
                    yield answer.read()
            except urllib.error.HTTPError as error:
                raise DownloadHTTPError(str(error), error.code) from error

        def download_bytes(self, url, max_length):
            return b"".join(self.fetch(url))[:max_length]

        def download_file(self, url, max_length):
            return contextlib.nullcontext(io.BytesIO(self.download_bytes(url, max_length)))
    folder = tmp_path / "ngclient"
    folder.mkdir(exist_ok=True)
    root = fleet.hub.request("GET", "/tuf/metadata/1.root.json", token="")[2]
    client = Updater(str(folder), fleet.hub.url + "/tuf/metadata/", str(folder), fleet.hub.url + "/tuf/targets/",
                     fetcher=Fetcher(), bootstrap=root)
    return client.get_targetinfo(path)


def test_a_hub_hands_over_and_its_devices_do_not_notice(fleet, ceremony, tmp_path):
    device = fleet.device("cam-1")
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    fleet.deploy("m@1.0.0")
    ceremony.take_offline()
    assert sorted(path.name for path in (fleet.hub.folder / "trust" / "keys").glob("*.pem")) == [
        "snapshot.pem", "timestamp.pem"]
    fleet.hub.restart()
    fleet.push(fake_package(tmp_path, "m", "2.0.0"))
    assert waiting(fleet) == {("added", "models/m/2.0.0.json", "targets")}
    refused = fleet.verge("deploy", "m@2.0.0", "--to", "all", check=False)
    assert error_id(refused) == "VRG-TUF-014"
    assert "verge trust sign" in refused.stderr
    fleet.deploy("m@1.0.0")  # What is signed goes on.

    ceremony.fetch()
    draft = ceremony.drafts()["4.targets.json"]
    assert draft["needs"][0]["waits_for"] == ["dave"] and not draft["complete"]
    assert any(line.startswith("+ models/m/2.0.0.json") for line in draft["differences"])
    ceremony.sign("dave")
    ceremony.publish()
    assert waiting(fleet) == set()
    _, devices, _ = fleet.deploy("m@2.0.0")
    assert devices["cam-1"]["state"] == "committed" and device.version("m") == "2.0.0"
    assert json.loads((device.state / "trust" / "root.json").read_text())["signed"]["version"] == 2
    assert ngclient(fleet, tmp_path, "models/m/2.0.0.json") is not None


def test_a_floor_needs_a_signature_too(fleet, ceremony, tmp_path):
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    ceremony.take_offline()
    fleet.verge("model", "floor", "m", "1.0.0")
    assert waiting(fleet) == {("changed", "models/m/1.0.0.json", "targets")}
    ceremony.sign_all("dave")
    assert waiting(fleet) == set()
    assert ngclient(fleet, tmp_path, "models/m/1.0.0.json").custom["version_floor"] == "1.0.0"


def test_drafts_that_stay_the_same_keep_their_signatures(fleet, ceremony, tmp_path):
    ceremony.take_offline(targets=("dave", "erin"), targets_threshold=2)
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    ceremony.fetch()
    ceremony.sign("dave")
    ceremony.fetch()
    need = ceremony.drafts()["3.targets.json"]["needs"][0]
    assert need["signed_by"] == ["dave"] and need["waits_for"] == ["erin"] and not need["met"]
    short = ceremony.publish(check=False)
    assert error_id(short) == "VRG-TUF-015" and "1 more of erin" in short.stderr
    fleet.push(fake_package(tmp_path, "m", "1.1.0"))
    ceremony.fetch()
    assert ceremony.drafts()["3.targets.json"]["needs"][0]["signed_by"] == [], "the content is another"
    ceremony.sign("erin", "dave")
    ceremony.publish()
    assert waiting(fleet) == set()


def send(fleet, files, adopt=False):
    """Puts files at the hub as anybody with the right can; (status, identifier)."""
    fleet.hub.call("DELETE", "/trust/incoming")
    for name, content in files.items():
        status, answer = fleet.hub.call("PUT", f"/trust/incoming/{name}", content)
        if status != 204:
            return status, answer["id"]
    status, answer = fleet.hub.call("POST", f"/trust/publications?adopt={'true' if adopt else 'false'}")
    return status, answer["id"] if status >= 400 else ""


def test_the_hub_takes_nothing_that_a_device_would_refuse(fleet, ceremony, tmp_path):
    ceremony.take_offline()
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    folder = fleet.hub.folder / "trust" / "metadata"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ceremony.fetch()
    ceremony.trust("rotate", ceremony.folder, "root", "--in", ceremony.key("frank"), "--out", "carol")
    ceremony.sign("alice", "frank", "dave")
    staged = {path.name: path.read_bytes() for path in (ceremony.folder / "staged").iterdir()}
    targets, root = staged["3.targets.json"], staged["3.root.json"]
    old_targets = before["2.targets.json"]
    assert send(fleet, {"3.root.json": root}) == (401, "VRG-TUF-001"), "one old root key of two"
    changed = json.loads(targets)
    changed["signed"]["expires"] = "2099-01-01T00:00:00Z"
    assert send(fleet, {"3.targets.json": json.dumps(changed).encode()}) == (401, "VRG-TUF-001")
    swapped = json.loads(targets)
    swapped["signatures"][0]["sig"] = json.loads(old_targets)["signatures"][0]["sig"]
    assert send(fleet, {"3.targets.json": json.dumps(swapped).encode()}) == (401, "VRG-TUF-001")
    assert send(fleet, {"2.targets.json": old_targets}) == (400, "VRG-TUF-012"), "replayed"
    assert send(fleet, {"3.targets.json": old_targets}) == (409, "VRG-TUF-006"), "replayed under another name"
    assert send(fleet, {"4.root.json": root}) == (400, "VRG-TUF-012"), "a root is missing before it"
    assert send(fleet, {"3.targets.json": b"{"}) == (422, "VRG-TUF-002")
    assert send(fleet, {}) == (400, "VRG-TUF-012")
    for name in ["timestamp.json", "9.snapshot.json", "9.timestamp.json", "..%2F..%2Fkeys%2Fx.pem", "0.root.json",
                 "1.a%2Fb.json", "3.targets.json.tmp"]:
        assert send(fleet, {name: targets})[1] == "VRG-HUB-047", name
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    reader = json.loads(fleet.verge("hub", "token", "create", "reader", "--rights", "read,publish,deploy", "--output",
                                    "json").stdout)["token"]
    assert fleet.hub.call("PUT", "/trust/incoming/3.targets.json", targets, token=reader)[0] == 403
    assert fleet.hub.call("POST", "/trust/publications", token=reader)[0] == 403
    assert "metadata refused" in fleet.hub.log and "VRG-TUF-001" in fleet.hub.log
    ceremony.sign("bob")
    ceremony.publish()
    assert waiting(fleet) == set()


def test_a_root_must_name_the_keys_that_the_hub_has(fleet, ceremony):
    ceremony.take_offline()
    old = (fleet.hub.folder / "trust" / "keys" / "timestamp.pem").read_bytes()
    ceremony.trust("rotate", ceremony.folder, "timestamp")
    ceremony.sign("alice", "bob")
    keys = fleet.hub.folder / "trust" / "keys"
    hidden = (keys / "timestamp.next.pem").read_bytes()
    (keys / "timestamp.next.pem").unlink()
    assert error_id(ceremony.publish(check=False)) == "VRG-TUF-013"
    (keys / "timestamp.next.pem").write_bytes(hidden)
    ceremony.publish()
    assert (keys / "timestamp.pem").read_bytes() == hidden != old
    assert not (keys / "timestamp.next.pem").exists()
    assert ceremony.status()["roles"][0]["version"] == 3


def test_the_hub_warns_before_what_people_signed_expires(fleet, ceremony):
    ceremony.fetch()
    names = {name: ceremony.key(name) for name in ["alice", "dave"]}
    ceremony.trust("init", ceremony.folder, "--root", names["alice"], "--targets", names["dave"], "--targets-days", 20)
    ceremony.sign("alice", "dave")
    ceremony.publish()
    fleet.hub.restart()
    wait_for(lambda: "metadata is to be signed anew" in fleet.hub.log, 30, "warning")
    assert "role=targets" in fleet.hub.log and "days_left=19" in fleet.hub.log
    # Half of its life is left: nothing is staged. A month of it is asked for: it is.
    ceremony.fetch()
    assert ceremony.drafts() == {}
    ceremony.trust("init", ceremony.folder, "--root", names["alice"], "--targets", names["dave"], "--targets-days", 60)
    assert "3.targets.json" in ceremony.drafts()


def test_a_team_signs_its_own_models(fleet, ceremony, tmp_path):
    device = fleet.device("cam-1")
    ceremony.take_offline()
    team = [ceremony.key(name) for name in ["frank", "grace"]]
    ceremony.fetch()
    ceremony.trust("delegate", ceremony.folder, "detectors", "--paths", "models/detector/*", "--in", *team,
                   "--threshold", 2)
    assert set(ceremony.drafts()) == {"3.targets.json", "1.detectors.json"}
    ceremony.sign("dave", "frank", "grace")
    ceremony.publish()
    fleet.push(fake_package(tmp_path, "detector", "1.0.0"))
    fleet.push(fake_package(tmp_path, "other", "1.0.0"))
    assert waiting(fleet) == {("added", "models/detector/1.0.0.json", "detectors"),
                              ("added", "models/other/1.0.0.json", "targets")}
    ceremony.fetch()
    ceremony.sign("frank", "dave")
    published = ceremony.publish()
    assert "2.detectors.json stays here" in published.stderr
    assert error_id(fleet.verge("deploy", "detector@1.0.0", "--to", "all", check=False)) == "VRG-TUF-014"
    ceremony.sign_all("grace")
    for model in ["detector", "other"]:
        fleet.deploy(f"{model}@1.0.0")
        assert device.version(model) == "1.0.0"
        assert ngclient(fleet, tmp_path, f"models/{model}/1.0.0.json") is not None
    # A team that is gone: its models wait for the targets key.
    ceremony.trust("delegate", ceremony.folder, "detectors", "--remove")
    ceremony.sign("dave")
    ceremony.publish()
    assert waiting(fleet) == set() and ngclient(fleet, tmp_path, "models/detector/1.0.0.json") is not None


def test_many_targets_are_shared_out_into_bins(fleet, ceremony, tmp_path):
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    metadata = fleet.hub.folder / "trust" / "metadata"

    def add(number):
        status, _ = fleet.hub.call("POST", "/applications", {"schema_version": 1, "name": "app",
                                                             "version": f"1.0.{number}",
                                                             "models": [{"model": "m", "version": "1.0.0"}]})
        assert status == 201
    for number in range(300):
        add(number)
    assert len(list(metadata.glob("1.bin-?.json"))) == 16
    before = {path.name: path.stat().st_size for path in metadata.iterdir()}
    add(300)
    new = {path.name for path in metadata.iterdir()} - set(before)
    assert len([name for name in new if "bin-" in name]) == 1 and not [name for name in new if "targets" in name], new
    for path in ["models/m/1.0.0.json", "applications/app/1.0.300.json"]:
        assert ngclient(fleet, tmp_path, path) is not None
    ceremony.take_offline()
    add(301)
    assert {role for _, _, role in waiting(fleet)} < {f"bin-{digit}" for digit in "0123456789abcdef"}
    ceremony.fetch()
    assert len(ceremony.drafts()) == 1, "one small bin"
    ceremony.sign("dave")
    ceremony.publish()
    assert ngclient(fleet, tmp_path, "applications/app/1.0.301.json") is not None
    device = fleet.device("cam-1")
    fleet.deploy("m@1.0.0")
    assert device.version("m") == "1.0.0"
    assert len(list((device.state / "trust").glob("bin-*.json"))) == 1, "it fetched the one bin it needed"


def test_keys_in_a_token(fleet, ceremony, tmp_path, monkeypatch):
    """SoftHSM: an ECDSA and an RSA key that never leave it."""
    module = "/usr/lib/softhsm/libsofthsm2.so"
    tool = ["pkcs11-tool", "--module", module, "--login", "--pin", "4321", "--token-label", "ceremony"]
    try:
        subprocess.run(["pkcs11-tool", "--help"], capture_output=True, check=False)
        subprocess.run(["softhsm2-util", "--version"], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("needs Debian's packages 'softhsm2', 'opensc' and 'libengine-pkcs11-openssl'")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm.conf"))
    fleet.environment["SOFTHSM2_CONF"] = str(tmp_path / "softhsm.conf")
    fleet.environment["VERGE_TRUST_PASSPHRASE"] = "4321"
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "ceremony", "--pin", "4321", "--so-pin",
                    "1234"], check=True, capture_output=True)
    for number, label, kind in [("01", "root", "EC:prime256v1"), ("02", "targets", "rsa:2048")]:
        subprocess.run([*tool, "--keypairgen", "--key-type", kind, "--label", label, "--id", number, "--usage-sign"],
                       check=True, capture_output=True)
    uri = {label: f"pkcs11:token=ceremony;object={label}?module-path={module}" for label in ["root", "targets"]}
    ceremony.fetch()
    ceremony.trust("init", ceremony.folder, "--root", uri["root"], "--targets", uri["targets"])

    ceremony.sign(uri["root"], uri["targets"])
    ceremony.publish()
    roles = {role["name"]: role for role in ceremony.status()["roles"]}
    assert [(key["name"], key["kind"]) for key in roles["root"]["keys"]] == [("root", "ecdsa")]
    assert [(key["name"], key["kind"]) for key in roles["targets"]["keys"]] == [("targets", "rsa")]
    fleet.push(fake_package(tmp_path, "m", "1.0.0"))
    ceremony.sign_all(uri["targets"])
    assert waiting(fleet) == set()
    device = fleet.device("cam-1")
    fleet.deploy("m@1.0.0")
    assert device.version("m") == "1.0.0"
    fleet.environment["VERGE_TRUST_PASSPHRASE"] = "0000"
    ceremony.trust("rotate", ceremony.folder, "root", "--threshold", 1)
    wrong = ceremony.trust("sign", ceremony.folder, "--key", uri["root"], "--yes", check=False)
    assert error_id(wrong) == "VRG-CRY-011"


@contextlib.contextmanager
def software_tpm(folder):
    """swtpm on free ports; how programs find it."""
    if not shutil.which("swtpm") or not pathlib.Path("/usr/lib/x86_64-linux-gnu/ossl-modules/tpm2.so").exists():
        pytest.skip("needs Debian's packages 'swtpm' and 'tpm2-openssl'")
    folder.mkdir()
    with socket.socket() as one, socket.socket() as two:  # The control port is the other plus one.
        for port in range(24000, 32000, 2):
            with contextlib.suppress(OSError):
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 1))
                break
    tpm = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--server",
                            f"type=tcp,port={port}", "--ctrl", f"type=tcp,port={port + 1}", "--flags",
                            "not-need-init,startup-clear"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def listens():
            with socket.socket() as tried:
                return tried.connect_ex(("127.0.0.1", port + 1)) == 0
        wait_for(listens, 10, "TPM")
        yield f"swtpm:host=127.0.0.1,port={port}"
    finally:
        tpm.terminate()
        tpm.wait()


def test_keys_in_a_tpm(fleet, ceremony, tmp_path):
    with software_tpm(tmp_path / "tpm") as address:
        fleet.environment.update({"TPM2OPENSSL_TCTI": address, "VERGE_TRUST_PASSPHRASE": ""})
        specs = {}
        for role, options in [("root", ["EC", "-pkeyopt", "group:P-256"]),
                              ("targets", ["RSA", "-pkeyopt", "bits:2048"])]:
            subprocess.run(["openssl", "genpkey", "-provider", "tpm2", "-provider", "default", "-algorithm", *options,
                            "-out", tmp_path / f"{role}.pem"], env=fleet.environment, check=True, capture_output=True)
            specs[role] = f"tpm2:{tmp_path / role}.pem"
        ceremony.fetch()
        ceremony.trust("init", ceremony.folder, "--root", f"root={specs['root']}", "--targets",
                       f"targets={specs['targets']}")
        ceremony.sign(specs["root"], specs["targets"])
        ceremony.publish()
        fleet.push(fake_package(tmp_path, "m", "1.0.0"))
        ceremony.sign_all(specs["targets"])
        assert waiting(fleet) == set()
        fleet.push(fake_package(tmp_path, "m", "1.1.0"))
        ceremony.fetch()
    gone = ceremony.trust("sign", ceremony.folder, "--key", specs["targets"], "--yes", check=False)
    assert error_id(gone) == "VRG-CRY-011"


def test_keys_are_never_shown_nor_overwritten(fleet, ceremony):
    ceremony.key("alice")
    key = ceremony.keys / "alice.pem"
    text = key.read_text()
    assert "ENCRYPTED" in text and key.stat().st_mode & 0o777 == 0o600
    assert error_id(ceremony.trust("key", key, check=False)) == "VRG-CLI-041"
    assert key.read_text() == text
    # The openssl program reads it too: nobody is locked in.
    shown = subprocess.run(["openssl", "pkey", "-in", key, "-passin", "env:VERGE_TRUST_PASSPHRASE", "-pubout"],
                           capture_output=True, env=fleet.environment, check=True).stdout
    assert shown == (ceremony.keys / "alice.pub").read_bytes()
    ceremony.fetch()
    ceremony.trust("init", ceremony.folder, "--root", ceremony.keys / "alice.pub")
    fleet.environment["VERGE_TRUST_PASSPHRASE"] = "wrong"
    assert error_id(ceremony.trust("sign", ceremony.folder, "--key", key, "--yes", check=False)) == "VRG-CRY-010"
    del fleet.environment["VERGE_TRUST_PASSPHRASE"]
    assert error_id(ceremony.trust("sign", ceremony.folder, "--key", key, "--yes", check=False)) == "VRG-CLI-040"
