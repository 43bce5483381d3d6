"""One check for each kind of case, the same for every model: predictions of the programs against recorded results."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy
from PIL import Image

from model_table.programs import Agent

VOID = 255  # PASCAL VOC: neither object nor background
VOC = "eval/voc_person"
WINDOW_FRAMES = 5


@dataclass
class Finding:
    """What a check saw: how many cases, what is wrong, and figures for the report."""

    count: int = 0
    faults: list = field(default_factory=list)
    figures: dict = field(default_factory=dict)

    def expect(self, right, fault):
        if not right:
            self.faults.append(fault)


@dataclass
class Subject:
    """What is looked at: a package in the programs, with the data and tolerances to judge it."""

    data: Path
    build: Path
    verge: object
    pictures: object
    tolerances: object
    apart: dict = field(default_factory=dict)  # What a table row excuses.

    @property
    def package(self):
        return self.verge.package


def golden_samples(cases, tolerances, absolute=None):
    """Golden samples of a package. `absolute` stands in where a table row says so."""
    samples = []
    for case in (c.data for c in cases):
        whole = bool(case["outputs"]) and "int" in case["outputs"][0]["dtype"]
        allowed = {"absolute": tolerances.golden_absolute, "relative": tolerances.golden_relative}
        if whole:
            allowed = {"absolute": case["max_abs_diff_vs_builtin_kernels"] + tolerances.quantised_extra, "relative": 0}
        if absolute is not None:
            allowed["absolute"] = absolute
        mask = case.get("mask")
        samples.append({"input": case["input"], "outputs": case["outputs"], "tolerance": allowed})
        if mask and not case["outputs"]:  # The result is recorded as a mask.
            wanted = re.search(r"== (\d+)", mask["post"])
            samples[-1]["mask"] = {"file": mask["reference_mask"].split(" ")[0], "min_iou": 1 - tolerances.iou,
                                   "class": int(wanted[1]) if wanted else 1}
    return samples


def check_golden(subject, cases):
    """Raw tensors in, raw tensors out, by the program's own check of a package."""
    status, out, errors = subject.verge.verify()
    finding = Finding(len(cases))
    finding.expect(status == 0, errors.strip())
    if status == 0:
        finding.expect(json.loads(out)["golden_samples"] == len(cases), f"not all replayed: {out}")
    return finding


def check_classification(subject, cases):
    """Top-1 of each picture, where the reference leads by more than the margin."""
    finding = Finding(len(cases))
    got = subject.verge.by_name(subject.pictures.of([c.data["image"] for c in cases]))
    clear = 0
    for case in (c.data for c in cases):
        first, second = case["top5"][:2]
        best = got[Path(case["image"]).name]["classes"][0]
        if first["score"] - second["score"] > subject.tolerances.margin:
            clear += 1
            finding.expect((best["class"], best["label"]) == (first["index"], first["label"]),
                           f"{case['image']}: expected {first}, got {best}")
    finding.figures = {"clear": clear}
    finding.expect(clear > 0, "no picture with a clear answer")
    return finding


def places_of(classes, wanted):
    """Best and worst place of a class, from 0, as equal scores (8-bit models have many) may stand in any order. What is
    not among the classes given may have the last one's score."""
    score = next((c["score"] for c in classes if c["class"] == wanted), None)
    least = classes[-1]["score"] if score is None else score
    best = sum(c["score"] > least for c in classes)
    return best, len(classes) if score is None else best + sum(c["score"] == least for c in classes) - 1


def check_accuracy(subject, cases):
    """Share of right answers over a data set, in the program's order or another one of equal scores."""
    finding = Finding()
    for case in (c.data for c in cases):
        folder, truth = subject.pictures.data_set(case["dataset"])
        got = subject.verge.by_name(folder)
        assert got.keys() == truth.keys()
        finding.count += len(got)
        offset = subject.package.label_offset
        for key, count in (("top1_correct", 1), ("top5_correct", 5)):
            if key not in case:
                continue
            right = sum(truth[name] - offset in [c["class"] for c in line["classes"][:count]]
                        for name, line in got.items())
            places = [places_of(line["classes"], truth[name] - offset) for name, line in got.items()]
            most, least = (sum(place[i] < count for place in places) for i in (0, 1))
            finding.figures[key] = f"{right}/{len(got)} (recorded {case[key]}, by equal scores {least}..{most})"
            near = abs(right - case[key]) <= subject.tolerances.accuracy * case["n"]
            finding.expect(near or least <= case[key] <= most,
                           f"{case['dataset']}: expected {key} {case[key]} of {case['n']}, got {right}")
    return finding


