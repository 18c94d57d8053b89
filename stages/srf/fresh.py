"""Fresh pairs: responses sampled from a model and paired by score, as `srf.preference_data` says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from realign import params


@dataclass(frozen=True)
class PreferenceData:
    """`srf.preference_data` in params.yaml."""

    seed: int
    prompts: int
    temperatures: tuple[float, ...]
    max_tokens: int
    least_gap: float
    pairs_per_prompt: int
    validation: float

    @property
    def shares(self) -> Mapping[str, float]:
        """Of prompts, by split."""
        return {"train": 1 - self.validation, "validation": self.validation}


def settings() -> PreferenceData:
    return params.load("srf.preference_data", PreferenceData)


def pairs_of(model: Path, chats: Sequence[dict], p: PreferenceData, seed: int) -> list[dict]:
    """Pairs of the responses that the model of a directory gives to the chats, and of those with one value forged; in
    no split yet."""
    from realign.models import build
    from stages.srf import judge, pairs

    policy, tokenizer, _ = build.load(str(model))
    responses = pairs.sample(policy, tokenizer, chats, p.temperatures, p.max_tokens, seed)
    scorer = judge.scorer()
    return [*pairs.build(chats, responses, scorer, p.least_gap, p.pairs_per_prompt),
            *pairs.forged(chats, responses, scorer, seed)]
