import json
import re
import shutil
from pathlib import Path

import pytest

from realign.errors import UserError
from realign.lake.hashes import file_md5, tree_md5
from realign.metrics import flatten
from realign.report.page import render

STAGES = ("look", "trial", "polish", "evaluate")
SECTIONS = ("verdict", "gates", "capabilities", "samples", "curves", "metrics", "data", "lineage",
            "parameters", "terms")
EVIL = '</div></style><script>alert("x")</script><img src=x onerror=alert(1)>{{ 7*7 }} & "q"'


def between(text, start, end):
    """The part of the page's text from one phrase to the next."""
    return text[text.index(start):text.index(end, text.index(start))]


def test_full_run_reads_as_passed(full, page):
    shown = page(render(full))
    assert "Tidying up (made): report of this run" in shown.text
    assert "passed all 4 gates, 1 of them with a warning, and the verdict, though" in shown.text
    assert "add harder cases, or more capacity" in shown.text
    assert set(SECTIONS) <= set(shown.ids)
    for words in ("1. A look", "Tries the judge on hard cases.", "Adversarial accuracy is 0.7712 (95% interval 0.7358 "
                  "to 0.8066)", "HIGH needs ≥ 0.8, MEDIUM ≥ 0.6", "must be ≥ 0.5 and ≤ 2", "runs/made/"):
        assert words in shown.text


def test_what_was_kept_and_what_is_not_known_stands_on_the_first_screen(full, change, page):
    banner = between(page(render(full)).text, "Passed, not all known", "1. A look")
    assert "though not everything is known. realign release made asks it the sealed rows, and releases it. " \
           "Kept 2 of 3 capabilities against the base model; not known yet: " \
           "arithmetic. Warnings not known yet against the base model (too few to tell): arithmetic" in banner
    change(full / "verdicts/made.json", lambda d: d.update(warnings=[]))
    text = page(render(full)).text
    assert "not all known" not in text and "and the verdict. realign release made asks" in text
    assert "<code>realign release made</code> asks it" in render(full)


def test_slices_stand_under_their_capability_and_intervals_are_folded(full, change, comparison, page):
    change(full / "verdicts/made.json",
           lambda d: d["comparisons"].update(released=comparison("facts", 0.9, 0.8, "gone")))
    html = render(full)
    shown = between(page(html).text, "This model against the model released before", "Intervals, counts")
    assert shown.endswith("Change Outcome facts 0.9000 0.8000 −11.1% lost s 0.9000 0.8000 −11.1% lost ")
    folded = html[html.index("This model against the model released before"):]
    folded = folded[folded.index("<details>"):folded.index("</details>")]
    for drop, said in ((0.0811, "−8.1%"), (0.1411, "−14.1%"), (0.0871, "−8.7%")):
        assert f'<data value="{drop}' in folded and said in folded  # the exact drop, as a change in percent


def test_base_model_start_and_final_model_stand_side_by_side(full, page):
    shown = between(page(render(full)).text, "Before and after, by capability", "Sample answers")
    assert "Before: the base model. At the start: the model of the stage look, which later stages started from. " \
           "After: the final model, that of the stage polish." in shown
    row = between(shown[shown.index("Capability Before"):], "arithmetic", "facts")
    assert re.findall(r"0\.\d{4}(?= \()", row) == ["0.8410", "0.7120", "0.7810", "0.9287"]


def test_without_a_measured_start_there_is_no_such_column(full, change, page):
    change(full / "metrics/made/look.json", lambda m: m.pop("capability"))
    text = page(render(full)).text
    assert "At the start" not in text and "arithmetic n = 120 0.8410 (" in text


def test_the_gaps_of_the_base_model_are_listed(full, change, page):
    assert "Gaps of the base model" not in page(render(full)).text
    change(full / "metrics/common/baseline.json", lambda m: m.update(
        gaps={"refusal/person": {"value": 0.3696, "n": 92, "low": 0.278, "high": 0.4716}}))
    shown = between(page(render(full)).text, "Gaps of the base model", "Sample answers")
    assert "refusal/person 0.3696 (0.2780 to 0.4716) 92" in shown


