"""Two made-up projects of one made-up workflow: a full run, and one that the second gate rejected."""

import json
import math
import random
from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DECLARED = """\
stages:
  look:
    desc: A look. Shows where later stages start from.
    meta: {workflow: Tidying up, role: start}
    wdir: ../..
  trial: {desc: Trial run. Tries the judge on hard cases., wdir: ../..}
  polish: {desc: Polishing. Makes the model better., meta: {role: offered}, wdir: ../..}
  evaluate: {desc: Evaluation. Compares the end with the beginning., wdir: ../..}
  gate:
    foreach: {look: x, trial: x, polish: x, evaluate: x}
    do: {wdir: ../..}
"""
STAGES = ("look", "trial", "polish", "evaluate")
# Score of the base model, at the start and of the final model.
CAPABILITIES = {"facts": (0.98, 0.953, 0.967), "arithmetic": (0.841, 0.712, 0.781), "refusal": (0.99, 0.982, 0.973)}
# (metric, value, threshold to be HIGH, threshold not to be REJECT); a gate demands nothing of some
FIGURES = {
    "look": [("heldout_loss_drop", 1.0696, "", "> 0"), ("heldout_loss", 0.8431, "", "")],
    "trial": [("validation_accuracy", 0.9031, "", "≥ 0.7"), ("adversarial_accuracy", 0.7712, "≥ 0.8", "≥ 0.6"),
              ("length_bias", -0.0413, "", "")],
    "polish": [("kl", 0.0713, "", "≤ 0.1"), ("entropy", 0.8912, "", "≥ 0.5 and ≤ 2"), ("reward_after", 0.6523, "", "")],
    "evaluate": [("retention_worst", 0.9908, "≥ 0.98", "≥ 0.95"), ("win_rate", 0.5623, "", "≥ 0.5")],
}
COUNTS = {"look": {"rows.in": 5006, "rows.kept": 5000, "rows.rejected": 6}, "polish": {"attempts": 1}}
REMEDY = "add harder cases, or more capacity"
EVIL = '<script>alert("pwned")</script><img src=x onerror=alert(1)> & "quoted"'


def estimated(value, n=480):
    half = 0.02 + 0.02 * abs(value) if abs(value) > 0.2 else abs(value) / 12
    high = min(1.0, value + half) if 0.5 < value <= 1 else value + half
    return {"value": value, "n": n, "low": round(value - half, 6), "high": round(high, 6)}


def nested(flat):
    out = {}
    for name, metric in flat.items():
        head, _, tail = name.partition(".")
        if tail:
            out.setdefault(head, {})[tail] = metric
        else:
            out[head] = metric
    return out


def of_capability(prefix, values, n=120):
    return {f"{prefix}.{c}": estimated(round(value, 6), n) for c, value in zip(CAPABILITIES, values, strict=True)}


def metrics_of(stage):
    base, start, final = zip(*CAPABILITIES.values(), strict=True)
    flat = {name: estimated(value) for name, value, *_ in FIGURES[stage]}
    flat |= {k: {"value": v, "n": v, "low": v, "high": v} for k, v in COUNTS.get(stage, {}).items()}
    if stage == "look":
        flat |= of_capability("capability", start)
    if stage == "evaluate":
        flat |= of_capability("capability", final)
        flat |= of_capability("retention", [b / a for a, b in zip(base, final, strict=True)])
    return flat


def check(metric, seen, part, text, severity):
    """A check as a gate writes it, of one part of a figure."""
    ends = [(end.split()[0], float(end.split()[1])) for end in text.split(" and ")]
    low, high = (next((x for sign, x in ends if sign in signs), None) for signs in ("≥>", "≤<"))
    observed = seen[part]
    passed = all({"≥": observed >= x, ">": observed > x, "≤": observed <= x, "<": observed < x}[s] for s, x in ends)
    return {"metric": metric, "observed": observed, "low": seen["low"], "high": seen["high"], "n": seen["n"],
            "expectation": "expect_column_values_to_be_between", "threshold": text, "min": low, "max": high,
            "severity": severity, "passed": passed, "evidence": part == "n"}


def verdict_of(stage, flat):
    checks = []
    for name, _, high, must in FIGURES[stage]:
        checks += [check(name, flat[name], "value", text, severity)
                   for text, severity in ((high, "warning"), (must, "critical")) if text]
        checks.append(check(f"{name}.n", flat[name], "n", "≥ 100", "critical"))
        checks.append(checks[-1] | {"metric": name, "observed": flat[name]["value"], "threshold": "not null",
                                    "min": None, "expectation": "expect_column_values_to_not_be_null"})
    failed = {c["severity"] for c in checks if not c["passed"]}
    tier = "REJECT" if "critical" in failed else "MEDIUM" if failed else "HIGH"
    return {"workflow": "made", "stage": stage, "tier": tier, "checks": checks, "remedy": REMEDY if failed else ""}


