"""What a response is worth, from 0 to 1: the scorer that stands in the params.

`reference`: the verifier of the prompt's own reference answer. `reward:<directory>`: a trained reward model,
squashed to (0, 1). Given labels are scores of their own and need no scorer.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from realign.errors import UserError
from realign.verify.reference import Reference, Score, score

REWARD = "reward:"  # and the directory of a reward model
# (chats, one text for each) to one Score for each.
Scorer = Callable[[Sequence[dict], Sequence[str]], list[Score]]


def by_reference(chats: Sequence[dict], texts: Sequence[str]) -> list[Score]:
    """Scores by the verifier of each chat's reference."""
    return [score(Reference.parse(chat["reference"]), text) for chat, text in zip(chats, texts, strict=True)]


def by_reward_model(folder: Path) -> Scorer:
    """Scores by a reward model: the logistic of its reward, so that only order and distance count."""
    from realign.models import chat, heads
    from realign.models.build import pad_token
    from realign.models.fastmath import sigmoid
    from realign.train import reward

    model, tokenizer = heads.load_scalar(folder)

    def scorer(chats: Sequence[dict], texts: Sequence[str]) -> list[Score]:
        import mlx.core as mx

        rows = chat.encode(tokenizer, [with_answer(c, t) for c, t in zip(chats, texts, strict=True)])
        values = sigmoid(mx.array(reward.score(model, rows, pad_token(tokenizer)))).tolist()
        return [Score(round(v, 6), "reward model", {}) for v in values]

    return scorer


def with_answer(chat: dict, text: str) -> list[dict]:
    """The chat's messages with `text` as the assistant's answer."""
    return [*chat["messages"], {"role": "assistant", "content": text}]


def scorer(name: str) -> Scorer:
    """The scorer that `srf.scorer` names. Raises UserError for a name that is none."""
    if name == "reference":
        return by_reference
    if name.startswith(REWARD):
        return by_reward_model(Path(name.removeprefix(REWARD)))
    raise UserError(f"unknown scorer {name!r}", where="params.yaml: srf.scorer",
                    expected="reference, or reward:<directory of a reward model>")
