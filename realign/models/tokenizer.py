"""A small tokenizer trained on a corpus: frequent words whole, everything else by pieces and bytes.

A unigram model (Kudo 2018) over byte-level characters (the alphabet of GPT-2), so that any text encodes and
decodes to itself. The vocabulary is counted, not sampled: same corpus, same bytes.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from realign.errors import UserError

END_OF_TEXT, USER, ASSISTANT, SYSTEM, END_OF_TURN = SPECIAL = (
    "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>")
# Every content stands behind a space, so that a word is the same token first in a turn and inside it.
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|> ' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def _vocabulary(pieces: Counter, size: int, subwords: int) -> list[tuple[str, float]]:
    """The most frequent words, then the most frequent parts of the words that were left out."""
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    digits = set("0123456789")
    whole = [(p, n) for p, n in pieces.items() if len(p) > 1 and not (digits & set(p) and len(p.lstrip("Ġ")) > 1)]
    whole.sort(key=lambda item: (-item[1], item[0]))
    kept = dict(whole[:size - len(alphabet) - subwords])
    parts: Counter = Counter()
    for piece, n in whole[len(kept):]:
        for width in (2, 3, 4):
            for start in range(len(piece) - width + 1):
                parts[piece[start:start + width]] += n * (width - 1)
    ranked = sorted((p for p in parts if p not in kept), key=lambda p: (-parts[p], p))
    kept |= {p: parts[p] // len(p) for p in ranked[:subwords]}
    total = sum(kept.values())
    scored = [(p, math.log(max(n, 1) / total)) for p, n in sorted(kept.items(), key=lambda i: (-i[1], i[0]))]
    return scored + [(c, -25.0) for c in alphabet if c not in kept]


def train(texts: Iterable[str], size: int, subwords: int):
    """A `tokenizers.Tokenizer` of at most `size` tokens, `subwords` of them parts of rare words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    least = len(SPECIAL) + 256 + subwords
    if size < least:
        raise UserError(f"a vocabulary of {size} tokens with {subwords} subwords",
                        expected=f"at least {least}: {len(SPECIAL)} special tokens, 256 bytes and the subwords")
    pre = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    counts: Counter = Counter()
    for text in texts:
        counts.update(piece for piece, _ in pre.pre_tokenize_str(text))
    vocabulary = [(token, 0.0) for token in SPECIAL] + _vocabulary(counts, size - len(SPECIAL), subwords)
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def save(tokenizer, folder: Path, window: int) -> None:
    """Write tokenizer.json and tokenizer_config.json (Hugging Face format, with the chat template)."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": window, "eos_token": END_OF_TURN,
        "pad_token": END_OF_TEXT, "unk_token": END_OF_TEXT, "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