def test_what_the_reward_pays_for_stands_dearest_first(full, change, page):
    assert "What the reward pays for" not in page(render(full)).text
    change(full / "metrics/made/evaluate.json", lambda m: m.update(
        paid={"right": {"value": 0.3991, "n": 800, "low": 0.1777, "high": 0.5887},
              "closing_question": {"value": 0.6642, "n": 800, "low": 0.5, "high": 0.84}},
        behaviour_gain={"closing_question": {"value": 0.6825, "n": 400, "low": 0.6368, "high": 0.7282}}))
    shown = between(page(render(full)).text, "What the reward pays for", "Sample answers")
    assert "closing question 0.6642 (0.5000 to 0.8400) 800 0.6825 (0.6368 to 0.7282) right 0.3991" in shown


def test_every_metric_of_every_stage_is_there_to_the_last_digit(full, page):
    shown = page(render(full))
    metrics = between(shown.text, "Every figure that a stage wrote", "Data: rows read, kept and dropped")
    for stage in STAGES:
        for name, metric in flatten(json.loads((full / f"metrics/made/{stage}.json").read_text())).items():
            assert name in metrics
            ends = [metric["low"], metric["high"]] if metric["low"] != metric["high"] else []
            for figure in [metric["value"], *ends]:
                assert figure in shown.figures, (stage, name)


def test_a_changed_figure_changes_the_page(full, change, page):
    before = page(render(full)).figures
    change(full / "metrics/made/polish.json", lambda m: m["reward_after"].update(value=0.654321))
    after = page(render(full)).figures
    assert 0.654321 not in before and 0.654321 in after


def test_nothing_outside_the_file_and_nothing_that_runs(full, page):
    html = render(full)
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
    assert render(full) == render(full) == render(elsewhere)
    assert str(full) not in render(full)


def test_text_from_data_is_shown_and_never_run(full, change, table, comparison, page):
    text = EVIL + "\u202e\x00\x1b[31m"
    record = {"example_id": text, "capability": text, "slice": text, "prompt": text, "output": text,
              "reference": text}
    for home, score in (("common/baseline", 0.0), ("made/evaluate", 1.0)):
        table(full / f"data/{home}/records.parquet", [record | {"score": score}])
    table(full / "data/made/look/rejected.parquet",
          [{"source": text, "position": 1, "reason": text, "detail": text, "content": text}])
    change(full / "metrics/made/look.json", lambda m: m["capability"].update({EVIL: m["capability"]["facts"]}))
    change(full / "metrics/made/polish.json", lambda m: m.update({EVIL: m["kl"], "did": [EVIL]}))
    change(full / "metrics/made/plots/polish.json", lambda p: [r.update({EVIL: r["kl"]}) for r in p])
    change(full / "metrics/made/gates/trial.json", lambda v: v.update(remedy=EVIL))
    change(full / "verdicts/made.json", lambda r: r.update(
        version=EVIL, comparisons={EVIL: comparison(EVIL, 0.9, 0.8, EVIL)}))
    (full / "params.yaml").write_text(json.dumps({"made": {EVIL: EVIL}}))
    html = render(full)
    shown = page(html)
    assert "<script" not in html and "<img" not in html and "\x00" not in html and "\x1b" not in html
    assert not {"script", "img"} & {tag for tag, _ in shown.tags}
    assert shown.text.count('<script>alert("x")</script><img src=x onerror=alert(1)>{{ 7*7 }} & "q"') >= 12
    assert "␀␛[31m" in shown.text


