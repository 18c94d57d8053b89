"""Two made-up projects: a full run, and one that the reward model's gate rejected."""

import json
import math
import random
from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

STAGES = ("sft", "preference_data", "reward_model", "reward_validation", "rl", "iterate", "evaluate")
CAPABILITIES = {"facts": (0.953, 0.967), "grounded": (0.908, 0.914), "arithmetic": (0.712, 0.781),
                "refusal": (0.982, 0.973), "format": (0.964, 0.971)}
FIGURES = {
    "sft": {"heldout_loss": 0.8431, "base_heldout_loss": 1.9127, "heldout_loss_drop": 1.0696},
    "preference_data": {"preference_gap": 0.4312, "decontamination": 0.9981, "data_quality": 0.9533,
                        "agreement_rate": 0.9612, "kappa": 0.9218},
    "reward_model": {"train_accuracy": 0.9316, "validation_accuracy": 0.9031, "validation_loss": 0.2637},
    "reward_validation": {"train_accuracy": 0.9316, "validation_accuracy": 0.9012,
                          "train_validation_gap": 0.0304, "ood_accuracy": 0.8321,
                          "adversarial_accuracy": 0.7712, "consistency": 0.9414,
                          "margin_gap_correlation": 0.5123, "length_bias": -0.0413,
                          "accuracy_by_type.factual": 0.9341, "accuracy_by_type.citation": 0.8613},
    "rl": {"kl": 0.0713, "entropy": 0.8912, "reward_before": 0.1312, "reward_after": 0.6523,
           "reward_gain": 0.5211, "score_gain": 0.0321},
    "iterate": {"reward_gain": 0.1034, "score_gain": 0.0113, "kl": 0.0912, "entropy": 0.8431},
    "evaluate": {"retention_worst": 0.9908, "retention_mean": 1.0273, "win_rate": 0.5623, "kl": 0.0912,
                 "entropy": 0.8431, "reward_accuracy": 0.8987, "reward_accuracy_drop": 0.0025},
}
COUNTS = {
    "sft": {"rows.in": 5006, "rows.kept": 5000, "rows.rejected": 6}, "rl": {"attempts": 1},
    "preference_data": {"pairs": 1432, "rows.in": 1439, "rows.kept": 1432, "rows.rejected": 7},
    "iterate": {"rounds": 3, "best_round": 2, "rolled_back": 1}, "evaluate": {"regressions": 0},
}
# (metric, threshold to be HIGH, threshold not to be REJECT)
DEMANDS = {
    "sft": [("heldout_loss_drop", None, "> 0")],
    "preference_data": [("preference_gap", "≥ 0.15", "≥ 0.1"), ("pairs", None, "≥ 1000"),
                        ("decontamination", None, "≥ 0.9"), ("data_quality", "≥ 0.8", "≥ 0.7")],
    "reward_model": [("train_accuracy", None, "≥ 0.7"), ("validation_accuracy", None, "≥ 0.7")],
    "reward_validation": [("validation_accuracy", None, "≥ 0.7"), ("train_validation_gap", None, "< 0.1"),
                          ("consistency", "≥ 0.8", "≥ 0.7"), ("adversarial_accuracy", "≥ 0.8", "≥ 0.6")],
    "rl": [("kl", None, "≤ 0.1"), ("entropy", None, "≥ 0.5 and ≤ 2"), ("reward_gain", None, "> 0")],
    "iterate": [("score_gain", None, "≥ 0"), ("kl", None, "≤ 0.1")],
    "evaluate": [("retention_worst", "≥ 0.98", "≥ 0.95"), ("win_rate.low", None, "> 0.5"),
                 ("kl", None, "≤ 0.1")],
}
REMEDIES = {"reward_validation": "add harder pairs of the weakest preference type",
            "reward_model": "better pairs (raise srf.preference_data.samples) or more capacity"}
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


def metrics_of(stage):
    flat = {k: estimated(v) for k, v in FIGURES[stage].items()}
    flat |= {k: {"value": v, "n": v, "low": v, "high": v} for k, v in COUNTS.get(stage, {}).items()}
    if stage == "sft":
        flat |= {f"capability.{c}": estimated(before, 120) for c, (before, _) in CAPABILITIES.items()}
    if stage == "evaluate":
        flat |= {f"capability.{c}": estimated(after, 120) for c, (_, after) in CAPABILITIES.items()}
        flat |= {f"retention.{c}": estimated(round(a / b, 6), 120) for c, (b, a) in CAPABILITIES.items()}
    return flat


