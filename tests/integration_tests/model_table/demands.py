"""What expected.json demands: its recorded results as cases of a few kinds, and what a table lacks of them."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

FORMATS = {".tflite": "tflite", ".onnx": "onnx", ".pb": "tensorflow", "": "tensorflow",  # A SavedModel is a folder.
           ".pte": "executorch", ".pt": "torchscript", ".ptl": "torchscript"}
PORTABLE_IDENTITIES = r"\(\.(\w+) and \.(\w+): the same\)"  # "x.onnx (.pt and .ptl: the same)"


@dataclass(frozen=True)
class Case:
    """Recorded results of one kind for one model; `count` of them are in `data`."""

    model: str
    kind: str
    count: int
    data: dict


@dataclass(frozen=True)
class Tolerances:
    """The figures at the top of expected.json."""

    golden_absolute: float
    golden_relative: float
    quantised_extra: float
    margin: float
    iou: float
    box_iou: float
    score: float
    accuracy: float

    @staticmethod
    def read(text):
        def number(key, pattern):
            return float(re.search(pattern, text[key])[1])

        return Tolerances(
            golden_absolute=number("golden float", r"abs ([\d.e-]+)"),
            golden_relative=number("golden float", r"rel ([\d.e-]+)"),
            quantised_extra=number("golden quantized", r"that \+ (\d+)"),
            margin=number("top1", r"margin > ([\d.]+)"),
            iou=number("iou", r"abs ([\d.]+)"),
            box_iou=number("boxes", r">= ([\d.]+)"),
            score=number("boxes", r"score abs ([\d.]+)"),
            accuracy=number("accuracy", r"abs ([\d.]+) percentage") / 100,
        )


def _model(name):
    """The file that an entry is about; some sections leave out the folder, one has a remark behind."""
    name = name.split(" ")[0]
    return name if name.startswith("models/") else "models/" + name


def _segmentation(entry):
    model, wanted = _model(entry["model"]), re.search(r"== (\d+)", entry.get("post", ""))
    if "image" in entry:
        yield Case(model, "picture_iou", 1, entry)
        return
    data = entry | {"class": int(wanted[1]) if wanted else 1}
    yield Case(model, "iou", len(entry["iou"]), data)
    if "reference_mask" in entry:
        yield Case(model, "mask", 1, data | {"reference_mask": entry["reference_mask"].split(" ")[0]})


def _audio(entry):
    scores = [key for key in entry if key.startswith("score_mse")]
    count = len(scores) or len(entry.get("x_to_y", [])) or 1
    yield Case(_model(entry["model"]), "values", count, entry)


def _efficientnet(section):
    """Results of the float network, and of its 8-bit twin, which has figures of its own."""
    for file in section["files"]:
        precision = "int8" if "int8" in file else "fp32"
        correct = section["accuracy"]["top1_correct_" + precision]
        yield Case(file, "accuracy", section["accuracy"]["n"], section["accuracy"] | {"top1_correct": correct})
        if precision == "int8":
            continue
        golden, shown = section["golden"], section["predictions_fp32"]
        yield Case(file, "golden", 1, {"input": golden["input"] | {"dtype": "float32"},
                                       "outputs": [golden["output"] | {"dtype": "float32"}]})
        for entry in section["classification"]:
            yield Case(file, "classification", 1, entry)
        yield Case(file, "predictions", len(shown), {"dataset": section["accuracy"]["dataset"], "classes": shown})


def read_cases(expected):
    """All recorded results."""
    masks = {_model(s["model"]): s for s in expected["segmentation"] if "reference_mask" in s}
    cases = [Case(_model(e["model"]), "golden", 1, e | {"mask": masks.get(_model(e["model"]))})
             for e in expected["golden"]]
    cases += [Case(_model(e["model"]), "classification", 1, e) for e in expected["classification"]]
    for entry in (e for e in expected["accuracy"] if "model" in e):
        twins = re.search(PORTABLE_IDENTITIES, entry["model"])
        model = Path(_model(entry["model"]))
        for name in [model, *(model.with_suffix("." + s) for s in (twins.groups() if twins else ()))]:
            cases.append(Case(str(name), "accuracy", entry["n"], entry))
    for entry in expected["predictions"]:
        classes = {f"{i:04}.png": c for i, c in enumerate(entry["argmax"])}
        cases.append(Case(_model(entry["model"]), "predictions", len(classes), entry | {"classes": classes}))
    for entry in expected["segmentation"]:
        cases += _segmentation(entry)
    cases += [Case(_model(e["model"]), "detection", 1, e) for e in expected["detection"]]
    cases += [Case(_model(e["model"]), "video", 1, e) for e in expected["video"]]
    recording = next(e["input"] for e in expected["audio"] if "score_mse_mean_over_196_windows" in e)
    for entry in expected["audio"]:
        cases += _audio({"input": recording} | entry)  # One entry leaves out which recording it is about.
    return cases + list(_efficientnet(expected["efficientnet_lite0"]))


def cases_again(cases, same):
    """Cases of files that hold a model of expected.json once more: [{model, as}]."""
    return [replace(case, model=entry["model"]) for entry in same for case in cases if case.model == entry["as"]]


def demanded(cases, models=()):
    """{model: {kind: count}}; `models` are there even without a result."""
    counts = {_model(model): {} for model in models}
    for case in cases:
        kinds = counts.setdefault(case.model, {})
        kinds[case.kind] = kinds.get(case.kind, 0) + case.count
    return counts


def _gaps_of(model, engine, rows, kinds):
    mine = [r for r in rows if r["model"] == model and r["engine"] == engine]
    if not mine:
        return [f"{model} on {engine}: no row"]
    if any("refused" in r for r in mine):
        alone = len(mine) == 1 and "cases" not in mine[0]
        return [] if alone else [f"{model} on {engine}: refused, and yet with cases"]
    total = {}
    for row in mine:
        for kind, count in row["cases"].items():
            total[kind] = total.get(kind, 0) + count
    if total != kinds:
        return [f"{model} on {engine}: expected {kinds}, the table requires {total}"]
    return []


def gaps(table, counts, source_of):
    """What keeps the table from being complete, as sentences. `source_of`: the model file of a package."""
    rows = [row | {"model": source_of(row["package"])} for row in table["rows"]]
    not_here = {entry["model"]: entry["reason"] for entry in table["not_here"]}
    found = []
    pairs = [(row["package"], row["engine"]) for row in rows]
    found += [f"{pair} stands twice" for pair in sorted(set(pairs)) if pairs.count(pair) > 1]
    found += [f"{row['package']}: expected.json has no {row['model']}" for row in rows if row["model"] not in counts]
    found += [f"not_here: expected.json has no {model}" for model in not_here if model not in counts]
    for model, kinds in counts.items():
        readers = [e for e, formats in table["engines"].items() if FORMATS.get(Path(model).suffix) in formats]
        for engine in readers:
            found += _gaps_of(model, engine, rows, kinds)
        runs = any(r["model"] == model and "refused" not in r for r in rows)
        if runs and model in not_here:
            found.append(f"{model} runs and is in not_here")
        if not runs and not not_here.get(model):
            found.append(f"{model} runs on no engine and is not in not_here with a reason")
        found += [f"{r['package']} on {r['engine']}: that engine does not read {model}"
                  for r in rows if r["model"] == model and r["engine"] not in readers]
    return found
