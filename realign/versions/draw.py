"""The examples of a verdict: the evaluation rows, and more from the reserve for what these leave open.

Which are drawn follows from the answers alone, so a verdict can check that neither more nor fewer were.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from realign.errors import UserError
from realign.versions.compare import OPEN, compare_all
from realign.versions.load import Version
from realign.versions.looks import Plan

if TYPE_CHECKING:
    import pyarrow as pa

CANDIDATE, BASELINE, START = "candidate", "baseline", "start"


def reserve(base: "pa.Table") -> dict[str, list[str]]:
    """The ids of the rows in reserve by capability, in the order in which they are drawn: that of the ids, which are
    hashes; from the base model's records of them."""
    found: dict[str, list[str]] = {}
    for capability, example in sorted(zip(base["capability"].to_pylist(), base["example_id"].to_pylist(), strict=True)):
        found.setdefault(capability, []).append(example)
    return found


def planned(first: "pa.Table", waiting: Mapping[str, Sequence[str]]) -> dict[str, Plan]:
    """The looks at each capability, from the base model's records of the evaluation rows and the rows in reserve."""
    counts = first.group_by("capability").aggregate([([], "count_all")])
    return {name: Plan(n, len(waiting.get(name, ())))
            for name, n in zip(counts["capability"].to_pylist(), counts["count_all"].to_pylist(), strict=True)}


def drawn(first: Mapping[str, "pa.Table"], waiting: Mapping[str, Sequence[str]],
          ask: Callable[[str, list[str]], "pa.Table"]) -> dict[str, "pa.Table"]:
    """The records of every model, with those of the further examples that the verdict on CANDIDATE needs.

    `first` holds their records of the evaluation rows: CANDIDATE, BASELINE and whatever else it is compared with; `ask`
    gives those of one model for ids in reserve. A capability is asked more while it or a slice of it is open against
    any of them.
    """
    import pyarrow as pa
    records, plan = dict(first), planned(first[BASELINE], waiting)
    while waiting and (wanted := _wanted(records, waiting, plan)):
        records = {name: pa.concat_tables([table, ask(name, wanted)]) for name, table in records.items()}
    return records


def _wanted(records: Mapping[str, "pa.Table"], waiting: Mapping[str, Sequence[str]],
            plan: Mapping[str, Plan]) -> list[str]:
    """The ids to be asked next; empty where nothing is open or left."""
    new, *before = (Version(name, "", table, {}) for name, table in
                    sorted(records.items(), key=lambda item: item[0] != CANDIDATE))
    still_open = {cell.capability for found in compare_all(before, new, plan) for cell in found.cells
                  if cell.outcome == OPEN and math.isfinite(cell.drop.value)}
    wanted = []
    for name in sorted(still_open & plan.keys()):
        asked = records[BASELINE]["capability"].to_pylist().count(name)
        at = asked - plan[name].first
        wanted += waiting.get(name, [])[at:at + plan[name].more(asked)]
    return wanted


def among(tables: Mapping[str, "pa.Table"]) -> Callable[[str, list[str]], "pa.Table"]:
    """What `drawn` asks, from records that lie in files."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def ask(name: str, ids: list[str]) -> "pa.Table":
        found = tables[name].filter(pc.is_in(tables[name]["example_id"], pa.array(ids, pa.string())))
        if found.num_rows < len(ids):
            lacks = sorted(set(ids) - set(found["example_id"].to_pylist()))
            raise UserError(f"{len(lacks)} examples that the verdict needs were not asked, {lacks[0]} first",
                            where=f"the reserve's records of {name}", fix="`dvc repro` asks them")
        return found
    return ask


def check_whole(records: Mapping[str, "pa.Table"], first: Mapping[str, "pa.Table"], more: Mapping[str, "pa.Table"],
                files: Mapping[str, Path]) -> None:
    """Raises UserError where a model answered more of the reserve than was drawn: the examples were chosen otherwise
    than by the rule. The base model answers all of it."""
    for name, table in more.items():
        surplus = first[name].num_rows + table.num_rows - records[name].num_rows
        if name != BASELINE and surplus:
            raise UserError(f"holds {surplus} examples that the verdict does not ask for", where=str(files[name]),
                            expected="more examples only for what the ones before leave open", fix="`dvc repro`")