def test_rejected_run_says_why_and_hides_what_an_earlier_run_left(rejected, page):
    shown = page(render(rejected))
    banner = between(shown.text, "Rejected", "1. A look")
    assert "The gate of trial rejected the result" in banner
    assert "polish and evaluate did not run" in banner
    assert "Validation accuracy is 0.5417 (95% interval 0.4785 to 0.6035)" in banner
    assert "add harder cases, or more capacity" in banner
    assert "Released" not in shown.text and "No model is released." in banner
    assert "Adversarial" not in banner[banner.index("Why"):banner.index("Warnings")]  # which stopped nothing
    assert "Adversarial accuracy is" in banner[banner.index("Warnings"):]
    pointer = rejected / "released/made/pointer.json"
    pointer.parent.mkdir(parents=True)
    pointer.write_text(json.dumps({"version": "9e286b732fbf", "model": {"path": "released/made/model/9e286b732fbf"}}))
    assert "Version 9e286b732fbf stays released." in between(page(render(rejected)).text, "Rejected", "1. A look")
    assert 0.777777 not in shown.figures
    assert "Files of an earlier run are there; they are no part of this one" in shown.text
    assert "checkpoints/made/trial" in shown.text and "checkpoints/made/polish" not in shown.text
    assert "metrics/made/gates/look.json" in shown.text
    assert "metrics/made/gates/trial.json" not in shown.text
    assert "The evaluation has not run, so only the answers of the base model are there" in shown.text


def test_of_a_larger_group_the_narrowest_figure_is_shown_and_the_others_are_folded(full, change, page):
    def add(verdict):
        one = next(c for c in verdict["checks"] if c["metric"] == "retention_worst" and c["severity"] == "critical")
        verdict["checks"] += [one | {"metric": f"retention.{name}", "observed": seen, "low": seen - 0.01,
                                     "high": seen + 0.01, "passed": passed}
                              for name, seen, passed in (("far", 1.3, True), ("near", 0.97, True), ("lost", 0.5, False),
                                                         ("farther", 1.4, True))]
    change(full / "metrics/made/gates/evaluate.json", add)
    html = render(full)
    row = html[html.index("Compares the end with the beginning."):]
    shown, folded = row[:row.index("<details>")], row[row.index("<details>"):row.index("</details>")]
    assert "Retention: near" in shown and "Retention: lost" in shown and "Worst retention" in shown
    assert "2 more of the same kinds" in folded and "Retention: far<" in folded and "Retention: farther" in folded


def test_rounds_that_were_rolled_back_are_told_in_words(full, change, page):
    def rounds(count, undone):
        change(full / "metrics/made/polish.json", lambda found: found.update({
            name: {"value": value, "n": value, "low": value, "high": value}
            for name, value in (("rounds", count), ("rolled_back", undone))}))
        return page(render(full)).text

    assert ("1 of 1 round came out no better and was rolled back; so the model from before the first is the one "
            "offered." in rounds(1, 1))
    assert "2 of 3 rounds came out no better and were rolled back; the best one was kept." in rounds(3, 2)
    assert "rolled back;" not in rounds(3, 0)


def test_the_banner_says_which_model_from_what(full, page):
    assert "version 6f1c0a9be2d4" in between(page(render(full)).text, "Passed, not all known", "1. A look")


def rerun(root, stage):
    """As if this stage alone had run again since, and made another model."""
    path = root / "stages/made/dvc.lock"
    found = json.loads(path.read_text())
    found["stages"][stage]["outs"][0]["md5"] = "f" * 32 + ".dir"
    path.write_text(json.dumps(found))


def test_what_is_of_an_older_run_than_the_model_before_it_is_not_shown(full, page):
    before = page(render(full))
    rerun(full, "trial")
    found = page(render(full))
    assert "Unfinished" in found.text and "as far as polish: it is out of date." in found.text
    assert "Out of date: made:polish ran on another checkpoints/made/trial than made:trial has made since" in found.text
    assert "0.0713" in before.text and "0.0713" not in found.text  # its KL
    assert "Decision:" not in found.text and "Not run: an earlier stage was not accepted." in found.text


def test_a_verdict_on_an_earlier_candidate_is_none(full, change, page):
    def bound(md5):
        change(full / "verdicts/made.json", lambda verdict: verdict.update(bound={"checkpoints/made/polish": md5}))
        return page(render(full)).text

    assert "Decision: passed" in bound("2" * 32 + ".dir")
    rerun(full, "evaluate")
    assert "Decision: passed" in page(render(full)).text  # it is not bound to that
    found = bound("9" * 32 + ".dir")
    assert "All gates passed, no verdict yet" in found and "Decision:" not in found


