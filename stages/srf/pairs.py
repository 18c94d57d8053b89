"""Responses sampled from a model and paired by score: used by every SRF stage that needs pairs."""

from collections.abc import Sequence
from itertools import combinations

from realign.evaluate import capabilities
from realign.evaluate.generate import Sampling
from realign.evaluate.scorers import Scorer


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
    """Up to `per_prompt` pairs a chat: its widest gaps first, no response better in one and again in another."""
    from realign.lake.schemas import row_id

    flat = [(chat, text) for chat, texts in zip(chats, responses, strict=True) for text in texts if text]
    scores = iter(scorer([c for c, _ in flat], [t for _, t in flat]))
    rows = []
    for chat, texts in zip(chats, responses, strict=True):
        scored = [(next(scores), text) for text in texts if text]
        ordered = sorted(combinations(scored, 2), key=lambda pair: -abs(pair[0][0].value - pair[1][0].value))
        used: set[str] = set()
        for a, b in ordered:
            (better, chosen), (worse, rejected) = (a, b) if a[0].value > b[0].value else (b, a)
            if better.value - worse.value < least_gap or {chosen, rejected} & used or len(used) >= 2 * per_prompt:
                continue
            used |= {chosen, rejected}
            rows.append({
                "row_id": row_id(chat["messages"], chosen, rejected), "prompt_id": chat["row_id"],
                "messages": chat["messages"], "chosen": chosen, "rejected": rejected,
                "chosen_score": better.value, "rejected_score": worse.value, "split": "", "source": chat["source"],
                "preference_type": preference_type(better.parts, worse.parts)})
    return rows
