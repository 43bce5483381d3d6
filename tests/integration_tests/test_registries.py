"""verge package push, pull and copy with registries of others, with a hub, and with one that cheats."""

import base64
import contextlib
import filecmp
import json
import subprocess

import pytest
from conftest import ROOT, verge
from registry_peers import Authority, CuttingLine, Server, TokenService, crane_registry, distribution, peer
from test_fleet_guide import blocks, shell, walk  # The shell is a fixture.

MODEL = ROOT / "models" / "unet_fashion"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def running():
    """Keeps what is started, and stops it at the end."""
    with contextlib.ExitStack() as stack:
        def keep(started):
            stack.callback(started.stop)
            return started
        yield keep


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    """No credentials and no hub of whoever runs the tests."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("VERGE_HUB_LOGIN", str(tmp_path / "login.json"))


def package(*arguments, check=True, **options):
    """(answer, text of the error) of 'verge package …' in JSON."""
    done = verge("package", *arguments, "--output", "json", check=check, **options)
    return (json.loads(done.stdout) if done.returncode == 0 else None), done.stderr


def refusal(*arguments, **options):
    answer, error = package(*arguments, check=False, **options)
    assert answer is None, answer
    return error


def same_files(one, other):
    compared = filecmp.dircmp(one, other)
    return not (compared.left_only or compared.right_only or compared.diff_files) and all(
        same_files(one / name, other / name) for name in compared.common_dirs)


def created(tmp_path):
    """The package as `verge package create` makes it: (layout, digest)."""
    layout = tmp_path / "created.oci"
    if not layout.exists():
        verge("package", "create", MODEL, "--to", layout)
    return layout, json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]


def logged_in(tmp_path, host, password="secret"):
    folder = tmp_path / "docker"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"auths": {host: {
        "auth": base64.b64encode(f"me:{password}".encode()).decode()}}}))


@pytest.mark.parametrize("registry", [distribution, crane_registry])
def test_a_package_goes_there_and_back(running, tmp_path, registry):
    there = running(registry(tmp_path / "registry"))
    layout, made = created(tmp_path)
    place = f"{there.host}/team/unet_fashion"
    pushed, _ = package("push", MODEL, place)
    assert pushed["digest"] == made and pushed["place"] == place + ":1.0.0" and pushed["sent_bytes"] > 1_000_000
    again, _ = package("push", layout, place + ":again")
    assert again["digest"] == made and again["sent_bytes"] == 0
    got, _ = package("pull", place, tmp_path / "missing", check=False)
    assert got is None, "no tag 'latest'"
    for reference in (place + ":again", f"{place}@{made}"):
        folder = tmp_path / f"pulled{len(reference)}"
        got, _ = package("pull", reference, folder)
        assert got["digest"] == made and same_files(MODEL, folder)
        assert not (tmp_path / f"{folder.name}.pulling").exists()
        verge("package", "verify", folder, "--no-run")
    assert "VRG-CLI-072" in refusal("pull", place + ":again", folder)
    crane = subprocess.run([peer("crane"), "digest", "--insecure", place + ":1.0.0"], capture_output=True, text=True,
                           check=True)
    assert crane.stdout.strip() == made, "another client finds the same"


def test_copies_between_registries_and_layouts(running, tmp_path):
    one, other = running(distribution(tmp_path / "one")), running(crane_registry(tmp_path / "other"))
    _, made = created(tmp_path)
    package("push", MODEL, f"{one.host}/team/unet_fashion")
    mounted, _ = package("copy", f"{one.host}/team/unet_fashion:1.0.0", f"{one.host}/mirror/cat:2")
    assert mounted["digest"] == made and mounted["sent_bytes"] == 0, "the registry takes its own blobs"
    copied, _ = package("copy", f"{one.host}/mirror/cat:2", f"{other.host}/mirror/cat")
    assert copied["digest"] == made and copied["sent_bytes"] > 1_000_000 and copied["place"].endswith("/cat:2")
    layout = tmp_path / "copied.oci"
    package("copy", f"{other.host}/mirror/cat:2", f"oci:{layout}:third")
    assert package("copy", f"oci:{layout}:third", f"{one.host}/back/cat")[0]["digest"] == made
    assert verge("package", "verify", f"{layout}:third", "--no-run").stdout.strip().endswith(made)
    assert not (layout / "incoming").exists()
    assert "VRG-CLI-073" in refusal("copy", f"oci:{layout}", f"{one.host}/back/cat")
    assert "VRG-REG-006" in refusal("copy", f"{one.host}/nothing/here:1", f"oci:{layout}")


@pytest.mark.parametrize("registry", [distribution, crane_registry])
def test_referrers_go_along(running, tmp_path, registry):
    there, beyond = running(registry(tmp_path / "registry")), running(distribution(tmp_path / "beyond"))
    place = f"{there.host}/team/unet_fashion"
    package("push", MODEL, place)
    (tmp_path / "signature").write_text("signed")
    oras = [peer("oras"), "attach", "--plain-http", "--disable-path-validation"]
    subprocess.run([*oras, "--artifact-type", "application/vnd.example.signature", place + ":1.0.0",
                    tmp_path / "signature"], check=True, capture_output=True)
    alone, _ = package("copy", place + ":1.0.0", f"oci:{tmp_path / 'alone.oci'}")
    assert alone["referrers"] == 0
    layout = tmp_path / "all.oci"
    assert package("copy", place + ":1.0.0", f"oci:{layout}", "--referrers")[0]["referrers"] == 1
    assert package("copy", f"oci:{layout}:1.0.0", f"{beyond.host}/x/y", "--referrers")[0]["referrers"] == 1
    assert package("copy", f"{beyond.host}/x/y:1.0.0", f"{there.host}/z/y", "--referrers")[0]["referrers"] == 1
    for found in (f"{beyond.host}/x/y:1.0.0", f"{there.host}/z/y:1.0.0"):
        tree = subprocess.run([peer("oras"), "discover", "--plain-http", found], capture_output=True, text=True,
                              check=True).stdout
        assert "application/vnd.example.signature" in tree, f"oras finds it at {found}: {tree}"


def test_basic_with_tls_by_an_authority_of_our_own(running, tmp_path):
    authority = Authority(tmp_path / "authority")
    there = running(distribution(tmp_path / "registry", authority, password="secret"))
    place = f"{there.host}/team/unet_fashion"
    trusting = ["--ca-file", authority.ca]
    assert "VRG-HTC-003" in refusal("push", MODEL, place)
    error = refusal("push", MODEL, place, *trusting)
    assert "VRG-REG-003" in error and "team/unet_fashion" in error
    who = [*trusting, "--username", "me", "--password-stdin"]
    assert "VRG-REG-003" in refusal("push", MODEL, place, *who, input="wrong\n")
    assert "VRG-CLI-070" in refusal("push", MODEL, place, *who, input="")
    assert "VRG-CLI-070" in refusal("push", MODEL, place, "--username", "me")
    _, made = created(tmp_path)
    assert package("push", MODEL, place, *who, input="secret\n")[0]["digest"] == made
    logged_in(tmp_path, there.host)
    assert package("pull", place + ":1.0.0", tmp_path / "back", *trusting)[0]["digest"] == made
    layout = tmp_path / "l.oci"
    package("copy", place + ":1.0.0", f"oci:{layout}", "--from-ca-file", authority.ca)
    package("copy", f"oci:{layout}:1.0.0", f"{there.host}/b/c", "--to-ca-file", authority.ca, "--to-username", "me",
            "--to-password-stdin", input="secret")
    (tmp_path / "docker" / "config.json").write_text('{"credsStore": "desktop"}')
    error = refusal("pull", place + ":1.0.0", tmp_path / "again", *trusting)
    assert "credential helper 'desktop'" in error and "does not run" in error


def test_tokens_of_a_service(running, tmp_path):
    service = running(TokenService(tmp_path / "service", "secret", life_s=2))
    there = running(distribution(tmp_path / "registry", token_service=service))
    place = f"{there.host}/team/unet_fashion"
    assert "VRG-REG-003" in refusal("push", MODEL, place)
    logged_in(tmp_path, there.host, "wrong")
    assert "VRG-REG-003" in refusal("push", MODEL, place)
    logged_in(tmp_path, there.host)
    _, made = created(tmp_path)
    assert package("push", MODEL, place)[0]["digest"] == made
    before = len(service.server.requests)
    assert package("pull", place + ":1.0.0", tmp_path / "back")[0]["digest"] == made
    assert len(service.server.requests) == before + 1, "a token is kept while it is good"
    mounted, _ = package("copy", place + ":1.0.0", f"{there.host}/mirror/x")
    assert mounted["sent_bytes"] == 0, "the token allows to read the other repository"
    scopes = [path for _, path, _ in service.server.requests if "mirror" in path and "team" in path]
    assert scopes, "asked for both"


@pytest.mark.parametrize("up", [False, True])
def test_a_line_that_breaks_is_gone_on_with(running, tmp_path, up):
    there = running(distribution(tmp_path / "registry"))
    _, made = created(tmp_path)
    line = running(CuttingLine(there.port, 300_000, 3, up))
    if not up:
        package("push", MODEL, f"{there.host}/team/x")
        assert package("pull", f"{line.host}/team/x:1.0.0", tmp_path / "back")[0]["digest"] == made
        assert same_files(MODEL, tmp_path / "back")
    else:
        assert package("push", MODEL, f"{line.host}/team/x")[0]["digest"] == made
        assert package("pull", f"{there.host}/team/x:1.0.0", tmp_path / "back")[0]["digest"] == made
    assert line.cuts >= (3 if not up else 1)


def test_a_pull_goes_on_where_the_one_before_ended(running, tmp_path):
    there = running(distribution(tmp_path / "registry"))
    package("push", MODEL, f"{there.host}/team/x")
    dead = running(CuttingLine(there.port, 700_000, 1000, False, dies=True))
    assert "try again" in refusal("pull", f"{dead.host}/team/x:1.0.0", tmp_path / "back")
    began = sum(file.stat().st_size for file in (tmp_path / "back.pulling").rglob("*") if file.is_file())
    assert began > 500_000 and not (tmp_path / "back").exists()
    counted = running(CuttingLine(there.port, 1 << 40, 0, False))
    package("pull", f"{counted.host}/team/x:1.0.0", tmp_path / "back")
    assert same_files(MODEL, tmp_path / "back")
    partial = [line for line in there.log.splitlines() if "http.response.status=206" in line or "206" in line]
    assert partial, "the second began where the first ended"


def test_pieces_where_the_registry_takes_no_more_at_once(running, tmp_path):
    there = running(distribution(tmp_path / "registry"))
    _, made = created(tmp_path)
    assert package("push", MODEL, f"{there.host}/team/x", "--chunk-bytes", 100_000)[0]["digest"] == made
    assert package("pull", f"{there.host}/team/x:1.0.0", tmp_path / "back")[0]["digest"] == made
    assert there.log.count("PATCH") >= 10


def test_the_hub_is_a_registry_like_any_other(hub, tmp_path, monkeypatch):
    _, made = created(tmp_path)
    host = hub.url.removeprefix("https://")
    logged_in(tmp_path, host, hub.token)
    place = f"{host}/models/unet_fashion"
    pushed, _ = package("push", MODEL, place, "--ca-file", hub.ca)
    assert pushed["digest"] == made
    assert hub.call("GET", "/models/unet_fashion")[1]["versions"][0]["digest"] == made
    (tmp_path / "docker" / "config.json").unlink()
    verge(*hub.login.split()[1:])
    assert package("pull", place + ":1.0.0", tmp_path / "back")[0]["digest"] == made, "as 'verge login' has it"
    assert same_files(MODEL, tmp_path / "back")


class Cheat:
    """A registry with one package, which answers as `tricks` say: by the end of a path, a function of the request."""

    def __init__(self, layout, made, authority=None):
        self.layout, self.made, self.tricks = layout, made, {}
        self.manifest = self.blob(made)
        self.server = Server(self.handle, authority)
        self.host = self.server.host

    def blob(self, name):
        return (self.layout / "blobs" / "sha256" / name.removeprefix("sha256:")).read_bytes()

    def largest(self):
        return max(json.loads(self.manifest)["layers"], key=lambda layer: layer["size"])

    def handle(self, request):
        for end, trick in self.tricks.items():
            if request.path.endswith(end):
                return trick(request)
        if "/manifests/" in request.path:
            return request.answer(200, self.manifest, [("Content-Type", MANIFEST)])
        if "/blobs/sha256" in request.path:
            return request.answer(200, self.blob(request.path.rpartition("/")[2]))
        return request.answer(200, b"{}")

    def stop(self):
        self.server.stop()


@pytest.fixture
def cheat(running, tmp_path):
    return running(Cheat(*created(tmp_path)))


def endless(request):
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    while True:
        request.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def test_what_is_wrong_is_not_taken(cheat, tmp_path):
    place, back = f"{cheat.host}/team/x:1.0.0", tmp_path / "back"

    def refused(tag_answer):
        cheat.tricks = {"1.0.0": tag_answer}
        error = refusal("pull", place, back)
        assert not back.exists()
        return error
    layer = cheat.largest()["digest"]
    content = cheat.blob(layer)
    cheat.tricks = {layer: lambda request: request.answer(200, bytes(len(content)))}
    error = refusal("pull", place, back)
    assert "VRG-REG-007" in error and layer in error and "team/x" in error
    for trick in (endless, lambda request: request.answer(200, content + b"x")):
        cheat.tricks = {layer: trick}
        assert "VRG-REG-009" in refusal("pull", place, back)
    assert "VRG-HTC-006" in refused(endless)
    other = cheat.manifest.replace(b"1.0.0", b"6.6.6")
    assert "VRG-REG-007" in refused(lambda request: request.answer(200, other, [
        ("Content-Type", MANIFEST), ("Docker-Content-Digest", cheat.made)]))
    assert "VRG-REG-008" in refused(lambda request: request.answer(200, b"{}"))
    assert "VRG-REG-010" in refused(lambda request: request.answer(200, other, [
        ("Content-Type", MANIFEST), ("Docker-Content-Digest", "nonsense")]))
    huge = [("X-Padding", "x" * 60_000)] * 6
    assert "VRG-HTC-006" in refused(lambda request: request.answer(200, other, huge))
    outside = json.loads(cheat.manifest)
    outside["layers"][0]["annotations"]["org.cncf.model.filepath"] = "../../outside"
    assert "VRG-BAS-004" in refused(lambda request: request.answer(
        200, json.dumps(outside).encode(), [("Content-Type", MANIFEST)]))
    cheat.tricks = {}
    assert package("pull", place, back)[0]["digest"] == cheat.made, "and without tricks it works"


def test_credentials_go_nowhere_else(running, cheat, tmp_path):
    place = f"{cheat.host}/team/x:1.0.0"
    layer = cheat.largest()["digest"]
    content = cheat.blob(layer)
    logged_in(tmp_path, cheat.host)

    def guarded(answer):
        def trick(request):
            if not request.headers.get("Authorization"):
                return request.answer(401, b"{}", [("WWW-Authenticate", 'Basic realm="x"')])
            return answer(request)
        return trick
    other = running(Server(lambda request: request.answer(200, content)))
    cheat.tricks = {
        "1.0.0": guarded(lambda request: request.answer(200, cheat.manifest, [("Content-Type", MANIFEST)])),
        layer: guarded(lambda request: request.answer(307, headers=[("Location", other.url + "/elsewhere?a=b")]))}
    assert package("pull", place, tmp_path / "back")[0]["digest"] == cheat.made, "redirects are followed"
    assert other.requests and all("Authorization" not in headers for _, _, headers in other.requests)
    assert other.requests[0][1] == "/elsewhere?a=b", "the query is kept"
    # An upload to another place.
    taken = running(Server(lambda request: request.answer(201)))
    cheat.tricks = {"/uploads/": guarded(lambda request: request.answer(202, headers=[
        ("Location", taken.url + "/put?state=1")])), layer: guarded(lambda request: request.answer(404))}
    cheat.tricks[layer.rpartition(":")[2]] = cheat.tricks[layer]
    package("push", MODEL, place, check=False)
    puts = [(path, headers) for method, path, headers in taken.requests if method == "PUT"]
    assert puts and all("Authorization" not in headers and "/put?state=1&digest=sha256" in path
                        for path, headers in puts)


def test_redirects_end(running, cheat, tmp_path):
    place = f"{cheat.host}/team/x:1.0.0"
    cheat.tricks = {"1.0.0": lambda request: request.answer(302, headers=[("Location", request.path)])}
    assert "VRG-REG-011" in refusal("pull", place, tmp_path / "back")
    for location in ("file:///etc/passwd", "ftp://a.b/c", "http://user:pw@127.0.0.1/x", "http://a b/"):
        cheat.tricks = {"1.0.0": lambda request, to=location: request.answer(302, headers=[("Location", to)])}
        assert "VRG-REG-010" in refusal("pull", place, tmp_path / "back"), location
    authority = Authority(tmp_path / "authority")
    encrypted = running(Cheat(*created(tmp_path), authority))
    encrypted.tricks = {"1.0.0": lambda request: request.answer(302, headers=[
        ("Location", f"http://{cheat.host}/v2/team/x/manifests/2")])}
    before = len(cheat.server.requests)
    assert "VRG-REG-011" in refusal("pull", f"{encrypted.host}/team/x:1.0.0", tmp_path / "back", "--ca-file",
                                    authority.ca)
    realm = f'Bearer realm="http://{cheat.host}/token",service="x"'
    encrypted.tricks = {"1.0.0": lambda request: request.answer(401, b"{}", [("WWW-Authenticate", realm)])}
    logged_in(tmp_path, encrypted.host)
    assert "VRG-REG-011" in refusal("pull", f"{encrypted.host}/team/x:1.0.0", tmp_path / "back", "--ca-file",
                                    authority.ca)
    assert len(cheat.server.requests) == before, "nothing unencrypted is asked"


def test_answers_that_pass_are_tried_again(cheat, tmp_path):
    left = {"manifest": 2, "blob": 2}

    def busy(kind, answer):
        def trick(request):
            if left[kind] > 0:
                left[kind] -= 1
                return request.answer(503, b"busy")
            return answer(request)
        return trick
    layer = cheat.largest()["digest"]
    cheat.tricks = {"1.0.0": busy("manifest", lambda r: r.answer(200, cheat.manifest, [("Content-Type", MANIFEST)])),
                    layer: busy("blob", lambda r: r.answer(200, cheat.blob(layer)))}
    assert package("pull", f"{cheat.host}/team/x:1.0.0", tmp_path / "back")[0]["digest"] == cheat.made
    assert left == {"manifest": 0, "blob": 0}


def test_a_token_service_that_cheats(running, cheat, tmp_path):
    answers = iter([b"no json", b"{}", b'{"token": ""}', b'{"token": "a\\nb"}', b'{"token": 7}'])
    service = running(Server(lambda request: request.answer(200, next(answers))))
    realm = f'Bearer realm="{service.url}/token",service="x"'
    cheat.tricks = {"1.0.0": lambda request: request.answer(401, b"{}", [("WWW-Authenticate", realm)])}
    for _ in range(5):
        assert "VRG-REG-010" in refusal("pull", f"{cheat.host}/team/x:1.0.0", tmp_path / "back")


def test_the_chapter_of_the_documentation(running, shell, tmp_path):
    there = running(distribution(tmp_path / "registry"))
    text = (ROOT / "documentation" / "model_documentation.md").read_text()
    chapter = text[text.index("## Packages in any registry"):text.index("### On a device")]
    guide = tmp_path / "chapter.md"
    guide.write_text(chapter.replace("localhost:5000", there.host))
    assert len(blocks(guide)) == 2
    walk(shell, guide)
