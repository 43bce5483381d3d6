"""The Open Inference Protocol by tritonclient, over HTTP and gRPC: tensors, shared memory, streams, everything beside."""

import json
import queue
import re

import numpy as np
import pytest

from inference_models import configuration, identity

SHAPE = (1, 37632)  # 150 KB of FP32


@pytest.fixture
def served(agent, tmp_path):
    """An agent with three models, over both protocols."""
    identity(tmp_path, "big", "FP32", SHAPE)
    identity(tmp_path, "batched", "INT32", (-1, 2))
    identity(tmp_path, "half", "FP16", (1, 4))
    running = agent("version: 1\napi: { port: 0, grpc: { port: 0 }, model_control: true }\n"
                    "models: [{ package: big }, { package: batched }, { package: half }]\n")
    running.grpc = re.search(r"ready.*grpc=(\S+)", running.log)[1]
    return running


def clients(served):
    import tritonclient.grpc
    import tritonclient.http
    return [(tritonclient.http, tritonclient.http.InferenceServerClient(served.url.removeprefix("http://"))),
            (tritonclient.grpc, tritonclient.grpc.InferenceServerClient(served.grpc))]


def numbers(shape=SHAPE, dtype=np.float32):
    return np.random.default_rng(5).normal(size=shape).astype(dtype)


def infer(module, client, model, array, datatype, **options):
    tensor = module.InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return client.infer(model, [tensor], **options)


def test_tensors_go_through(served):
    for module, client in clients(served):
        array = numbers()
        answer = infer(module, client, "big", array, "FP32", request_id="é7", priority=2, timeout=5_000_000)
        assert np.array_equal(answer.as_numpy("y"), array)
        text = answer.get_response(as_json=True) if "grpc" in module.__name__ else answer.get_response()
        assert text["id"] == "é7" and text["model_name"] == "big" and text["model_version"] == "1.0.0"
        half = numbers((1, 4), np.float16)
        assert np.array_equal(infer(module, client, "half", half, "FP16").as_numpy("y"), half)
        for rows in (1, 5, 3):
            batch = np.arange(rows * 2, dtype=np.int32).reshape(rows, 2)
            assert np.array_equal(infer(module, client, "batched", batch, "INT32").as_numpy("y"), batch)


def test_json_tensors_over_http(served):
    array = numbers()
    body = {"inputs": [{"name": "x", "shape": list(SHAPE), "datatype": "FP32", "data": array.flatten().tolist()}]}
    status, answer = served.json("/v2/models/big/infer", json.dumps(body).encode())
    assert status == 200 and np.array_equal(np.array(answer["outputs"][0]["data"], np.float32), array.flatten())


def test_typed_contents_over_grpc(served):
    from tritonclient.grpc import service_pb2
    _, client = clients(served)[1]
    request = service_pb2.ModelInferRequest(model_name="batched")
    tensor = request.inputs.add(name="x", datatype="INT32", shape=[2, 2])
    tensor.contents.int_contents.extend([1, -2, 3, 4])
    answer = client._client_stub.ModelInfer(request)
    assert np.frombuffer(answer.raw_output_contents[0], np.int32).tolist() == [1, -2, 3, 4]


def test_shared_memory(served):
    import tritonclient.utils.shared_memory as shm
    for module, client in clients(served):
        array = numbers()
        region = shm.create_shared_memory_region("tensors", "/verge_test_tensors", 2 * array.nbytes)
        try:
            shm.set_shared_memory_region(region, [array])
            client.register_system_shared_memory("tensors", "/verge_test_tensors", 2 * array.nbytes)
            status = client.get_system_shared_memory_status()
            assert "verge_test_tensors" in str(status)
            tensor = module.InferInput("x", list(SHAPE), "FP32")
            tensor.set_shared_memory("tensors", array.nbytes)
            wanted = module.InferRequestedOutput("y")
            wanted.set_shared_memory("tensors", array.nbytes, offset=array.nbytes)
            answer = client.infer("big", [tensor], outputs=[wanted])
            assert answer.get_output("y") is not None
            assert np.array_equal(shm.get_contents_as_numpy(region, np.float32, SHAPE, offset=array.nbytes), array)
            client.unregister_system_shared_memory("tensors")
            with pytest.raises(Exception, match="no region 'tensors' is registered"):
                client.infer("big", [tensor], outputs=[wanted])
        finally:
            shm.destroy_shared_memory_region(region)
        assert not client.get_cuda_shared_memory_status(**({"as_json": True} if "grpc" in module.__name__ else {}))


