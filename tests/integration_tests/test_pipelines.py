"""Pipelines: real cameras, brokers and webhooks feed the real agent; what it counts is the truth."""

import json
import signal
import subprocess
import urllib.request

import pytest

from conftest import BUILD
from fleet import DOG, fake_package, wait_for
from model_table.programs import Package
from pipeline_peers import Broker, HttpCamera, RtspCamera, Webhook


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def status(agent, name):
    return agent.json(f"/pipelines/{name}")[1]


def total(state):
    return sum(state[key] for key in ("predicted", "failed", "unwritten", "dropped", "limited"))


def start(agent, folder, pipeline, **package):
    """An agent with one model, 'fake', and one pipeline."""
    fake_package(folder, "fake", "1.0.0", **package)
    return agent(f"version: 1\napi: {{ port: 0 }}\nmodels: [{{ package: fake-1.0.0 }}]\npipelines:\n{pipeline}")


@pytest.fixture
def hook():
    server = Webhook()
    yield server
    server.close()


@pytest.fixture
def broker(tmp_path):
    server = Broker(tmp_path)
    server.start()
    yield server
    server.stop()


def test_a_stream_that_is_cut_24_times_loses_nothing_uncounted(agent, tmp_path):
    camera = HttpCamera(frames=15, frames_per_second=60)
    try:
        running = start(agent, tmp_path, f"""
  - name: door
    source: {{ stream: {{ url: "{camera.url}" }} }}
    models: [{{ model: fake }}]
    sinks: [{{ json_lines: {{ path: out.jsonl }} }}]
""", delay_ms=25)
        wait_for(lambda: camera.connections >= 6, what="sixth connection")
        before = running.resident_kib()
        wait_for(lambda: camera.connections >= 25, what="25th connection", timeout=120)
        camera.open = False
        wait_for(lambda: status(running, "door")["state"] == "waiting" and total(status(running, "door")) == camera.sent,
                 what=f"every one of {camera.sent} pictures counted: {status(running, 'door')}", timeout=20)
        state = status(running, "door")
        assert state["reconnects"] >= 24 and state["failed"] == 0 and state["dropped"] > 0
        events = lines(tmp_path / "out.jsonl")
        assert len(events) == state["predicted"]
        assert events[-1]["frame"] - len(events) + 1 <= state["dropped"]
        assert running.resident_kib() < 1.1 * before + 4096, (before, running.resident_kib())
        text = running.request("/metrics")[1].decode()
        assert f'verge_pipeline_reconnects_total{{pipeline="door"}} {state["reconnects"]}' in text
        assert f'verge_pipeline_samples_total{{pipeline="door",result="dropped"}} {state["dropped"]}' in text
        assert f'verge_pipeline_age_seconds_count{{pipeline="door"}} {state["predicted"]}' in text
        assert running.stop() == 0
    finally:
        camera.close()


def test_the_dropped_frames_of_a_paced_video_are_those_that_are_missing(agent, tmp_path, data):
    running = start(agent, tmp_path, f"""
  - name: clip
    source: {{ video: {{ path: {data}/video/bigbuckbunny.mp4, paced: true }} }}
    models: [{{ model: fake }}]
    sinks: [{{ json_lines: {{ path: out.jsonl }} }}]
""", delay_ms=90)
    running.wait("pipeline ended")
    state = status(running, "clip")
    frames = [event["frame"] for event in lines(tmp_path / "out.jsonl")]
    assert state["state"] == "ended" and total(state) == 132 and state["predicted"] == len(frames)
    assert state["dropped"] == 132 - len(set(frames)) > 30 and frames == sorted(frames) and frames[-1] == 131
    assert all(event["age_ms"] < 500 for event in lines(tmp_path / "out.jsonl"))


def test_an_rtsp_camera_that_goes_and_comes_back(agent, tmp_path):
    camera = RtspCamera("viewer:pa ss")
    try:
        (tmp_path / "camera.txt").write_text("viewer:pa ss\n")
        running = start(agent, tmp_path, f"""
  - name: yard
    source: {{ stream: {{ url: "{camera.url}", credentials: camera.txt }} }}
    max_rate_hz: 8
    models: [{{ model: fake }}]
    sinks: [{{ json_lines: {{ path: out.jsonl }} }}]
""")
        wait_for(lambda: status(running, "yard")["predicted"] > 5, what="predictions")
        state = status(running, "yard")
        assert state["state"] == "running" and state["limited"] > 0 and state["reconnects"] == 0
        camera.stop()
        wait_for(lambda: status(running, "yard")["state"] == "waiting", what="loss noticed")
        camera = RtspCamera("viewer:pa ss", port=camera.port)
        before = status(running, "yard")["predicted"]
        wait_for(lambda: status(running, "yard")["predicted"] > before + 3, what="predictions after the camera is back")
        assert status(running, "yard")["reconnects"] >= 1
        assert "pa ss" not in running.log and "pa%20ss" not in running.log
    finally:
        camera.stop()


