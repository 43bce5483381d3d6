"""The hub's registry tokens: short-lived ones for parts of the registry, as 'docker login' and its like fetch them."""

import base64
import json
import re
import subprocess
import urllib.parse

import pytest
from conftest import ROOT, verge
from hub_clients import push_blob, push_model
from registry_peers import peer


def basic(password):
    return {"Authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


def token(hub, *scopes, password=None):
    query = urllib.parse.urlencode([("service", "verge"), *(("scope", scope) for scope in scopes)])
    status, headers, body = hub.request("GET", f"/v2/token?{query}", token="", headers=basic(password or hub.token))
    assert status == 200 and headers["Cache-Control"] == "no-store", body
    answer = json.loads(body)
    assert answer["token"] == answer["access_token"] and answer["expires_in"] == 300
    return answer["token"]


def status(hub, method, path, bearer, body=None):
    return hub.request(method, path, body, token=bearer)[0]


@pytest.fixture
def model(hub):
    assert push_model(hub, "cat", "1.0.0")[0] == 201
    return "/v2/models/cat/manifests/1.0.0"


def test_a_challenge_says_where_tokens_come_from(hub, model):
    answered, headers, _ = hub.request("GET", model, token="")
    challenges = headers.get_all("WWW-Authenticate")
    assert answered == 401 and challenges == [
        f'Bearer realm="{hub.url}/v2/token",service="verge",scope="repository:models/cat:pull"', 'Basic realm="verge"']
    _, headers, _ = hub.request("POST", "/v2/models/cat/blobs/uploads/", b"", token="")
    assert 'scope="repository:models/cat:pull,push"' in headers.get_all("WWW-Authenticate")[0]
    _, headers, _ = hub.request("GET", "/v2/_catalog", token="")
    assert 'scope="registry:catalog:*"' in headers.get_all("WWW-Authenticate")[0]
    _, headers, _ = hub.request("GET", "/v2/", token="", headers={"Host": 'a"b'})
    assert headers.get_all("WWW-Authenticate") == ['Basic realm="verge"'], "no realm of what is no host"


def test_a_token_is_good_for_its_scope_alone(hub, model):
    pull = token(hub, "repository:models/cat:pull")
    assert status(hub, "GET", "/v2/", pull) == 200
    assert status(hub, "GET", model, pull) == 200
    answered, headers, body = hub.request("POST", "/v2/models/cat/blobs/uploads/", b"", token=pull)
    assert answered == 401 and b"VRG-OCI-030" in body
    assert headers.get_all("WWW-Authenticate")[0].endswith('error="insufficient_scope"')
    for method, path in (("GET", "/v2/other/x/tags/list"), ("GET", "/v2/_catalog"), ("DELETE", model),
                         ("GET", "/api/v1/devices"), ("GET", "/api/v1/tokens"), ("GET", "/v2/token")):
        assert status(hub, method, path, pull) == 401, path
    assert status(hub, "GET", "/v2/_catalog", token(hub, "registry:catalog:*")) == 200
    push = token(hub, "repository:other/x:pull,push repository:third/y:pull")
    assert push_blob(hub, "other/x", b"content", push)
    assert status(hub, "POST", "/v2/third/y/blobs/uploads/", push, b"") == 401
    assert status(hub, "GET", model, token(hub)) == 401, "of no scope: good for a login only"


def test_another_repositorys_blob_needs_its_scope(hub):
    digest = push_blob(hub, "models/secret", b"secret weights")["digest"]
    push = token(hub, "repository:mine/x:pull,push")
    mount = f"/v2/mine/x/blobs/uploads/?mount={digest}&from=models/secret"
    answered, headers, _ = hub.request("POST", mount, b"", token=push)
    assert answered == 401
    assert 'scope="repository:mine/x:pull,push repository:models/secret:pull"' in headers.get_all(
        "WWW-Authenticate")[0]
    anywhere = f"/v2/mine/x/blobs/uploads/?mount={digest}"
    answered, headers, _ = hub.request("POST", anywhere, b"", token=push)
    assert answered == 401
    scope = re.search('scope="([^"]+)"', headers.get_all("WWW-Authenticate")[0])[1]
    assert scope == "repository:mine/x:pull,push registry:catalog:*"
    assert status(hub, "GET", f"/v2/mine/x/blobs/{digest}", push) == 404
    assert status(hub, "POST", anywhere, token(hub, scope), b"") == 201
    both = token(hub, "repository:mine/x:pull,push", "repository:models/secret:pull")
    assert status(hub, "POST", mount, both, b"") == 201


def test_a_token_has_no_more_rights_and_no_longer_life_than_the_hubs(hub, model):
    _, made = hub.call("POST", "/tokens", {"name": "reader", "rights": ["read"]})
    given = token(hub, "repository:models/cat:pull,push,delete", "repository:models/cat:*", password=made["token"])
    assert status(hub, "GET", model, given) == 200
    assert status(hub, "POST", "/v2/models/cat/blobs/uploads/", given, b"") in (401, 403)
    assert hub.call("DELETE", f"/tokens/{made['id']}")[0] == 204
    assert status(hub, "GET", model, given) == 401, "it ends with the token of the hub"
    for wrong in ({}, basic("wrong"), {"Authorization": "Basic !"}, {"Authorization": "Bearer " + given}):
        answered, headers, _ = hub.request("GET", "/v2/token?scope=repository:models/cat:pull", token="", headers=wrong)
        assert answered == 401 and headers.get_all("WWW-Authenticate") == ['Basic realm="verge"']
    kept = token(hub, "repository:models/cat:pull")
    hub.restart()
    assert status(hub, "GET", model, kept) == 401, "clients fetch another"


def test_many_and_malformed_scopes(hub, model):
    long = [f"repository:models/x{i}:pull" for i in range(300)]
    assert status(hub, "GET", model, token(hub, *long)) == 401
    for scope in ("", ":", "::", "repository", "repository:models/cat", "repository::pull", "repository:models/cat:",
                  "repository:models/cat:PULL", "registry:models/cat:pull", "%00", "a" * 5000):
        assert status(hub, "GET", model, token(hub, scope)) == 401, scope


def test_clients_fetch_tokens_by_themselves(hub, tmp_path):
    layout = tmp_path / "layout"
    verge("package", "create", ROOT / "models" / "unet_fashion", "--to", layout)
    place = hub.url.removeprefix("https://") + "/models/unet_fashion"
    access = ["--ca-file", str(hub.ca), "--username", "me", "--password-stdin"]
    debug = subprocess.run([peer("oras"), "cp", "--from-oci-layout", f"{layout}:1.0.0", f"{place}:1.0.0", "--debug",
                            "--to-ca-file", hub.ca, "--to-username", "me", "--to-password", hub.token],
                           capture_output=True, text=True, timeout=120)
    assert debug.returncode == 0, debug.stderr
    assert "/v2/token?" in debug.stderr + debug.stdout, "oras fetched one"
    pulled = verge("package", "pull", f"{place}:1.0.0", tmp_path / "back", *access, input=hub.token)
    assert re.search("sha256:[0-9a-f]{64}", pulled.stdout)
