"""Writes small seeds for the processing fuzz targets: make_processing_seeds.py FOLDER (needs Pillow)."""

import io
import pathlib
import struct
import sys

from PIL import Image

PRE = [
    "{version: 1, sample: image, steps: [{decode: {colour: %s}}, {crop: {fraction: 0.8}}, {resize: {width: 8, height: 6, "
    "mode: %s, interpolation: %s, antialias: %s, pad: [7]}}, {normalise: {scale: 0.1, mean: [1]}}, {layout: %s}]}"
    % choice for choice in [
        ("rgb", "stretch", "bilinear", "true", "nhwc"), ("bgr", "fit", "bicubic", "false", "nchw"),
        ("grey", "letterbox", "area", "true", "nhwc"), ("rgb", "centre_crop", "nearest", "true", "nhwc")]]
PRE += ["{version: 1, sample: tensor, steps: [{normalise: {mean: [1, 2]}}, {quantise: {}}]}"]
POST = [
    "[{softmax: {}}, {top_k: {k: 3}}]", "[{dequantise: {}}, {sigmoid: {}}]",
    "[{segmentation: {method: argmax, interpolation: bilinear}}]", "[{segmentation: {method: threshold, width: 4, height: 4}}]",
    "[{segmentation: {method: labels, layout: nchw}}]", "[{ssd_detections: {}}, {score_threshold: {score: 0.1}}, {nms: {}}]",
    "[{ssd_boxes: {anchors: {layers: [2]}}}, {nms: {}}]", "[{yolo_grid: {}}, {nms: {iou: 0.5}}]",
    "[{yolo_grid: {decode: none, objectness: false, channels_first: true, activation: softmax}}]",
]
SHAPES = [  # datatype, rank, dimensions, quantised?
    bytes([0, 10, 2, 1, 5, 0]), bytes([0, 10, 4, 1, 4, 4, 3, 0]), bytes([0, 4, 3, 1, 21, 8, 1]),
    bytes([3, 10, 3, 1, 5, 4, 0, 10, 2, 1, 5, 0, 10, 2, 1, 5, 0, 10, 1, 1, 0]), bytes([1, 10, 3, 1, 12, 4, 0, 10, 3, 1, 12, 3, 0]),
]


def main():
    root = pathlib.Path(sys.argv[1])
    for kind in ("image", "preprocessing", "postprocessing", "features"):
        (root / f"fuzz_{kind}").mkdir(parents=True, exist_ok=True)
    for bits, channels, coding in ((8, 1, 1), (16, 1, 1), (16, 2, 1), (24, 1, 1), (32, 1, 1), (32, 2, 3)):
        content = bytes(range(200)) * 4
        head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, coding, channels, 8000, 0, 0, bits, b"data",
                           len(content))
        (root / "fuzz_features" / f"sound{bits}-{channels}-{coding}.wav").write_bytes(head + content)
    for i, row in enumerate(('{"a": 1, "b": "x"}', '[1, "y"]', 'a,b\n1,x\n', 'b,a\r\n"y",\r\n')):
        (root / "fuzz_features" / f"row{i}").write_text(row)
    number = 0
    for mode in ("RGB", "L", "RGBA", "P", "CMYK", "LA", "1", "I;16"):
        picture = Image.effect_mandelbrot((24, 16), (-2, -1, 1, 1), 20).convert("RGB")
        picture = picture.convert("L").convert("I").convert("I;16") if mode == "I;16" else picture.convert(mode)
        for form, options in (("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("BMP", {})):
            content = io.BytesIO()
            try:
                picture.save(content, form, **options)
            except (OSError, ValueError):
                continue
            (root / "fuzz_image" / f"{number}").write_bytes(content.getvalue() + b"\x41")
            number += 1
    for i, text in enumerate(PRE):
        for rank in (b"\x0a\x04\x01\x06\x08\x03\x20\x30\x20", b"\x01\x84\x01\x06\x08\x03\x20\x30\x20", b"\x0a\x04\x01\x03\x06\x08\x20\x30\x20"):
            (root / "fuzz_preprocessing" / f"{i}-{rank[1]}-{rank[0]}-{rank[3]}").write_bytes(text.encode() + rank)
    for i, steps in enumerate(POST):
        for k, shape in enumerate(SHAPES):
            text = f"{{version: 1, steps: {steps}}}".encode()
            (root / "fuzz_postprocessing" / f"{i}-{k}").write_bytes(text + b"\0" + shape + b"\x28\x1e\x20" + bytes(range(40, 160, 3)))


if __name__ == "__main__":
    main()
