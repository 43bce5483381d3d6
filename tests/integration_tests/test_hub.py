"""The real verge-hub over TLS: first start, rights, devices that join, two machines with one identity, crashes."""

import base64
import contextlib
import json
import os
import pathlib
import subprocess
import threading
import time

import pytest
from hub_clients import Device, deploy, push_model, sha256, state_on


def test_the_first_start_makes_everything_and_later_ones_keep_it(hub):
    assert hub.folder.stat().st_mode & 0o777 == 0o700
    assert (hub.folder / "login.txt").stat().st_mode & 0o777 == 0o600
    der = subprocess.run(["openssl", "x509", "-in", hub.ca, "-outform", "der"], capture_output=True, check=True).stdout
    assert f"--fingerprint {sha256(der)}" in hub.login
    authority = hub.ca.read_bytes()
    hub.restart()
    assert hub.ca.read_bytes() == authority
    printed = (hub.folder.parent / "hub.out").read_text().splitlines()
    assert len(printed) == 2 and "--token" in printed[0] and "--token" not in printed[1]
    assert hub.call("GET", "/status")[0] == 200


def test_the_served_chain_ends_with_the_authority_and_names_follow_the_options(hub, tmp_path):
    def served():
        done = subprocess.run(["openssl", "s_client", "-connect", hub.url.removeprefix("https://"), "-showcerts"],
                              input="", capture_output=True, text=True, timeout=20)
        return done.stdout.split("-----BEGIN CERTIFICATE-----")[1:]
    chain = served()
    assert len(chain) == 2
    authority = hub.ca.read_text().removeprefix("-----BEGIN CERTIFICATE-----")
    assert chain[1].split("-----END")[0].strip() == authority.split("-----END")[0].strip()
    hub.options = ("--name", "hub.example.org")
    hub.restart()
    certificate = "-----BEGIN CERTIFICATE-----" + served()[0]
    names = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=certificate,
                           capture_output=True,
                           text=True, check=True).stdout
    for name in ("DNS:hub.example.org", "DNS:localhost", "IP Address:127.0.0.1"):
        assert name in names


def test_each_route_needs_its_right(hub):
    tokens = {}
    for right in ("read", "publish", "deploy", "administer"):
        status, made = hub.call("POST", "/tokens", {"name": right, "rights": [right]})
        assert status == 201 and made["rights"] == [right]
        tokens[right] = made["token"]
    routes = json.loads((pathlib.Path(__file__).parents[2] / "schemas/hub/routes.json").read_text())
    for route in routes:
        path = route["path"].replace("{path+}", "x/blobs/y")
        for name in ("{id}", "{device}", "{model}", "{version}", "{application}", "{deployment}", "{digest}", "{file}"):
            path = path.replace(name, "x")
        body = {} if route["method"] in ("POST", "PUT") else None
        if route["right"] == "public":
            assert hub.request(route["method"], path, body, token="")[0] not in (401, 403), route["name"]
            continue
        status, headers, text = hub.request(route["method"], path, body, token="")
        assert status == 401, route["name"]
        assert headers.get_all("WWW-Authenticate")[-1] == 'Basic realm="verge"'
        for right, token in tokens.items():
            status, _, text = hub.request(route["method"], path, body, token=token)
            if route["right"] == "device":
                assert status == 401
            elif right == route["right"] or route["right"] == "token":
                assert status not in (401, 403), f"{route['name']} with {right}: {text}"
            elif route["method"] != "HEAD":
                assert status == 403, f"{route['name']} with {right}"
                assert f"the right '{route['right']}'" in text.decode()
    basic = base64.b64encode(f"anybody:{tokens['read']}".encode()).decode()
    assert hub.request("GET", "/api/v1/devices", token="", headers={"Authorization": "Basic " + basic})[0] == 200
    listed = hub.call("GET", "/tokens")[1]["tokens"]
    assert [token["name"] for token in listed] == ["admin", "read", "publish", "deploy", "administer"]
    assert tokens["read"] not in json.dumps(listed)
    assert tokens["read"].encode() not in (hub.folder / "hub.db-wal").read_bytes(), "stored as a hash"
    gone = next(token["id"] for token in listed if token["name"] == "read")
    assert hub.call("DELETE", f"/tokens/{gone}")[0] == 204
    assert hub.call("GET", "/devices", token=tokens["read"])[0] == 401