def test_a_region_that_its_owner_shrinks_ends_one_request_and_nothing_else(served, tmp_path):
    import os
    import pathlib
    path = pathlib.Path("/dev/shm/verge_test_shrinks")
    size = SHAPE[1] * 4
    try:
        path.write_bytes(numbers().tobytes() * 2)
        register = {"key": "/verge_test_shrinks", "offset": 0, "byte_size": 2 * size}
        assert served.request("/v2/systemsharedmemory/region/r/register", json.dumps(register).encode())[0] == 200
        part = {"shared_memory_region": "r", "shared_memory_byte_size": size}
        body = {"inputs": [{"name": "x", "shape": list(SHAPE), "datatype": "FP32", "parameters": part}],
                "outputs": [{"name": "y", "parameters": {**part, "shared_memory_offset": size}}]}
        body = json.dumps(body).encode()
        assert served.request("/v2/models/big/infer", body)[0] == 200
        for shrunk in (size, 100, 0):  # The output's place is gone, then the input's.
            os.truncate(path, shrunk)
            status, text = served.json("/v2/models/big/infer", body)
            assert status == 400 and "smaller now" in text["error"]
            assert path.stat().st_size == shrunk
        path.write_bytes(numbers().tobytes() * 2)
        assert served.request("/v2/models/big/infer", body)[0] == 200
        assert served.process.poll() is None
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("change, status, said", [
    ({"key": "/verge_not_there"}, 404, "cannot be opened"), ({"key": "../etc/passwd"}, 400, "name of shm_open()"),
    ({"key": 7}, 400, "expected 'key'"), ({"byte_size": 0}, 400, "above 0"), ({"byte_size": 101}, 400, "has 100"),
    ({"offset": 2**62}, 400, "has 100"), ({"byte_size": 2**63}, 400, "whole number"),
    ({"byte_size": -1}, 400, "whole number"), ({"offset": 2**64 - 1}, 400, "whole number"), ({"byte_size": 1.5}, 400, "whole")])
def test_regions_that_are_refused(served, change, status, said):
    import pathlib
    path = pathlib.Path("/dev/shm/verge_test_refused")
    path.write_bytes(b"x" * 100)
    try:
        body = {"key": "/verge_test_refused", "offset": 0, "byte_size": 100, **change}
        got, text = served.json("/v2/systemsharedmemory/region/r/register", json.dumps(body).encode())
        assert got == status and said in text["error"], text
    finally:
        path.unlink()


def test_a_stream_answers_in_order_and_carries_its_errors(served):
    import tritonclient.grpc as triton
    _, client = clients(served)[1]
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    arrays = [np.full((2, 2), i, np.int32) for i in range(20)]
    for i, array in enumerate(arrays):
        tensor = triton.InferInput("x", [2, 2], "INT32")
        tensor.set_data_from_numpy(array)
        client.async_stream_infer("nothing" if i == 7 else "batched", [tensor], request_id=str(i))
    for i, array in enumerate(arrays):
        result, error = answers.get(timeout=20)
        if i == 7:
            assert "no model is called 'nothing'" in str(error)
        else:
            assert error is None and result.get_response().id == str(i)
            assert np.array_equal(result.as_numpy("y"), array)
    client.stop_stream()


def test_server_and_model_metadata(served):
    for module, client in clients(served):
        as_json = {"as_json": True} if "grpc" in module.__name__ else {}
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("big") and client.is_model_ready("big", "1.0.0")
        assert not client.is_model_ready("none")
        server = client.get_server_metadata(**as_json)
        assert server["name"] == "verge-agent"
        assert {"binary_tensor_data", "system_shared_memory", "statistics"} <= set(server["extensions"])
        model = client.get_model_metadata("batched", **as_json)
        assert model["versions"] == ["1.0.0"] and [int(d) for d in model["inputs"][0]["shape"]] == [-1, 2]
        config = client.get_model_config("batched", **as_json)
        config = config.get("config", config)
        assert config["name"] == "batched" and config["input"][0]["data_type"] == "TYPE_INT32"
        assert int(config.get("max_batch_size", 0)) == 0 and config["backend"] == "fake"


