"""Trains the U-Net of models/unet_fashion and writes it as ONNX.

    .venv/bin/python optimization/train_unet.py --output models/unet_fashion/model_files/model.onnx

One command, one seed, two to three minutes on two cores. The network is fully convolutional: it learns on scenes of 64 × 64
and is exported for 256 × 256, where garments keep their size in pixels. Prints the mean IoU over the classes of held-out
scenes, made of garments that the training never saw.
"""

import argparse
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import fashion_scenes

WIDTHS = (12, 24, 48)  # Channels of the encoder's levels.
BOTTOM = 64
EPSILON = 1e-3
CLASSES = len(fashion_scenes.LABELS)
BATCH, TRAINING_SIZE, EXPORT_SIZE = 16, 64, 256
SEED = 20261124


def layers():
    """(name, inputs, outputs, kernel) of each convolution, in the order of the forward pass."""
    made, last = [], 3
    for level, width in enumerate(WIDTHS):
        made += [(f"down{level}a", last, width, 3), (f"down{level}b", width, width, 3)]
        last = width
    made += [("bottom_a", last, BOTTOM, 3), ("bottom_b", BOTTOM, BOTTOM, 3)]
    last = BOTTOM
    for level in reversed(range(len(WIDTHS))):
        width = WIDTHS[level]
        made += [(f"up{level}a", last + width, width, 3), (f"up{level}b", width, width, 3)]
        last = width
    return made + [("head", last, CLASSES, 1)]


def initial_weights(random):
    """{name: (kernel, scale, bias)}; scale and bias follow a batch normalisation, but for the head's."""
    return {name: (random.normal(0, np.sqrt(2 / (k * k * i)), (k, k, i, o)).astype(np.float32), np.ones(o, np.float32),
                   np.zeros(o, np.float32)) for name, i, o, k in layers()}


def forward(weights, x, statistics=None):
    """Logits [N, H, W, CLASSES] of pictures [N, H, W, 3] in 0..1, H and W multiples of 8; and each layer's mean and
    variance, which are the batch's own unless `statistics` gives them."""
    kept, seen = [], {}

    def layer(name, x):
        kernel, scale, bias = weights[name]
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        if name == "head":
            return x + bias
        mean, variance = statistics[name] if statistics else (jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2)))
        seen[name] = (mean, variance)
        return jax.nn.relu((x - mean) * jax.lax.rsqrt(variance + EPSILON) * scale + bias)

    for level in range(len(WIDTHS)):
        x = layer(f"down{level}b", layer(f"down{level}a", x))
        kept.append(x)
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = layer("bottom_b", layer("bottom_a", x))
    for level in reversed(range(len(WIDTHS))):
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = layer(f"up{level}b", layer(f"up{level}a", jnp.concatenate([x, kept[level]], axis=-1)))
    return layer("head", x), seen


def loss(weights, pictures, classes):
    logits, seen = forward(weights, pictures)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), classes[..., None].astype(jnp.int32), axis=-1)
    # Garments cover a quarter of a scene and are what is hard to tell apart.
    return -jnp.mean(jnp.where(classes[..., None] > 0, 2.0, 1.0) * chosen), seen


@jax.jit
def step(weights, statistics, first, second, at, rate, pictures, classes):
    """One step of Adam."""
    (value, seen), gradient = jax.value_and_grad(loss, has_aux=True)(weights, pictures, classes)
    statistics = jax.tree.map(lambda s, n: 0.95 * s + 0.05 * n, statistics, seen)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
    weights = jax.tree.map(
        lambda w, m, v: w - rate * (m / (1 - 0.9**at)) / (jnp.sqrt(v / (1 - 0.999**at)) + 1e-8), weights, first, second)
    return weights, statistics, first, second, value