def test_the_api_describes_itself_and_refuses_what_is_not_a_document(hub):
    status, _, text = hub.request("GET", "/openapi.json", token="")
    described = json.loads(text)
    assert status == 200 and described["openapi"] == "3.1.0"
    assert "/api/v1/deployments/{deployment}/devices/{device}" in described["paths"]
    assert "DeploymentDetail" in described["components"]["schemas"]
    status, error = hub.call("POST", "/tokens", {"name": "ci", "rigths": []})
    assert status == 400 and "did you mean 'rights'?" in error["error"] and error["id"] == "VRG-DOC-002"
    assert hub.call("GET", "/events?limit=0")[1]["id"] == "VRG-HUB-040"


def test_the_page_is_whole_and_strict(hub):
    status, headers, text = hub.request("GET", "/", token="")
    assert status == 200 and "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"http://" not in text and b"src=" not in text and b"sessionStorage" in text


# --- enrolment ---

def test_a_token_is_for_one_device_once_and_for_a_while(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1")
    _, enrolment = hub.call("POST", "/enrolments", {"device": "cam-1"})
    assert enrolment["hub_url"] == hub.url and enrolment["ca_certificate"] == hub.ca.read_text()
    assert json.loads(enrolment["trust_root"])["signed"]["_type"] == "root"
    other = Device(hub, tmp_path, "cam-2")
    status, error = other.certify(device="cam-2", token=enrolment["token"])
    assert status == 401 and "expected the device 'cam-1'" in error["error"]
    assert device.certify(device="cam-1", token=enrolment["token"])[0] == 201
    assert device.certify(device="cam-1",
                          token=enrolment["token"])[0] == 201, "the answer was lost: the same key asks again"
    impostor = Device(hub, tmp_path / "hub", "cam-1")
    status, error = impostor.certify(device="cam-1", token=enrolment["token"])
    assert status == 401 and "'cam-1' used at" in error["error"]
    status, error = impostor.certify(device="cam-1", token="0" * 48)
    assert status == 401 and error["id"] == "VRG-HUB-013"
    _, short = hub.call("POST", "/enrolments", {"device": "cam-3", "expires_s": 1})
    time.sleep(1.1)
    status, error = Device(hub, tmp_path, "cam-3").certify(device="cam-3", token=short["token"])
    assert status == 401 and "expired at 20" in error["error"] and "verge device enrol cam-3" in error["error"]
    used = hub.call("GET", "/enrolments")[1]["enrolments"]
    assert [entry.get("used_by") for entry in used if entry["device"] == "cam-1"] == ["cam-1"]
    _, any_name = hub.call("POST", "/enrolments", {})
    status, error = other.certify(device="cam-1", token=any_name["token"])
    assert status == 409 and "verge device enrol cam-1" in error["error"]


def test_renewal_needs_the_key_only(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1")
    status, error = device.certify()
    assert status == 401 and error["id"] == "VRG-HUB-016"
    device.join()
    before = device.certificate.read_text()
    assert device.report()[0] == 200
    status, answer = device.certify()
    assert status == 201 and answer["device"] == "cam-1" and answer["certificate"] != before
    assert device.report()[0] == 200, "renewal resets nothing"
    assert hub.call("DELETE", "/devices/cam-1")[0] == 204
    status, error = device.report()
    assert status == 403 and "revoked" in error["error"]
    status, error = device.certify()
    assert status == 403 and "verge device enrol cam-1" in error["error"]
    device.continuation = None
    device.join()
    assert device.report()[0] == 200


def test_certificates_of_others_are_refused_in_the_handshake(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1").join()
    assert device.report()[0] == 200
    subprocess.run(["openssl", "req", "-x509", "-key", device.key, "-subj", "/CN=cam-1", "-out", device.certificate],
                   check=True)
    with pytest.raises(OSError):
        device.report()
    assert hub.call("PUT", "/device/report", {}, token=hub.token)[1]["id"] == "VRG-HUB-012"


def test_an_old_certificate_of_a_key_that_was_replaced_does_not_count(hub, tmp_path):
    old = Device(hub, tmp_path, "cam-1").join()
    (tmp_path / "new").mkdir()
    new = Device(hub, tmp_path / "new", "cam-1").join()
    assert new.report()[0] == 200
    status, error = old.report()
    assert status == 401 and error["id"] == "VRG-HUB-016"


def test_a_cloned_identity_is_found_and_resolved(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1").join()
    assert push_model(hub, "cat", "1.0.0")[0] == 201
    assert device.report()[0] == 200
    assert device.report()[0] == 200
    clone = Device(hub, tmp_path, "cam-1")
    clone.continuation, clone.sequence, clone.instance = device.continuation, device.sequence, "clone"
    assert clone.report()[0] == 200, "nobody can tell them apart yet"
    # The original was asleep: it carries what is the one before the newest, as after a crash, and is believed.
    assert device.report()[0] == 200
    status, error = clone.report()
    assert status == 409 and error["id"] == "VRG-HUB-018"
    for part in ("cam-1-1 at 127.0.0.1", "clone at 127.0.0.1", "verge device resolve cam-1"):
        assert part in error["error"]
    assert device.report()[0] == 409, "neither of them"
    assert hub.call("GET", "/devices/cam-1")[1]["summary"]["state"] == "conflict"
    assert deploy(hub, "cat")[0] == 201
    assert device.desired(after=0)[0] == 409
    hub.restart()
    assert device.report()[0] == 409
    assert hub.call("POST", "/devices/cam-1/resolve")[0] == 200
    assert device.desired(after=0)[0] == 200
    assert device.report()[0] == 200
    assert clone.report()[0] == 409
    assert hub.call("POST", "/devices/cam-1/resolve")[0] == 200
    assert clone.report()[0] == 200 and device.report()[0] == 409


def test_a_lost_answer_is_no_conflict(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1").join()
    for _ in range(3):
        before = device.continuation
        assert device.report()[0] == 200
        kept, device.continuation = device.continuation, before
        assert device.report()[0] == 200, "the answer before was lost"
        assert device.continuation != kept


def test_everything_acknowledged_survives_kill(hub, tmp_path):
    device = Device(hub, tmp_path, "cam-1").join()

    def crash():
        hub.kill()
        hub.start()
    crash()
    assert device.report()[0] == 200
    crash()
    assert device.report()[0] == 200, "the continuation was kept"
    digests = []
    for number in range(3):
        status, digest = push_model(hub, "cat", f"1.{number}.0", weights=os.urandom(1000))
        assert status == 201
        digests.append(digest)
        crash()
        _, _, timestamp = hub.request("GET", "/tuf/metadata/timestamp.json", token="")
        snapshot = json.loads(timestamp)["signed"]["meta"]["snapshot.json"]["version"]
        _, _, text = hub.request("GET", f"/tuf/metadata/{snapshot}.snapshot.json", token="")
        targets = json.loads(text)["signed"]["meta"]["targets.json"]["version"]
        _, _, text = hub.request("GET", f"/tuf/metadata/{targets}.targets.json", token="")
        assert set(json.loads(text)["signed"]["targets"]) == {f"models/cat/1.{n}.0.json" for n in range(number + 1)}
    _, detail = deploy(hub, "cat")
    crash()
    _, state = device.desired(after=0)
    assert state["applications"][0]["digest"] == digests[2]
    device.run("cat", "1.2.0", digests[2], deployment=detail["summary"]["deployment"])
    crash()
    assert state_on(hub, detail["summary"]["deployment"], "cam-1")["state"] == "committed"
    assert hub.call("GET", "/status")[1]["deployments"] == 1


def test_kill_in_the_middle_of_pushes_leaves_a_hub_that_goes_on(hub):
    acknowledged, stop = [], threading.Event()

    def push():
        number = 0
        while not stop.is_set():
            with contextlib.suppress(OSError, AssertionError, ValueError):
                status, digest = push_model(hub, "cat", f"1.{number}.0", weights=os.urandom(200_000))
                if status == 201:
                    acknowledged.append((f"1.{number}.0", digest))
                    number += 1
                elif status == 409:
                    number += 1
    pusher = threading.Thread(target=push)
    pusher.start()
    for pause in (0.13, 0.21, 0.34, 0.08, 0.27):
        time.sleep(pause)
        hub.kill()
        hub.start()
    time.sleep(0.3)
    stop.set()
    pusher.join()
    assert acknowledged
    versions = {v["version"]: v["digest"] for v in hub.call("GET", "/models/cat")[1]["versions"]}
    for version, digest in acknowledged:
        assert versions[version] == digest
        manifest = json.loads(hub.request("GET", f"/v2/models/cat/manifests/{version}")[2])
        for layer in manifest["layers"]:
            assert sha256(hub.request("GET", f"/v2/models/cat/blobs/{layer['digest']}")[2]) == layer["digest"]