def test_records_of_another_branch_are_not_shown(full, change, page):
    """`git checkout` without `dvc checkout`: metrics and lock are of one branch, the datasets of another."""
    def of(md5):
        change(full / "metrics/made/evaluate.json", lambda found: found.update(of={"data/made/evaluate": md5}))
        return page(render(full)).text

    assert "Out of date" not in of(tree_md5(full / "data/made/evaluate")[0])
    found = of("0" * 32 + ".dir")
    assert "Out of date: data/made/evaluate is not what metrics/made/evaluate.json is of" in found
    assert "Worsened" not in found and "Decision:" not in found


def test_a_gate_that_judged_older_figures_has_not_run(full, change, page):
    def of(md5):
        change(full / "metrics/made/gates/evaluate.json", lambda found: found.update(
            of={"metrics/made/evaluate.json": md5, "expectations/made/evaluate.json": "e" * 32}))
        return page(render(full)).text

    assert "The stage has run, its gate has not." not in of(file_md5(full / "metrics/made/evaluate.json"))
    assert "The stage has run, its gate has not." in of("0" * 32)


def test_a_rejection_is_shown_though_dvc_lock_holds_the_gate_of_an_earlier_run(rejected, page):
    """A gate that rejects fails, and DVC leaves its entry as it was."""
    path = rejected / "stages/made/dvc.lock"
    found = json.loads(path.read_text())
    found["stages"]["gate@trial"] = {"cmd": "x", "outs": [{"path": "metrics/made/gates/trial.json", "md5": "a" * 32}],
                                     "deps": [{"path": "metrics/made/trial.json", "md5": "a" * 32}]}
    path.write_text(json.dumps(found))
    change = json.loads((rejected / "metrics/made/gates/trial.json").read_text())
    change["of"] = {"metrics/made/trial.json": file_md5(rejected / "metrics/made/trial.json")}
    (rejected / "metrics/made/gates/trial.json").write_text(json.dumps(change))
    assert "The gate of trial rejected the result" in page(render(rejected)).text


def test_a_project_where_nothing_has_run_is_a_report_too(tmp_path, declared, page):
    declared(tmp_path, "made")
    shown = page(render(tmp_path))
    for words in ("Nothing has run yet", "No capability has been measured yet", "No answers are recorded yet",
                  "No stage has written a curve yet", "No stage has counted rows yet",
                  "No dvc.lock records a stage of this run yet", "There is no params.yaml"):
        assert words in shown.text


@pytest.mark.parametrize("path", [
    "metrics/made/plots/polish.json", "data/made/evaluate/records.parquet", "data/made/look/records.parquet",
    "params.yaml", "data/common/baseline/records.parquet", "metrics/common/baseline.json",
    "data/made/look/rejected.parquet", "stages/made/dvc.lock", "dvc.lock", "metrics/made/evaluate.json",
    "metrics/made/look.json"])
def test_any_file_may_be_missing(full, path, page):
    (full / path).unlink()
    assert page(render(full)).text


def test_unfinished_run_names_what_is_next(full, page):
    (full / "metrics/made/gates/polish.json").unlink()
    shown = page(render(full))
    assert "Unfinished" in shown.text and "The run has come as far as polish: its gate has not run" in shown.text
    assert "Released" not in shown.text


def test_a_blocked_candidate_says_why(full, change, comparison, page):
    change(full / "verdicts/made.json", lambda r: r.update(
        decision="blocked", earlier={"released": "0ld"},
        reasons=["facts was lost against the model released before"],
        remedy="lower the learning rate; rebalance",
        comparisons={"released": comparison("facts", 0.9, 0.8, "a fallen answer")}))
    text = page(render(full)).text
    banner = between(text, "Blocked", "1. A look")
    for words in ("facts was lost", "No model is released.", "lower the learning rate"):
        assert words in banner
    release = between(text, "Decision: blocked", "Before and after, by capability")
    assert "version released when it was made: 0ld" in release and "a fallen answer" in release
    assert "facts 0.9000 0.8000 −11.1% lost" in release and "Lost blocks the model" in release
    assert "facts −11.1% −14.1% to −8.1% 120 110 3 / 5 surely −8.7%" in release


