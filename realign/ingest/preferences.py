"""Preference pairs in the shapes the ecosystem uses, as rows of PAIRS."""

import difflib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from realign.curate.rejected import rejected_row
from realign.curate.text import normalise
from realign.errors import UserError
from realign.ingest.dialogues import NOTHING, Fault, Messages, parse_side, side_of, text_of
from realign.ingest.records import Raw, files_of, read_records
from realign.lake.schemas import row_id

Place = tuple[str, int]  # a file's name, and the line (in Parquet the row) in it, from 1
SCORE_NAMES = (("chosen_score", "rejected_score"), ("score_chosen", "score_rejected"))
TYPE_NAMES = ("preference_type", "category")
PROMPT_NAMES = ("prompt", "instruction", "conversations", "input")  # the first that a row has
# Fields of a whole row, or with the name of a side before them, that mean something and have no place in a pair.
LOST = ("tools", "functions", "tool_calls", "function_call", "reasoning", "reasoning_content", "thinking", "images",
        "image", "videos", "audios", "audio", "documents", "context", "history")
GIVEN = (1.0, 0.0)  # scores of a pair that has a label but no scores
UNTYPED = "unspecified"
OTHER_RANGE = 0.1  # share of a source's rows out of the range of scores above which the range itself is wrong
_SYNONYMS = {"prompt": ("question", "query"), "chosen": ("winner",), "rejected": ("loser",)}
_SINGLE = {"output", "response", "completion", "answer"}  # columns of one answer a row
SHAPES = """`chosen` and `rejected` in every row, in one of these shapes:
    prompt, chosen, rejected: texts
    prompt (text or messages), chosen, rejected (a message or messages)
    instruction and input, chosen, rejected: texts (Alpaca)
    conversations, chosen, rejected: messages with `from` and `value` (ShareGPT)
    chosen, rejected: whole dialogues as messages [{"role": …, "content": …}, …]
    chosen, rejected: whole dialogues as text, "\\n\\nHuman: … \\n\\nAssistant: …\""""


@dataclass
class Ingested:
    """The pairs of a source, rows of PAIRS, each with its place; and the rows left out, of REJECTED."""

    pairs: list[dict] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    rejected: list[dict] = field(default_factory=list)


@dataclass
class _Tally:
    """What an ingestion has met so far; of scores out of range the rows, and the least and greatest score of these."""

    first: dict[str, Place] = field(default_factory=dict)
    outside: int = 0
    low: float = math.inf
    high: float = -math.inf


def ingest_pairs(
    source: Path | str, score_range: tuple[float, float] = (0.0, 1.0)
) -> tuple[list[dict], list[dict]]:
    """`(pairs, rejected)` of what `ingest` makes of a source."""
    found = ingest(source, score_range)
    return found.pairs, found.rejected


def ingest(
    source: Path | str, score_range: tuple[float, float] = (0.0, 1.0), section: str = "<workflow>.data"
) -> Ingested:
    """The pairs of a JSONL, CSV or Parquet file, or of a folder of such files: every input row is in `pairs` or in
    `rejected`.

    Pairs follow PAIRS with `split` left empty: `messages` is the shared prompt, `chosen` and `rejected` the last answer
    of the assistant. Scores are mapped from `score_range` to [0, 1]; without any, the label is taken: 1 and 0. Labels
    that contradict each other (A over B, B over A, or in a longer round) are all rejected.
    Raises UserError when a file cannot be read or not one of its rows is a pair, and where many scores are out of
    range: it names the knobs of `section`.
    """
    if not score_range[0] < score_range[1]:
        raise UserError(f"score_range {list(score_range)} is no range", where="score_low and score_high of the data",
                        expected="[lowest, highest] score of the file", fix="correct params.yaml")
    found, tally = Ingested(), _Tally()
    for path in files_of(source):
        _take_file(path, score_range, found, tally)
    rows = len(found.pairs) + len(found.rejected)
    if tally.outside > max(1, OTHER_RANGE * rows) or (tally.outside and not found.pairs):
        raise _other_range(source, score_range, tally, rows, section)
    return _without_contradictions(found)