def check_predictions(subject, cases):
    """The best class of each picture of a data set; as many may differ as the accuracy may."""
    finding = Finding()
    for case in (c.data for c in cases):
        folder, _ = subject.pictures.data_set(case["dataset"])
        got = subject.verge.by_name(folder)
        assert got.keys() == case["classes"].keys()
        finding.count += len(got)
        other = [name for name, line in got.items() if line["classes"][0]["class"] != case["classes"][name]]
        finding.figures = {"same": f"{len(got) - len(other)}/{len(got)}"}
        finding.expect(len(other) <= subject.tolerances.accuracy * len(got), f"other classes for {other}")
    return finding


def overlap(got, truth, valid=None):
    """Intersection over union of two masks."""
    if valid is not None:
        got, truth = got & valid, truth & valid
    return float((got & truth).sum() / max(1, (got | truth).sum()))


def check_iou(subject, cases):
    """Overlap with the true masks, for each picture and in the mean. A row may excuse some pictures."""
    finding = Finding()
    masks = subject.verge.masks(subject.data / VOC / "JPEGImages")
    allowed, truth_class = subject.tolerances.iou, 15
    for case in (c.data for c in cases):
        assert masks.keys() == case["iou"].keys()
        values, apart = {}, {}
        for name, mask in masks.items():
            truth = numpy.array(Image.open(subject.data / VOC / "SegmentationClass" / f"{name}.png"))
            values[name] = overlap(mask == case["class"], truth == truth_class, truth != VOID)
            away = abs(values[name] - case["iou"][name])
            if away > allowed:
                apart[name] = round(away, 4)
                finding.expect(away <= subject.apart.get("most", 0),
                               f"{name}: expected IoU {case['iou'][name]}, got {values[name]:.4f}")
        mean = sum(values.values()) / len(values)
        finding.count += len(values)
        away = [abs(values[name] - case["iou"][name]) for name in values]
        finding.figures = {"mean_iou": f"{mean:.4f} (recorded {case['mean_person_iou']})",
                           "mean_away": f"{sum(away) / len(away):.4f}", "most_away": f"{max(away):.4f}", "apart": apart}
        finding.expect(len(apart) <= subject.apart.get("pictures", 0), f"{len(apart)} pictures are apart: {apart}")
        finding.expect(abs(mean - case["mean_person_iou"]) <= allowed,
                       f"expected mean IoU {case['mean_person_iou']}, got {mean:.4f}")
    return finding


def check_mask(subject, cases):
    """Overlap with the mask that the reference made, which is kept at the model's size."""
    finding = Finding(len(cases))
    for case in (c.data for c in cases):
        name = case["reference_mask"].rsplit("__", 1)[1].removesuffix(".png")
        got = subject.verge.masks(subject.data / VOC / "JPEGImages")[name] == case["class"]
        reference = Image.open(subject.data / case["reference_mask"]).resize(got.shape[::-1], Image.NEAREST)
        same = overlap(got, numpy.array(reference) > 0)
        finding.figures = {"same": f"{same:.4f}"}
        finding.expect(same >= 1 - subject.tolerances.iou, f"{name}: IoU with the reference's mask {same:.4f}")
    return finding


def check_picture_iou(subject, cases):
    """Overlap with the true mask of one picture."""
    finding = Finding(len(cases))
    for case in (c.data for c in cases):
        got = subject.verge.masks(subject.pictures.of([case["image"]]))[Path(case["image"]).stem]
        truth = numpy.array(Image.open(subject.data / case["mask"]).resize(got.shape[::-1], Image.NEAREST))
        value = overlap(got == case["class"], truth == case["mask_value_of_class"])
        finding.figures = {"iou": f"{value:.4f} (recorded {case['iou']})"}
        finding.expect(abs(value - case["iou"]) <= subject.tolerances.iou,
                       f"{case['image']}: expected IoU {case['iou']}, got {value:.4f}")
    return finding


