"""Faults that a gate must reject: in a stage's metrics, in its suite, in the rows that it judges.

The clean state is that of the gates' own tests: the suites of the repository with metrics and rows derived from them.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from realign.errors import UserError
from realign.gates.expectation import columns, table
from realign.gates.frames import build_frames, read_metrics
from realign.gates.run import check_rows
from realign.gates.suite import read_suite, with_evidence
from realign.gates.verdict import judge
from realign.lake.hashes import tree_md5
from realign.lake.schemas import PAIRS
from realign.lake.table import frame, write
from tests.trust.fault import Fault
from tests.workflows.clean import EXPECTATIONS, as_file, clean_metrics, judged_together, read, tables_of, with_baseline

GAP, CHAMPION = "preference_data", "evaluate"
Said = dict[str, str]  # by a fault's name, what refused it said; empty where nothing did


def suite_path(stage: str) -> Path:
    return EXPECTATIONS / "srf" / f"{stage}.json"


def clean_file(stage: str) -> dict:
    """The metrics of a stage that passes at HIGH, as it writes them."""
    return as_file(clean_metrics(read(suite_path(stage))))


def metric(metrics: dict, name: str) -> dict:
    """One metric of a file, by its dotted name."""
    for part in name.split("."):
        metrics = metrics[part]
    return metrics


def put(name: str, **parts: Any) -> Callable[[dict], None]:
    """Other numbers for one metric."""
    return lambda metrics: metric(metrics, name).update(parts)


def measured(name: str, value: float, half: float = 0.01) -> Callable[[dict], None]:
    """Another value for one metric, in the middle of an interval of its own, on as many examples as before."""
    return put(name, value=value, low=value - half, high=value + half)


def without(name: str) -> Callable[[dict], None]:
    *group, last = name.split(".")
    return lambda metrics: metric(metrics, ".".join(group)).pop(last) if group else metrics.pop(last)


def instead(name: str, entry: Any) -> Callable[[dict], None]:
    return lambda metrics: metrics.update({name: entry})


def one_lost(metrics: dict) -> None:
    """A kept row is gone, and no rejected row tells where."""
    metrics["rows"]["kept"]["value"] -= 1


def _number(name: str, stage: str, says: str, plant: Callable[[dict], None], missed: str = "") -> Fault:
    return Fault("metric", name, f"gate of {stage}", says, plant, missed)


METRICS = {fault.name: fault for fault in (
    _number("KL is null", "rl", "kl", put("kl", value=None)),
    _number("KL is NaN", "rl", "kl", put("kl", value=math.nan)),
    _number("KL is infinite", "rl", "kl", put("kl", value=math.inf)),
    _number("win rate is minus infinity", "evaluate", "win_rate", put("win_rate", value=-math.inf)),
    _number("a figure is text", "rl", "expected: a number or null", put("kl", value="0.05")),
    _number("a figure is true", "rl", "expected: a number or null", put("kl", value=True)),
    _number("a metric is missing", "rl", "does not write: 'kl'", without("kl")),
    _number("a metric is spelt otherwise", "rl", "did you mean 'kl_'",
            lambda metrics: metrics.update(kl_=metrics.pop("kl"))),
    _number("a metric is a list", "rl", "does not write: 'kl'", instead("kl", [0.05, 400])),
    _number("a metric is a bare number", "rl", "does not write: 'kl'", instead("kl", 0.05)),
    _number("no metric at all", "rl", "does not write", dict.clear),
    _number("a recorded metric is missing", "rl", "score_gain", without("score_gain")),
    _number("no n", "rl", "kl.n", lambda metrics: metrics["kl"].pop("n")),
    _number("n is 0", "rl", "kl.n", put("kl", n=0)),
    _number("n is null", "evaluate", "win_rate.n", put("win_rate", n=None)),
    _number("one example too few", "rl", "kl.n", put("kl", n=99)),
    _number("a capability on too few examples", "sft", "capability.facts.n", put("capability.facts", n=99)),
    _number("a slice on too few examples", "evaluate", "slice_retention.arithmetic/2 step.n",
            put("slice_retention.arithmetic/2 step", n=59)),
    _number("pairs on too few examples", GAP, "preference_gap.n", put("preference_gap", n=999)),
    _number("the end that is judged is null", "rl", "reward_gain", put("reward_gain", low=None)),
    _number("the end that is judged is NaN", "evaluate", "win_rate", put("win_rate", low=math.nan)),
    _number("win rate of 1.7", "evaluate", "win_rate", measured("win_rate", 1.7)),
    _number("negative KL", "rl", "kl", measured("kl", -5.0)),
    _number("KL of exactly 0", "rl", "kl", put("kl", value=0.0, low=0.0, high=0.0)),
    _number("KL of exactly 0 in the end", "evaluate", "kl", put("kl", value=0.0, low=0.0, high=0.0)),
    _number("retention of 37", "evaluate", "retention.facts", measured("retention.facts", 37.0),
            "a ratio has no upper end: a base of 2% can become a model of 74%; the release compares the records"),
    _number("negative retention", "evaluate", "retention.facts", measured("retention.facts", -0.2)),
    _number("accuracy above 1", "reward_model", "validation_accuracy", measured("validation_accuracy", 1.2)),
    _number("capability below 0", "sft", "capability.facts", measured("capability.facts", -0.1)),
    _number("correlation above 1", "reward_validation", "margin_gap_correlation",
            measured("margin_gap_correlation", 1.3)),
    _number("negative entropy", "rl", "entropy", measured("entropy", -0.5)),
    _number("negative count", "iterate", "rounds", measured("rounds", -1.0)),
    _number("decontamination above 1", GAP, "decontamination", measured("decontamination", 1.01)),
    _number("a value above its own interval", "rl", "kl", put("kl", value=0.09, low=0.01, high=0.05)),
    _number("a value below its own interval", "evaluate", "retention.facts",
            put("retention.facts", value=1.0, low=1.01, high=1.2)),
    _number("an interval upside down", "evaluate", "win_rate", put("win_rate", value=0.8, low=0.9, high=0.7)),
    _number("a training row is unaccounted for", "sft", "rows.unaccounted", one_lost),
    _number("a pair is unaccounted for", GAP, "rows.unaccounted", one_lost),
    _number("more rows come out than went in", "sft", "rows.unaccounted", put("rows.kept", value=1e6)),
    _number("no training row is left", "sft", "rows.kept", put("rows.kept", value=0, low=0, high=0)),
    _number("a capability is missing", "sft", "capability[name]", without("capability.facts")),
    _number("a capability is not compared", "evaluate", "retention[name]", without("retention.refusal")),
    _number("a slice is not compared", "evaluate", "slice_retention[name]",
            without("slice_retention.arithmetic/2 step")),
    _number("no capability is compared", "evaluate", "does not write: 'retention'", without("retention")),
    _number("a capability that no check names is lost", "evaluate", "retention.chess",
            lambda metrics: metrics["retention"].update(chess={"value": 0.5, "n": 600, "low": 0.45, "high": 0.55})),
    _number("a capability lost in SFT", "sft", "retention.facts", measured("retention.facts", 0.84)),
    _number("a capability lost in RL", "rl", "retention.arithmetic", measured("retention.arithmetic", 0.84)),
    _number("a capability lost in the end", "evaluate", "retention.arithmetic",
            measured("retention.arithmetic", 0.84)),
    _number("a slice lost in SFT", "sft", "slice_retention.arithmetic/2 step",
            measured("slice_retention.arithmetic/2 step", 0.7)),
    _number("a two-step slice lost by 16%", "rl", "slice_retention.arithmetic/2 step",
            measured("slice_retention.arithmetic/2 step", 0.84)),
    _number("a slice that vanishes whole", "evaluate", "slice_retention.arithmetic/2 step",
            put("slice_retention.arithmetic/2 step", value=0.0, low=0.0, high=0.01)),
    _number("a tenth of the answers undecided in SFT", "sft", "undecided.facts", measured("undecided.facts", 0.1)),
    _number("a tenth of the answers undecided in RL", "rl", "undecided.facts", measured("undecided.facts", 0.1)),
    _number("a tenth of the answers undecided in the end", "evaluate", "undecided.facts",
            measured("undecided.facts", 0.1)),
    _number("a tenth of the samples undecided", "evaluate", "undecided_sampled", measured("undecided_sampled", 0.1)),
    _number("what is undecided of the samples is not counted", "evaluate", "undecided_sampled",
            without("undecided_sampled")),
    _number("what is undecided of a capability is not counted", "evaluate", "undecided[name]",
            without("undecided.facts")),
    _number("the worst capability lost", "evaluate", "retention_worst", measured("retention_worst", 0.94)),
    _number("one regression counted", "evaluate", "regressions", put("regressions", value=1, low=1, high=1)),
    _number("KL over its limit", "rl", "kl", measured("kl", 0.11)),
    _number("KL over its limit after the rounds", "iterate", "kl", measured("kl", 0.2)),
    _number("entropy collapse", "rl", "entropy", measured("entropy", 0.2)),
    _number("entropy collapse in the end", "evaluate", "entropy", measured("entropy", 0.05)),
    _number("entropy out of hand", "rl", "entropy", measured("entropy", 2.6)),
    _number("reward falls", "rl", "reward_gain", measured("reward_gain", -0.3, 0.1)),
    _number("reward not surely rising", "rl", "reward_gain", measured("reward_gain", 0.05, 0.1)),
    _number("score falls while reward rises", "rl", "score_gain", measured("score_gain", -0.1, 0.05)),
    _number("score falls in the rounds", "iterate", "score_gain", measured("score_gain", -0.1, 0.05)),
    _number("score perhaps falls, by 6%", "iterate", "score_gain", measured("score_gain", -0.06, 0.1)),
    _number("no round was run", "iterate", "rounds", put("rounds", value=0, low=0, high=0)),
    _number("copy of the baseline: it wins half", "evaluate", "win_rate", measured("win_rate", 0.5, 0.04)),
    _number("worse than the baseline", "evaluate", "win_rate", measured("win_rate", 0.44, 0.04)),
    _number("held-out loss not below the base's", "sft", "heldout_loss_drop",
            measured("heldout_loss_drop", -0.02)),
    _number("contaminated training rows", "sft", "decontamination", measured("decontamination", 0.85)),
    _number("contaminated pairs", GAP, "decontamination", measured("decontamination", 0.85)),
    _number("data of low quality", GAP, "data_quality", measured("data_quality", 0.6)),
    _number("pairs without a gap", GAP, "preference_gap", measured("preference_gap", 0.08)),
    _number("too few pairs", GAP, "pairs", put("pairs", value=999, low=999, high=999)),
    _number("reward accuracy at chance", "reward_model", "validation_accuracy",
            measured("validation_accuracy", 0.51)),
    _number("reward accuracy below chance", "reward_validation", "validation_accuracy",
            measured("validation_accuracy", 0.4)),
    _number("adversarial accuracy surely below chance", "reward_validation", "adversarial_accuracy",
            measured("adversarial_accuracy", 0.24, 0.06)),
    _number("out-of-distribution accuracy surely below chance", "reward_validation", "ood_accuracy",
            measured("ood_accuracy", 0.3)),
    _number("reward model knows its training pairs only", "reward_validation", "train_validation_gap",
            measured("train_validation_gap", 0.2)),
    _number("reward follows length", "reward_validation", "length_bias", measured("length_bias", 0.6)),
    _number("reward follows brevity", "reward_validation", "length_bias", measured("length_bias", -0.6)),
    _number("reward follows wording", "reward_validation", "consistency", measured("consistency", 0.5, 0.05)),
    _number("margin does not grow with the gap", "reward_validation", "margin_gap_correlation",
            measured("margin_gap_correlation", -0.1)),
    _number("reward model fails on the final policy", "evaluate", "reward_accuracy",
            measured("reward_accuracy", 0.6)),
    _number("reward accuracy dropped", "evaluate", "reward_accuracy_drop", measured("reward_accuracy_drop", 0.1)),
)}
FILES = {fault.name: fault for fault in (
    Fault("metric", "a metric stands twice", "gate of rl", "'kl' stands twice",
          lambda text: text[:-1] + ', "kl": {"value": 0.05, "n": 400, "low": 0.04, "high": 0.06}}'),
    Fault("metric", "the file of metrics is cut short", "gate of rl", "broken JSON", lambda text: text[:-9]),
    Fault("metric", "the file of metrics is empty", "gate of rl", "broken JSON", lambda text: ""),
    Fault("metric", "the file of metrics is a list", "gate of rl", "expected: a JSON object", lambda text: "[]"),
)}


def metrics_said(folder: Path) -> Said:
    """What each stage's gate says of its metrics, one fault planted at a time; the faults of one suite are judged
    together, since Great Expectations takes seconds for a suite and no more for a hundred rows."""
    said, stages = {}, {}
    for fault in (*METRICS.values(), *FILES.values()):
        stage = fault.meant.removeprefix("gate of ")
        path = folder / f"{len(said)}.json"
        metrics = clean_file(stage)
        if fault.name in FILES:
            path.write_text(fault.plant(json.dumps(metrics)))
        else:
            fault.plant(metrics)
            path.write_text(json.dumps(metrics))
        said[fault.name] = ""
        try:
            found = read_metrics(path)
            build_frames(metrics_alone(stage), found, folder, "here")
            stages.setdefault(stage, {})[fault.name] = found
        except UserError as error:
            said[fault.name] = str(error)
    for stage, found in stages.items():
        judged = judged_together(metrics_alone(stage), list(found.values()))
        said |= {name: told([check for check, _ in checks]) for name, checks in zip(found, judged, strict=True)}
    return said


def metrics_alone(stage: str) -> dict:
    """The whole suite of a stage, with what the gate adds, but for its expectations on rows."""
    suite = with_evidence(read(suite_path(stage)))
    kept = [e for e in suite["expectations"] if table(e) not in tables_of(suite)]
    return suite | {"expectations": kept, "meta": {k: v for k, v in suite["meta"].items() if k != "tables"}}


def told(checks: Sequence[dict]) -> str:
    """The critical checks that failed; empty where the verdict is no REJECT."""
    return "; ".join(f"{c['metric']} is {c['observed']}, must be {c['threshold']}" for c in checks
                     if not c["passed"] and c["severity"] == "critical")


def expectation(suite: dict, column: str) -> dict:
    return next(e for e in suite["expectations"] if e["kwargs"].get("column") == column)


def misspelt(suite: dict) -> None:
    """The suite calls a metric otherwise, wherever it names it."""
    expectation(suite, "kl")["kwargs"]["column"] = "kll"
    suite["meta"]["remedy"] |= {"kll": "halve the learning rate"}
    for side in ("kl.low", "kl.high"):
        del suite["meta"]["remedy"][side]


def _suite(name: str, stage: str, says: str, plant: Callable[[dict], Any]) -> Fault:
    return Fault("suite", name, f"gate of {stage}", says, plant)


SUITES = {fault.name: fault for fault in (
    _suite("a misspelt check", "rl", "unknown expectation type",
           lambda suite: expectation(suite, "kl").update(type="expect_column_values_to_be_betwen")),
    _suite("a misspelt metric", "rl", "did you mean 'kl'", misspelt),
    _suite("a metric of no declared kind", "rl", "what kind of number", lambda suite: suite["expectations"].append(
        expectation(suite, "kl") | {"kwargs": {"column": "charm", "min_value": 0}})),
    _suite("a misspelt bound", "rl", "malformed",
           lambda suite: expectation(suite, "kl").update(kwargs={"column": "kl", "max_valu": 0.1})),
    _suite("a bound as text", "rl", "is no bound", lambda suite: expectation(suite, "kl")["kwargs"].update(
        max_value="0.1")),
    _suite("a bound of NaN", "rl", "is no bound", lambda suite: expectation(suite, "kl")["kwargs"].update(
        max_value=math.nan)),
    _suite("a misspelt severity", "rl", "unknown severity", lambda suite: expectation(suite, "kl").update(
        severity="critcal")),
    _suite("a misspelt group", "rl", "unknown table", lambda suite: suite["expectations"][1]["meta"].update(
        table="retenton")),
    _suite("a misspelt key", "rl", "unknown key meta.evidense", lambda suite: suite["meta"].update(
        evidense=suite["meta"].pop("evidence"))),
    _suite("no least n", "rl", "any number of examples", lambda suite: suite["meta"].pop("evidence")),
    _suite("a least n of 0", "rl", "a least number of examples", lambda suite: suite["meta"]["evidence"].update(
        {"*": 0})),
    _suite("a check that may skip a metric", "rl", "may skip", lambda suite: expectation(suite, "kl")["kwargs"].update(
        mostly=0.5)),
    _suite("a suite without a check", "rl", "let everything pass", lambda suite: suite.update(expectations=[])),
    _suite("a check without a remedy", "rl", "what to do", lambda suite: suite["meta"]["remedy"].pop("kl.high")),
    _suite("a suite that counts what is not judged", "rl", "neither judges nor records",
           lambda suite: suite["meta"].update(counted=["klx"])),
    _suite("a misspelt column", GAP, "no column 'chosn'", lambda suite: expectation(suite, "chosen")["kwargs"].update(
        column="chosn")),
    _suite("a table that is not there", GAP, "unreadable", lambda suite: suite["meta"].update(
        tables={"pairs": "data/none.parquet"})),
    _suite("a table outside the project", GAP, "inside the project", lambda suite: suite["meta"].update(
        tables={"pairs": "../pairs.parquet"})),
)}


def suites_said(folder: Path) -> Said:
    """What the gate says when its suite is damaged: reading, and building every check, before any is judged."""
    said = {}
    for number, fault in enumerate(SUITES.values()):
        stage = fault.meant.removeprefix("gate of ")
        suite = read(suite_path(stage))
        fault.plant(suite)
        path, file = folder / f"suite{number}.json", folder / f"suite{number}.metrics.json"
        path.write_text(json.dumps(suite))
        file.write_text(json.dumps(clean_file(stage)))
        said[fault.name] = ""
        try:
            whole = with_evidence(with_baseline(read_suite(path)))
            for name, place in tables_of(whole).items():
                if name == "pairs" and place == tables_of(read(suite_path(stage)))["pairs"]:
                    write(honest_pairs(), folder / place, PAIRS)
            said[fault.name] = told(judge("srf", stage, whole, build_frames(
                whole, read_metrics(file), folder, str(path)))["checks"])
        except UserError as error:
            said[fault.name] = str(error)
    return said


def honest_pairs(count: int = 1200) -> pl.DataFrame:
    """Pairs that pass, each a right sum before a wrong one, two to a prompt, every fifth prompt for validation."""
    rows = []
    for place in range(count):
        first = place // 2
        rows.append({
            "row_id": f"r{place}", "prompt_id": f"p{first}",
            "messages": [{"role": "user", "content": f"Add 7 to {first}."}], "chosen": f"That makes {first + 7}.",
            "rejected": f"That makes {first + 8 + place % 2}.", "chosen_score": 0.9, "rejected_score": 0.5,
            "preference_type": "right", "split": "validation" if first % 5 == 0 else "train", "source": "made"})
    return frame(rows, PAIRS)


def where(condition: pl.Expr, **columns: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Other values in the rows that fulfil a condition."""
    return lambda rows: rows.with_columns(
        pl.when(condition).then(value).otherwise(pl.col(name)).alias(name) for name, value in columns.items())