def test_statistics_count_what_was_done(served):
    both = clients(served)
    batch = np.zeros((3, 2), np.int32)
    for module, client in both:
        infer(module, client, "batched", batch, "INT32")
    assert served.request("/v2/models/batched/infer", b"{}")[0] == 400
    for module, client in both:
        as_json = {"as_json": True} if "grpc" in module.__name__ else {}
        (stats,) = client.get_inference_statistics("batched", **as_json)["model_stats"]
        assert int(stats["inference_count"]) == 6 and int(stats["execution_count"]) == 2
        assert int(stats["last_inference"]) > 1_700_000_000_000
        inference = stats["inference_stats"]
        assert int(inference["success"]["count"]) == 2 and int(inference["fail"]["count"]) == 1
        assert int(inference["success"]["ns"]) >= int(inference["compute_infer"]["ns"]) > 0
        (of_three,) = stats["batch_stats"]
        assert int(of_three["batch_size"]) == 3 and int(of_three["compute_infer"]["count"]) == 2
        assert len(client.get_inference_statistics(**as_json)["model_stats"]) == 3


def test_models_are_unloaded_and_loaded(served):
    for module, client in clients(served):
        grpc = "grpc" in module.__name__
        index = lambda: {m["name"]: m for m in (client.get_model_repository_index(as_json=True)["models"] if grpc
                                                else client.get_model_repository_index())}
        assert index()["half"]["state"] == "READY"
        client.unload_model("half")
        assert index()["half"]["state"] == "UNAVAILABLE" and index()["half"]["reason"] == "unloaded"
        assert not client.is_model_ready("half") and client.is_model_ready("big")
        status, ready = served.json("/v2/repository/index", b'{"ready":true}')
        assert status == 200 and "half" not in {m["name"] for m in ready}
        client.load_model("half")
        assert index()["half"]["state"] == "READY" and client.is_model_ready("half")
        with pytest.raises(Exception, match="no model is called 'none'"):
            client.load_model("none")
        with pytest.raises(Exception, match="the parameter 'config' is not served"):
            client.load_model("half", config="{}")


def test_models_are_not_controlled_unless_that_is_allowed(agent, tmp_path):
    running = agent(configuration(identity(tmp_path)))
    status, answer = running.json("/v2/repository/models/identity/unload", b"")
    assert status == 400 and "model_control: true" in answer["error"]
    assert running.request("/v2/models/identity/ready")[0] == 200


def test_grpc_errors_have_their_codes(served):
    from tritonclient.utils import InferenceServerException
    import tritonclient.grpc as triton
    _, client = clients(served)[1]

    def error(model, array, datatype, shape=None):
        tensor = triton.InferInput("x", list(shape or array.shape), datatype)
        tensor._raw_content = array.tobytes()
        with pytest.raises(InferenceServerException) as caught:
            client.infer(model, [tensor])
        return caught.value.status(), caught.value.message()

    batch = np.zeros((2, 2), np.int32)
    assert error("none", batch, "INT32")[0] == "StatusCode.NOT_FOUND"
    code, said = error("batched", batch, "FP32")
    assert code == "StatusCode.INVALID_ARGUMENT" and "expected datatype INT32, got 'FP32'; for example" in said
    assert "expected 16 bytes" in error("batched", batch[:1], "INT32", (2, 2))[1]
    assert "VRG-API-012" in error("batched", batch, "INT32", (2**40, 2))[1]
    assert "VRG-API-012" in error("batched", batch, "INT32", (-5, 2))[1]
    assert "VRG-API-012" in error("batched", batch, "INT32", [1] * 60)[1]
    assert client.is_server_live()


@pytest.mark.parametrize("switched_on", (True, False))
def test_grpc_is_loaded_only_where_it_is_switched_on(agent, tmp_path, switched_on):
    running = agent(configuration(identity(tmp_path), api="port: 0" + ", grpc: { port: 0 }" * switched_on))
    assert ("libgrpc" in open(f"/proc/{running.process.pid}/maps").read()) == switched_on
