"""clients/python against a running agent, installed as its users install it."""

import shutil
import subprocess
import sys

import numpy
import pytest
from conftest import BUILD, ROOT, photograph
from inference_models import identity

sys.path.insert(0, str(ROOT / "clients" / "python"))
from verge_client import Agent, AgentError  # noqa: E402


@pytest.fixture
def running(agent, tmp_path):
    identity(tmp_path, "identity", shape=(-1, 3))
    return agent(f"version: 1\napi: {{ port: 0, unix_socket: {tmp_path}/api }}\nmodels:\n  - package: identity\n"
                 f"  - package: {ROOT}/models/efficientnet_lite0\n  - package: {ROOT}/models/selfie_segmentation\n")


def test_predicts_from_files_bytes_and_over_a_unix_socket(running, tmp_path):
    cat = photograph("chelsea.png")
    for url in (running.url, f"unix:{tmp_path}/api"):
        with Agent(url) as client:
            assert client.ready() and client.ready("efficientnet_lite0") and not client.ready("nothing")
            assert client.predict("efficientnet_lite0", cat)["classes"][0]["label"] == "Egyptian cat"
            assert client.predict("efficientnet_lite0", cat.read_bytes())["classes"][0]["label"] == "Egyptian cat"
            assert client.picture("selfie_segmentation", cat, "mask").startswith(b"\x89PNG")
            assert {entry["name"] for entry in client.models()} == {"identity", "efficientnet_lite0", "selfie_segmentation"}
            assert client.model("identity")["inputs"][0]["shape"] == [-1, 3]


def test_tensors_go_through_whatever_their_size(running):
    with Agent(running.url) as client:
        for rows in (1, 7, 4000):
            x = numpy.random.default_rng(rows).random((rows, 3), numpy.float32)
            assert (client.infer("identity", x=x)["y"] == x).all()
        with pytest.raises(TypeError, match="got complex128"):
            client.infer("identity", x=numpy.zeros(3, complex))


def test_refusals_carry_status_and_identifier(running):
    with Agent(running.url) as client:
        with pytest.raises(AgentError, match="no model is called 'identiti'; did you mean 'identity'") as refused:
            client.infer("identiti", x=numpy.zeros((1, 3), numpy.float32))
        assert refused.value.status == 404 and refused.value.id == "VRG-API-001"
        with pytest.raises(AgentError) as refused:
            client.infer("identity", x=numpy.zeros((1, 4), numpy.float32))
        assert refused.value.status == 400
        assert client.ready(), "the connection goes on"
    with pytest.raises(ValueError, match="expected http"):
        Agent("ftp://x")


def test_installs_with_pip(tmp_path):
    source = shutil.copytree(ROOT / "clients" / "python", tmp_path / "source")  # Building writes beside the sources.
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target",
                    tmp_path / "installed", source], check=True, cwd=tmp_path,
                   env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)})
    done = subprocess.run([sys.executable, "-c", "import verge_client; print(verge_client.__file__)"], cwd=tmp_path,
                          capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path / "installed")})
    assert str(tmp_path / "installed") in done.stdout
