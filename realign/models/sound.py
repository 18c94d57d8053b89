"""What a model on disk must hold before anything is computed with it."""

import mlx.core as mx
from mlx.utils import tree_flatten

from realign.errors import UserError


def require_numbers(model, where: str) -> None:
    """UserError where weights are no numbers, or of a type that nothing is computed with."""
    arrays = tree_flatten(model.parameters())
    packed = {name.removesuffix("scales") + "weight" for name, _ in arrays if name.endswith("scales")}
    strange = [f"{name} ({value.dtype})" for name, value in arrays if value.ndim > 1 and name not in packed
               and not name.endswith("scales") and not mx.issubdtype(value.dtype, mx.floating)]
    if strange:
        raise UserError(f"weights that are no floating-point numbers: {_few(strange)}", where=where,
                        expected="float32, bfloat16 or float16", fix="convert the model again")
    floats = [(name, value) for name, value in arrays if mx.issubdtype(value.dtype, mx.floating)]
    unsound = [name for name, value in floats if not mx.isfinite(value).all().item()]
    if unsound:
        raise UserError(f"weights that are NaN or infinite: {_few(unsound)}", where=where, expected="finite numbers",
                        fix="its training has diverged or its files are damaged: take an earlier checkpoint, or "
                            "download it again")


def require_rows(tokenizer, rows: int, where: str) -> None:
    """UserError where the tokenizer has tokens that the model has no row for: MLX would read beyond its table. Special
    ones that no text and no chat template gives may be so, such as those of images in Gemma 3."""
    hf = tokenizer._tokenizer
    special = {i for i, token in hf.added_tokens_decoder.items() if token.special}
    beyond = {name: i for name, i in hf.get_vocab().items() if i >= rows}
    if any(i not in special or name in str(hf.chat_template) or name in _roles(hf)
           for name, i in beyond.items()):
        raise UserError(f"the tokenizer has {max(beyond.values()) + 1} tokens, the model {rows} embeddings",
                        where=where, expected="an embedding for every token, such as "
                        f"{min(beyond, key=beyond.get)!r} ({min(beyond.values())})",
                        fix="give the tokenizer that the model was trained with, or enlarge its embeddings")


def _roles(hf) -> set[str]:
    """The tokens that a tokenizer needs in use: begin, end, pad, unknown."""
    return {token for token in (hf.bos_token, hf.eos_token, hf.pad_token, hf.unk_token) if token}


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
