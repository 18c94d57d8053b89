import io
import json

import pyarrow as pa
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from realign import words
from realign.errors import UserError
from realign.lake.schemas import RECORDS
from realign.versions import render
from realign.versions.command import compare as command
from realign.versions.compare import compare
from realign.versions.load import Version, load


@pytest.fixture
def call(built, monkeypatch):
    monkeypatch.chdir(built)
    app = typer.Typer()
    app.command()(command)
    return lambda *arguments: CliRunner(env={"COLUMNS": "80"}).invoke(app, arguments)


def test_the_table_names_what_was_lost_and_the_rows_that_did_it(call):
    shown = call("good", "bad", "--examples", "2")
    assert shown.exit_code == 0, shown.output
    row = next(line.split() for line in shown.output.splitlines() if line.startswith("facts"))
    assert row == ["facts", "1", "0.8", "−20.0%", "lost"]
    assert "kept 1 of 2 capabilities against good; lost: facts" in " ".join(shown.output.split())
    assert max(map(len, shown.output.splitlines())) <= 80
    assert "e000" in shown.output and "e001" in shown.output and "e002" not in shown.output
    assert "facts 0?" in shown.output


def test_the_workspace_is_the_default_second_version(call):
    shown = call("good", "--json")
    found = json.loads(shown.output)
    assert found["b"] == "workspace" and found["lost"] == found["blocking"] == ["facts"]


def test_json_is_for_a_program(call):
    found = json.loads(call("good", "mild", "--json", "--examples", "1").output)
    facts = next(c for c in found["capabilities"] if c["capability"] == "facts")
    assert facts["drop"]["value"] == 0.04 and facts["blocks"] is False and facts["said"] == "not known, too few to tell"
    assert facts["needed"] > 1000 and 0.1 < facts["visible"] < 0.2
    assert found["lost"] == [] and len(found["changed"]) == 1 and found["changed_total"] == 4
    assert len(found["revision_a"]) == 40


def test_json_has_null_where_there_is_no_number(built):
    good = load("good", built)
    lost = load("good", built).records.filter([c == "facts" for c in good.records["capability"].to_pylist()])
    found = render.as_json(compare(good, type(good)("x", "", lost, {})))
    text = json.dumps(found, allow_nan=False)
    assert found["lost"] == ["arithmetic"] and "null" in text


def test_markdown_is_for_a_pull_request(call):
    shown = call("good", "bad", "--markdown").output
    assert "| facts | 1 | 0.8 | −20.0% | lost |" in shown and "against good; lost: facts**" in shown
    assert shown.count("<details>") == shown.count("</details>") >= 2


def test_markdown_shows_model_text_as_text(built):
    from dataclasses import replace
    result = compare(load("good", built), load("bad", built))
    nasty = "</details><img src=x> | a\n\n# head @someone [l](u) `code`"
    text = render.markdown(replace(result, changed=(replace(result.changed[0], output_b=nasty),)))
    row = next(line for line in text.splitlines() if "head" in line)
    assert "<img" not in row and "@someone" not in row and r"\|" in row and r"\`code\`" in row


def test_slices_stand_under_their_capability_and_intervals_behind_details(built):
    def rows(wrong):
        return [{"example_id": f"e{i}", "capability": "facts", "slice": f"{i % 2 + 1} of the two slices", "prompt": "?",
                 "output": "x", "score": float(i >= wrong or i % 2), "reference": ""} for i in range(1400)]
    a, b = (Version(n, "", pa.Table.from_pylist(rows(w), RECORDS), {}) for n, w in (("a", 0), ("b", 90)))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render.table(compare(a, b), 0))
    shown = [line.rstrip() for line in console.export_text().splitlines()]
    assert [" ".join(line.split()) for line in shown[2:5]] == [
        "facts 1 0.9679 −3.2% kept", "1 of the two slices 1 0.9357 −6.4% not known, above 5%",
        "2 of the two slices 1 1 +0.0% kept"]
    assert shown[3].startswith("  1 of") and "…" not in "".join(shown)
    assert "lost 19 times in 20; up to" in " ".join(" ".join(shown).split())
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render.table(compare(a, b), 0, details=True))
    detailed = console.export_text()
    change = compare(a, b).slices[0]
    behind = detailed[detailed.index("behind them"):].splitlines()[3]  # one line a cell in 80 columns
    assert behind.split() == [
        "1", "of", "the", "two", "slices", words.change(change.drop.high), "…", words.change(change.drop.low),
        "700", "700", "45/0", words.change(change.visible), f"{change.needed:,}"]


def test_metrics_that_one_side_lacks_have_not_moved(built):
    def version(name, **metrics):
        return Version(name, "", load("good", built).records, {
            f"stage.{key}": {"value": value, "n": 9, "low": low, "high": high}
            for key, (value, low, high) in metrics.items()})

    a = version("a", same=(1.0, 0.9, 1.1), gone=(1.0, 0.9, 1.1), fell=(0.5, 0.4, 0.6), rounds=(1, 1, 1))
    b = version("b", same=(1.0, 0.9, 1.1), come=(1.0, 0.9, 1.1), fell=(-0.5, -0.6, -0.4), rounds=(2, 2, 2))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render.table(compare(a, b), 0, details=True))
    shown = console.export_text()
    moved = [line.split() for line in shown[shown.index("metrics that moved"):].splitlines()[2:4]]
    assert moved == [["stage.fell", "0.5", "−0.5", "−1", "apart"], ["stage.rounds", "1", "2", "+1", "counted"]]
    text = render.markdown(compare(a, b))
    assert "2 metrics moved" in text and "stage.come" not in text and "stage.gone" not in text
    assert "| stage.fell | 0.5 (0.4 … 0.6) | −0.5 (−0.6 … −0.4) | −1 | apart |" in text


def test_brackets_in_model_text_are_not_markup(built):
    from dataclasses import replace
    result = compare(load("good", built), load("bad", built))
    console = Console(width=200, record=True, file=io.StringIO())
    nasty = replace(result.changed[0], output_b="[red]x[/blue]")
    console.print(render.table(replace(result, changed=(nasty,))))
    assert "[red]x[/blue]" in console.export_text()


def test_two_formats_at_once_are_refused(call):
    assert isinstance(call("good", "bad", "--markdown", "--json").exception, UserError)
