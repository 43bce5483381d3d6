"""A model in a process of its own: what happens to it happens to nobody else."""

import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

from fleet import DOG, fake_package, reason_of, running_fleet, wait_for
from inference_models import identity

INFER = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]}'


def infer(agent, model):
    return agent.json(f"/v2/models/{model}/infer", INFER)


def children(agent):
    """Processes that the agent has started, by program."""
    found = []
    for task in os.listdir(f"/proc/{agent.process.pid}/task"):
        with open(f"/proc/{agent.process.pid}/task/{task}/children") as file:
            found += file.read().split()
    return found


def serve(agent, tmp_path, *models):
    """models: (name, function, isolation)."""
    entries = []
    for name, function, isolation in models:
        identity(tmp_path, name, function=function)
        entries.append(f"{{ package: {name}{', isolation: ' + isolation if isolation else ''} }}")
    return agent(f"version: 1\napi: {{ port: 0 }}\nmodels: [{', '.join(entries)}]\n")


def test_a_crash_is_one_failed_request_and_its_neighbour_does_not_notice(agent, tmp_path):
    running = serve(agent, tmp_path, ("crashes", "crash_after 2", "{ max_restarts: 5 }"), ("steady", "identity", ""))
    assert len(children(running)) == 1
    answers = [infer(running, "crashes")[0] for _ in range(6)]
    assert answers == [200, 200, 500, 200, 200, 500]
    status, body = infer(running, "steady")
    assert status == 200 and body["outputs"][0]["data"] == [1, 2, 3, 4]
    choice = running.json("/v2/models/crashes")[1]["parameters"]["choice"]
    assert choice["process_restarts"] == 1
    assert running.stop() == 0


def test_one_that_crashes_too_often_is_given_up_and_says_so(agent, tmp_path):
    running = serve(agent, tmp_path, ("crashes", "crash_after 0", "{ max_restarts: 1 }"), ("steady", "identity", ""))
    status, body = infer(running, "crashes")
    assert status == 500 and "the model's process ended by signal 6 (Aborted)" in body["error"]
    infer(running, "crashes")
    status, body = infer(running, "crashes")
    assert status == 503 and "ended more than 1 times within 60 s; give the model another version" in body["error"]
    assert running.request("/v2/models/crashes/ready")[0] == 503
    assert running.request("/v2/models/steady/ready")[0] == 200
    index = {entry["name"]: entry for entry in running.json("/v2/repository/index", b"{}")[1]}
    assert index["crashes"]["state"] == "UNAVAILABLE" and "ended too often" in index["crashes"]["reason"]
    assert index["steady"]["state"] == "READY"


def test_a_process_that_is_killed_from_outside_comes_back(agent, tmp_path):
    running = serve(agent, tmp_path, ("isolated", "identity", "{}"))
    child, = children(running)
    os.kill(int(child), 9)
    statuses = [infer(running, "isolated")[0] for _ in range(3)]
    assert statuses[1:] == [200, 200], "the first request may still have met the dead one"


def test_a_leak_costs_the_process_and_no_request(agent, tmp_path):
    running = serve(agent, tmp_path, ("leaks", "leak 16", "{ max_memory_bytes: 100000000, max_restarts: 100 }"))
    # The memory is looked at five times a second, so that looking costs nothing.
    assert [infer(running, "leaks")[0] for _ in range(60)] == [200] * 60
    assert running.json("/v2/models/leaks")[1]["parameters"]["choice"]["process_restarts"] >= 1


def test_a_run_that_hangs_is_ended(agent, tmp_path):
    identity(tmp_path, "hangs", delay_ms=60000)
    running = agent("version: 1\napi: { port: 0 }\nmodels: [{ package: hangs, isolation: { run_timeout_ms: 200 } }]\n")
    start = time.monotonic()
    status, body = infer(running, "hangs")
    assert status == 500 and "it took more than 200 ms" in body["error"]
    assert time.monotonic() - start < 10


def test_no_process_outlives_an_agent_that_is_killed(agent, tmp_path):
    running = serve(agent, tmp_path, ("isolated", "identity", "{}"))
    child, = children(running)
    running.process.kill()
    running.process.wait()
    # Ended, or a zombie that whoever inherited it has not buried yet.
    ended = lambda: not os.path.exists(f"/proc/{child}") or " Z " in open(f"/proc/{child}/stat").read()
    wait_for(ended, 10, "end of the model's process")


def test_a_batch_of_requests_runs_together(agent, tmp_path):
    package = identity(tmp_path, "rows", shape=(-1, 4), delay_ms=50)
    running = agent(f"version: 1\napi: {{ port: 0 }}\nmodels: [{{ package: {package.name}, batching: {{ max_rows: 8 }} }}]\n")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: infer(running, "rows"), range(24)))
    assert all(status == 200 and body["outputs"][0]["data"] == [1, 2, 3, 4] for status, body in answers)
    stats = running.json("/v2/models/rows/stats")[1]["model_stats"][0]
    assert int(stats["inference_count"]) == 24 and int(stats["execution_count"]) < 24


def test_models_that_declare_more_memory_than_there_is_are_not_loaded(agent, tmp_path):
    for name in ("first", "second"):
        package = identity(tmp_path, name)
        metadata = json.loads((package / "metadata.json").read_text())
        (package / "metadata.json").write_text(json.dumps({**metadata, "budget": {"memory_bytes": 60 << 20}}))
    running = agent("version: 1\napi: { port: 0 }\nmodel_memory_bytes: 100000000\nmodels: [{ package: first }, { package: second }]\n")
    assert running.request("/v2/models/first/ready")[0] == 200
    assert running.request("/v2/models/second/ready")[0] == 404
    assert "declares 60 MiB, and the models that run declare 60 MiB of the 95 MiB there are" in running.log


def test_slow_requests_are_logged_with_their_stages(agent, tmp_path):
    identity(tmp_path, "slow", delay_ms=30)
    identity(tmp_path, "quick")
    running = agent("version: 1\napi: { port: 0 }\nlogging: { slow_request_ms: 20 }\nmodels: [{ package: slow }, { package: quick }]\n")
    for model in ("slow", "quick"):
        assert infer(running, model)[0] == 200
    line = running.wait(r"slow request.*", 5)[0]
    assert "model=slow" in line and float(re.search(r"infer_ms=([\d.]+)", line)[1]) >= 30
    assert "model=quick" not in line


def test_a_deployed_version_that_is_given_up_is_rolled_back(tmp_path):
    with running_fleet(tmp_path) as fleet:
        device = fleet.device("cam-1", "isolation: { max_restarts: 0 }\n")
        fleet.push(fake_package(tmp_path, "animals", "1.0.0"))
        fleet.deploy("animals@1.0.0")
        fleet.push(fake_package(tmp_path, "animals", "2.0.0", function="crash_after 100"))
        deployment, devices, _ = fleet.deploy("animals@2.0.0")
        assert devices["cam-1"]["state"] == "committed"
        versions = []
        end = time.monotonic() + 60
        while time.monotonic() < end and versions[-1:] != ["1.0.0"]:
            if version := device.version("animals"):
                versions.append(version)
        assert versions[0] == "2.0.0" and versions[-1] == "1.0.0" and versions.count("2.0.0") == 100
        told = lambda: "rolled_back" in fleet.explain(deployment, "cam-1") and fleet.explain(deployment, "cam-1")
        identifier, message = reason_of(wait_for(told, 40, "report of the rollback"))
        assert identifier == "VRG-UPD-015" and "is given up: its process ended too often" in message
