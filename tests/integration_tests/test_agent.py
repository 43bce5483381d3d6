"""The agent over its API, by curl's words and by tritonclient."""

import json
import shutil
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
from conftest import BUILD, ROOT, photograph, verge
from PIL import Image

MODELS = ROOT / "models"
THREE = f"""version: 1
api: {{ port: 0 }}
state_directory: state
models:
  - package: {MODELS}/efficientnet_lite0
  - {{ package: {MODELS}/selfie_segmentation, name: selfie }}
  - package: {MODELS}/unet_fashion
"""


@pytest.fixture
def three(agent):
    return agent(THREE)


def input_tensor():
    pixels = np.asarray(Image.open(photograph("chelsea.png")).convert("RGB").resize((224, 224), Image.BILINEAR), np.float32)
    return np.ascontiguousarray(((pixels - 127) / 128).transpose(2, 0, 1)[None])


def test_serves_several_models(three):
    status, server = three.json("/v2")
    assert status == 200 and server["name"] == "verge-agent" and "binary_tensor_data" in server["extensions"]
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/selfie/ready", "/v2/models/selfie/versions/1.0.0/ready"):
        assert three.request(path)[0] == 200
    status, model = three.json("/v2/models/efficientnet_lite0")
    assert model["name"] == "efficientnet_lite0" and model["versions"] == ["1.0.0"] and model["platform"]
    assert model["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [1, 3, 224, 224]}]
    assert model["parameters"]["choice"]["engine"] == "openvino"
    status, found = three.json("/v2/models/efficientnet_lite0/predict", photograph("chelsea.png").read_bytes())
    assert status == 200 and found["classes"][0]["label"] == "Egyptian cat"


def test_gives_masks_and_overlays(three, tmp_path):
    body = photograph("astronaut.png").read_bytes()
    for accept, mode in (("image/png", "L"), ("image/png;view=mask", "L"), ("image/png;view=overlay", "RGB")):
        status, png = three.request("/v2/models/selfie/predict", body, {"Accept": accept})
        assert status == 200
        (tmp_path / "x.png").write_bytes(png)
        picture = Image.open(tmp_path / "x.png")
        assert picture.mode == mode and picture.size == (512, 512)
    assert three.request("/v2/models/efficientnet_lite0/predict", body, {"Accept": "image/png;view=mask"})[0] == 406
    assert three.request("/v2/models/efficientnet_lite0/predict", body, {"Accept": "text/html"})[0] == 406


def test_tritonclient_binary_and_json(three):
    import tritonclient.http as triton
    client = triton.InferenceServerClient(three.url.removeprefix("http://"))
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("efficientnet_lite0")
    assert client.get_model_metadata("efficientnet_lite0")["inputs"][0]["name"] == "image"
    answers = []
    for binary in (True, False):
        tensor = triton.InferInput("image", [1, 3, 224, 224], "FP32")
        tensor.set_data_from_numpy(input_tensor(), binary_data=binary)
        wanted = triton.InferRequestedOutput("logits", binary_data=binary)
        result = client.infer("efficientnet_lite0", [tensor], outputs=[wanted], request_id="r1")
        assert result.get_response()["id"] == "r1"
        answers.append(result.as_numpy("logits"))
    assert answers[0].shape == (1, 1000) and np.argmax(answers[0]) == 285
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)


def test_raw_requests(three):
    status, body = three.request("/v2/models/efficientnet_lite0/infer", input_tensor().tobytes(),
                                 {"Inference-Header-Content-Length": "0"})
    assert status == 200
    values = np.frombuffer(body[-4000:], "<f4")
    assert np.argmax(values) == 285


