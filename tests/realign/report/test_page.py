import json
import re
import shutil
from pathlib import Path

import pytest

from realign.errors import UserError
from realign.metrics import flatten
from realign.report.page import render

STAGES = ("sft", "preference_data", "reward_model", "reward_validation", "rl", "iterate", "evaluate")
SECTIONS = ("verdict", "gates", "capabilities", "samples", "curves", "metrics", "data", "lineage",
            "parameters", "terms")
EVIL = '</div></style><script>alert("x")</script><img src=x onerror=alert(1)>{{ 7*7 }} & "q"'


def between(text, start, end):
    """The part of the page's text from one phrase to the next."""
    return text[text.index(start):text.index(end, text.index(start))]


def test_full_run_reads_as_released(full, page):
    shown = page(render(full, "srf"))
    assert "Released" in shown.text
    assert "passed all 7 gates, 1 of them with a warning, and is released" in shown.text
    assert "add harder pairs of the weakest preference type" in shown.text
    assert set(SECTIONS) <= set(shown.ids)
    for words in ("Adversarial accuracy is 0.7712 (95% interval 0.7358 to 0.8066)",
                  "HIGH needs ≥ 0.8, MEDIUM ≥ 0.6", "must be ≥ 0.5 and ≤ 2", "runs/srf/"):
        assert words in shown.text


def test_every_metric_of_every_stage_is_there_to_the_last_digit(full, page):
    shown = page(render(full, "srf"))
    metrics = between(shown.text, "Every figure that a stage wrote", "Data: rows read, kept and dropped")
    for stage in STAGES:
        for name, metric in flatten(json.loads((full / f"metrics/srf/{stage}.json").read_text())).items():
            assert name in metrics
            ends = [metric["low"], metric["high"]] if metric["low"] != metric["high"] else []
            for figure in [metric["value"], *ends]:
                assert figure in shown.figures, (stage, name)


def test_a_changed_figure_changes_the_page(full, change, page):
    before = page(render(full, "srf")).figures
    change(full / "metrics/srf/rl.json", lambda m: m["reward_after"].update(value=0.654321))
    after = page(render(full, "srf")).figures
    assert 0.654321 not in before and 0.654321 in after