def test_a_camera_that_is_not_there_is_waited_for(agent, tmp_path):
    running = start(agent, tmp_path, """
  - name: cam
    source: { camera: { device: 249 } }
    models: [{ model: fake }]
    sinks: [{ json_lines: { path: out.jsonl } }]
""")
    running.wait("the source is away.*cannot open camera 249")
    state = status(running, "cam")
    assert state["state"] == "waiting" and "/dev/video249" in state["last_error"]
    assert running.request("/v2/health/ready")[0] == 200 and running.stop() == 0


def test_messages_come_in_and_findings_go_out_over_mqtt(agent, tmp_path, broker):
    (tmp_path / "broker.txt").write_text("device:se:cret\n")
    address = f"{{ host: 127.0.0.1, port: {broker.port}, credentials: broker.txt }}"
    running = start(agent, tmp_path, f"""
  - name: line
    source: {{ mqtt: {{ broker: {address}, topic: "pictures/+" }} }}
    models: [{{ model: fake }}]
    sinks:
      - mqtt: {{ broker: {address}, topic: found/line, retain: true }}
      - mqtt: {{ broker: {address}, topic: found/cats, only: {{ labels: ["1.0.0 cat"] }} }}
""")
    wait_for(lambda: status(running, "line")["state"] == "running", what="connection")
    (tmp_path / "dog.png").write_bytes(DOG)
    broker.client("mosquitto_pub", "-t", "pictures/a", "-q", 1, "-f", tmp_path / "dog.png")
    wait_for(lambda: status(running, "line")["sinks"][0]["delivered"] == 1, what="delivery")
    heard = broker.client("mosquitto_sub", "-t", "found/line", "-C", 1, "-W", 20, capture_output=True)
    event = json.loads(heard.stdout)
    assert event["source"] == "pictures/a" and event["results"][0]["classes"][0]["label"] == "1.0.0 dog"
    assert status(running, "line")["sinks"][1]["delivered"] == 0

    # The broker goes and comes back; what is sent while it has the device's session arrives.
    broker.stop()
    wait_for(lambda: status(running, "line")["state"] == "waiting", what="loss noticed")
    broker.start()
    broker.client("mosquitto_pub", "-t", "pictures/b", "-q", 1, "-f", tmp_path / "dog.png")
    wait_for(lambda: status(running, "line")["predicted"] == 2, what="message after the broker is back")
    wait_for(lambda: status(running, "line")["sinks"][0]["delivered"] == 2, what="second delivery")
    # And what is sent while the agent is away.
    assert running.stop() == 0
    broker.client("mosquitto_pub", "-t", "pictures/c", "-q", 1, "-f", tmp_path / "dog.png")
    (tmp_path / "agent.log").unlink()
    again = agent((tmp_path / "edge_config.yaml").read_text())
    wait_for(lambda: status(again, "line")["predicted"] == 1, what="message that waited for the agent")
    text = again.request("/metrics")[1].decode()
    assert 'verge_pipeline_events_total{kind="mqtt",pipeline="line",result="delivered",sink="0"}' in text


def test_a_wrong_password_is_named(agent, tmp_path, broker):
    (tmp_path / "broker.txt").write_text("device:wrong\n")
    running = start(agent, tmp_path, f"""
  - name: line
    source: {{ mqtt: {{ broker: {{ host: 127.0.0.1, port: {broker.port}, credentials: broker.txt }}, topic: a }} }}
    models: [{{ model: fake }}]
    sinks: [{{ json_lines: {{ path: out.jsonl }} }}]
""")
    running.wait("Connection Refused: not authorised")
    assert "wrong" not in running.log


def test_a_broker_with_tls_that_comes_after_the_agent(agent, tmp_path):
    late = Broker(tmp_path, tls=True)
    (tmp_path / "broker.txt").write_text("device:se:cret\n")

    def sink(authority):
        return (f"{{ broker: {{ host: 127.0.0.1, port: {late.port}, credentials: broker.txt, client_id: {authority}, "
                f"tls: {{ authority: broker/{authority}.pem }} }}, topic: found }}")
    running = start(agent, tmp_path, f"""
  - name: gate
    source: {{ http: }}
    models: [{{ model: fake }}]
    sinks: [{{ mqtt: {sink("authority")} }}, {{ mqtt: {sink("stranger")} }}]
""")
    assert running.request("/pipelines/gate/samples", DOG)[0] == 202
    wait_for(lambda: status(running, "gate")["predicted"] == 1, what="prediction without a broker")
    assert [entry["waiting"] for entry in status(running, "gate")["sinks"]] == [1, 1]
    late.start()
    try:
        wait_for(lambda: status(running, "gate")["sinks"][0]["delivered"] == 1, what="delivery")
        sinks = status(running, "gate")["sinks"]
        assert sinks[0]["waiting"] == 0 and sinks[1]["delivered"] == 0 and sinks[1]["waiting"] == 1
        assert running.stop() == 0
    finally:
        late.stop()