@pytest.mark.parametrize("change, text", [
    ({"shape": [1, 224, 224, 3]}, "FP32[1,3,224,224]"),
    ({"datatype": "UINT8"}, "expected datatype FP32, got 'UINT8'"),
    ({"name": "pixels"}, "expected inputs called 'image'"),
    ({"data": [1, 2]}, "expected 150528 FP32 values in 'data', got 2"),
    ({"data": "x"}, "expected 'data' as a list"),
    ({"data": [True] * 150528}, "got 0"),
    ({"shape": "x"}, "expected 'shape'"),
    ({"shape": [1, 3, 224, 9999999999999]}, "expected 'shape'"),
    ({"parameters": {"binary_data_size": 12}}, "expected the 12 bytes of its 'binary_data_size' behind the JSON, got 0"),
])
def test_wrong_tensors_say_expected_and_got(three, change, text):
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 3, 224, 224], "data": [0.5] * 150528, **change}
    status, answer = three.json("/v2/models/efficientnet_lite0/infer", json.dumps({"inputs": [tensor]}).encode())
    assert status == 400 and text in answer["error"], answer


@pytest.mark.parametrize("method, path, body, status", [
    ("GET", "/v2/models/none", None, 404), ("GET", "/v2/models/selfie/versions/9.9.9", None, 404),
    ("GET", "/nothing", None, 404), ("GET", "/v2/models/selfie/infer", None, 405), ("POST", "/v2", b"x", 405),
    ("POST", "/v2/models/selfie/infer", b"{", 400), ("POST", "/v2/models/selfie/infer", b"[" * 100000, 400),
    ("POST", "/v2/models/selfie/infer", b"{}", 400), ("POST", "/v2/models/selfie/infer", b"null", 400),
    ("POST", "/v2/models/selfie/predict", b"", 400), ("POST", "/v2/models/selfie/predict", b"no picture", 415),
    ("POST", "/v2/models/selfie/predict", b"\xff\xd8\xff\xe0broken", 400),
    ("GET", "/v2/models/%00", None, 404), ("GET", "/v2/models/../../etc/passwd", None, 404),
])
def test_bad_requests_are_refused_and_it_goes_on(three, method, path, body, status):
    assert three.request(path, body, method=method)[0] == status
    assert three.request("/v2/health/ready")[0] == 200


def test_a_request_that_is_too_large_is_413(agent):
    running = agent(f"version: 1\napi: {{ port: 0, max_request_bytes: 2048 }}\nmodels: [{{ package: {MODELS}/selfie_segmentation }}]\n")
    status, answer = running.request("/v2/models/selfie_segmentation/predict", b"x" * 5000)
    assert status == 413 and b"expected at most 2048 bytes, got 5000" in answer


def test_metrics_have_histograms_by_stage_model_and_version(three):
    three.request("/v2/models/selfie/predict", photograph("astronaut.png").read_bytes())
    three.request("/v2/models/selfie/predict", b"broken")
    text = three.request("/metrics")[1].decode()
    for stage in ("decode", "preprocess", "infer", "postprocess"):
        assert f'verge_stage_duration_seconds_count{{engine="litert",model="selfie",stage="{stage}",version="1.0.0"}} 1' in text
    assert 'verge_requests_total{code="ok",engine="litert",model="selfie",version="1.0.0"} 1' in text
    assert 'code="refused"' in text and "process_resident_memory_bytes" in text and "verge_device_info" in text


def test_curl_works_as_the_guide_says(three):
    done = subprocess.run(["curl", "-sf", "--data-binary", f"@{photograph('coffee.png')}",
                           f"{three.url}/v2/models/efficientnet_lite0/predict"], capture_output=True, check=True)
    assert json.loads(done.stdout)["classes"][0]["label"] == "espresso"


