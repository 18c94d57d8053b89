import io
import json

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from realign.errors import UserError
from realign.versions import render
from realign.versions.command import compare as command
from realign.versions.compare import compare
from realign.versions.load import load


@pytest.fixture
def call(built, monkeypatch):
    monkeypatch.chdir(built)
    app = typer.Typer()
    app.command()(command)
    return lambda *arguments: CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)


def test_the_table_names_the_regression_and_the_rows_that_did_it(call):
    shown = call("good", "bad", "--examples", "2")
    assert shown.exit_code == 0, shown.output
    assert "REGRESSION, real" in shown.output and "+6.0%" in shown.output
    assert "e000" in shown.output and "e001" in shown.output and "e002" not in shown.output
    assert "facts 0?" in shown.output


def test_the_workspace_is_the_default_second_version(call):
    shown = call("good", "--json")
    found = json.loads(shown.output)
    assert found["b"] == "workspace" and found["regressions"] == ["facts"]


def test_json_is_for_a_program(call):
    found = json.loads(call("good", "mild", "--json", "--examples", "1").output)
    facts = next(c for c in found["capabilities"] if c["capability"] == "facts")
    assert facts["drop"]["value"] == 0.04 and facts["regression"] is False and facts["real"] is False
    assert facts["p_value"] == 0.125  # 4 lost, none gained: 2 / 2⁴
    assert found["regressions"] == [] and len(found["changed"]) == 1 and found["changed_total"] == 4
    assert len(found["revision_a"]) == 40


def test_json_has_null_where_there_is_no_number(built):
    good = load("good", built)
    lost = load("good", built).records.filter([c == "facts" for c in good.records["capability"].to_pylist()])
    found = render.as_json(compare(good, type(good)("x", "", lost, {})))
    text = json.dumps(found, allow_nan=False)
    assert found["regressions"] == ["arithmetic"] and "null" in text


def test_markdown_is_for_a_pull_request(call):
    shown = call("good", "bad", "--markdown").output
    assert "| facts | 1 | 0.94 | +6.0% |" in shown and "**REGRESSION in facts" in shown
    assert shown.count("<details>") == shown.count("</details>") >= 2


def test_markdown_shows_model_text_as_text(built):
    from dataclasses import replace
    result = compare(load("good", built), load("bad", built))
    nasty = "</details><img src=x> | a\n\n# head @someone [l](u) `code`"
    text = render.markdown(replace(result, changed=(replace(result.changed[0], output_b=nasty),)))
    row = next(line for line in text.splitlines() if "head" in line)
    assert "<img" not in row and "@someone" not in row and r"\|" in row and r"\`code\`" in row


def test_brackets_in_model_text_are_not_markup(built):
    from dataclasses import replace
    result = compare(load("good", built), load("bad", built))
    console = Console(width=200, record=True, file=io.StringIO())
    nasty = replace(result.changed[0], output_b="[red]x[/blue]")
    console.print(render.table(replace(result, changed=(nasty,))))
    assert "[red]x[/blue]" in console.export_text()


def test_two_formats_at_once_are_refused(call):
    assert isinstance(call("good", "bad", "--markdown", "--json").exception, UserError)
