"""A small project on disk whose srf metrics and pairs pass every gate at HIGH."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from realign.metrics import Metric, exact, proportion, to_json

EXPECTATIONS = Path(__file__).parents[3] / "expectations"
CAPABILITIES = ("facts", "grounded", "arithmetic", "refusal", "format")


def measured(value: float, n: int = 400, half: float = 0.02) -> Metric:
    return Metric(value, n, value - half, value + half)


def rows(seen: int, kept: int) -> dict:
    return {"in": exact(seen), "kept": exact(kept), "rejected": exact(seen - kept)}


POLICY = {"kl": measured(0.04), "entropy": measured(0.9)}
CLEAN = {
    "sft": {"heldout_loss": measured(1.1), "base_heldout_loss": measured(2.3),
            "heldout_loss_drop": measured(1.2), "rows": rows(5000, 4900),
            "capability": {name: proportion(180, 200) for name in CAPABILITIES}},
    "preference_data": {"preference_gap": measured(0.31, 1200), "pairs": exact(1200),
                        "decontamination": proportion(1190, 1200), "data_quality": proportion(1150, 1200),
                        "agreement_rate": proportion(1100, 1200), "kappa": measured(0.8),
                        "rows": rows(1500, 1200)},
    "reward_model": {"train_accuracy": proportion(800, 960), "validation_accuracy": proportion(195, 240),
                     "validation_loss": measured(0.45, 240)},
    "reward_validation": {"train_accuracy": proportion(800, 960), "validation_accuracy": proportion(195, 240),
                          "train_validation_gap": measured(0.02, 240), "ood_accuracy": proportion(150, 200),
                          "adversarial_accuracy": proportion(150, 200),
                          "consistency": measured(0.85, 200, 0.05),
                          "margin_gap_correlation": measured(0.4, 240, 0.1),
                          "length_bias": measured(0.05, 240, 0.1),
                          "accuracy_by_type": {"correctness": proportion(80, 100)}},
    "rl": POLICY | {"reward_before": measured(0.2), "reward_after": measured(0.6), "attempts": exact(1),
                    "reward_gain": measured(0.4), "score_gain": measured(0.05)},
    "iterate": POLICY | {"rounds": exact(2), "best_round": exact(2), "rolled_back": exact(0),
                         "reward_gain": measured(0.1), "score_gain": measured(0.03)},
    "evaluate": POLICY | {"retention": {name: measured(1.01, 200) for name in CAPABILITIES},
                          "retention_worst": measured(1.01, 200), "retention_mean": measured(1.01, 1000),
                          "capability": {name: proportion(180, 200) for name in CAPABILITIES},
                          "win_rate": proportion(260, 400), "regressions": exact(0),
                          "reward_accuracy": proportion(190, 240),
                          "reward_accuracy_drop": measured(0.01, 240)},
}


def clean_pairs(n: int = 1200) -> dict[str, list]:
    """Columns of `n` pairs whose chosen side scores 0.31 higher."""
    return {"row_id": [f"row{i}" for i in range(n)], "prompt_id": [f"p{i // 4}" for i in range(n)],
            "chosen": ["Lima."] * n, "rejected": ["Quito."] * n,
            "chosen_score": [0.9] * n, "rejected_score": [0.59] * n,
            "split": ["validation" if i % 5 == 0 else "train" for i in range(n)]}


class Project:
    """The project's root, with writers for what a stage would leave there."""

    def __init__(self, root: Path):
        self.root = root
        self.suites = root / "expectations" / "srf"
        self.pairs_file = root / "data" / "srf" / "preference_data" / "pairs.parquet"

    def metrics(self, stage: str, metrics: dict) -> Path:
        path = self.root / "metrics" / "srf" / f"{stage}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(metrics))
        return path

    def keep(self, *stages: str) -> None:
        """Only these stages have been measured; judging the others ahead would cost the test seconds."""
        for path in (self.root / "metrics" / "srf").glob("*.json"):
            if path.stem not in stages:
                path.unlink()

    def pairs(self, columns: dict[str, list]) -> None:
        self.pairs_file.parent.mkdir(parents=True, exist_ok=True)
        types = {k: pa.float64() if k.endswith("score") else pa.string() for k in columns}
        pq.write_table(pa.table({k: pa.array(v, types[k]) for k, v in columns.items()}), self.pairs_file)

    def suite(self, stage: str) -> dict:
        return json.loads((self.suites / f"{stage}.json").read_text())

    def write_suite(self, stage: str, suite: dict) -> None:
        (self.suites / f"{stage}.json").write_text(json.dumps(suite))

    def verdict_file(self, stage: str) -> Path:
        return self.root / "metrics" / "srf" / "gates" / f"{stage}.json"

    def accepted_file(self, stage: str) -> Path:
        return self.root / "metrics" / "srf" / "gates" / f"{stage}.accepted"


def as_written(stage: str) -> dict:
    """The stage's clean metrics as plain JSON; a fresh copy to plant a fault in."""
    return to_json(CLEAN[stage])


@pytest.fixture
def clean():
    return as_written


@pytest.fixture
def pairs():
    return clean_pairs()


@pytest.fixture
def project(tmp_path) -> Project:
    """Expectations of the repository, clean metrics of every stage, clean pairs."""
    made = Project(tmp_path)
    shutil.copytree(EXPECTATIONS / "srf", made.suites)
    for stage in CLEAN:
        made.metrics(stage, as_written(stage))
    made.pairs(clean_pairs())
    return made
