"""What a response is worth, from 0 to 1: the scorer that stands in the params.

`reference`: the verifier of the prompt's own reference answer. `reward:<directory>`: a trained reward model,
squashed to (0, 1). Given labels are scores of their own and need no scorer.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import mlx.core as mx

from realign.errors import UserError
from realign.models.chat import encode, with_answer
from realign.models.fastmath import sigmoid
from realign.models.heads import load_scalar, score
from realign.verify import reference
from realign.verify.reference import Reference, Score

REFERENCE = "reference"
REWARD = "reward:"  # and the directory of a reward model
# (chats, one text for each) to one Score for each.
Scorer = Callable[[Sequence[dict], Sequence[str]], list[Score]]


def by_reference(chats: Sequence[dict], texts: Sequence[str]) -> list[Score]:
    """Scores by the verifier of each chat's reference."""
    return [reference.score(Reference.parse(chat["reference"]), text) for chat, text in zip(chats, texts, strict=True)]


def by_reward_model(folder: Path) -> Scorer:
    """Scores by a reward model: the logistic of its reward, so that only order and distance count."""
    model, tokenizer = load_scalar(folder)

    def scorer(chats: Sequence[dict], texts: Sequence[str]) -> list[Score]:
        rows = encode(tokenizer, [with_answer(c, t) for c, t in zip(chats, texts, strict=True)])
        values = sigmoid(mx.array(score(model, rows))).tolist()
        return [Score(round(v, 6), "reward model", {}) for v in values]

    return scorer


def known(name: str) -> bool:
    """Whether a scorer can have that name."""
    return name == REFERENCE or (name.startswith(REWARD) and bool(name.removeprefix(REWARD).strip()))


def scorer(name: str, where: str) -> Scorer:
    """The scorer of that name. Raises UserError, for the knob `where`, for a name that is none."""
    if not known(name):
        raise UserError(f"unknown scorer {name!r}", where=where,
                        expected="reference, or reward:<directory of a reward model>")
    return by_reference if name == REFERENCE else by_reward_model(Path(name.removeprefix(REWARD)))
