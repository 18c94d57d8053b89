"""Responses sampled from a model and paired by score: used by every SRF stage that needs pairs."""

from collections.abc import Sequence
from itertools import combinations
from random import Random

from realign.evaluate import capabilities
from realign.evaluate.generate import Sampling
from realign.evaluate.scorers import Scorer
from realign.verify.corrupt import corrupt, miscounted
from realign.verify.reference import Reference, Score

Scored = tuple[Score, str]  # a response and what it is worth


def sample(model, tokenizer, chats: Sequence[dict], temperatures: Sequence[float], max_tokens: int,
           seed: int) -> list[list[str]]:
    """For every chat one response a temperature, without repeats, in order."""
    found: list[dict[str, None]] = [{} for _ in chats]
    for number, temperature in enumerate(temperatures):
        sampling = Sampling(max_tokens, temperature, stop_tokens=capabilities.stop_tokens(tokenizer))
        for texts, text in zip(found, capabilities.answers(model, tokenizer, chats, sampling, seed + number),
                               strict=True):
            texts[text] = None
    return [list(texts) for texts in found]


def preference_type(better: dict[str, bool], worse: dict[str, bool]) -> str:
    """The first part of the score in which the better response is ahead."""
    ahead = [part for part in better if better[part] and not worse[part]]
    return ahead[0] if ahead else "graded"


def build(chats: Sequence[dict], responses: Sequence[Sequence[str]], scorer: Scorer, least_gap: float,
          per_prompt: int) -> list[dict]:
    """Up to `per_prompt` pairs a chat, each response in one of them at most."""
    flat = [(chat, text) for chat, texts in zip(chats, responses, strict=True) for text in texts if text]
    scores = iter(scorer([c for c, _ in flat], [t for _, t in flat]))
    rows = []
    for chat, texts in zip(chats, responses, strict=True):
        scored = [(next(scores), text) for text in texts if text]
        rows += [_row(chat, *pair) for pair in _chosen(scored, least_gap)[:per_prompt]]
    return rows


def forged(chats: Sequence[dict], responses: Sequence[Sequence[str]], scorer: Scorer, seed: int) -> list[dict]:
    """Pairs whose worse side is the best response of a chat made wrong in one value: against that response itself, and
    against the plainest right one. So the reward model learns to look at the value, however well it is dressed.

    None of a chat without a right response, or of whose value nothing can be exchanged.
    """
    rows = []
    for chat, texts in zip(chats, responses, strict=True):
        scored = sorted(zip(scorer([chat] * len(texts), texts), texts, strict=True), key=lambda s: (-s[0].value, s[1]))
        right = [pair for pair in scored if pair[0].value > 0]
        if right:
            wrong = _wrong(chat, right[0][1], Random(f"{seed}:{chat['row_id']}"))
            worse = list(zip(scorer([chat] * len(wrong), wrong), wrong, strict=True))
            rows += [_row(chat, right[0], each) for each in worse]
            rows += [_row(chat, right[-1], each) for each in worse[-1:] if len(right) > 1]
    return rows


def _wrong(chat: dict, text: str, rng: Random) -> list[str]:
    """`text` made wrong, in up to two ways."""
    reference = Reference.parse(chat["reference"])
    made = (corrupt(reference, text, rng), miscounted(reference, text, rng))
    return list(dict.fromkeys(wrong for wrong in made if wrong))


def _chosen(scored: Sequence[Scored], least_gap: float) -> list[tuple[Scored, Scored]]:
    """Pairs `(better, worse)` of responses: first those whose worse side looks better, so that a reward model cannot
    go by looks; then by turns the widest and the narrowest gap, so that it learns by how much."""
    ordered = [tuple(sorted(pair, key=lambda s: -s[0].value)) for pair in combinations(scored, 2)]
    pairs = [pair for pair in ordered if pair[0][0].value - pair[1][0].value >= least_gap]
    picked: list[tuple[Scored, Scored]] = []
    rules = (_disguise, _gap, lambda pair: -_gap(pair))
    while pairs:
        picked.append(max(pairs, key=rules[len(picked) % len(rules)]))
        used = {text for _, text in picked[-1]}
        pairs = [pair for pair in pairs if not used & {text for _, text in pair}]
    return picked


def _gap(pair: tuple[Scored, Scored]) -> float:
    return pair[0][0].value - pair[1][0].value


def _disguise(pair: tuple[Scored, Scored]) -> int:
    """In how many parts of the score the worse response is ahead of the better one, less where it is behind."""
    better, worse = pair[0][0].parts, pair[1][0].parts
    return sum(worse[part] - better[part] for part in better)


def _row(chat: dict, chosen: Scored, rejected: Scored) -> dict:
    from realign.lake.schemas import row_id

    (better, first), (worse, second) = chosen, rejected
    return {"row_id": row_id(chat["messages"], first, second), "prompt_id": chat["row_id"],
            "messages": chat["messages"], "chosen": first, "rejected": second, "chosen_score": better.value,
            "rejected_score": worse.value, "split": "", "source": chat["source"],
            "preference_type": preference_type(better.parts, worse.parts)}
