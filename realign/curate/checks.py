"""The row checks behind "data quality", and the figure they make."""

import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl

from realign.curate.contamination import Index, held
from realign.curate.ngrams import Words, words_of
from realign.curate.personal import SUSPECT, personal_data
from realign.curate.rejected import rejected
from realign.curate.repetition import may_repeat, repetition
from realign.curate.seen import Seen, keys_of
from realign.curate.text import NO_SPACE, texts_of
from realign.metrics import Metric, proportion

# UTF-8 that was decoded as Windows-1252: "é" as "Ã©", "’" as "â€™", Cyrillic as "Ð¿Ñ€".
_TAIL = "\u0080-\u00bf€‚ƒ„†‡ˆ‰Š‹ŒŽ•˜™š›œžŸ"
_MOJIBAKE = re.compile("|".join([
    rf"Ã[{_TAIL}]", r"Â[\u00a0-\u00bf]", r"â€\S", "â‚¬", "ï»¿", "ï¿½", "ðŸ",
    rf"(?:[ÐÑ][{_TAIL}‘’“”–—…]){{2}}",
]))
_UNPRINTED = ("Cc", "Cs")  # controls, lone surrogates
# What every text with such a fault holds, for polars.
_MISREAD = r"[\x{FFFD}\p{Cc}--[\n\r\t]]|[ÃÂÐÑ][^\x00-\x7f]|â€|â‚|ï»¿|ï¿½|ðŸ"
_THREADS = ThreadPoolExecutor(os.cpu_count())  # kept: a new thread compiles every regular expression anew
_PIECE_BYTES = 2**22  # of rows that one thread looks at together: 20 ms go into a piece, whatever its size


@dataclass(frozen=True)
class Limits:
    """What a text may be: its length in characters, and how much of it may repeat itself."""

    min_chars: int = 1
    max_chars: int = 20_000
    max_repetition: float = 0.4


Fault = tuple[str, str]  # its name, and what it is in words


@dataclass(frozen=True)
class _Looked:
    """Of each row: the fault of its texts, its contamination, and the key of its texts."""

    faults: list[Fault | None]
    contaminated: list[Fault | None]
    keys: np.ndarray