def _take_file(path: Path, score_range: tuple[float, float], found: Ingested, tally: _Tally) -> None:
    """Put every row of a file with the pairs or with the rejected."""
    before, outside, columns = len(found.pairs), tally.outside, set()
    rejected: list[dict] = []
    for raw in read_records(path):
        if raw.row is None:
            rejected.append(raw.rejected(path.name))
            continue
        columns |= {name for name, value in raw.row.items() if value is not None}
        try:
            pair = to_pair(raw.row, path.name, score_range)
            first = tally.first.setdefault(pair["row_id"], (path.name, raw.position))
            if first != (path.name, raw.position):
                other = "" if first[0] == path.name else f" of {first[0]}"
                raise Fault("duplicate", f"same prompt and answers as row {first[1]}{other}")
            found.pairs.append(pair)
            found.places.append(first)
        except Fault as fault:
            rejected.append(rejected_row(path.name, raw.position, fault.reason, fault.detail, raw.row))
            if fault.reason == "score_out_of_range":
                _note_scores(raw, tally)
    found.rejected += rejected
    if len(found.pairs) == before and tally.outside - outside <= OTHER_RANGE * len(rejected):
        raise _no_pairs(path, rejected, columns)


def _note_scores(raw: Raw, tally: _Tally) -> None:
    scores = [score for score in _given_scores(raw.row) if math.isfinite(score)]
    tally.outside += 1
    tally.low, tally.high = min([tally.low, *scores]), max([tally.high, *scores])


def _other_range(source, score_range: tuple[float, float], tally: _Tally, rows: int, section: str) -> UserError:
    low, high = score_range
    found = f"{tally.low:g} to {tally.high:g}" if tally.low <= tally.high else "no finite number"
    knobs = f"-S {section}.score_low={min(tally.low, low):g} -S {section}.score_high={max(tally.high, high):g}"
    return UserError(f"{tally.outside} of {rows} rows have a score outside {low:g} to {high:g} (score_out_of_range); "
                     f"theirs are {found}", where=str(source), expected=f"scores from {low:g} to {high:g}",
                     fix=f"give the range of the scale that they were given on, for example: dvc exp run {knobs}")


def _without_contradictions(found: Ingested) -> Ingested:
    """The same without pairs whose labels, with others of the same prompt, say that an answer is better than itself."""
    worse: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))  # by prompt and answer
    keys = [_spelt_alike(pair) for pair in found.pairs]
    for prompt, chosen, rejected in keys:
        worse[prompt][chosen].add(rejected)
    kept = Ingested(rejected=list(found.rejected))
    for (prompt, chosen, rejected), pair, place in zip(keys, found.pairs, found.places, strict=True):
        if _leads(worse[prompt], rejected, chosen):
            kept.rejected.append(rejected_row(*place, "contradiction", "other rows of the prompt prefer the rejected "
                                              "answer, at last, to the chosen one", pair))
        else:
            kept.pairs.append(pair)
            kept.places.append(place)
    if not kept.pairs:
        raise UserError("every pair contradicts another one", where=found.places[0][0],
                        expected="one preference of two answers to a prompt", fix="correct the labels")
    return kept


def _spelt_alike(pair: dict) -> tuple[str, str, str]:
    """Prompt and answers, so that what differs in case, spaces and punctuation alone is equal."""
    prompt = "\n".join(f"{m['role']} {normalise(m['content'])}" for m in pair["messages"])
    chosen, rejected = pair["chosen"], pair["rejected"]
    if normalise(chosen) == normalise(rejected):  # what differs in these alone may be preferred for them
        return prompt, chosen.strip(), rejected.strip()
    return prompt, normalise(chosen), normalise(rejected)


def _leads(worse: dict[str, set[str]], start: str, goal: str) -> bool:
    """Whether, from an answer to those worse than it and on, another one is reached."""
    seen, waiting = {start}, [start]
    while waiting:
        for answer in worse.get(waiting.pop(), ()):
            if answer == goal:
                return True
            if answer not in seen:
                seen.add(answer)
                waiting.append(answer)
    return False


def to_pair(row: dict, source: str, score_range: tuple[float, float] = (0.0, 1.0)) -> dict:
    """One row in any of the shapes as a row of PAIRS; raises Fault with the reason if it is none."""
    for side in ("chosen", "rejected"):
        if row.get(side) is None:
            raise Fault("missing_field", f"`{side}` is missing or null")
    for name in row:
        bare = name.removeprefix("prompt_").removeprefix("chosen_").removeprefix("rejected_")
        if bare in LOST and row[name] not in (*NOTHING, "[]", "{}", "null"):
            raise Fault("unknown_field", f"`{name}` would be lost: a pair has no place for it")
    prompt = _prompt(row)
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


