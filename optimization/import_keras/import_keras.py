"""Turns a Keras or TensorFlow model into a frozen graph that an engine reads, with samples of what the source gives.

    import_keras.py SOURCE [--weights FILE] [--config FILE] [--sample FILE …] --output FOLDER

SOURCE is a frozen graph (.pb), a SavedModel folder, a whole Keras model (.h5, .keras), or a Keras configuration (.json,
.yaml) with --weights.
A graph with --weights and --config is compared with the model that those two make. FOLDER gets model.pb, the samples
(little-endian, row-major) and report.json. What is refused stands in report.json as {"error": …} with exit status 2.

Nothing of the model is code: layers with Python functions in them are refused, and so are operators that touch files.
`verge package init` runs this in an environment of its own (requirements.txt).
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

CONFIG_LIMIT_BYTES = 64 << 20
ABSOLUTE, RELATIVE = 1e-3, 1e-3
# Of an output's largest value: where values of thousands are added up to something small, the rest of their rounding is
# what is left.
OF_LARGEST = 1e-5
SEED = 20261124
# Layers that hold code or call any function of TensorFlow by its name.
CODE_LAYERS = {"Lambda", "TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"}
# Operators that run Python, or read and write files, and those by which a SavedModel keeps its own variables.
OUTSIDE = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "LoadLibrary", "PrintV2"}
KEEPING = {"Save", "SaveV2", "SaveSlices", "Restore", "RestoreV2", "RestoreSlice", "MergeV2Checkpoints"}
# Stateful for the runtime, and harmless.
HARMLESS = {"Placeholder", "VarHandleOp", "ReadVariableOp", "StatefulPartitionedCall", "AssignVariableOp", "NoOp"}


class Refused(Exception):
    """A model that is not imported, with what was expected and what to do."""


def check_layers(config):
    """Refuses layers that are code, anywhere in a Keras configuration."""
    if isinstance(config, dict):
        if config.get("class_name") in CODE_LAYERS:
            name = (config.get("config") or {}).get("name", "?")
            raise Refused(f"layer '{name}' is a {config['class_name']}: it holds code, which is not run. Replace it by "
                          "layers of Keras, or save the model as a frozen graph or SavedModel yourself")
        for value in config.values():
            check_layers(value)
    elif isinstance(config, list):
        for value in config:
            check_layers(value)


def called_by(node, functions):
    """Functions of the library that a node runs."""
    names = {node.op} | {value.func.name for value in node.attr.values()}
    names |= {function.name for value in node.attr.values() for function in value.list.func}
    return names & functions.keys()


def check_operators(graph_def):
    """Refuses operators that reach out of the graph, in what it runs."""
    from tensorflow.python.framework import op_def_registry
    functions = {function.signature.name: function for function in graph_def.library.function}
    waiting, seen = list(graph_def.node), set()
    while waiting:
        node = waiting.pop()
        called = called_by(node, functions) - seen
        seen |= called
        for name in called:
            waiting += functions[name].node_def
        if node.op in functions:
            continue
        definition = op_def_registry.get(node.op)
        if definition is None:
            raise Refused(f"node '{node.name}' is a '{node.op}', which TensorFlow does not know")
        if node.op in OUTSIDE | KEEPING or (definition.is_stateful and node.op not in HARMLESS):
            raise Refused(f"node '{node.name}' is a '{node.op}': a model may only compute. Remove it, and freeze the "
                          "graph for inference")


def read_config(path):
    """A Keras configuration, JSON or YAML, as the text that Keras reads."""
    if path.stat().st_size > CONFIG_LIMIT_BYTES:
        raise Refused(f"'{path}' is larger than 64 MiB: expected a Keras configuration")
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".json":
            config = json.loads(text)
        else:
            import yaml

            class Loader(yaml.SafeLoader):
                """Keras wrote tuples by a tag of Python's; nothing else of that kind is read."""

            Loader.add_constructor("tag:yaml.org,2002:python/tuple", Loader.construct_sequence)
            config = yaml.load(text, Loader)  # noqa: S506: a SafeLoader
    except Exception as error:
        raise Refused(f"'{path}' cannot be read: {error}") from error
    if not isinstance(config, dict) or "class_name" not in config or "config" not in config:
        raise Refused(f"'{path}' is no Keras configuration: expected 'class_name' and 'config', as model.to_json() writes")
    check_layers(config)
    return json.dumps(config)


def keras_of(path):
    """The Keras that reads a file: .keras is of version 3, what is older is read by tf_keras as well."""
    if path.suffix == ".keras":
        import keras
        return keras
    import tf_keras
    return tf_keras


def load_whole(path):
    keras = keras_of(path)
    if path.suffix != ".keras":
        import h5py
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
        if config is None:
            raise Refused(f"'{path}' holds weights alone: give the configuration too (--config model_config.yaml)")
        check_layers(json.loads(config))
    return keras.models.load_model(path, compile=False, safe_mode=True)


