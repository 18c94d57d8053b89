"""Does a model say the same again and again? Its answers against another model's to the same prompts.

KL and entropy at temperature 1 cannot see what greedy decoding makes of a distribution: always its commonest form.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from realign.metrics import Metric, bootstrap, mean

ENDING = 3  # last words of an answer
PHRASE = 4  # words in a row; shorter ones are grammar ("the answer is")


def distinct(texts: Sequence[str]) -> np.ndarray:
    """1 for each text that stands for the first time, 0 for a repeat: the mean is the share of distinct texts."""
    seen: set[str] = set()
    return np.array([float(not (text in seen or seen.add(text))) for text in texts])


def endings(texts: Sequence[str]) -> list[set]:
    """The last ENDING words of each text, all where it has fewer; the case of letters does not count."""
    return [{tuple(words[-ENDING:])} if words else set() for words in _words(texts)]


def phrases(texts: Sequence[str]) -> list[set]:
    """Every PHRASE words in a row of each text."""
    return [{tuple(words[i:i + PHRASE]) for i in range(len(words) - PHRASE + 1)} for words in _words(texts)]


def lengths(texts: Sequence[str]) -> np.ndarray:
    """Words of each text."""
    return np.array([float(len(words)) for words in _words(texts)])


def shares(texts: Sequence[str], samples: int = 1) -> dict[str, Metric]:
    """Share of distinct texts, of the commonest ending and of the commonest phrase, and mean words. Of several samples
    a prompt, which follow one another, the mean counts once."""
    none = [""] * len(texts)
    return {"distinct_share": mean(_by_prompt(distinct(texts), samples)),
            "ending_share": mean(_by_prompt(_spread(endings(none), endings(texts)), samples)),
            "phrase_share": mean(_by_prompt(_spread(phrases(none), phrases(texts)), samples)),
            "mean_words": mean(_by_prompt(lengths(texts), samples))}


def against(before: Sequence[str], after: Sequence[str], samples: int = 1) -> dict[str, Metric]:
    """Answers to the same prompts in the same order, paired by prompt: distinct texts and words of `after` over those
    of `before`, and by how much the share of that ending, and of that phrase, rose which rose most."""
    def ratio(of: Callable) -> Metric:
        return bootstrap(lambda a, b: a.sum() / max(b.sum(), 1e-9), _by_prompt(of(after), samples),
                         _by_prompt(of(before), samples))

    def excess(of: Callable) -> Metric:
        return mean(_by_prompt(_spread(of(before), of(after)), samples))

    return {"distinct_ratio": ratio(distinct), "ending_excess": excess(endings), "phrase_excess": excess(phrases),
            "length_ratio": ratio(lengths)}


def _spread(before: Sequence[set], after: Sequence[set]) -> np.ndarray:
    """For each text 1 where `after` alone holds the part that became most frequent, -1 where `before` alone does, else
    0."""
    counts = Counter(part for parts in after for part in parts)
    counts.subtract(part for parts in before for part in parts)
    top = min(counts, key=lambda part: (-counts[part], part), default=None)
    return np.array([float(top in new) - float(top in old) for old, new in zip(before, after, strict=True)])


def _by_prompt(values: np.ndarray, samples: int) -> np.ndarray:
    return values.reshape(-1, samples).mean(axis=1)


def _words(texts: Sequence[str]) -> list[list[str]]:
    return [text.lower().split() for text in texts]
