"""Preference pairs in the shapes the ecosystem uses, as rows of PAIRS."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from realign.curate.rejected import rejected_row
from realign.errors import UserError
from realign.ingest.dialogues import Fault, Messages, parse_side, side_of, text_of
from realign.ingest.records import Raw, read_records
from realign.lake.schemas import row_id

SCORE_NAMES = (("chosen_score", "rejected_score"), ("score_chosen", "score_rejected"))
TYPE_NAMES = ("preference_type", "category")
GIVEN = (1.0, 0.0)  # scores of a pair that has a label but no scores
UNTYPED = "unspecified"
_SYNONYMS = {"prompt": ("question", "instruction", "query"), "chosen": ("winner",),
             "rejected": ("loser",)}
SHAPES = """`chosen` and `rejected` in every row, in one of these shapes:
    prompt, chosen, rejected: texts
    prompt (text or messages), chosen, rejected (a message or messages)
    chosen, rejected: whole dialogues as messages [{"role": …, "content": …}, …]
    chosen, rejected: whole dialogues as text, "\\n\\nHuman: … \\n\\nAssistant: …\""""


@dataclass
class _Tally:
    """What an ingestion has met so far."""

    pairs: list[dict] = field(default_factory=list)
    rejected: list[dict] = field(default_factory=list)
    first_position: dict[str, int] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)


def ingest_pairs(
    path: Path | str, score_range: tuple[float, float] = (0.0, 1.0)
) -> tuple[list[dict], list[dict]]:
    """`(pairs, rejected)` of a JSONL, CSV or Parquet file: every input row is in one of the two.

    Pairs follow PAIRS with `split` left empty: `messages` is the shared prompt, `chosen` and
    `rejected` the last answer of the assistant. Scores of the file are mapped from `score_range`
    to [0, 1]; without any, the label is taken: 1 and 0. Raises UserError when the file cannot be
    read or not one of its rows is a pair.
    """
    path, tally = Path(path), _Tally()
    if not score_range[0] < score_range[1]:
        raise UserError(f"score_range {list(score_range)} is no range", where="score_low and score_high of the data",
                        expected="[lowest, highest] score of the file", fix="correct params.yaml")
    for raw in read_records(path):
        if raw.row is None:
            tally.rejected.append(raw.rejected(path.name))
            continue
        tally.columns |= {name for name, value in raw.row.items() if value is not None}
        _take(raw, path.name, score_range, tally)
    if not tally.pairs:
        raise _no_pairs(path, tally)
    return tally.pairs, tally.rejected


def _take(raw: Raw, source: str, score_range: tuple[float, float], tally: _Tally) -> None:
    """Put one readable row with the pairs or with the rejected."""
    try:
        pair = to_pair(raw.row, source, score_range)
        first = tally.first_position.setdefault(pair["row_id"], raw.position)
        if first != raw.position:
            raise Fault("duplicate", f"same prompt and answers as row {first}")
        tally.pairs.append(pair)
    except Fault as fault:
        tally.rejected.append(rejected_row(source, raw.position, fault.reason, fault.detail, raw.row))


def to_pair(row: dict, source: str, score_range: tuple[float, float] = (0.0, 1.0)) -> dict:
    """One row in any of the shapes as a row of PAIRS; raises Fault with the reason if it is none."""
    for side in ("chosen", "rejected"):
        if row.get(side) is None:
            raise Fault("missing_field", f"`{side}` is missing or null")
    prompt = None if row.get("prompt") is None else parse_side(row["prompt"], "prompt", "user")
    system = text_of(row, "system")
    chosen, rejected = (_dialogue(row, side, prompt, system) for side in ("chosen", "rejected"))
    messages = _shared_prompt(chosen, rejected)
    answers = chosen[-1]["content"], rejected[-1]["content"]
    if answers[0].strip() == answers[1].strip():
        raise Fault("identical_sides", "`chosen` and `rejected` give the same answer")
    scores = _scores(row, score_range)
    return {
        "row_id": row_id(messages, *answers), "prompt_id": row_id(messages), "messages": messages,
        "chosen": answers[0], "rejected": answers[1], "chosen_score": scores[0], "rejected_score": scores[1],
        "preference_type": text_of(row, *TYPE_NAMES) or UNTYPED, "split": "",
        "source": text_of(row, "source") or source,
    }


