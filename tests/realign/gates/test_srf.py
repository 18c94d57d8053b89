"""Every srf gate lets its clean case pass and catches the faults planted in it."""

from pathlib import Path

import pytest

from realign.errors import UserError
from realign.gates.frames import build_frames, read_metrics
from realign.gates.suite import read_suite
from realign.gates.verdict import judge

STAGES = ("sft", "preference_data", "reward_model", "reward_validation", "rl", "iterate", "evaluate")
LOW = {"value": 0.6, "n": 240, "low": 0.54, "high": 0.66}


def gate(project, stage: str) -> dict:
    suite = read_suite(project.suites / f"{stage}.json")
    metrics = read_metrics(project.root / "metrics" / "srf" / f"{stage}.json")
    return judge("srf", stage, suite, build_frames(suite, metrics, project.root, stage))


def failed(verdict: dict) -> set[str]:
    return {c["metric"] for c in verdict["checks"] if not c["passed"]}


def entry(metrics: dict, name: str) -> tuple[dict, str]:
    """The dictionary that holds the dotted `name`, and its last part."""
    *groups, last = name.split(".")
    for group in groups:
        metrics = metrics[group]
    return metrics, last


def test_every_stage_has_a_suite():
    folder = Path(__file__).parents[3] / "expectations" / "srf"
    assert {p.stem for p in folder.glob("*.json")} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_clean_case_is_high(project, stage):
    verdict = gate(project, stage)
    assert (verdict["tier"], failed(verdict), verdict["remedy"]) == ("HIGH", set(), "")


def at(value: float, half: float = 0.02, n: int = 400) -> dict:
    return {"value": value, "n": n, "low": value - half, "high": value + half}


