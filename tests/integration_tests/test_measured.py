"""What devices have booted, with a real hub, real agents and real software TPMs: who may be trusted is given models, who
plays old quotes again, forges them or has another TPM is not."""

import json
import pathlib
import shutil
import subprocess

import hub_clients
import pytest
from fleet import fake_package, reason_of, running_fleet, wait_for
from software_tpm import SoftwareTpm


@pytest.fixture
def tpm(tmp_path):
    tpm = SoftwareTpm(tmp_path / "tpm")
    yield tpm
    tpm.stop()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    with running_fleet(folder) as fleet:
        for version in ("1.0.0", "1.1.0"):
            fleet.push(fake_package(folder, "m", version))
        yield fleet


@pytest.fixture(autouse=True)
def no_policy(fleet):
    """Each test begins and ends without a rule."""
    yield
    assert fleet.hub.call("PUT", "/measured-policy", {"rules": []})[0] == 200


def measured(tpm, more=""):
    return f"measured_state: {{ tcti: '{tpm.tcti}', pcrs: [0, 7]{more} }}\n"


def summary(fleet, name):
    return fleet.json("device", "show", name)["summary"].get("measured", {})


def is_judged(fleet, name, verdict, held=None):
    """Waits for the verdict, and for the identifier of what holds the device."""
    def found():
        state = summary(fleet, name)
        return state if state.get("verdict") == verdict and state.get("held", {}).get("id") == held else None
    try:
        return wait_for(found, 20)
    except AssertionError as error:
        raise AssertionError(f"{name} is not {verdict}, {held}: {summary(fleet, name)}") from error


def quote_of(fleet, name):
    """The measured state that the device's newest report with a quote carries."""
    def found():
        state = fleet.json("device", "show", name)["report"].get("measured", {})
        return state if "quote" in state else None
    return wait_for(found, 20, "quote")


def set_policy(fleet, *rules):
    file = fleet.folder / "policy.yaml"
    file.write_text(json.dumps({"rules": list(rules)}))
    return fleet.json("fleet", "policy", "set", "-f", file)


def waiting(fleet, name, version="1.0.0"):
    """Deploys to a device that will not get it: the deployment, and why."""
    deployment = fleet.json("deploy", f"m@{version}", "--to", f"name={name}", "--watch", 0,
                            "--no-wait")["summary"]["deployment"]
    return deployment, reason_of(fleet.explain(deployment, name))


def settled(fleet, deployment, name, state="committed"):
    wait_for(lambda: hub_clients.state_on(fleet.hub, deployment, name)["state"] == state, what=state)


def test_a_device_that_booted_what_it_should_is_given_models_and_another_waits(fleet, tpm):
    device = fleet.device("cam", measured(tpm))
    state = is_judged(fleet, "cam", "trusted")
    assert state["secure_boot"] == "unknown" and [entry["pcr"] for entry in state["registers"]] == [0, 7]
    pinned = fleet.json("fleet", "policy", "pin", "name=cam", "--pcr", 0, 7)["rules"]
    assert pinned[0]["devices"] == 1 and [entry["pcr"] for entry in pinned[0]["pcrs"]] == [0, 7]
    fleet.deploy("m@1.0.0", to="name=cam")
    assert device.version("m") == "1.0.0"
    tpm.measure(7)
    device.restart()
    is_judged(fleet, "cam", "trusted", held="VRG-HUB-074")
    deployment, (identifier, message) = waiting(fleet, "cam", "1.1.0")
    assert identifier == "VRG-HUB-074" and "register 7 holds" in message
    assert device.version("m") == "1.0.0", "what runs goes on"
    assert "trusted, held [VRG-HUB-074]" in fleet.verge("device", "list").stdout
    tpm.boot_again()
    device.restart()
    settled(fleet, deployment, "cam")
    assert device.version("m") == "1.1.0"
    is_judged(fleet, "cam", "trusted")
    assert "device.measured" in fleet.verge("logs").stdout


def test_the_certificate_of_the_tpm_s_maker_is_kept(fleet, tmp_path):
    tpm = SoftwareTpm(tmp_path / "endorsed", endorsed=True)
    try:
        fleet.device("endorsed", measured(tpm))
        state = is_judged(fleet, "endorsed", "trusted")
        index = tmp_path / "certificate"
        assert any(digest_in_tpm(tpm, handle, index) == state["endorsement"] for handle in ("0x1c00002", "0x1c0000a", "0x1c00016"))
    finally:
        tpm.stop()