def test_a_folder_pipeline_watches_and_survives_bad_files(agent, tmp_path):
    inbox, out = tmp_path / "inbox", tmp_path / "out.jsonl"
    inbox.mkdir()
    shutil.copy(photograph("chelsea.png"), inbox / "a.png")
    (inbox / "b.png").write_bytes(b"broken")
    running = agent(f"""version: 1
api: {{ port: 0 }}
models: [{{ package: {MODELS}/efficientnet_lite0 }}]
pipelines:
  - {{ name: inbox, source: {{ folder: {{ path: inbox, watch: true }} }}, models: [{{ model: efficientnet_lite0 }}],
      sinks: [{{ json_lines: {{ path: out.jsonl }} }}] }}
""")
    running.wait("a sample failed.*b.png")
    shutil.copy(photograph("coffee.png"), tmp_path / "c.png")
    (tmp_path / "c.png").rename(inbox / "c.png")
    end = time.monotonic() + 30
    while time.monotonic() < end and len(out.read_text().splitlines()) < 2:
        time.sleep(0.02)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(l["source"], l["results"][0]["classes"][0]["label"]) for l in lines] == [("a.png", "Egyptian cat"), ("c.png", "espresso")]
    text = running.request("/metrics")[1].decode()
    assert 'verge_pipeline_samples_total{pipeline="inbox",result="failed"} 1' in text
    assert running.stop() == 0 and "predicted=2  failed=1" in running.log


def test_a_video_pipeline(agent, tmp_path, data):
    running = agent(f"""version: 1
api: {{ port: 0 }}
models: [{{ package: {MODELS}/efficientnet_lite0 }}]
pipelines:
  - {{ name: clip, source: {{ video: {{ path: {data}/video/bigbuckbunny.mp4 }} }}, models: [{{ model: efficientnet_lite0 }}],
      sinks: [{{ json_lines: {{ path: out.jsonl }} }}] }}
""")
    running.wait("pipeline ended.*predicted=132")
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 132


def test_a_full_disk_stops_neither_the_pipeline_nor_the_agent(agent, tmp_path):
    (tmp_path / "inbox").mkdir()
    shutil.copy(photograph("chelsea.png"), tmp_path / "inbox" / "a.png")
    running = agent(f"""version: 1
api: {{ port: 0 }}
models: [{{ package: {MODELS}/efficientnet_lite0 }}]
pipelines:
  - {{ name: full, source: {{ folder: {{ path: inbox }} }}, models: [{{ model: efficientnet_lite0 }}],
      sinks: [{{ json_lines: {{ path: /dev/full }} }}] }}
""")
    running.wait("No space left on device; free some space")
    running.wait("pipeline ended.*unwritten=1")
    assert running.request("/v2/health/ready")[0] == 200


def test_reload_switches_without_losing_a_request(agent, tmp_path):
    running = agent(THREE)
    failures, stop = [], threading.Event()
    body = photograph("chelsea.png").read_bytes()

    def load():
        while not stop.is_set():
            status, answer = running.request("/v2/models/efficientnet_lite0/predict", body)
            if status != 200:
                failures.append(answer)
    client = threading.Thread(target=load)
    client.start()
    config = tmp_path / "edge_config.yaml"
    config.write_text(THREE.replace("name: selfie", "name: person"))
    running.process.send_signal(signal.SIGHUP)
    running.wait("reloaded")
    assert running.request("/v2/models/person/ready")[0] == 200 and running.request("/v2/models/selfie/ready")[0] == 404
    config.write_text(THREE.replace("models:", "modles:"))
    running.process.send_signal(signal.SIGHUP)
    running.wait("the reload is refused.*did you mean 'models'")
    config.write_text(THREE.replace("unet_fashion", "nowhere"))
    running.process.send_signal(signal.SIGHUP)
    running.wait("nothing was changed")
    assert running.request("/v2/models/person/ready")[0] == 200
    stop.set()
    client.join()
    assert not failures
    assert running.stop() == 0