def test_gates_passed_without_a_verdict_are_not_called_passed(full, page):
    (full / "verdicts/made.json").unlink()
    assert "All gates passed, no verdict yet" in page(render(full)).text


def test_verdict_made_from_other_figures_is_pointed_out(full, change, page):
    words = "The verdict was made from other figures than those in the metrics file now (kl)"
    assert words not in page(render(full)).text
    change(full / "metrics/made/polish.json", lambda m: m["kl"].update(value=0.0999))
    assert words in page(render(full)).text


def test_missing_figure_is_called_missing(full, change, page):
    change(full / "metrics/made/polish.json", lambda m: m.update(
        kl={"value": None, "n": 0, "low": None, "high": None}, entropy=None))
    polish = between(page(render(full)).text, "polish: polishing", "Every check of the gate")
    assert "KL divergence kl missing – 0" in polish and "Entropy entropy missing – –" in polish


def test_parameters_of_other_workflows_stay_out(full, declared, page):
    declared(full, "other")
    shown = page(render(full, "made"))
    assert "made.polish.kl_penalty 0.1" in shown.text and "made.data.pairs not set" in shown.text
    assert "model.base data/base" in shown.text and "other.beta" not in shown.text


def test_unknown_workflow_is_refused_with_a_suggestion(full):
    with pytest.raises(UserError, match="did you mean made"):
        render(full, "maed")


def test_the_evaluation_may_have_another_stage_behind_it_and_the_offer_may_be_the_start(full, page):
    path = full / "stages/made/dvc.yaml"
    text = path.read_text().replace("role: start", "role: [start, offered]").replace("meta: {role: offered}, ", "")
    text = text.replace("  gate:", "  watch: {desc: Watching. Looks again later., wdir: ../..}\n  gate:")
    path.write_text(text.replace("evaluate: x}", "evaluate: x, watch: x}"))
    shown = page(render(full))
    assert "The run has come as far as watch: it has not run" in shown.text
    assert "0.7810" in between(shown.text, "Before and after, by capability", "Sample answers")


@pytest.mark.parametrize(("path", "content", "message"), [
    ("metrics/made/look.json", b"{", "broken JSON"),
    ("metrics/made/look.json", b"[]", "expected: a JSON object"),
    ("metrics/made/plots/look.json", b"{}", "expected: a JSON list"),
    ("params.yaml", b"a: [", "broken YAML"),
    ("metrics/made/look.json", b"\xff", "not UTF-8"), ("data/common/baseline/records.parquet", b"PAR1", "Parquet"),
])
def test_broken_file_is_named(full, path, content, message):
    (full / path).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        render(full)
    assert Path(path).name in str(error.value)


def test_pictures_have_a_title_and_a_description(full, page):
    shown = page(render(full))
    pictures = [given for tag, given in shown.tags if tag == "svg"]
    drawn = [p for p in pictures if p.get("role") == "img"]
    assert len(drawn) == 7 + 3 + 4  # figures that a gate decides on, capabilities, charts
    for given in pictures:
        named = given.get("aria-labelledby", "").split()
        assert given.get("aria-hidden") == "true" or (named and set(named) <= set(shown.ids))
    assert "KL divergence, polish. KL divergence, round 1: from" in shown.text


def test_a_figure_just_over_the_limit_is_not_rounded_to_it(full, change, page):
    def drift(verdict):
        verdict["tier"] = "REJECT"
        for check in verdict["checks"]:
            if check["metric"] == "kl" and check["threshold"] == "≤ 0.1":
                check.update(observed=0.100004, low=0.09, high=0.11, passed=False)

    change(full / "metrics/made/gates/polish.json", drift)
    text = page(render(full)).text
    assert "polish: KL divergence is 0.100004 (95% interval 0.0900 to 0.1100); must be ≤ 0.1." in text