def box_overlap(a, b):
    """Intersection over union of two boxes x0, y0, x1, y1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def compare_boxes(finding, where, expected, got, limit, tolerances):
    """Every recorded object is found, and nothing that stands out beside them."""
    left = list(got)
    for wanted in expected:
        def agrees(box):
            return (box["class"] == wanted["class"] and box["label"] == wanted["label"]
                    and abs(box["score"] - wanted["score"]) <= tolerances.score
                    and box_overlap(box["box"], wanted["box_xyxy_px"]) >= tolerances.box_iou)

        found = max(filter(agrees, left), key=lambda box: box_overlap(box["box"], wanted["box_xyxy_px"]), default=None)
        finding.expect(found is not None, f"{where}: expected {wanted}, got {left}")
        if found is not None:
            left.remove(found)
            same = box_overlap(found["box"], wanted["box_xyxy_px"])
            finding.figures["least_iou"] = min(finding.figures.get("least_iou", 1.0), round(same, 3))
    for box in left:
        finding.expect(box["score"] <= limit + tolerances.score, f"{where}: got {box}, which is not expected")
    finding.figures["objects"] = finding.figures.get("objects", 0) + len(expected)


def check_detection(subject, cases):
    """Boxes of each picture."""
    finding = Finding(len(cases))
    got = subject.verge.by_name(subject.pictures.of([c.data["image"] for c in cases]))
    for case in (c.data for c in cases):
        compare_boxes(finding, case["image"], case["objects"], got[Path(case["image"]).name]["boxes"],
                      case["threshold"], subject.tolerances)
    return finding


def check_video(subject, cases, threshold=0.5):
    """Boxes of single frames of videos."""
    finding = Finding(len(cases))
    for video in sorted({c.data["video"] for c in cases}):
        frames = {line["frame"]: line for line in subject.verge.predictions("--video", subject.data / video)}
        for case in (c.data for c in cases if c.data["video"] == video):
            compare_boxes(finding, f"{video} #{case['frame']}", case["objects"], frames[case["frame"]]["boxes"],
                          threshold, subject.tolerances)
    return finding


def _values_of_class(agent, subject, case, finding):
    dtype = "int8" if ".i8." in case["input"] else "float32"
    best = agent.predict(numpy.fromfile(subject.data / case["input"], dtype))["classes"][0]
    finding.figures = {"score": best["score"]}
    finding.expect(best["label"] == case["top1"] and abs(best["score"] - case["score"]) <= subject.tolerances.score,
                   f"expected {case['top1']} {case['score']}, got {best}")
    return 1


def _values_of_curve(agent, subject, case, finding):
    allowed = subject.tolerances.golden_absolute + subject.tolerances.quantised_extra * subject.package.output_scale
    for x, y in case["x_to_y"].items():
        got = agent.predict(numpy.array([float(x)], "float32"))["tensors"][0]["data"][0]
        finding.figures[x] = f"{got:.5f} (recorded {y})"
        finding.expect(abs(got - y) <= allowed, f"{x}: expected {y} ± {allowed:.4f}, got {got}")
    return len(case["x_to_y"])


def _values_of_windows(agent, subject, case, finding):
    """Mean square error of an autoencoder over the windows of a recording, and of the recording turned round."""
    features = numpy.fromfile(subject.data / case["input"], "float32").reshape(200, 128)
    keys = [key for key in case if key.startswith("score_mse")]
    for key in keys:
        frames = features[::-1, ::-1] if "reversed" in key else features
        errors = []
        for start in range(len(frames) - WINDOW_FRAMES + 1):
            window = numpy.ascontiguousarray(frames[start:start + WINDOW_FRAMES]).ravel()
            errors.append(numpy.mean((window - agent.predict(window)["tensors"][0]["data"]) ** 2))
        mean = float(numpy.mean(errors))
        finding.figures[key.split("(")[0]] = f"{mean:.4f} over {len(errors)} windows (recorded {case[key]})"
        allowed = subject.tolerances.golden_absolute + subject.tolerances.golden_relative * case[key]
        finding.expect(abs(mean - case[key]) <= allowed, f"{key}: expected {case[key]} ± {allowed:.4f}, got {mean}")
    return len(keys)


def check_values(subject, cases):
    """Sensor values through the agent's API."""
    finding = Finding()
    with Agent(subject.build, subject.package) as agent:
        for case in (c.data for c in cases):
            look = {"x_to_y": _values_of_curve, "top1": _values_of_class}
            read = next((look[key] for key in look if key in case), _values_of_windows)
            finding.count += read(agent, subject, case, finding)
    return finding


CHECKS = {"golden": check_golden, "classification": check_classification, "accuracy": check_accuracy,
          "predictions": check_predictions, "iou": check_iou, "mask": check_mask, "picture_iou": check_picture_iou,
          "detection": check_detection, "video": check_video, "values": check_values}