def load_parts(config, weights):
    keras = keras_of(weights)
    model = keras.models.model_from_json(read_config(config))
    model.load_weights(weights)
    return model


def freeze(model):
    """The frozen graph of a Keras model, and a function that runs the model itself."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name="input" if len(model.inputs) == 1 else f"input{i}")
             for i, tensor in enumerate(model.inputs)]
    single = len(specs) == 1
    function = tf.function(lambda *inputs: model(inputs[0] if single else list(inputs), training=False))
    concrete = function.get_concrete_function(*specs)
    check_operators(concrete.graph.as_graph_def())
    frozen = convert_variables_to_constants_v2(concrete)

    def run(*inputs):
        result = concrete(*[tf.constant(value) for value in inputs])
        return [value.numpy() for value in tf.nest.flatten(result)]

    return frozen.graph.as_graph_def(), run


def read_graph(path):
    import tensorflow as tf
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(path.read_bytes())
    except Exception as error:
        raise Refused(f"'{path}' is no frozen graph: {error}") from error
    if not graph_def.node:
        raise Refused(f"'{path}' is no frozen graph: it has no nodes")
    check_operators(graph_def)
    return graph_def


def ends_of(graph_def):
    """Placeholders, and nodes that nobody reads."""
    read = {source.split(":")[0].lstrip("^") for node in graph_def.node for source in node.input}
    inputs = [node.name for node in graph_def.node if node.op == "Placeholder"]
    outputs = [node.name for node in graph_def.node
               if node.name not in read and node.op not in ("Placeholder", "Const", "NoOp", "Assert")]
    if not inputs or not outputs:
        raise Refused("the graph has no placeholder to give a sample to, or nothing comes out of it")
    return inputs, outputs


def run_graph(graph_def, inputs, outputs):
    """A function that runs a frozen graph."""
    import tensorflow as tf
    function = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
    pruned = function.prune([function.graph.as_graph_element(name + ":0") for name in inputs],
                            [function.graph.as_graph_element(name + ":0") for name in outputs])

    def run(*values):
        return [value.numpy() for value in tf.nest.flatten(pruned(*[tf.constant(value) for value in values]))]

    return run, pruned.inputs


def run_saved_model(path):
    """A function that runs a SavedModel's signature, with the names of its inputs and outputs."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2
    description = saved_model_pb2.SavedModel()
    try:
        description.ParseFromString((path / "saved_model.pb").read_bytes())
    except Exception as error:
        raise Refused(f"'{path}' is no SavedModel: {error}") from error
    for graph in description.meta_graphs:
        check_saved_operators(graph.graph_def)
    loaded = tf.saved_model.load(str(path))
    function = loaded.signatures.get("serving_default")
    if function is None:
        raise Refused(f"'{path}' has no signature 'serving_default'; it has: {', '.join(loaded.signatures) or 'none'}")
    check_operators(function.graph.as_graph_def())
    names = list(function.structured_input_signature[1])
    outputs = list(function.structured_outputs)

    def run(*values):
        results = function(**{name: tf.constant(value) for name, value in zip(names, values)})
        return [results[name].numpy() for name in outputs]

    tensors = [function.structured_input_signature[1][name] for name in names]
    return run, tensors, names, outputs


def check_saved_operators(graph_def):
    """Nothing in a SavedModel may reach outside, whether its signature runs it or not: it is looked at before loading."""
    nodes = list(graph_def.node) + [node for function in graph_def.library.function for node in function.node_def]
    for node in nodes:
        if node.op in OUTSIDE:
            raise Refused(f"node '{node.name}' is a '{node.op}': a model may only compute")


def shape_of(tensor):
    if tensor.shape.rank is None:
        raise Refused(f"input '{tensor.name}' says nothing of its shape: an engine must know it")
    return [1 if size is None else size for size in tensor.shape.as_list()]


def make_samples(tensors, given):
    """Rows of inputs: what the user gave, then random values of the usual ranges, always the same."""
    import numpy
    random = numpy.random.default_rng(SEED)
    shapes = [shape_of(tensor) for tensor in tensors]
    types = [tensor.dtype.as_numpy_dtype for tensor in tensors]
    for path in given:
        values = numpy.load(path, allow_pickle=False) if path.suffix == ".npy" else numpy.fromfile(path, types[0])
        if len(tensors) != 1 or values.size != numpy.prod(shapes[0]):
            raise Refused(f"sample '{path}' has {values.size} values, the model takes the shape {shapes[0]}")
        yield path.name, [values.astype(types[0]).reshape(shapes[0])]
    makers = {"zeros": lambda shape: numpy.zeros(shape), "0 to 1": lambda shape: random.random(shape),
              "normal": random.standard_normal, "-1 to 1": lambda shape: random.random(shape) * 2 - 1,
              "0 to 255": lambda shape: random.integers(0, 256, shape)}
    for name, make in makers.items():
        yield name, [numpy.asarray(make(shape)).astype(dtype) for shape, dtype in zip(shapes, types)]