def digest_in_tpm(tpm, handle, file):
    """Of what lies under the handle, as tpm2-tools read it; None: nothing."""
    try:
        tpm.run("tpm2_nvread", handle, "-o", file)
    except subprocess.CalledProcessError:
        return None
    return hub_clients.sha256(file.read_bytes())


def test_without_a_tpm_a_device_says_so_and_waits_where_a_quote_is_required(fleet, tmp_path):
    configuration = "measured_state: { tcti: 'swtpm:path=/nonexistent/tpm' }\n"
    device = fleet.device("no-tpm", configuration)
    state = is_judged(fleet, "no-tpm", "none")
    assert "VRG-RST-007" in state["reason"]["message"]
    report = fleet.json("device", "show", "no-tpm")["report"]["measured"]
    assert report["tpm"] == "absent" and "quote" not in report
    set_policy(fleet, {"selector": "name=no-tpm", "quote": True})
    deployment, (identifier, message) = waiting(fleet, "no-tpm")
    assert identifier == "VRG-HUB-070" and "joined without an attestation key" in message
    assert device.version("m") is None
    set_policy(fleet)
    settled(fleet, deployment, "no-tpm")


def test_a_device_that_says_nothing_waits_and_goes_on_as_before_without_a_policy(fleet):
    device = fleet.device("silent")
    fleet.deploy("m@1.0.0", to="name=silent")
    assert device.version("m") == "1.0.0"
    assert "measured" not in fleet.json("device", "show", "silent")["report"]
    set_policy(fleet, {"selector": "all", "quote": True})
    deployment, (identifier, _) = waiting(fleet, "silent", "1.1.0")
    assert identifier == "VRG-HUB-070"
    set_policy(fleet, {"selector": "all", "secure_boot": True})
    assert reason_of(fleet.explain(deployment, "silent"))[0] == "VRG-HUB-070"


class Thief:
    """Who has the device's key and certificate, and its place in the hub's memory; not its TPM."""

    def __init__(self, fleet, device):
        device.stop()
        identity = json.loads((device.state / "identity" / "identity.json").read_text())
        certificate = device.folder / "stolen.pem"
        certificate.write_text(identity["certificate"])
        self.fleet, self.pair = fleet, (certificate, device.state / "identity" / "device.key")
        self.continuation, self.sequence = identity["continuation"], identity["sequence"]
        report = fleet.json("device", "show", device.name)["report"]
        self.instance, self.device = report["instance"], report["device"]

    def report(self, state):
        self.sequence += 1
        status, answer = self.fleet.hub.call("PUT", "/device/report", {
            "version": 1, "sequence": self.sequence, "instance": self.instance, "continuation": self.continuation,
            "device": self.device, "measured": state}, token="", certificate=self.pair)
        assert status == 200, answer
        self.continuation = answer["continuation"]
        return answer


def with_quote(state, **changes):
    return {**state, "quote": {**state["quote"], **changes}}