def _rows(name: str, says: str, plant: Callable[[pl.DataFrame], pl.DataFrame], missed: str = "") -> Fault:
    return Fault("row", name, f"gate of {GAP}", says, plant, missed)


FIRST, TENTH = pl.col("row_id") == "r0", pl.int_range(pl.len()) % 10 == 0
ROWS = {fault.name: fault for fault in (
    _rows("no pairs", "pairs[rows]", lambda rows: rows.clear()),
    _rows("one pair too few", "pairs[rows]", lambda rows: rows.head(999)),
    _rows("a pair without an id", "row_id", where(FIRST, row_id=None)),
    _rows("a pair without a prompt", "prompt_id", where(FIRST, prompt_id=None)),
    _rows("a pair without a good side", "chosen", where(FIRST, chosen=None)),
    _rows("a pair without a bad side", "rejected", where(FIRST, rejected=None)),
    _rows("an empty good side", "chosen", where(FIRST, chosen=pl.lit(""))),
    _rows("a pair without a score", "chosen_score", where(FIRST, chosen_score=None)),
    _rows("a score of NaN", "chosen_score", where(FIRST, chosen_score=math.nan)),
    _rows("an infinite score", "rejected_score", where(FIRST, rejected_score=-math.inf)),
    _rows("a score of 1.5", "chosen_score", where(FIRST, chosen_score=1.5)),
    _rows("a negative score", "rejected_score", where(FIRST, rejected_score=-0.1)),
    _rows("scores of 0 to 100", "chosen_score", lambda rows: rows.with_columns(pl.col("chosen_score") * 100)),
    _rows("an id twice", "row_id", where(pl.col("row_id") == "r1", row_id=pl.lit("r0"))),
    _rows("an unknown split", "split", where(FIRST, split=pl.lit("tain"))),
    _rows("no validation pairs", "split", lambda rows: rows.with_columns(split=pl.lit("train"))),
    _rows("no training pairs", "split", lambda rows: rows.with_columns(split=pl.lit("validation"))),
    _rows("one label in ten is swapped", "chosen_score, rejected_score",
          where(TENTH, chosen_score=pl.col("rejected_score"), rejected_score=pl.col("chosen_score"))),
    _rows("all labels are swapped", "chosen_score, rejected_score",
          lambda rows: rows.with_columns(chosen_score="rejected_score", rejected_score="chosen_score")),
    _rows("no gap between the sides", "chosen_score, rejected_score",
          lambda rows: rows.with_columns(rejected_score="chosen_score")),
    _rows("chosen is equal to rejected", "chosen, rejected", where(FIRST, rejected=pl.col("chosen"))),
    _rows("every pair twice, under a new id", "prompt_id, chosen, rejected",
          lambda rows: pl.concat([rows, rows.with_columns(row_id="n" + pl.col("row_id"))])),
    _rows("one prompt in both splits", "split", where(FIRST, split=pl.lit("train")),
          "Great Expectations has no check of it; the stage splits by prompt alone"),
    _rows("pairs are cut, the metrics are not", "other rows than those that the metrics are of",
          lambda rows: rows.head(1000)),
    _rows("texts are swapped, the scores are not", "other rows than those that the metrics are of",
          lambda rows: rows.with_columns(chosen="rejected", rejected="chosen")),
    _rows("a column is missing", "no column 'split'", lambda rows: rows.drop("split")),
    _rows("a column of scores is text", "chosen_score", lambda rows: rows.with_columns(
        pl.col("chosen_score").cast(pl.String))),
)}


