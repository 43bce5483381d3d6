"""Whether an attestation key lies in a real TPM, with a real hub, real agents and real software TPMs, certified by makers
of whom the hub's owner trusts some: who has a key in a file, plays old secrets again or has another's certificate is not
given models."""

import contextlib
import os
import sqlite3
import subprocess

import pytest
from fleet import faketime, wait_for
from software_tpm import SoftwareTpm
from test_measured import (  # Some are fixtures.
    Thief, digest_in_tpm, fleet, is_judged, measured, no_policy, set_policy, settled, summary, tpm, waiting)

ENDORSED = {"selector": "all", "endorsed": True}


@pytest.fixture(autouse=True)
def no_authorities(fleet):
    yield
    fleet.verge("fleet", "policy", "authorities", "--none")


@pytest.fixture
def endorsed(tmp_path):
    """A TPM whose maker, swtpm's, has certified its RSA key."""
    tpm = SoftwareTpm(tmp_path / "endorsed", endorsed=True)
    yield tpm
    tpm.stop()


def openssl(*arguments, at=None):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30,
                   env=os.environ | (faketime(at) if at else {}))


class Maker:
    """An authority that certifies P-256 keys of TPMs."""

    def __init__(self, folder, name, at=None):
        self.folder, self.key, self.certificate = folder, folder / f"{name}.key", folder / f"{name}.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-days", "36500", "-keyout", self.key, "-out", self.certificate, at=at)

    def endorse(self, tpm, days=365, at=None):
        """Puts a certificate of its P-256 key where makers do."""
        public, request, der = (self.folder / name for name in ("ek.pem", "ek.csr", "ek.der"))
        extensions = self.folder / "extensions"
        extensions.write_text("basicConstraints=critical,CA:FALSE\nextendedKeyUsage=2.23.133.8.1\n")
        tpm.run("tpm2_createek", "-c", self.folder / "ek", "-G", "ecc", "-f", "pem", "-u", public)
        tpm.run("tpm2_flushcontext", "-t")
        openssl("req", "-new", "-key", self.key, "-subj", "/CN=EK", "-out", request)
        openssl("x509", "-req", "-in", request, "-force_pubkey", public, "-CA", self.certificate, "-CAkey", self.key,
                "-CAcreateserial", "-extfile", extensions, "-days", days, "-outform", "der", "-out", der, at=at)
        tpm.run("tpm2_nvdefine", "0x1c0000a", "-C", "p", "-s", str(der.stat().st_size), "-a",
                "ppwrite|ppread|ownerread|authread|no_da|platformcreate")
        tpm.run("tpm2_nvwrite", "0x1c0000a", "-C", "p", "-i", der)


def is_activated(fleet, name, **wanted):
    """Waits until the device's key is, and all else is as wanted."""
    def found():
        state = summary(fleet, name)
        return state if state.get("activated") and all(state.get(key) == value for key, value in wanted.items()) else None
    try:
        return wait_for(found, 20)
    except AssertionError as error:
        raise AssertionError(f"{name} is not activated, {wanted}: {summary(fleet, name)}") from error


def authorities(fleet, *files):
    return fleet.json("fleet", "policy", "authorities", *files)["authorities"]


def test_a_real_tpm_is_known_by_its_maker_and_is_given_models_only_while_that_maker_is_trusted(fleet, endorsed, tmp_path):
    fleet.device("real", measured(endorsed))
    state = is_activated(fleet, "real")
    assert not state.get("endorsed") and state["endorsement"] == digest_in_tpm(endorsed, "0x1c00002", tmp_path / "ek")
    set_policy(fleet, ENDORSED)
    deployment, (identifier, message) = waiting(fleet, "real")
    assert identifier == "VRG-HUB-084" and "verge fleet policy authorities" in message
    stranger = Maker(tmp_path, "stranger")
    assert [one["name"] for one in authorities(fleet, stranger.certificate)] == ["CN = stranger"]
    assert summary(fleet, "real")["endorsement_reason"]["id"] == "VRG-ATT-014"
    assert summary(fleet, "real")["held"]["id"] == "VRG-HUB-084"
    named = authorities(fleet, stranger.certificate, endorsed.folder / "maker" / "ca.pem")
    assert [one["name"] for one in named] == ["CN = stranger", "CN = swtpm-localca"]
    settled(fleet, deployment, "real")
    assert is_activated(fleet, "real", endorsed=True)["authority"] == "CN = swtpm-localca"
    assert "activated, endorsed by CN = swtpm-localca" in fleet.verge("logs").stdout
    assert "a TPM of an endorsement authority" in fleet.verge("fleet", "policy", "show").stdout
    assert "swtpm-localca" in fleet.verge("fleet", "policy", "authorities").stdout
    wrong = fleet.verge("fleet", "policy", "authorities", stranger.key, check=False)
    assert wrong.returncode and "VRG-ATT-011" in wrong.stderr
    assert len(fleet.json("fleet", "policy", "authorities")["authorities"]) == 2, "what was there is there"
    fleet.verge("fleet", "policy", "authorities", "--none")
    assert summary(fleet, "real")["held"]["id"] == "VRG-HUB-084"


def test_a_p256_key_is_certified_too_and_an_expired_certificate_is_not_enough(fleet, tmp_path):
    maker = Maker(tmp_path, "maker", at="-2500d")
    authorities(fleet, maker.certificate)
    set_policy(fleet, ENDORSED)
    for name, days, at in (("young", 365, None), ("expired", 30, "-2499d")):
        tpm = SoftwareTpm(tmp_path / name)
        try:
            maker.endorse(tpm, days, at)
            device = fleet.device(name, measured(tpm))
            state = is_activated(fleet, name)
            is_judged(fleet, name, "trusted", None if at is None else "VRG-HUB-084")
            assert state.get("endorsed", False) == (at is None)
            if at:
                assert state["endorsement_reason"]["id"] == "VRG-ATT-014"
                assert "expired" in state["endorsement_reason"]["message"]
            device.stop()
        finally:
            tpm.stop()


