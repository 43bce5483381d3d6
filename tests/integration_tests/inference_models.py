"""Models of the engine 'fake' for tests of the inference API, which need no real one."""

import json


def identity(folder, name="identity", datatype="FP32", shape=(1, 4), delay_ms=0, function="identity"):
    """A package whose output y is its input x."""
    package = folder / name
    (package / "model_files").mkdir(parents=True)
    size = "[" + ",".join(map(str, shape)) + "]"
    (package / "model_files/model.fake").write_text(
        f"verge-fake 1\ninput x {datatype} {size}\noutput y {datatype} {size}\nfunction {function}\ndelay_ms {delay_ms}\n")
    tensor = {"datatype": datatype, "shape": list(shape)}
    (package / "metadata.json").write_text(json.dumps({
        "schema_version": 1, "name": name, "version": "1.0.0", "task": "tensor", "engine": "fake",
        "model": {"file": "model_files/model.fake", "format": "fake"},
        "inputs": [{"name": "x", **tensor}], "outputs": [{"name": "y", **tensor}]}))
    return package


def configuration(*packages, api="port: 0"):
    return f"version: 1\napi: {{ {api} }}\nmodels: [{', '.join('{ package: ' + p.name + ' }' for p in packages)}]\n"