def test_samples_are_posted_and_findings_are_posted_on(agent, tmp_path, hook):
    running = start(agent, tmp_path, f"""
  - name: gate
    source: {{ http: }}
    queue: 2
    models: [{{ model: fake }}]
    sinks: [{{ webhook: {{ url: "{hook.url}" }} }}]
""", delay_ms=50)
    answers = [running.request("/pipelines/gate/samples", DOG) for _ in range(12)]
    taken = sum(code == 202 for code, _ in answers)
    assert {code for code, _ in answers} == {202, 503} and "raise its 'queue'" in answers[-1][1].decode()
    wait_for(lambda: len(hook.events) == taken, what="events")
    assert [event["frame"] for event in hook.events] == list(range(taken))
    hook.status = 503
    assert running.request("/pipelines/gate/samples", DOG)[0] == 202
    running.wait("answers 503; it is tried again")
    hook.status = 200
    wait_for(lambda: len(hook.events) == taken + 1, what="event that was tried again")
    assert status(running, "gate")["sinks"][0] == {"kind": "webhook", "delivered": taken + 1, "dropped": 0, "waiting": 0}
    assert running.request("/pipelines/gate/samples", b"")[0] == 400
    assert running.request("/pipelines/gate/samples")[0] == 405
    assert running.request("/pipelines/nowhere/samples", DOG)[0] == 404
    assert running.request("/pipelines/gate/samples", b"no picture")[0] == 202
    wait_for(lambda: status(running, "gate")["failed"] == 1, what="bad sample counted")


def test_a_preview_shows_what_is_found(agent, tmp_path, data):
    running = start(agent, tmp_path, f"""
  - name: clip
    source: {{ video: {{ path: {data}/video/bikes.mp4, paced: true, loop: true }} }}
    models: [{{ model: fake }}]
    sinks: [{{ preview: {{ max_rate_hz: 20 }} }}, {{ video: {{ path: seen.mp4 }} }}]
""")
    code, still = running.request("/pipelines/clip/preview.jpg")
    assert code == 200 and still[:3] == b"\xff\xd8\xff"
    with urllib.request.urlopen(running.url + "/pipelines/clip/preview.mjpeg", timeout=20) as stream:
        assert stream.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=picture"
        for _ in range(5):
            assert stream.readline() == b"--picture\r\n" and b"image/jpeg" in stream.readline()
            size = int(stream.readline().split()[1])
            assert stream.readline() == b"\r\n" and stream.read(size)[:2] == b"\xff\xd8" and stream.readline() == b"\r\n"
    code, page = running.request("/pipelines", headers={"Accept": "text/html"})
    assert code == 200 and b"Pipelines of this device" in page
    assert running.json("/pipelines")[1]["pipelines"][0]["preview"] is True
    # Viewers that leave, and one that never reads, hold nothing up.
    slow = urllib.request.urlopen(running.url + "/pipelines/clip/preview.mjpeg", timeout=20)
    before = status(running, "clip")["predicted"]
    wait_for(lambda: status(running, "clip")["predicted"] > before + 30, what="progress beside a viewer that does not read")
    assert running.stop() == 0
    slow.close()
    assert (tmp_path / "seen.mp4").stat().st_size > 10_000


def test_a_single_picture_of_a_stream_is_whole_at_once(agent, tmp_path):
    """For players that look for the boundary behind it."""
    (tmp_path / "pictures").mkdir()
    running = start(agent, tmp_path, """
  - name: quiet
    source: { folder: { path: pictures, watch: true } }
    models: [{ model: fake }]
    sinks: [{ preview: }]
""")
    with urllib.request.urlopen(running.url + "/pipelines/quiet/preview.mjpeg", timeout=20) as stream:
        assert stream.readline() == b"--picture\r\n"
        (tmp_path / "pictures/one.png").write_bytes(DOG)
        assert b"image/jpeg" in stream.readline()
        size = int(stream.readline().split()[1])
        assert stream.readline() == b"\r\n" and stream.read(size)[:2] == b"\xff\xd8"
        assert stream.readline() == b"\r\n" and stream.readline() == b"--picture\r\n"