def holds(text, value):
    signs = {"≥": float.__ge__, ">": float.__gt__, "≤": float.__le__, "<": float.__lt__}
    return all(signs[p.split()[0]](float(value), float(p.split()[1])) for p in text.split(" and "))


def bounds(text):
    """"≥ 0.5 and ≤ 2" as a verdict's numbers."""
    ends = {"max" if part[0] in "≤<" else "min": float(part[2:]) for part in text.split(" and ")}
    return {"min": None, "max": None} | ends


def verdict_of(stage, flat):
    checks = []
    for name, high, must in DEMANDS[stage]:
        base, _, part = name.rpartition(".") if name.endswith(".low") else (name, "", "value")
        seen = flat[base]
        for text, severity in ((high, "warning"), (must, "critical")):
            if text:
                checks.append({"metric": name, "observed": seen[part], "low": seen["low"],
                               "high": seen["high"], "n": seen["n"],
                               "expectation": "expect_column_values_to_be_between",
                               "threshold": text, **bounds(text), "severity": severity,
                               "passed": holds(text, seen[part]), "evidence": False})
        checks.append(checks[-1] | {"metric": f"{base}.n", "observed": seen["n"], "threshold": "≥ 100",
                                    "min": 100, "max": None, "severity": "critical", "passed": True,
                                    "evidence": True})
        checks.append(checks[-1] | {"metric": base, "observed": seen["value"], "threshold": "not null",
                                    "min": None, "expectation": "expect_column_values_to_not_be_null"})
    failed = {c["severity"] for c in checks if not c["passed"]}
    tier = "REJECT" if "critical" in failed else "MEDIUM" if failed else "HIGH"
    return {"workflow": "srf", "stage": stage, "tier": tier, "checks": checks,
            "remedy": REMEDIES.get(stage, "") if tier != "HIGH" else ""}


def curves(stage):
    rng = random.Random(stage)
    def wave(x, a, b):
        return round(a + (b - a) * (1 - math.exp(-4 * x)) + rng.uniform(-1, 1) * abs(b - a) * 0.03, 5)

    if stage in ("sft", "reward_model"):
        return [{"step": s, "loss": wave(s / 400, 2.1, 0.8), "learning_rate": round(1e-3 * (1 - s / 500), 6)}
                | ({"validation_loss": wave(s / 400, 2.2, 0.85)} if s % 50 == 0 else {})
                | ({"validation_accuracy": wave(s / 400, 0.5, 0.9)} if stage == "reward_model" and s % 50 == 0
                   else {}) for s in range(0, 401, 10)]
    if stage == "rl":
        return [{"step": s, "loss": wave(s / 200, 0.4, 0.1), "reward": wave(s / 200, 0.13, 0.65),
                 "kl": wave(s / 200, 0.0, 0.07), "entropy": wave(s / 200, 1.05, 0.89)}
                for s in range(0, 201, 5)]
    if stage == "iterate":
        return [{"step": s, "round": r, "reward": wave(s / 100, 0.6, 0.65 + r / 20),
                 "kl": wave(s / 100, 0.06, 0.09)}
                for r in (1, 2, 3) for s in range(0, 101, 10)]
    return []


def records(side):
    rows = []
    for c, scores in CAPABILITIES.items():
        rng = random.Random(c)
        for i in range(120):
            right = rng.random() < scores[0]
            if side and rng.random() < 0.06:
                right = not right
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
    home = root / "metrics" / "srf"
    write(home / f"{stage}.json", nested(flat))
    write(home / "gates" / f"{stage}.json", verdict_of(stage, flat))
    if curves(stage):
        write(home / "plots" / f"{stage}.json", curves(stage))
    dropped = {"sft": REJECTED, "preference_data": [*REJECTED, ("samples", 31, "identical_sides", "", "x")]}
    if stage in dropped:
        names = ("source", "position", "reason", "detail", "content")
        write_rows(root / "data" / "srf" / stage / "rejected.parquet",
                   [dict(zip(names, row, strict=True)) for row in dropped[stage]])
    if stage in ("sft", "evaluate"):
        write_rows(root / "data" / "srf" / stage / "records.parquet", records(stage == "evaluate"))


