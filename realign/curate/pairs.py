"""Preference pairs of sampled responses, chosen by their scores."""

from collections.abc import Callable, Sequence
from itertools import combinations
from random import Random

from realign.lake.schemas import row_id
from realign.verify.corrupt import corrupt, miscounted
from realign.verify.reference import Reference, Score

Scored = tuple[Score, str]  # a response and what it is worth


def pair(chats: Sequence[dict], scored: Sequence[Sequence[Scored]], least_gap: float, per_prompt: int) -> list[dict]:
    """Rows of PAIRS, in no split yet: up to `per_prompt` a chat, each response in one of them at most, the scores of
    the two sides at least `least_gap` apart."""
    return [_row(chat, *chosen) for chat, found in zip(chats, scored, strict=True)
            for chosen in choose(found, least_gap)[:per_prompt]]


def forged(chats: Sequence[dict], scored: Sequence[Sequence[Scored]], scorer: Callable[..., list[Score]],
           seed: int) -> list[dict]:
    """Rows of PAIRS, in no split yet: the best response of a chat against itself made wrong in one value. Both sides
    look alike, so a reward model has to learn to look at the value.

    None of a chat without a right response, or of whose value nothing can be exchanged. `scorer` takes chats and as
    many texts.
    """
    pairs = []
    for chat, found in zip(chats, scored, strict=True):
        right = sorted((one for one in found if one[0].value > 0), key=lambda one: (-one[0].value, one[1]))
        wrong = right and _wrong(chat, right[0][1], Random(f"{seed}:{chat['row_id']}"))
        if wrong:
            pairs.append((chat, right[0], wrong))
    worse = scorer([chat for chat, _, _ in pairs], [wrong for *_, wrong in pairs])
    return [_row(chat, best, (score, wrong)) for (chat, best, wrong), score in zip(pairs, worse, strict=True)]


def _wrong(chat: dict, text: str, rng: Random) -> str | None:
    """`text` made wrong; a sum by turns as a forger and as a model would."""
    reference = Reference.parse(chat["reference"])
    ways = rng.sample((corrupt, miscounted), 2)
    return next((wrong for way in ways if (wrong := way(reference, text, rng))), None)


def preference_type(better: dict[str, bool], worse: dict[str, bool]) -> str:
    """The first part of the score in which the better response is ahead."""
    ahead = [part for part in better if better[part] and not worse[part]]
    return ahead[0] if ahead else "graded"


def choose(scored: Sequence[Scored], least_gap: float) -> list[tuple[Scored, Scored]]:
    """Pairs `(better, worse)` of responses: first those whose worse side looks better, so that a reward model cannot
    go by looks; then by turns the widest and the narrowest gap, so that it learns by how much."""
    ordered = [tuple(sorted(two, key=lambda s: -s[0].value)) for two in combinations(scored, 2)]
    pairs = [two for two in ordered if _gap(two) >= least_gap]
    picked: list[tuple[Scored, Scored]] = []
    rules = (_disguise, _gap, lambda two: -_gap(two))
    while pairs:
        picked.append(max(pairs, key=rules[len(picked) % len(rules)]))
        used = {text for _, text in picked[-1]}
        pairs = [two for two in pairs if not used & {text for _, text in two}]
    return picked


def _gap(two: tuple[Scored, Scored]) -> float:
    return two[0][0].value - two[1][0].value


def _disguise(two: tuple[Scored, Scored]) -> int:
    """In how many parts of the score the worse response is ahead of the better one, less where it is behind."""
    better, worse = two[0][0].parts, two[1][0].parts
    return sum(worse[part] - better[part] for part in better)


def _row(chat: dict, chosen: Scored, rejected: Scored) -> dict:
    (better, first), (worse, second) = chosen, rejected
    return {"row_id": row_id(chat["messages"], first, second), "prompt_id": chat["row_id"],
            "messages": chat["messages"], "chosen": first, "rejected": second, "chosen_score": better.value,
            "rejected_score": worse.value, "split": "", "source": chat["source"],
            "preference_type": preference_type(better.parts, worse.parts)}