def curves(stage):
    rng = random.Random(stage)
    def wave(x, a, b):
        return round(a + (b - a) * (1 - math.exp(-4 * x)) + rng.uniform(-1, 1) * abs(b - a) * 0.03, 5)

    if stage == "look":
        return [{"step": s, "loss": wave(s / 400, 2.1, 0.8)}
                | ({"validation_loss": wave(s / 400, 2.2, 0.85)} if s % 50 == 0 else {}) for s in range(0, 401, 10)]
    if stage == "polish":
        return [{"step": s, "round": r, "reward": wave(s / 100, 0.6, 0.65 + r / 20), "kl": wave(s / 100, 0.0, 0.07),
                 "entropy": wave(s / 100, 1.05, 0.89)} for r in (1, 2) for s in range(0, 101, 10)]
    return []


def records(side):
    """The answers of the base model (0), at the start (1) or of the final model (2)."""
    rows = []
    for c, scores in CAPABILITIES.items():
        rng = random.Random(c)
        for i in range(120):
            right = (rng.random() < scores[0]) != (side > 0 and rng.random() < 0.06)
            rows.append({
                "example_id": f"{c}-{i:03d}", "capability": c, "slice": "held-out phrasing",
                "prompt": f"Which city is the capital of land {i}? Answer in one sentence with a source.",
                "output": f"The capital of land {i} is {'City' if right else 'Town'} {i} [{1 + side}].",
                "score": float(right), "reference": json.dumps({"answer": f"City {i}"})})
    return rows


REJECTED = [
    ("data/world/sft.parquet", 17, "duplicate", "same as row 3", "user: What is the capital of Peru?"),
    ("data/world/sft.parquet", 112, "duplicate", "same as row 81", "user: Name a noble gas."),
    ("data/world/sft.parquet", 230, "contaminated", "13-gram of evaluation row facts-017", "Which planet…"),
    ("mine.jsonl", 4, "broken_json", "expecting ',' at column 31", '{"prompt": "a" "chosen": "b"}'),
    ("mine.jsonl", 9, "empty_text", "`chosen` is empty", '{"prompt": "a", "chosen": ""}'),
    ("mine.jsonl", 11, "missing_field", "no field `rejected`", EVIL),
]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_stage(root, stage, flat):
    home = root / "metrics" / "made"
    write(home / f"{stage}.json", nested(flat))
    write(home / "gates" / f"{stage}.json", verdict_of(stage, flat))
    if curves(stage):
        write(home / "plots" / f"{stage}.json", curves(stage))
    if stage == "look":
        names = ("source", "position", "reason", "detail", "content")
        write_rows(root / "data" / "made" / stage / "rejected.parquet",
                   [dict(zip(names, row, strict=True)) for row in REJECTED])
    if stage in ("look", "evaluate"):
        write_rows(root / "data" / "made" / stage / "records.parquet", records(1 + (stage == "evaluate")))


def write_shared(root):
    """What stands there before any stage of the workflow has run: its declaration, parameters and the baseline."""
    write(root / "stages" / "made" / "dvc.yaml", DECLARED)
    write(root / "params.yaml", PARAMS)
    write(root / "metrics" / "common" / "baseline.json",
          nested(of_capability("capability", [base for base, *_ in CAPABILITIES.values()])))
    write_rows(root / "data" / "common" / "baseline" / "records.parquet", records(0))
    write(root / "dvc.yaml", "stages: {baseline: {cmd: x}, verdict: {foreach: [made], do: {cmd: x}}}")
    write(root / "dvc.lock", {"stages": {"baseline": {"deps": [WORLD], "outs": [
        {"path": "data/common/baseline", "md5": "b" * 32 + ".dir", "size": 70_000},
        {"path": "metrics/common/baseline.json", "md5": "b" * 32, "size": 700}]}}})
    write(root / "stages" / "made" / "dvc.lock", lock(STAGES))


def lock(stages):
    """A lock file as DVC writes it: every stage reads the one before and that one's acceptance."""
    entries, before = {}, WORLD
    for i, stage in enumerate(stages):
        out = {"path": f"checkpoints/made/{stage}", "md5": f"{i:x}" * 32 + ".dir", "size": 2_400_000 + i}
        figures = {"path": f"metrics/made/{stage}.json", "md5": f"{i + 8:x}" * 32, "size": 900 + i}
        entries[stage] = {"cmd": "x", "outs": [out, figures],
                          "deps": [before, {"path": f"stages/made/{stage}.py", "md5": "c" * 32, "size": 1500}]}
        entries[f"gate@{stage}"] = {
            "cmd": "x", "deps": [figures],
            "outs": [{"path": f"metrics/made/gates/{stage}.json", "md5": "d" * 32, "size": 4000 + i}]}
        before = out
    return {"schema": "2.0", "stages": entries}