def test_old_forged_and_changed_quotes_by_who_has_the_device_s_key_are_not_trusted(fleet, tpm, tmp_path):
    device = fleet.device("stolen", measured(tpm))
    wait_for(lambda: summary(fleet, "stolen").get("activated"), what="activation")
    device.restart()  # Its newest report is now one with a quote, for a while.
    old = quote_of(fleet, "stolen")
    is_judged(fleet, "stolen", "trusted")
    set_policy(fleet, {"selector": "name=stolen", "quote": True})
    thief = Thief(fleet, device)
    assert "measured_nonce" not in thief.report(old), "the last quote again is no news, and no younger"
    is_judged(fleet, "stolen", "trusted")
    thief.instance = "thief"
    nonce = thief.report(old)["measured_nonce"]
    assert is_judged(fleet, "stolen", "failed", "VRG-HUB-071")["reason"]["id"] == "VRG-ATT-006"
    attack = {
        "VRG-ATT-004": [with_quote(old, message=old["quote"]["message"].replace(
            old["quote"]["message"][-64:], "0" * 64))],
        "VRG-ATT-003": [with_quote(old, signature="00"), with_quote(old, signature="f" * 144)],
        "VRG-ATT-006": [old, with_quote(old, registers=[{"pcr": 7, "value": "0" * 64}])],
    }
    for identifier, states in attack.items():
        for state in states:
            assert thief.report(state)["measured_nonce"] == nonce
            assert is_judged(fleet, "stolen", "failed", "VRG-HUB-071")["reason"]["id"] == identifier
    assert "VRG-ATT-006" in fleet.verge("logs").stdout and "VRG-ATT-006" in fleet.hub.log
    digest = fleet.json("model", "show", "m")["versions"][0]["digest"]
    status, refusal = fleet.hub.call("GET", f"/device/blobs/{digest}", token="", certificate=thief.pair)
    assert status == 503 and refusal["id"] == "VRG-HUB-071"
    deployment, (identifier, _) = waiting(fleet, "stolen")
    assert identifier == "VRG-HUB-071"
    # With the TPM at hand a fresh quote can be had, by its own key alone; values that are not in it do not count.
    quote = own_quote(tpm, tmp_path, device, nonce)
    changed = [{**entry, "value": "f" * 64} for entry in quote["registers"]]
    thief.report({"secure_boot": "enabled", "tpm": "present", "quote": {**quote, "registers": changed}})
    assert is_judged(fleet, "stolen", "failed", "VRG-HUB-071")["reason"]["id"] == "VRG-ATT-007"
    thief.report({"secure_boot": "enabled", "tpm": "present", "quote": quote})
    is_judged(fleet, "stolen", "trusted")


def own_quote(tpm, folder, device, nonce):
    """What the TPM says, asked by tpm2-tools with the device's own attestation key."""
    key = json.loads((device.state / "identity" / "attestation_key.json").read_text())
    files = {name: folder / name for name in ("public", "private", "parent", "key", "message", "signature", "values")}
    files["public"].write_bytes(bytes.fromhex(key["public_area"]))
    files["private"].write_bytes(bytes.fromhex(key["private_area"]))
    attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
    tpm.run("tpm2_createprimary", "-C", "o", "-G", "ecc256:null:aes128cfb", "-a", attributes, "-c", files["parent"])
    tpm.run("tpm2_flushcontext", "-t")
    tpm.run("tpm2_load", "-C", files["parent"], "-u", files["public"], "-r", files["private"], "-c", files["key"])
    tpm.run("tpm2_flushcontext", "-t")
    tpm.run("tpm2_quote", "-c", files["key"], "-l", "sha256:0,7", "-q", nonce, "-m", files["message"], "-s",
            files["signature"], "-o", files["values"], "-F", "values")
    values = files["values"].read_bytes()
    return {"message": files["message"].read_bytes().hex(), "signature": files["signature"].read_bytes().hex(),
            "registers": [{"pcr": pcr, "value": values[at:at + 32].hex()} for at, pcr in ((0, 0), (32, 7))]}


def test_another_tpm_and_another_key_after_the_join_are_not_trusted_until_it_joins_anew(fleet, tpm, tmp_path):
    device = fleet.device("moved", measured(tpm))
    is_judged(fleet, "moved", "trusted")
    set_policy(fleet, {"selector": "name=moved", "quote": True})
    device.stop()
    tpm.stop()
    shutil.rmtree(tpm.folder)
    other = SoftwareTpm(pathlib.Path(tpm.folder))
    try:
        device.start()
        state = is_judged(fleet, "moved", "none", "VRG-HUB-070")
        assert wait_for(lambda: "VRG-AGT-081" in summary(fleet, "moved")["reason"]["message"], what="reason") and state
        twin = fleet.device("twin", measured(other))
        is_judged(fleet, "twin", "trusted")
        twin.stop()
        device.stop()
        shutil.copy(twin.state / "identity" / "attestation_key.json", device.state / "identity" / "attestation_key.json")
        device.start()
        assert is_judged(fleet, "moved", "failed", "VRG-HUB-071")["reason"]["id"] == "VRG-ATT-004"
        device.stop()
        device.enrol().start()
        is_judged(fleet, "moved", "trusted")
    finally:
        other.stop()


def test_a_configuration_without_a_hub_is_refused(fleet, tmp_path):
    from test_at_rest import refuses_to_start
    (tmp_path / "edge_config.yaml").write_text("version: 1\nmeasured_state:\n")
    assert "VRG-AGT-002" in refuses_to_start(tmp_path)