def absolute_tolerance(values):
    import numpy
    largest = max((float(numpy.abs(value.astype("float64")).max()) for value in values if value.size), default=0.0)
    return max(ABSOLUTE, OF_LARGEST * largest)


def difference(got, wanted):
    """Largest difference, and by how much it passes the tolerance (1 is the limit)."""
    import numpy
    largest = worst = 0.0
    absolute = absolute_tolerance(wanted)
    for a, b in zip(got, wanted, strict=True):
        if a.shape != b.shape:
            raise Refused(f"an output has the shape {list(a.shape)} in place of {list(b.shape)}")
        away = numpy.abs(a.astype("float64") - b.astype("float64"))
        if away.size and not numpy.isfinite(away).all():
            return float("inf"), float("inf")
        if away.size:
            largest = max(largest, float(away.max()))
            worst = max(worst, float((away / (absolute + RELATIVE * numpy.abs(b.astype("float64")))).max()))
    return largest, worst


def run_reference(reference, values):
    try:
        return reference(*values)
    except Exception as error:
        raise Refused("the model that the weights and their configuration make cannot take what the graph takes "
                      f"({[list(value.shape) for value in values]}): are they of the same model?") from error


def import_model(arguments):
    source = arguments.source
    parts = arguments.config and arguments.weights
    reference = None
    graph_def = None
    if source.is_dir():
        if arguments.weights or arguments.config:
            raise Refused("a SavedModel holds its weights: leave --weights and --config out")
        run, input_tensors, inputs, outputs = run_saved_model(source)
    elif source.suffix == ".pb":
        graph_def = read_graph(source)
        if parts:
            reference = freeze(load_parts(arguments.config, arguments.weights))[1]
        elif arguments.weights or arguments.config:
            raise Refused("weights say nothing without their configuration: give both --weights and --config, or neither")
    elif source.suffix in (".json", ".yaml", ".yml"):
        if not arguments.weights:
            raise Refused(f"'{source}' has no weights: give them by --weights model_weights.h5")
        graph_def, reference = freeze(load_parts(source, arguments.weights))
    elif source.suffix in (".h5", ".hdf5", ".keras"):
        model = load_parts(arguments.config, source) if arguments.config else load_whole(source)
        graph_def, reference = freeze(model)
    else:
        raise Refused(f"'{source}' is none of .pb, .h5, .keras, .json and .yaml")
    if graph_def is not None:
        inputs, outputs = ends_of(graph_def)
        run, input_tensors = run_graph(graph_def, inputs, outputs)
    report = {"inputs": inputs, "outputs": outputs, "samples": [],
              "largest_difference": 0.0, "compared_with": "TensorFlow" if reference is None else "Keras"}
    for name, values in make_samples(input_tensors, arguments.sample):
        results = run(*values)
        wanted = results if reference is None else run_reference(reference, values)
        largest, worst = difference(results, wanted)
        report["largest_difference"] = max(report["largest_difference"], largest)
        if worst > 1:
            raise Refused(f"the graph and the weights with their configuration are not the same model: on sample '{name}' "
                          f"they differ by {largest:.6g}, allowed are {absolute_tolerance(wanted):.3g} + {RELATIVE} × "
                          "the value")
        report["samples"].append(write_sample(arguments.output, len(report["samples"]), name, values, wanted))
    if source.is_dir() or source.suffix == ".pb":
        report["model"] = ""  # It is what the engine reads.
    else:
        (arguments.output / "model.pb").write_bytes(graph_def.SerializeToString(deterministic=True))
        report["model"] = "model.pb"
    return report


def write_sample(folder, number, name, inputs, outputs):
    files = {"name": name, "tensors": [], "outputs": [], "absolute": absolute_tolerance(outputs), "relative": RELATIVE}
    for key, values in (("tensors", inputs), ("outputs", outputs)):
        for i, value in enumerate(values):
            file = f"{number}.{'in' if key == 'tensors' else 'out'}{i}.bin"
            value.tofile(folder / file)
            files[key].append(file)
    return files


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--sample", type=Path, action="append", default=[])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--verbose", action="store_true", help="let TensorFlow print what it likes")
    arguments = parser.parse_args()
    if not arguments.verbose:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    try:
        report = import_model(arguments)
    except Refused as refusal:
        report = {"error": str(refusal)}
    except Exception as error:  # noqa: BLE001: whatever Keras and TensorFlow raise is told, not a trace of theirs
        report = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else 'no reason'}"}
    (arguments.output / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 2 if "error" in report else 0


if __name__ == "__main__":
    sys.exit(main())