def _dialogue(row: dict, side: str, prompt: Messages | None, system: str) -> Messages:
    """The whole dialogue of one side, the system message first where there is one."""
    messages = side_of(row[side], side, prompt)
    if messages[-1]["role"] != "assistant":
        raise Fault("missing_field", f"`{side}` does not end with an answer of the assistant")
    if not system:
        return messages
    if messages[0]["role"] != "system":
        return [{"role": "system", "content": system}, *messages]
    if messages[0]["content"].strip() != system.strip():
        raise Fault("no_shared_prompt", f"`system` and the system message of `{side}` differ")
    return messages


def _shared_prompt(chosen: Messages, rejected: Messages) -> Messages:
    """The messages before the last answer, which must be the same on both sides."""
    shared = 0
    for a, b in zip(chosen, rejected, strict=False):
        if a != b:
            break
        shared += 1
    if chosen == rejected:
        raise Fault("identical_sides", "`chosen` and `rejected` are the same dialogue")
    if not shared == len(chosen) - 1 == len(rejected) - 1:
        detail = f"the dialogues part at message {shared + 1}, of {len(chosen)} and {len(rejected)}"
        raise Fault("no_shared_prompt", f"{detail}; only the last one may differ")
    if not any(message["role"] != "system" for message in chosen[:-1]):
        raise Fault("no_shared_prompt", "nothing stands before the answers")
    return chosen[:-1]


def _scores(row: dict, score_range: tuple[float, float]) -> tuple[float, float]:
    names = next((pair for pair in SCORE_NAMES if any(row.get(n) not in (None, "") for n in pair)), None)
    if names is None:
        return GIVEN
    low, high = score_range
    scores = []
    for name in names:
        value = row.get(name)
        if value in (None, ""):
            raise Fault("missing_field", f"`{name}` is missing beside the other score")
        score = _number(value, name)
        if not low <= score <= high:
            raise Fault("score_out_of_range", f"`{name}` is {score:g}, outside {low:g} to {high:g}")
        scores.append((score - low) / (high - low))
    return scores[0], scores[1]


def _number(value, name: str) -> float:
    try:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return float(value)  # CSV knows only text
    except (ValueError, OverflowError) as error:
        raise Fault("wrong_type", f"`{name}` is not a number") from error
    raise Fault("wrong_type", f"`{name}` is {type(value).__name__}, not a number")


def _no_pairs(path: Path, tally: _Tally) -> UserError:
    first = tally.rejected[0]
    missing = [name for name in ("chosen", "rejected") if name not in tally.columns]
    if not missing and first["detail"].startswith("`prompt` is missing"):
        missing = ["prompt"]
    if missing:
        others = sorted(tally.columns - {"prompt", "chosen", "rejected"})
        near = [f"`{m}` for `{name}`" for name in missing for m in _nearest(name, others)]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        found = ", ".join(sorted(tally.columns)) or "none"
        return UserError(f"no column `{missing[0]}`; found: {found}{hint}", where=str(path),
                         expected=SHAPES, fix="rename the columns")
    fix = "correct the file"
    if first["reason"] == "score_out_of_range":
        fix = "give the range of the scores as score_range (score_low and score_high of the data in params.yaml)"
    return UserError(
        f"none of its {len(tally.rejected)} rows is a preference pair; the first: {first['reason']}, "
        f"{first['detail']}", where=f"{path}:{first['position']}", expected=SHAPES, fix=fix)


def _nearest(name: str, columns: list[str]) -> list[str]:
    """The column most likely meant by `name`: another word for it, or spelt nearly like it."""
    words = (name, *_SYNONYMS.get(name, ()))
    like = [c for c in columns if "score" not in c.lower() and any(word in c.lower() for word in words)]
    return (like or difflib.get_close_matches(name, columns, n=1, cutoff=0.6))[:1]