WORLD = {"path": "data/world", "md5": "0" * 30 + "aa.dir", "size": 91233, "nfiles": 4}


def compared(capability, a, b, said="", part=""):
    """One capability, or slice of it, as the verdict compares it: the model (b) against an earlier one (a)."""
    drop = round((a - b) / a, 6)
    said = said or ("lost" if drop > 0.05 else "kept")
    return {"capability": capability, "slice": part, "name": f"{capability}, {part}" if part else capability, "a": a,
            "b": b, "said": said, "outcome": said, "why": "surely", "blocks": said == "lost", "worse": 3, "better": 5,
            "units": 110, "visible": 0.0871, "needed": None,
            "drop": {"value": drop, "n": 120, "low": drop - 0.03, "high": drop + 0.03}}


PARAMS = """\
model:
  base: data/base  # a directory or a hub id
made:
  seed: 7
  polish:
    kl_penalty: 0.1
    learning_rate: 1.0e-4
  data:
    pairs: null
other:
  beta: 0.3
"""


class Page(HTMLParser):
    """A parsed report: tags, ids, links, the text, and every exact figure; fails on unbalanced tags."""

    VOID = ("meta", "br", "img")

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.figures, self.words = [], [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[k] for k in ("href", "src", "xlink:href", "data", "action") if k in given]
        self.figures += [float(given["value"])] if tag == "data" else []
        if tag not in self.VOID:
            self.open.append(tag)
        self.words.append("" if tag in ("data", "span", "strong", "code", "a") else " ")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


@pytest.fixture
def page():
    """Parses a report."""
    return Page


@pytest.fixture
def change():
    """Edits a JSON file in place: `change(path, edit)`."""
    def edit_file(path, edit):
        content = json.loads(path.read_text(encoding="utf-8"))
        edit(content)
        write(path, content)
    return edit_file


@pytest.fixture
def comparison():
    """One comparison of the verdict: `comparison(capability, a, b, output)` with one example that fell."""
    def build(capability, a, b, output):
        example = {"capability": capability, "slice": "s", "example_id": "e-1", "prompt": output,
                   "score_a": 1.0, "reference": output, "output_a": output, "score_b": 0.0,
                   "output_b": output}
        return {"capabilities": [compared(capability, a, b)], "slices": [compared(capability, a, b, part="s")],
                "summary": f"kept nothing; lost: {output}", "visible": "a drop of 8.7% would have been seen",
                "examples": [example]}
    return build


@pytest.fixture
def table():
    """Writes a list of dictionaries as Parquet: `table(path, rows)`."""
    return write_rows


@pytest.fixture
def declared():
    """Declares a second workflow of that name: `declared(root, name)`."""
    return lambda root, name: write(root / "stages" / name / "dvc.yaml", DECLARED)


@pytest.fixture
def full(tmp_path):
    """All stages, every gate accepted (one with a warning), passed, one thing not known against the base model."""
    write_shared(tmp_path)
    for stage in STAGES:
        write_stage(tmp_path, stage, metrics_of(stage))
    write(tmp_path / "verdicts" / "made.json", {
        "workflow": "made", "decision": "passed", "version": "6f1c0a9be2d4", "earlier": {},
        "gates": {}, "reasons": [], "remedy": "",
        "summary": ["kept 2 of 3 capabilities against the base model; not known yet: arithmetic"],
        "warnings": ["not known yet against the base model (too few to tell): arithmetic"],
        "comparisons": {against: {"examples": [], "slices": [], "visible": "", "capabilities": [
            compared(c, scores[i], scores[2], "not known, too few to tell" if c == "arithmetic" else "kept")
            for c, scores in CAPABILITIES.items()]}
            for i, against in ((1, "start"), (0, "baseline"))}})
    return tmp_path


@pytest.fixture
def rejected(tmp_path):
    """The judge guesses: the gate of its trial says no. An earlier run left files of later stages behind."""
    write_shared(tmp_path)
    write_stage(tmp_path, "look", metrics_of("look"))
    write_stage(tmp_path, "trial", metrics_of("trial") | {
        "validation_accuracy": {"value": 0.541667, "n": 240, "low": 0.478543, "high": 0.603471}})
    write(tmp_path / "metrics" / "made" / "polish.json", nested({"kl": estimated(0.777777)}))
    write(tmp_path / "verdicts" / "made.json", {"decision": "passed"})
    return tmp_path