# stage, metric, planted entry, tier, checks that must fail, words of the remedy
FAULTS = [
    ("sft", "heldout_loss_drop", at(-0.3), "REJECT", {"heldout_loss_drop.low"}, "held-out loss"),
    ("sft", "heldout_loss_drop", at(0.01), "REJECT", {"heldout_loss_drop.low"}, "held-out loss"),
    ("sft", "capability.facts", at(0.9, n=99), "REJECT", {"capability.facts.n"}, "facts"),
    ("sft", "rows.kept", at(0, 0, 0), "REJECT", {"rows.kept", "rows.unaccounted"}, "rejected dataset"),
    ("sft", "rows.in", at(5001, 0, 5001), "REJECT", {"rows.unaccounted"}, "rows were lost"),
    ("preference_data", "preference_gap", at(0.099, n=1200), "REJECT", {"preference_gap"}, "more samples"),
    ("preference_data", "preference_gap", at(0.149, n=1200), "MEDIUM", {"preference_gap"}, "more samples"),
    ("preference_data", "preference_gap", at(-0.31, n=1200), "REJECT", {"preference_gap"}, "more samples"),
    ("preference_data", "preference_gap", at(0.31, n=999), "REJECT", {"preference_gap.n"}, "more prompts"),
    ("preference_data", "pairs", at(999, 0, 999), "REJECT", {"pairs"}, "more prompts"),
    ("preference_data", "decontamination", at(0.89, n=1200), "REJECT", {"decontamination"}, "overlap"),
    ("preference_data", "data_quality", at(0.69, n=1200), "REJECT", {"data_quality"}, "labels"),
    ("preference_data", "data_quality", at(0.79, n=1200), "MEDIUM", {"data_quality"}, "labels"),
    ("preference_data", "rows.rejected", at(299, 0, 299), "REJECT", {"rows.unaccounted"}, "without a reason"),
    ("reward_model", "train_accuracy", LOW, "REJECT", {"train_accuracy"}, "better pairs"),
    ("reward_model", "validation_accuracy", LOW, "REJECT", {"validation_accuracy"}, "better pairs"),
    ("reward_model", "validation_accuracy", at(0.8, n=20), "REJECT", {"validation_accuracy.n"}, "too few"),
    ("reward_validation", "validation_accuracy", LOW, "REJECT", {"validation_accuracy"}, "capacity"),
    ("reward_validation", "train_validation_gap", at(0.10), "REJECT", {"train_validation_gap"}, "regularise"),
    ("reward_validation", "consistency", at(0.52, 0.05), "REJECT", {"consistency", "consistency.low"},
     "paraphrases"),
    ("reward_validation", "consistency", at(0.65, 0.05), "MEDIUM", {"consistency"}, "paraphrases"),
    ("reward_validation", "margin_gap_correlation", at(-0.1), "REJECT", {"margin_gap_correlation"},
     "quality"),
    ("reward_validation", "length_bias", at(0.97), "REJECT", {"length_bias"}, "length"),
    ("reward_validation", "length_bias", at(-0.4), "MEDIUM", {"length_bias"}, "length"),
    ("reward_validation", "ood_accuracy", at(0.6), "MEDIUM", {"ood_accuracy"}, "widen"),
    ("reward_validation", "adversarial_accuracy", at(0.2), "MEDIUM", {"adversarial_accuracy"}, "widen"),
    ("rl", "kl", at(0.11), "REJECT", {"kl"}, "halve the learning rate"),
    ("rl", "entropy", at(0.3), "REJECT", {"entropy"}, "raise the entropy bonus"),
    ("rl", "entropy", at(2.1), "REJECT", {"entropy"}, "lower the entropy bonus"),
    ("rl", "reward_gain", at(0.01), "REJECT", {"reward_gain.low"}, "reward is not surely rising"),
    ("rl", "score_gain", at(-0.2), "MEDIUM", {"score_gain.high"}, "KL penalty"),
    ("iterate", "reward_gain", at(-0.2), "REJECT", {"reward_gain", "reward_gain.high"}, "best round"),
    ("iterate", "score_gain", at(-0.015), "MEDIUM", {"score_gain"}, "best round"),
    ("iterate", "score_gain", at(-0.06, 0.1), "REJECT", {"score_gain"}, "best round"),
    ("iterate", "kl", at(5.0), "REJECT", {"kl"}, "KL penalty"),
    ("iterate", "rounds", at(0, 0, 0), "REJECT", {"rounds"}, "at least one"),
    ("evaluate", "retention.arithmetic", at(0.1), "REJECT", {"retention.arithmetic"}, "arithmetic was lost"),
    ("evaluate", "retention_worst", at(0.94), "REJECT", {"retention_worst"}, "roll back"),
    ("evaluate", "retention_worst", at(0.97), "MEDIUM", {"retention_worst"}, "roll back"),
    ("evaluate", "regressions", at(1, 0, 1), "REJECT", {"regressions"}, "roll back"),
    ("evaluate", "win_rate", at(0.53, 0.05), "REJECT", {"win_rate.low"}, "not surely better"),
    ("evaluate", "kl", at(0.2), "REJECT", {"kl"}, "learning rate"),
    ("evaluate", "entropy", at(0.1), "REJECT", {"entropy"}, "entropy bonus"),
    ("evaluate", "reward_accuracy", LOW, "REJECT", {"reward_accuracy"}, "better pairs"),
    ("evaluate", "reward_accuracy_drop", at(0.06), "REJECT", {"reward_accuracy_drop"}, "fresh pairs"),
]


@pytest.mark.parametrize(("stage", "name", "planted", "tier", "checks", "remedy"), FAULTS)
def test_planted_fault(project, clean, stage, name, planted, tier, checks, remedy):
    metrics = clean(stage)
    group, last = entry(metrics, name)
    group[last] = planted
    project.metrics(stage, metrics)
    verdict = gate(project, stage)
    assert (verdict["tier"], failed(verdict)) == (tier, checks)
    assert remedy in verdict["remedy"]


# stage, metric, bound of the tier above REJECT or of HIGH: the figure itself must still pass
BOUNDS = [
    ("preference_data", "preference_gap", at(0.15, n=1200)), ("preference_data", "decontamination", at(0.9)),
    ("preference_data", "data_quality", at(0.8)), ("reward_model", "validation_accuracy", at(0.7)),
    ("reward_validation", "train_validation_gap", at(0.0999)), ("rl", "kl", at(0.1)),
    ("rl", "entropy", at(0.5)), ("rl", "entropy", at(2.0)), ("evaluate", "retention_worst", at(0.98)),
]