def lock(stages):
    """A lock file as DVC writes it: every stage reads the one before and that one's acceptance."""
    entries, before = {}, {"path": "data/world", "md5": "0" * 30 + "aa.dir", "size": 91233, "nfiles": 4}
    for i, stage in enumerate(stages):
        out = {"path": f"checkpoints/srf/{stage}", "md5": f"{i:x}" * 32 + ".dir", "size": 2_400_000 + i}
        figures = {"path": f"metrics/srf/{stage}.json", "md5": f"{i + 8:x}" * 32, "size": 900 + i}
        entries[stage] = {"cmd": f"python -m stages.srf.{stage}", "outs": [out, figures],
                          "deps": [before, {"path": f"stages/srf/{stage}.py", "md5": "c" * 32, "size": 1500}]}
        entries[f"gate_{stage}"] = {
            "cmd": f"python -m realign.gates srf {stage}", "deps": [figures],
            "outs": [{"path": f"metrics/srf/gates/{stage}.json", "md5": "d" * 32, "size": 4000 + i}]}
        before = out
    return {"schema": "2.0", "stages": entries}


def compared(capability, a, b):
    """One capability as the release compares it: the model (b) against an earlier one (a)."""
    drop = round((a - b) / a, 6)
    return {"capability": capability, "slice": "", "a": a, "b": b, "real": abs(drop) > 0.03, "paired": True,
            "drop": {"value": drop, "n": 120, "low": drop - 0.03, "high": drop + 0.03}, "p_value": 0.2,
            "regression": drop > 0.05, "only_a": 0, "only_b": 0, "worse": 3, "better": 5}


PARAMS = """\
model:
  base: data/base  # a directory or a hub id
srf:
  seed: 7
  rl:
    kl_penalty: 0.1
    learning_rate: 1.0e-4
  data:
    pairs: null
dpo:
  beta: 0.3
"""


class Page(HTMLParser):
    """A parsed report: tags, ids, links, the text, and every exact figure; fails on unbalanced tags."""

    VOID = {"meta", "br", "img"}

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
    """One comparison of the release: `comparison(capability, a, b, output)` with one example that fell."""
    def build(capability, a, b, output):
        example = {"capability": capability, "slice": "s", "example_id": "e-1", "prompt": output,
                   "score_a": 1.0, "reference": output, "output_a": output, "score_b": 0.0,
                   "output_b": output}
        return {"capabilities": [compared(capability, a, b)], "regressions": [capability],
                "examples": [example]}
    return build


@pytest.fixture
def table():
    """Writes a list of dictionaries as Parquet: `table(path, rows)`."""
    return write_rows


@pytest.fixture
def full(tmp_path):
    """All seven stages, every gate accepted (one with a warning), released."""
    for stage in STAGES:
        write_stage(tmp_path, stage, metrics_of(stage))
    write(tmp_path / "params.yaml", PARAMS)
    write(tmp_path / "stages" / "srf" / "dvc.lock", lock(STAGES))
    write(tmp_path / "metrics" / "srf" / "release.json", {
        "workflow": "srf", "decision": "released", "version": "6f1c0a9be2d4", "released": "6f1c0a9be2d4",
        "gates": {}, "reasons": [], "remedy": "", "comparisons": {"baseline": {
            "capabilities": [compared(c, *scores) for c, scores in CAPABILITIES.items()],
            "regressions": [], "examples": []}}})
    return tmp_path


@pytest.fixture
def rejected(tmp_path):
    """The reward model guesses: its gate says no. An earlier run left files of later stages behind."""
    for stage in STAGES[:2]:
        write_stage(tmp_path, stage, metrics_of(stage))
    write_stage(tmp_path, "reward_model", metrics_of("reward_model") | {
        "validation_accuracy": {"value": 0.541667, "n": 240, "low": 0.478543, "high": 0.603471}})
    write(tmp_path / "metrics" / "srf" / "rl.json", nested({"kl": estimated(0.777777)}))
    write(tmp_path / "metrics" / "srf" / "release.json", {"decision": "released"})
    write(tmp_path / "params.yaml", PARAMS)
    write(tmp_path / "stages" / "srf" / "dvc.lock", lock(STAGES))
    return tmp_path
