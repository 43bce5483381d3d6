"""Versions of efficientnet_lite0 for the demo: a better one, one that is mislabelled, one that is twice as slow."""

import json
import shutil


def _copy(model, folder, version):
    shutil.copytree(model, folder)
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["version"] = version
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=2))
    return folder


def better(model, folder, version):
    """Three classes in the answer in place of five: the weights are the same, so nearly nothing has to travel."""
    made = _copy(model, folder, version)
    definition = made / "postprocessing" / "postprocessing.yaml"
    definition.write_text(definition.read_text().replace("k: 5", "k: 3"))
    golden = made / "golden" / "golden.json"
    document = json.loads(golden.read_text())
    for sample in document["samples"]:
        sample["classes"] = sample["classes"][:3]
    golden.write_text(json.dumps(document, indent=2))
    return made


def mislabelled(model, folder, version):
    """Somebody sorted the label file: every name is wrong, and only the golden samples know."""
    made = _copy(model, folder, version)
    labels = made / "postprocessing" / "labels.txt"
    labels.write_text("\n".join(sorted(labels.read_text().splitlines())) + "\n")
    return made


def slower(model, folder, version):
    """The network twice, on inputs that differ by nothing one can see, and the mean of both: right, and twice as slow."""
    import onnx
    from onnx import TensorProto, helper

    made = _copy(model, folder, version)
    path = made / "model_files" / "model.onnx"
    network = onnx.load(path)
    graph = network.graph
    source, result = graph.input[0].name, graph.output[0].name
    constants = {initializer.name for initializer in graph.initializer}
    twins = []
    for node in graph.node:
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        twin.name = f"twin/{node.name}"
        twin.input[:] = [name if name in constants or not name else f"twin/{name}" for name in node.input]
        twin.output[:] = [f"twin/{name}" for name in node.output]
        twins.append(twin)
    for node in graph.node:
        node.output[:] = ["first/result" if name == result else name for name in node.output]
        node.input[:] = ["first/result" if name == result else name for name in node.input]
    graph.initializer.append(helper.make_tensor("twin/step", TensorProto.FLOAT, [1], [1e-6]))
    graph.initializer.append(helper.make_tensor("twin/half", TensorProto.FLOAT, [1], [0.5]))
    graph.node.insert(0, helper.make_node("Add", [source, "twin/step"], [f"twin/{source}"], "twin/input"))
    graph.node.extend(twins)
    graph.node.append(helper.make_node("Add", ["first/result", f"twin/{result}"], ["both/result"], "both/sum"))
    graph.node.append(helper.make_node("Mul", ["both/result", "twin/half"], [result], "both/mean"))
    onnx.checker.check_model(network)
    onnx.save(network, path)
    return made