def test_an_update_interrupts_neither_source_nor_sinks(agent, tmp_path):
    camera = HttpCamera(frames=100_000, frames_per_second=50)
    try:
        running = start(agent, tmp_path, f"""
  - name: door
    source: {{ stream: {{ url: "{camera.url}" }} }}
    models: [{{ model: fake }}]
    sinks: [{{ json_lines: {{ path: out.jsonl }} }}]
""")
        out = tmp_path / "out.jsonl"
        wait_for(lambda: len(lines(out)) > 10, what="events")
        fake_package(tmp_path, "fake", "2.0.0")
        config = tmp_path / "edge_config.yaml"
        config.write_text(config.read_text().replace("fake-1.0.0", "fake-2.0.0"))
        running.process.send_signal(signal.SIGHUP)
        running.wait("reloaded")
        wait_for(lambda: lines(out)[-1]["results"][0]["version"] == "2.0.0", what="events of the new version")
        events = lines(out)
        assert camera.connections == 1 and status(running, "door")["failed"] == 0
        assert "pipeline ended" not in running.log
        frames = [event["frame"] for event in events]
        assert max(b - a for a, b in zip(frames, frames[1:])) <= 25
    finally:
        camera.close()


def test_a_cascade_on_a_real_video(agent, tmp_path, data):
    """People and bicycles are found, each is cut out and classified; another model sees the whole picture."""
    Package(data, "yolox_nano", tmp_path / "yolox")
    Package(data, "mobilenet_v2_1.0_224_quant", tmp_path / "mobilenet")
    running = agent(f"""version: 1
api: {{ port: 0 }}
models:
  - {{ package: yolox, name: detector }}
  - {{ package: mobilenet, name: classifier }}
  - {{ package: mobilenet, name: scene }}
pipelines:
  - name: street
    source: {{ video: {{ path: {data}/video/bikes.mp4 }} }}
    models:
      - model: detector
      - model: classifier
        crops: {{ of: detector, labels: [person, bicycle], min_score: 0.4, most: 3, margin: 0.1 }}
      - model: scene
    sinks:
      - json_lines: {{ path: out.jsonl }}
      - json_lines: {{ path: people.jsonl, only: {{ labels: [person], min_score: 0.6 }} }}
""")
    running.wait("pipeline ended.*predicted=250", timeout=300)
    events = lines(tmp_path / "out.jsonl")
    with_crops = 0
    for event in events:
        results = {result["model"]: result for result in event["results"]}
        assert results["scene"]["kind"] == "classes" and results["detector"]["kind"] == "boxes"
        wanted = [i for i, box in enumerate(results["detector"]["boxes"])
                  if box["label"] in ("person", "bicycle") and box["score"] >= 0.4][:3]
        crops = results.get("classifier", {"crops": []})["crops"]
        assert [crop["box"] for crop in crops] == wanted
        with_crops += bool(crops)
        for crop in crops:
            x0, y0, x1, y1 = crop["region"]
            assert 0 <= x0 < x1 <= 640 and 0 <= y0 < y1 <= 272 and crop["classes"]
    assert with_crops > 100
    assert len(lines(tmp_path / "people.jsonl")) == sum(
        any(box["label"] == "person" and box["score"] >= 0.6 for box in event["results"][0]["boxes"]) for event in events)


def test_what_cannot_be_is_refused(agent, tmp_path):
    fake_package(tmp_path, "fake", "1.0.0")
    base = "version: 1\nmodels: [{ package: fake-1.0.0 }]\npipelines:\n"
    sink = "sinks: [{ json_lines: { path: x } }]"
    for pipeline, words in (
            (f"  - {{ name: a, source: {{ http: }}, models: [{{ model: m }}, {{ model: m }}], {sink} }}", "named twice"),
            (f"  - {{ name: a, source: {{ http: }}, models: [{{ model: m, crops: {{ of: d }} }}], {sink} }}",
             "expected under 'crops: of' a model that is named before 'm'"),
            (f"  - {{ name: a, source: {{ stream: {{ url: 'file:///etc/passwd' }} }}, models: [{{ model: m }}], {sink} }}",
             "url"),
            ("  - { name: a, source: { http: }, models: [{ model: m }], sinks: [{ preview: }, { preview: }] }",
             "at most one 'preview'"),
            ("  - { name: a, source: { http: }, models: [{ model: m }], sinks: [{ video: { path: out.gif } }] }", "path"),
            ("  - { name: a, source: { http: }, models: [{ model: m }], sinks: [] }", "sinks")):
        (tmp_path / "edge_config.yaml").write_text(base + pipeline + "\n")
        done = subprocess.run([BUILD / "bin" / "verge-agent", "--config", tmp_path / "edge_config.yaml", "--check"],
                              capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr, (pipeline, done.stderr)