def test_a_tpm_without_a_certificate_is_activated_and_not_endorsed_and_a_restart_changes_nothing(fleet, tpm):
    device = fleet.device("plain-tpm", measured(tpm))
    state = is_activated(fleet, "plain-tpm")
    assert not state.get("endorsed") and "endorsement" not in state
    assert "no certificate" in state["endorsement_reason"]["message"]
    device.restart()
    is_judged(fleet, "plain-tpm", "trusted")
    assert fleet.verge("logs", "--limit", 1000).stdout.count("plain-tpm  activated") <= 1
    set_policy(fleet, ENDORSED)
    assert is_judged(fleet, "plain-tpm", "trusted", "VRG-HUB-084")


def test_a_tpm_whose_endorsement_hierarchy_is_locked_says_so_and_recovers(fleet, tpm):
    tpm.run("tpm2_changeauth", "-c", "e", "secret")
    device = fleet.device("locked", measured(tpm))
    wait_for(lambda: "endorsement key" in summary(fleet, "locked").get("endorsement_reason", {}).get("message", ""))
    set_policy(fleet, ENDORSED)
    assert summary(fleet, "locked")["held"]["id"] == "VRG-HUB-083"
    tpm.run("tpm2_changeauth", "-c", "e", "-p", "secret", "")
    device.restart()
    is_activated(fleet, "locked")


def test_a_device_that_joined_at_an_older_hub_is_activated_without_joining_anew(fleet, tpm):
    device = fleet.device("old", measured(tpm))
    before = is_activated(fleet, "old")
    fleet.hub.stop()
    device.stop()
    columns = ("endorsement_key", "credential", "activated_ms", "endorsed_by", "endorsed_until_ms", "endorsement_reason_id",
               "endorsement_reason", "unable_ms")
    with contextlib.closing(sqlite3.connect(fleet.hub.folder / "hub.db")) as database:
        for column in columns:
            database.execute(f"alter table measured drop column {column}")
        database.execute("delete from schema_version where version > 5")
        database.commit()
    fleet.hub.start()
    assert not summary(fleet, "old").get("activated")
    device.start()
    assert is_activated(fleet, "old")["key"] == before["key"]


def test_who_has_a_device_s_identity_but_not_its_tpm_is_not_activated(fleet, tpm, endorsed, tmp_path):
    """A guess; somebody else's real TPM; its certificate beside a key of one's own."""
    fleet.device("honest", measured(endorsed))
    is_activated(fleet, "honest")
    authorities(fleet, endorsed.folder / "maker" / "ca.pem")
    device = fleet.device("thief", measured(tpm))
    is_activated(fleet, "thief")
    set_policy(fleet, {"selector": "name=thief", "endorsed": True})
    state = {"secure_boot": "unknown", "tpm": "present"}
    thief = Thief(fleet, device)
    # A wrong secret ends what was activated.
    answer = thief.report({**state, "endorsement": {"secret": "00" * 32}})
    assert answer["measured_endorsement"] and "measured_credential" not in answer
    shown = summary(fleet, "thief")
    assert not shown.get("activated") and shown["endorsement_reason"]["id"] == "VRG-HUB-085"
    assert shown["held"]["id"] == "VRG-HUB-083"
    assert "VRG-HUB-085" in fleet.verge("logs").stdout and "VRG-HUB-085" in fleet.hub.log
    # Somebody else's endorsement key, with its certificate.
    area, certificate = (tmp_path / name for name in ("foreign.pub", "foreign.der"))
    endorsed.run("tpm2_createek", "-c", tmp_path / "foreign", "-G", "rsa", "-u", area)
    endorsed.run("tpm2_flushcontext", "-t")
    endorsed.run("tpm2_nvread", "0x1c00002", "-o", certificate)
    foreign = {"key": area.read_bytes().hex(), "certificate": certificate.read_bytes().hex()}
    credential = thief.report({**state, "endorsement": foreign})["measured_credential"]
    assert not opens(endorsed, tmp_path, credential), "the real TPM has not the thief's key"
    assert not summary(fleet, "thief").get("activated")
    # Its own endorsement key, with the other's certificate.
    area.unlink()
    tpm.run("tpm2_createek", "-c", tmp_path / "own", "-G", "ecc", "-u", area)
    tpm.run("tpm2_flushcontext", "-t")
    assert "measured_credential" in thief.report({**state, "endorsement": {**foreign, "key": area.read_bytes().hex()}})
    assert summary(fleet, "thief")["held"]["id"] == "VRG-HUB-083"


def opens(tpm, folder, credential):
    """Whether the TPM makes anything of it, with a key of its own."""
    file = folder / "credential"
    file.write_bytes(bytes.fromhex("badcc0de00000001" + credential["blob"] + credential["seed"]))
    tpm.run("tpm2_createak", "-C", folder / "foreign", "-c", folder / "ak", "-G", "ecc", "-g", "sha256", "-s", "ecdsa")
    tpm.run("tpm2_flushcontext", "-t")
    tpm.run("tpm2_startauthsession", "--policy-session", "-S", folder / "session")
    tpm.run("tpm2_policysecret", "-S", folder / "session", "-c", "e")
    try:
        tpm.run("tpm2_activatecredential", "-c", folder / "ak", "-C", folder / "foreign", "-i", file, "-o",
                folder / "secret", "-P", f"session:{folder / 'session'}")
    except subprocess.CalledProcessError:
        return False
    return True