def train(steps):
    random = np.random.default_rng(SEED)
    weights = initial_weights(random)
    zeros = jax.tree.map(np.zeros_like, weights)
    first, second = zeros, zeros
    statistics = {name: (np.zeros(o, np.float32), np.ones(o, np.float32)) for name, _, o, _ in layers() if name != "head"}
    garments, labels = fashion_scenes.load("train")
    start = time.monotonic()
    for at in range(1, steps + 1):
        made = [fashion_scenes.scene(random, garments, labels, TRAINING_SIZE) for _ in range(BATCH)]
        rate = 4e-3 * 0.5 * (1 + np.cos(np.pi * at / steps))
        weights, statistics, first, second, value = step(weights, statistics, first, second, float(at), rate,
                                                         np.stack([p for p, _ in made]),
                                                         np.stack([c for _, c in made]))
        if at % 100 == 0 or at == steps:
            print(f"step {at}/{steps}: loss {value:.3f}, {time.monotonic() - start:.0f} s", flush=True)
    return jax.tree.map(np.asarray, weights), jax.tree.map(np.asarray, statistics)


def mean_iou(weights, statistics, count=64, size=128):
    """Mean over the classes, on scenes of held-out garments."""
    pictures, classes = fashion_scenes.scenes(SEED + 1, "t10k", count, size)
    both, either = np.zeros(CLASSES), np.zeros(CLASSES)
    run = jax.jit(lambda x: forward(weights, x, statistics)[0])
    for i in range(0, count, 8):
        found = np.argmax(run(pictures[i:i + 8]), axis=-1)
        for c in range(CLASSES):
            a, b = found == c, classes[i:i + 8] == c
            both[c] += np.sum(a & b)
            either[c] += np.sum(a | b)
    return float(np.mean(both / either))


def export(weights, statistics, path):
    """ONNX, normalisation folded into the convolutions, with input "image" [1, 3, 256, 256] in 0..1 and output "logits" [1, 6, 256, 256]."""
    nodes, initialisers = [], [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")]

    def convolution(name, x, active=True):
        kernel, scale, bias = weights[name]
        if active:
            mean, variance = statistics[name]
            scale = scale / np.sqrt(variance + EPSILON)
            kernel, bias = kernel * scale, bias - mean * scale
        initialisers.append(numpy_helper.from_array(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), name + "_kernel"))
        initialisers.append(numpy_helper.from_array(np.asarray(bias, np.float32), name + "_bias"))
        pad = kernel.shape[0] // 2
        out = name + "_sum" if active else "logits"
        nodes.append(helper.make_node("Conv", [x, name + "_kernel", name + "_bias"], [out], pads=[pad] * 4))
        if active:
            nodes.append(helper.make_node("Relu", [out], [name]))
        return name

    kept, x = [], "image"
    for level in range(len(WIDTHS)):
        x = convolution(f"down{level}b", convolution(f"down{level}a", x))
        kept.append(x)
        nodes.append(helper.make_node("MaxPool", [x], [x + "_pool"], kernel_shape=[2, 2], strides=[2, 2]))
        x += "_pool"
    x = convolution("bottom_b", convolution("bottom_a", x))
    for level in reversed(range(len(WIDTHS))):
        nodes.append(helper.make_node("Resize", [x, "", "scales"], [x + "_large"], mode="nearest",
                                      coordinate_transformation_mode="asymmetric", nearest_mode="floor"))
        nodes.append(helper.make_node("Concat", [x + "_large", kept[level]], [f"join{level}"], axis=1))
        x = convolution(f"up{level}b", convolution(f"up{level}a", f"join{level}"))
    convolution("head", x, active=False)
    shape = [1, 3, EXPORT_SIZE, EXPORT_SIZE]
    graph = helper.make_graph(
        nodes, "unet_fashion", [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES, EXPORT_SIZE, EXPORT_SIZE])], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    weights, statistics = train(arguments.steps)
    result = {"mean_iou": round(mean_iou(weights, statistics), 4), "steps": arguments.steps, "seed": SEED}
    export(weights, statistics, arguments.output)
    arguments.output.with_suffix(".training.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