@pytest.mark.parametrize("text, expected", [
    ("version: 1\nmodles: []\n", "line 2: unknown key 'modles'; did you mean 'models'?"),
    ("version: 2\n", "expected a whole number from 1 to 1"), ("version: 1\napi: { port: x }\n", "line 2: 'api.port'"),
    ("version: 1\nmodels: [{ package: a, name: m }, { package: b, name: m }]\n", "two models are called 'm'"),
    ("", "expected a map"), ("version: 1\nversion: 1\n", "stands twice"),
])
def test_a_wrong_configuration_names_itself(tmp_path, text, expected):
    (tmp_path / "c.yaml").write_text(text)
    done = subprocess.run([BUILD / "bin" / "verge-agent", "--config", tmp_path / "c.yaml"], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 2 and expected in done.stderr, done.stderr


def test_a_model_that_does_not_load_leaves_the_others_serving(agent, tmp_path):
    package = tmp_path / "broken"
    shutil.copytree(MODELS / "efficientnet_lite0", package)
    model = package / "model_files" / "model.onnx"
    model.write_bytes(model.read_bytes()[:1000])
    running = agent(f"version: 1\napi: {{ port: 0 }}\nmodels: [{{ package: broken }}, {{ package: {MODELS}/selfie_segmentation }}]\n")
    assert "model not loaded" in running.log
    assert running.request("/v2/models/selfie_segmentation/ready")[0] == 200


def test_a_compiled_model_is_kept_and_a_damaged_one_made_anew(agent, tmp_path, data):
    verge("package", "init", data / "models/cls/mobilenet_v2_1.0_224_quant.tflite", "--labels",
          data / "labels/imagenet_1001.txt", "--to", tmp_path / "mobilenet")
    text = "version: 1\napi: { port: 0 }\nstate_directory: state\nmodels: [{ package: mobilenet, engine: openvino, name: m }]\n"

    def label():
        running = agent(text)
        answer = running.json("/v2/models/m/predict", (data / "images/parrot.jpg").read_bytes())[1]
        assert running.stop() == 0
        running.log_path.unlink()
        return answer["classes"][0]["label"]
    assert label() == "macaw"
    (kept,) = (tmp_path / "state" / "compiled").glob("openvino-*.compiled")
    whole, written = kept.read_bytes(), kept.stat().st_mtime_ns
    assert label() == "macaw" and kept.stat().st_mtime_ns == written
    for damaged in (b"", whole[:1000], whole[:5000] + b"X" + whole[5001:]):
        kept.write_bytes(damaged)
        assert label() == "macaw" and kept.read_bytes() == whole


def test_an_overloaded_model_says_so_at_once_and_its_neighbours_answer(agent, tmp_path):
    slow = tmp_path / "slow"
    (slow / "model_files").mkdir(parents=True)
    (slow / "model_files/model.fake").write_text(
        "verge-fake 1\ninput x FP32 [1,2]\noutput y FP32 [1,2]\nfunction identity\ndelay_ms 50\n")
    tensor = {"datatype": "FP32", "shape": [1, 2]}
    (slow / "metadata.json").write_text(json.dumps({
        "schema_version": 1, "name": "slow", "version": "1.0.0", "task": "tensor", "engine": "fake",
        "model": {"file": "model_files/model.fake", "format": "fake"}, "inputs": [{"name": "x", **tensor}],
        "outputs": [{"name": "y", **tensor}]}))
    running = agent(f"version: 1\napi: {{ port: 0 }}\nmodels: [{{ package: slow }}, {{ package: {MODELS}/selfie_segmentation }}]\n")
    body = json.dumps({"inputs": [{"name": "x", **tensor, "data": [1, 2]}]}).encode()
    answers = []
    clients = [threading.Thread(target=lambda: answers.append(running.request("/v2/models/slow/infer", body)))
               for _ in range(120)]
    for client in clients:
        client.start()
    neighbour = running.request("/v2/models/selfie_segmentation/predict", photograph("astronaut.png").read_bytes())
    still_busy = any(client.is_alive() for client in clients)
    for client in clients:
        client.join()
    assert neighbour[0] == 200 and still_busy
    statuses = [status for status, _ in answers]
    assert set(statuses) == {200, 503} and statuses.count(200) >= 33
    assert all(b"overloaded" in text for status, text in answers if status == 503)
