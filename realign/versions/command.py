"""`realign compare`, two versions side by side; `realign trace`, from a model to its rows and back."""

from pathlib import Path
from typing import Annotated

import typer

from realign.errors import UserError


def compare(
    a: Annotated[str, typer.Argument(help="Before: a revision, tag or experiment, `workspace` or `released`; "
                                          "`<name>:<stage>` for another stage's records, `<name>:baseline` for "
                                          "the base model's.")],
    b: Annotated[str, typer.Argument(help="After, named the same way.")] = "workspace",
    workflow: Annotated[str, typer.Option(help="The workflow whose evaluation is compared; without it, the only "
                                               "one there is.")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="For a pull request.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
    examples: Annotated[int, typer.Option(min=0, help="Worst examples shown of each capability.")] = 5,
    details: Annotated[bool, typer.Option("--details", help="Also intervals, counts, what would decide, and the "
                                                            "metrics that moved.")] = False,
) -> None:
    """Compare B with A, example by example: what was kept, lost, gained, and what is not known.

    Kept is what surely fell by no more than 5%, lost what surely fell by more, or with 600 examples is below 90% of
    what it was. Slices stand under their capability, and the examples answered worst below the table.
    """
    from realign.versions import render
    from realign.versions.compare import compare as compared
    from realign.versions.load import load
    if markdown and json:
        raise UserError("--markdown and --json together", expected="one of them")
    result = compared(load(a, Path("."), workflow), load(b, Path("."), workflow))
    if json:
        import json as codec
        print(codec.dumps(render.as_json(result, examples), sort_keys=True, indent=1, ensure_ascii=False))
    elif markdown:
        print(render.markdown(result, examples), end="")
    else:
        from rich.console import Console
        Console().print(render.table(result, examples, details))


def trace(
    row: Annotated[str, typer.Argument(help="A row id; without one, the released model is traced.")] = "",
    at: Annotated[str, typer.Option(help="The work tree, or a revision, tag or experiment.")] = "workspace",
    workflow: Annotated[str, typer.Option(help="The workflow whose released model is meant; without it, the only "
                                               "one there is.")] = "",
    code: Annotated[bool, typer.Option("--code", help="Also every file, hash and knob of every stage.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """Trace the released model to its stages, gates and rows, or a row to the models it reached."""
    from dataclasses import asdict

    from realign.versions import trace as traced
    found = traced.trace_row(row, at, Path("."), workflow) if row else traced.trace_model(at, Path("."), workflow)
    if json:
        import json as codec
        print(codec.dumps(asdict(found), sort_keys=True, indent=1, ensure_ascii=False))
    else:
        print("\n".join(traced.row_lines(found) if row else traced.model_lines(found, code)))