def rows_said(folder: Path) -> Said:
    """What the gate of the pairs says of them, one fault planted at a time. An expectation on columns that a fault
    leaves as they were says what it says of the clean pairs, so it is not asked again."""
    suite = with_evidence(read(suite_path(GAP)))
    place = folder / tables_of(suite)["pairs"]
    place.parent.mkdir(parents=True, exist_ok=True)
    clean, asked = honest_pairs(), [e for e in suite["expectations"] if table(e) == "pairs"]
    clean.write_parquet(place)
    made = {place.parent.relative_to(folder).as_posix(): tree_md5(place.parent)[0]}

    def answer(rows: pl.DataFrame, expectations: list[dict]) -> str:
        rows.write_parquet(place)
        part = suite | {"expectations": expectations}
        try:
            said = told(judge("srf", GAP, part, build_frames(part, {}, folder, "here"))["checks"])
            if not said:  # only what no expectation sees is left to the hash
                check_rows(suite, made, folder)
            return said
        except UserError as error:
            return str(error)
    if answer(clean, asked):
        raise AssertionError("the clean pairs are rejected")
    said = {}
    for fault in ROWS.values():
        rows = fault.plant(clean)
        same = set() if rows.height != clean.height else {
            name for name in rows.columns if rows[name].equals(clean[name], check_dtypes=True)}
        said[fault.name] = answer(rows, [e for e in asked if not columns(e) or set(columns(e)) - same])
    return said
