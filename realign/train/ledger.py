"""What becomes of every row before training: trained, cut to the window, or dropped with a reason.

A row's first token is nobody's next token, so it is never a target. Every row that is kept is used once an
epoch (`batches.plan`), so the ledger of a dataset is that of each of its epochs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from realign.errors import UserError
from realign.models.chat import Encoded

# Why a row is dropped.
NO_TARGET = "no_target"
NO_TARGET_LEFT = "no_target_in_window"
TOO_LONG = "too_long"
OnLong = Literal["truncate", "drop"]


@dataclass(frozen=True)
class Fate:
    """One row: the `reason` it was dropped for, if it was; its tokens and targets, and how many are kept."""

    reason: str | None
    tokens: int
    targets: int
    kept_tokens: int
    kept_targets: int

    @property
    def name(self) -> str:
        """`trained`, `truncated` or `dropped.<reason>`."""
        if self.reason is not None:
            return f"dropped.{self.reason}"
        return "trained" if self.kept_tokens == self.tokens else "truncated"


@dataclass(frozen=True)
class Ledger:
    """The fate of every row, in the order in which they came."""

    fates: tuple[Fate, ...]

    def dropped(self) -> list[tuple[int, str]]:
        """`(position, reason)` of every row dropped, positions from 0."""
        return [(i, fate.reason) for i, fate in enumerate(self.fates) if fate.reason is not None]

    def figures(self) -> dict[str, int]:
        """Counts by name. Three sums hold, over every reason:

        rows.in = rows.trained + rows.truncated + rows.dropped.*
        tokens.in = tokens.target + tokens.masked + tokens.truncated + tokens.dropped.*
        targets.in = targets.trained + targets.truncated + targets.dropped.*

        Masked tokens are read and not learned; truncated ones were cut off rows that are trained.
        """
        found = Counter(dict.fromkeys(NAMES, 0))
        for fate in self.fates:
            found["rows.in"] += 1
            found[f"rows.{fate.name}"] += 1
            found["tokens.in"] += fate.tokens
            found["tokens.target"] += fate.kept_targets
            found["tokens.masked"] += fate.kept_tokens - fate.kept_targets
            found["targets.in"] += fate.targets
            found["targets.trained"] += fate.kept_targets
            lost = "truncated" if fate.reason is None else fate.name
            found[f"tokens.{lost}"] += fate.tokens - fate.kept_tokens
            found[f"targets.{lost}"] += fate.targets - fate.kept_targets
        return dict(sorted(found.items()))


LOST = ("truncated", *(f"dropped.{reason}" for reason in (NO_TARGET, NO_TARGET_LEFT, TOO_LONG)))
# Every name is always there, so that two versions' metrics can be compared.
NAMES = ("rows.in", "rows.trained", "tokens.in", "tokens.target", "tokens.masked", "targets.in",
         "targets.trained", *(f"{what}.{lost}" for what in ("rows", "tokens", "targets") for lost in LOST))


def settle(rows: Sequence[Encoded], window: int, on_long: OnLong) -> tuple[list[Encoded], Ledger]:
    """The rows to train on, in their order, none longer than `window` tokens or without a target; the ledger.

    `on_long` says what happens to longer ones: cut at the end, or dropped. UserError where nothing is left.
    """
    if on_long not in ("truncate", "drop"):
        raise UserError(f"on_long is {on_long!r}", expected="truncate or drop")
    settled = [_settled(row, window, on_long) for row in rows]
    kept = [row for row, _ in settled if row is not None]
    ledger = Ledger(tuple(fate for _, fate in settled))
    if not kept:
        reasons = Counter(reason for _, reason in ledger.dropped())
        counted = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "none"
        raise UserError(f"none of the {len(rows)} rows can be trained on", expected="one with a target token",
                        fix=f"look at the rows; dropped were {counted}")
    return kept, ledger


def _settled(row: Encoded, window: int, on_long: OnLong) -> tuple[Encoded | None, Fate]:
    tokens, targets = len(row.tokens), _targets(row)

    def dropped(reason: str) -> tuple[None, Fate]:
        return None, Fate(reason, tokens, targets, 0, 0)

    if targets == 0:
        return dropped(NO_TARGET)
    if tokens <= window:
        return row, Fate(None, tokens, targets, tokens, targets)
    if on_long == "drop":
        return dropped(TOO_LONG)
    cut = Encoded(row.tokens[:window], row.mask[:window])
    if (left := _targets(cut)) == 0:
        return dropped(NO_TARGET_LEFT)
    return cut, Fate(None, tokens, targets, window, left)


def _targets(row: Encoded) -> int:
    return sum(map(bool, row.mask[1:]))