def _prompt(row: dict) -> Messages | None:
    """What is asked, Alpaca's `input` behind its instruction; None where no column holds it."""
    name = next((name for name in PROMPT_NAMES if row.get(name) is not None
                 and (name == "prompt" or row[name] not in NOTHING)), None)
    if name is None:
        return None
    messages = parse_side(row[name], "prompt", "user")
    more = "" if name == "input" else text_of(row, "input")
    if not more.strip() or more.strip() in messages[-1]["content"]:
        return messages
    if len(messages) > 1 or messages[0]["role"] != "user":
        raise Fault("unknown_field", f"`input` would be lost: `{name}` is a dialogue already")
    return [{"role": "user", "content": f"{messages[0]['content']}\n{more}"}]


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
    if chosen[-2]["role"] == "assistant":
        raise Fault("answer_in_two", "an answer of the assistant stands before the answers: join it to them, or leave "
                                     "it out")
    return chosen[:-1]


def _scores(row: dict, score_range: tuple[float, float]) -> tuple[float, float]:
    names = _score_names(row)
    if names is None:
        return GIVEN
    low, high = score_range
    better, worse = _given_scores(row)
    for name, score in zip(names, (better, worse), strict=True):
        if not low <= score <= high:
            raise Fault("score_out_of_range", f"`{name}` is {score:g}, outside {low:g} to {high:g}")
    if better < worse:
        raise Fault("scores_reversed", f"`{names[0]}` is {better:g}, below `{names[1]}`, {worse:g}")
    if better == worse:
        raise Fault("equal_scores", f"both scores are {better:g}")
    return (better - low) / (high - low), (worse - low) / (high - low)


def _score_names(row: dict) -> tuple[str, str] | None:
    return next((pair for pair in SCORE_NAMES if any(_score_of(row, name) is not None for name in pair)), None)


def _score_of(row: dict, name: str):
    """What stands in a column of scores; None for a blank."""
    value = row.get(name)
    return None if isinstance(value, str) and not value.strip() else value


def _given_scores(row: dict) -> tuple[float, float]:
    """Both scores of a row that has some, as they stand there."""
    names = _score_names(row)
    for name in names:
        if _score_of(row, name) is None:
            raise Fault("missing_field", f"`{name}` is missing beside the other score")
    return _number(row[names[0]], names[0]), _number(row[names[1]], names[1])


def _number(value, name: str) -> float:
    try:
        if isinstance(value, (int, float, Decimal, str)) and not isinstance(value, bool) and "_" not in str(value):
            return float(value)  # CSV knows only text; DuckDB writes decimals
    except (ValueError, OverflowError) as error:
        raise Fault("wrong_type", f"`{name}` is not a number") from error
    raise Fault("wrong_type", f"`{name}` is {type(value).__name__}, not a number")


def _no_pairs(path: Path, rejected: Sequence[dict], columns: Iterable[str]) -> UserError:
    columns, first = set(columns), rejected[0]
    missing = [name for name in ("chosen", "rejected") if name not in columns]
    if not missing and first["detail"].startswith("`prompt` is missing"):
        missing = ["prompt"]
    if missing:
        others = sorted(columns - {"prompt", "chosen", "rejected"})
        near = [f"`{m}` for `{name}`" for name in missing for m in _nearest(name, others)]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        if not near and (single := sorted(_SINGLE & columns)):
            hint = f"; `{single[0]}` is one answer, and a preference takes two"
        found = ", ".join(sorted(columns)) or "none"
        return UserError(f"no column `{missing[0]}`; found: {found}{hint}", where=str(path),
                         expected=SHAPES, fix="rename the columns")
    return UserError(
        f"none of its {len(rejected)} rows is a preference pair; the first: {first['reason']}, "
        f"{first['detail']}", where=f"{path}:{first['position']}", expected=SHAPES, fix="correct the file")


def _nearest(name: str, columns: list[str]) -> list[str]:
    """The column most likely meant by `name`: another word for it, or spelt nearly like it."""
    words = (name, *_SYNONYMS.get(name, ()))
    like = [c for c in columns if "score" not in c.lower() and any(word in c.lower() for word in words)]
    return (like or difflib.get_close_matches(name, columns, n=1, cutoff=0.6))[:1]