def check(
    frame: pl.DataFrame, texts: pl.Expr, limits: Limits = Limits(), index: Index | None = None,
    seen: Seen | None = None, positions: Sequence[int] = (),
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`(kept, rejected)` after every row check; a row is rejected for the first one that it fails.

    In order: `empty_text`, `encoding`, `too_short`, `too_long`, `repetition`, `personal_data`, `duplicate` of a row
    kept before, `contaminated` by the evaluation rows of `index`. `texts` gives the texts of a row (`text.CHAT_TEXTS`,
    `text.PAIR_TEXTS`); `rejected` has the REJECTED schema. Where rows come in batches, the same `seen` goes with each.
    `positions` are those of the rows in their file, from 1; without, they are counted.
    """
    seen = Seen() if seen is None else seen
    rows = max(1, _PIECE_BYTES * frame.height // max(1, frame.estimated_size()))  # in a piece
    looked = list(_THREADS.map(lambda piece: _look(piece, texts, limits, index), frame.iter_slices(rows)))
    faults = [fault for piece in looked for fault in piece.faults]
    dirty = [fault for piece in looked for fault in piece.contaminated]
    keys = np.concatenate([piece.keys for piece in looked]) if looked else keys_of(pl.Series([], dtype=pl.String))
    positions = np.array(positions or range(seen.rows + 1, seen.rows + frame.height + 1), np.int64)
    faults = _with_copies(faults, dirty, keys, positions, seen)
    keep = np.array([fault is None for fault in faults], bool)
    seen.rows += frame.height
    seen.add(keys[keep], positions[keep])
    named = [fault for fault in faults if fault]
    left_out = pl.DataFrame(named, {"reason": pl.String, "detail": pl.String}, orient="row").with_columns(
        position=pl.Series(positions[~keep], dtype=pl.Int64))
    return frame.filter(keep), rejected(frame.filter(~keep), left_out)


def check_all(
    frames: Iterable[pl.DataFrame], texts: pl.Expr, limits: Limits = Limits(), index: Index | None = None,
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """`check` of one frame after the other, positions and duplicates counted over all of them."""
    seen = Seen()
    for frame in frames:
        yield check(frame, texts, limits, index, seen)


def data_quality(passed: int, total: int, agreement: Metric | None = None) -> Metric:
    """Share of rows that pass every check, times the label agreement where there are labels.

    The interval of the product is from the limits of both shares (MOVER, Zou and Donner 2008).
    """
    share = proportion(passed, total)
    if agreement is None:
        return share
    p, a = share, agreement
    low = math.hypot(a.value * (p.value - p.low), p.value * (a.value - a.low))
    high = math.hypot(a.value * (p.high - p.value), p.value * (a.high - a.value))
    value = p.value * a.value
    return Metric(value, min(p.n, a.n), max(0.0, value - low), min(1.0, value + high))


def encoding_fault(text: str) -> tuple[str, str] | None:
    """Signs of a wrong decoding: replacement and control characters, mojibake."""
    if "\ufffd" in text:
        return "encoding", "holds U+FFFD, the mark of bytes that could not be decoded"
    control = next((c for c in text if unicodedata.category(c) in _UNPRINTED and c not in "\n\r\t"), None)
    if control is not None:
        return "encoding", f"holds the control character U+{ord(control):04X}"
    if match := _MOJIBAKE.search(text):
        return "encoding", f"holds {match.group()!r}: UTF-8 that was read as Windows-1252"
    return None


def _look(piece: pl.DataFrame, texts: pl.Expr, limits: Limits, index: Index | None) -> _Looked:
    """What can be said of rows by themselves."""
    found = texts_of(piece, texts)
    words = words_of(found["normal"])
    return _Looked(_text_faults(found, words, piece.height, limits), _contaminated(found, words, piece.height, index),
                   _keys(found, piece.height))


def _text_faults(texts: pl.DataFrame, words: Words, rows: int, limits: Limits) -> list[Fault | None]:
    """The first check that a text of each row fails.

    Each check marks, column-wise, the texts that could fail it; only those are looked at one by one.
    """
    text = texts["text"]
    length = text.str.len_chars()
    misread, personal = _containing(text, _MISREAD, SUSPECT)
    checks: tuple[tuple[pl.Series, Callable[[str], Fault | None]], ...] = (
        (~text.str.contains(NO_SPACE), _empty),
        (misread, encoding_fault),
        ((length < limits.min_chars) | (length > limits.max_chars), lambda t: _length(t, limits)),
        (may_repeat(texts, words, limits.max_repetition), lambda t: _repeats(t, limits)),
        (personal, _personal),
    )
    faults: list[Fault | None] = [None] * rows
    for suspect, fault_of in checks:
        for row, suspicious in texts.select("row", "text").filter(suspect).iter_rows():
            faults[row] = faults[row] or fault_of(suspicious)
    return faults


def _containing(texts: pl.Series, *patterns: str) -> list[pl.Series]:
    """Which texts hold each of the patterns; most hold none, which one look tells."""
    some = texts.str.contains("|".join(patterns))
    places, few = some.arg_true(), texts.filter(some)
    return [some.clone().scatter(places, few.str.contains(pattern)) if len(few) else some for pattern in patterns]


def _contaminated(texts: pl.DataFrame, words: Words, rows: int, index: Index | None) -> list[Fault | None]:
    faults: list[Fault | None] = [None] * rows
    if index is not None:
        for row, evaluation_id, share in index.faults(texts, words).iter_rows():
            faults[row] = "contaminated", held(evaluation_id, share)
    return faults


def _keys(texts: pl.DataFrame, rows: int) -> np.ndarray:
    """The identity of each row's normalised texts. They hold no line end, so that joined by one they stay apart."""
    joined = texts.group_by("row", maintain_order=True).agg(pl.col("normal").str.join("\n"))
    keys = np.repeat(keys_of(pl.Series([""])), rows)  # a row without texts
    keys[joined["row"].to_numpy()] = keys_of(joined["normal"])
    return keys


def _with_copies(
    faults: list[Fault | None], dirty: list[Fault | None], keys: np.ndarray, positions: np.ndarray, seen: Seen
) -> list[Fault | None]:
    """The faults of all rows: those of their texts, then copies of a row kept before, then contamination."""
    out, here = list(faults), {}
    for row, (key, before) in enumerate(zip(keys.tolist(), seen.find(keys).tolist(), strict=True)):
        if out[row] is not None:
            continue
        if first := before or here.get(key):
            out[row] = "duplicate", f"same text as row {first}"
        elif dirty[row] is not None:
            out[row] = dirty[row]
        else:
            here[key] = int(positions[row])
    return out


def _empty(text: str) -> tuple[str, str] | None:
    return None if text.strip() else ("empty_text", "a text is empty")


def _length(text: str, limits: Limits) -> tuple[str, str] | None:
    if len(text) < limits.min_chars:
        return "too_short", f"{len(text)} characters; at least {limits.min_chars}"
    if len(text) > limits.max_chars:
        return "too_long", f"{len(text)} characters; at most {limits.max_chars}"
    return None


def _repeats(text: str, limits: Limits) -> tuple[str, str] | None:
    share = repetition(text)
    return ("repetition", f"{share:.0%} of a text repeats itself") if share > limits.max_repetition else None


def _personal(text: str) -> tuple[str, str] | None:
    kinds = personal_data(text)
    return ("personal_data", f"holds: {', '.join(kinds)}") if kinds else None