@pytest.mark.parametrize(("stage", "name", "planted"), BOUNDS)
def test_a_figure_at_its_threshold_passes(project, clean, stage, name, planted):
    project.metrics(stage, clean(stage) | {name: planted})
    assert gate(project, stage)["tier"] == "HIGH"


def gated(stage: str) -> list[str]:
    suite = read_suite(Path(__file__).parents[3] / "expectations" / "srf" / f"{stage}.json")
    names = {e["kwargs"]["column"] for e in suite["expectations"]
             if e["type"].endswith("not_be_null") and "table" not in e["meta"]}
    return sorted(n for n in names if not n.endswith((".low", ".high", "rows.unaccounted")))


CASES = [(stage, name) for stage in STAGES for name in gated(stage)]


@pytest.mark.parametrize("stage", STAGES)
def test_every_metric_without_a_number_is_rejected_on_its_own(project, clean, stage):
    metrics = clean(stage)
    for name in gated(stage):
        group, last = entry(metrics, name)
        group[last] |= {"value": None}
    project.metrics(stage, metrics)
    verdict = gate(project, stage)
    rejecting = {c["metric"] for c in verdict["checks"] if not c["passed"] and c["severity"] == "critical"}
    assert set(gated(stage)) <= rejecting
    assert all(c["observed"] is None for c in verdict["checks"] if c["metric"] in gated(stage))


@pytest.mark.parametrize(("stage", "name"), CASES)
def test_a_missing_metric_is_named(project, clean, stage, name):
    metrics = clean(stage)
    group, last = entry(metrics, name)
    group[last + "x"] = group.pop(last)
    project.metrics(stage, metrics)
    with pytest.raises(UserError, match=f"does not write: '{name}") as error:
        gate(project, stage)
    assert f"did you mean '{name}x'?" in str(error.value)


@pytest.mark.parametrize(("stage", "name"), [("sft", "heldout_loss_drop"), ("rl", "reward_gain"),
                                             ("evaluate", "win_rate"), ("reward_validation", "consistency")])
def test_a_missing_interval_is_rejected(project, clean, stage, name):
    metrics = clean(stage)
    metrics[name] |= {"low": None, "high": None}
    project.metrics(stage, metrics)
    assert gate(project, stage)["tier"] == "REJECT"


def swap(pairs: dict, every: int) -> dict:
    chosen, rejected = pairs["chosen_score"], pairs["rejected_score"]
    for i in range(0, len(chosen), every):
        chosen[i], rejected[i] = rejected[i], chosen[i]
    return pairs


def change(column: str, row: int, value) -> object:
    def changed(pairs: dict) -> dict:
        pairs[column][row] = value
        return pairs
    return changed


ROW_FAULTS = {
    "swapped labels": (lambda p: swap(p, 10), "pairs[chosen_score, rejected_score]"),
    "empty table": (lambda p: {k: [] for k in p}, "pairs[rows]"),
    "too few rows": (lambda p: {k: v[:999] for k, v in p.items()}, "pairs[rows]"),
    "duplicate row": (lambda p: change("row_id", 1, "row0")(p), "pairs[row_id]"),
    "null text": (change("rejected", 7, None), "pairs[rejected]"),
    "empty text": (change("chosen", 7, ""), "pairs[chosen]"),
    "NaN score": (change("chosen_score", 7, None), "pairs[chosen_score]"),
    "score out of range": (change("chosen_score", 7, 8.5), "pairs[chosen_score]"),
    "unknown split": (change("split", 7, "valid"), "pairs[split]"),
    "no validation rows": (lambda p: p | {"split": ["train"] * len(p["split"])}, "pairs[split]"),
}


@pytest.mark.parametrize("fault", ROW_FAULTS)
def test_planted_fault_in_the_pairs(project, pairs, fault):
    plant, check = ROW_FAULTS[fault]
    project.pairs(plant(pairs))
    verdict = gate(project, "preference_data")
    assert verdict["tier"] == "REJECT"
    assert check in failed(verdict)


def test_a_few_ties_in_a_thousand_pairs_pass(project, pairs):
    project.pairs(swap(pairs, 200))
    assert gate(project, "preference_data")["tier"] == "HIGH"