def test_nothing_outside_the_file_and_nothing_that_runs(full, page):
    html = render(full, "srf")
    shown = page(html)
    assert shown.links and all(link.startswith("#") for link in shown.links)
    assert {link[1:] for link in shown.links} <= set(shown.ids)
    assert len(shown.ids) == len(set(shown.ids))
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in shown.tags}
    assert not any(name.startswith("on") or name == "style" for _, given in shown.tags for name in given)
    style = re.search(r"<style>(.*)</style>", html, re.S)[1]
    assert "url(" not in style and "@import" not in style and "//" not in style
    policy = next(g["content"] for t, g in shown.tags if g.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_same_files_same_bytes_wherever_they_lie(full, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(full, elsewhere)
    assert render(full, "srf") == render(full, "srf") == render(elsewhere, "srf")
    assert str(full) not in render(full, "srf")


def test_text_from_data_is_shown_and_never_run(full, change, table, comparison, page):
    text = EVIL + "\u202e\x00\x1b[31m"
    record = {"example_id": text, "capability": text, "slice": text, "prompt": text, "output": text,
              "reference": text}
    for stage, score in (("sft", 0.0), ("evaluate", 1.0)):
        table(full / f"data/srf/{stage}/records.parquet", [record | {"score": score}])
    table(full / "data/srf/sft/rejected.parquet",
          [{"source": text, "position": 1, "reason": text, "detail": text, "content": text}])
    change(full / "metrics/srf/sft.json", lambda m: m["capability"].update({EVIL: m["capability"]["facts"]}))
    change(full / "metrics/srf/rl.json", lambda m: m.update({EVIL: m["kl"], "did": [EVIL]}))
    change(full / "metrics/srf/plots/rl.json", lambda p: [r.update({EVIL: r["kl"]}) for r in p])
    change(full / "metrics/srf/gates/reward_validation.json", lambda v: v.update(remedy=EVIL))
    change(full / "metrics/srf/release.json", lambda r: r.update(
        version=EVIL, comparisons={EVIL: comparison(EVIL, 0.9, 0.8, EVIL)}))
    (full / "params.yaml").write_text(json.dumps({"srf": {EVIL: EVIL}}))
    html = render(full, "srf")
    shown = page(html)
    assert "<script" not in html and "<img" not in html and "\x00" not in html and "\x1b" not in html
    assert not {"script", "img"} & {tag for tag, _ in shown.tags}
    assert shown.text.count('<script>alert("x")</script><img src=x onerror=alert(1)>{{ 7*7 }} & "q"') >= 12
    assert "␀␛[31m" in shown.text


def test_rejected_run_says_why_and_hides_what_an_earlier_run_left(rejected, page):
    shown = page(render(rejected, "srf"))
    banner = between(shown.text, "Rejected", "1. Supervised fine-tuning")
    assert "The gate of reward_model rejected the result" in banner
    assert "reward_validation, rl, iterate and evaluate did not run" in banner
    assert "Validation accuracy is 0.5417 (95% interval 0.4785 to 0.6035)" in banner
    assert "better pairs (raise srf.preference_data.samples) or more capacity" in banner
    assert "Released" not in shown.text
    assert 0.777777 not in shown.figures
    assert "Files of an earlier run are there; they are no part of this one" in shown.text
    assert "checkpoints/srf/reward_model" in shown.text and "checkpoints/srf/rl" not in shown.text
    assert "metrics/srf/gates/preference_data.json" in shown.text
    assert "metrics/srf/gates/reward_model.json" not in shown.text
    assert "The evaluation has not run, so only the answers of the SFT model are there" in shown.text


def test_empty_project_is_a_report_too(tmp_path, page):
    shown = page(render(tmp_path, "srf"))
    for words in ("Nothing has run yet", "No capability has been measured yet", "No answers are recorded yet",
                  "No stage has written a curve yet", "No stage has counted rows yet",
                  "No dvc.lock records a stage of this run yet", "There is no params.yaml"):
        assert words in shown.text


@pytest.mark.parametrize("path", ["metrics/srf/plots/rl.json", "data/srf/evaluate/records.parquet",
                                  "params.yaml", "data/srf/sft/records.parquet",
                                  "data/srf/sft/rejected.parquet",
                                  "stages/srf/dvc.lock", "metrics/srf/evaluate.json", "metrics/srf/sft.json"])
def test_any_file_may_be_missing(full, path, page):
    (full / path).unlink()
    assert page(render(full, "srf")).text


def test_unfinished_run_names_what_is_next(full, page):
    (full / "metrics/srf/gates/rl.json").unlink()
    shown = page(render(full, "srf"))
    assert "Unfinished" in shown.text and "The run has come as far as rl: its gate has not run" in shown.text
    assert "Released" not in shown.text


def test_blocked_release_says_why(full, change, comparison, page):
    change(full / "metrics/srf/release.json", lambda r: r.update(
        decision="blocked", reasons=["facts fell by 11.1% against the model released before"], released="0ld",
        remedy="lower the learning rate; rebalance",
        comparisons={"released": comparison("facts", 0.9, 0.8, "a fallen answer")}))
    text = page(render(full, "srf")).text
    banner = between(text, "Blocked", "1. Supervised fine-tuning")
    for words in ("facts fell by 11.1%", "stays in place", "lower the learning rate"):
        assert words in banner
    release = between(text, "Decision: blocked", "Before and after, by capability")
    assert "version released now: 0ld" in release and "a fallen answer" in release
    assert "facts 0.9000 0.8000 0.1111 0.0811 to 0.1411 120 3 / 5 regression" in " ".join(release.split())


def test_gates_passed_without_a_release_is_not_called_released(full, page):
    (full / "metrics/srf/release.json").unlink()
    assert "All gates passed, release not decided" in page(render(full, "srf")).text


def test_verdict_made_from_other_figures_is_pointed_out(full, change, page):
    words = "The verdict was made from other figures than those in the metrics file now (kl)"
    assert words not in page(render(full, "srf")).text
    change(full / "metrics/srf/rl.json", lambda m: m["kl"].update(value=0.0999))
    assert words in page(render(full, "srf")).text


def test_missing_figure_is_called_missing(full, change, page):
    change(full / "metrics/srf/rl.json", lambda m: m.update(
        kl={"value": None, "n": 0, "low": None, "high": None}, entropy=None))
    rl = between(page(render(full, "srf")).text, "rl: reinforcement learning", "Every check of the gate")
    assert "KL divergence kl missing – 0" in rl and "Entropy entropy missing – –" in rl


def test_parameters_of_other_workflows_stay_out(full, page):
    shown = page(render(full, "srf"))
    assert "srf.rl.kl_penalty 0.1" in shown.text and "srf.data.pairs not set" in shown.text
    assert "model.base data/base" in shown.text and "dpo.beta" not in shown.text


def test_unknown_workflow_is_refused_with_a_suggestion(tmp_path):
    with pytest.raises(UserError, match="did you mean srf"):
        render(tmp_path, "srff")


@pytest.mark.parametrize(("path", "content", "message"), [
    ("metrics/srf/sft.json", b"{", "not valid JSON"),
    ("metrics/srf/sft.json", b"[]", "expected: a JSON object"),
    ("metrics/srf/plots/sft.json", b"{}", "expected: a JSON list"),
    ("params.yaml", b"a: [", "not valid YAML"),
    ("metrics/srf/sft.json", b"\xff", "not valid JSON"), ("data/srf/sft/records.parquet", b"PAR1", "Parquet"),
])
def test_broken_file_is_named(full, path, content, message):
    (full / path).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        render(full, "srf")
    assert Path(path).name in str(error.value)


def test_pictures_have_a_title_and_a_description(full, page):
    shown = page(render(full, "srf"))
    pictures = [given for tag, given in shown.tags if tag == "svg"]
    assert len([p for p in pictures if p.get("role") == "img"]) > 30
    for given in pictures:
        named = given.get("aria-labelledby", "").split()
        assert given.get("aria-hidden") == "true" or named and set(named) <= set(shown.ids)
    assert "KL divergence, rl. KL divergence: from" in shown.text


def test_a_figure_just_over_the_limit_is_not_rounded_to_it(full, change, page):
    def drift(verdict):
        verdict["tier"] = "REJECT"
        for check in verdict["checks"]:
            if check["metric"] == "kl" and check["threshold"] == "≤ 0.1":
                check.update(observed=0.100004, low=0.09, high=0.11, passed=False)

    change(full / "metrics/srf/gates/rl.json", drift)
    text = page(render(full, "srf")).text
    assert "rl: KL divergence is 0.100004 (95% interval 0.0900 to 0.1100); must be ≤ 0.1." in text
