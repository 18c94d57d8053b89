"""New models from a configuration, and models on disk: load, save."""

import json
from collections.abc import Mapping
from pathlib import Path

from realign.errors import UserError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json",
                   "added_tokens.json")
# Names under which configurations give the longest text, in tokens.
WINDOWS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length")
RESIDUAL = ("o_proj.weight", "down_proj.weight", "out_proj.weight", "w2.weight")  # what writes to the residual stream


def create(config: dict, seed: int):
    """An untrained mlx-lm model of `config` (a config.json), its weights a function of the seed.

    Matrices are normal with deviation 1 / sqrt(fan-in) (LeCun 1998), those that write to the residual stream
    1 / sqrt(2 × layers) of that (Radford 2019); norms stay at one, biases at zero.
    """
    import math

    import mlx.core as mx
    from mlx.utils import tree_flatten, tree_unflatten
    from mlx_lm.utils import _get_classes

    model_class, args_class = _get_classes(config)
    mx.random.seed(seed)  # of what some families draw for vectors, such as decays
    model = model_class(args_class.from_dict(config))
    key, weights = mx.random.key(seed), []
    for name, value in tree_flatten(model.parameters()):
        if value.ndim > 1:
            key, own = mx.random.split(key)
            scale = 1.0 / math.sqrt(value[0].size)
            if name.endswith(RESIDUAL):
                scale /= math.sqrt(2 * len(model.layers))
            value = mx.random.normal(value.shape, key=own) * scale
        elif name.endswith("bias"):
            value = mx.zeros(value.shape)
        weights.append((name, value))
    model.update(tree_unflatten(weights))
    mx.eval(model.parameters())
    return model


def load(base: str):
    """`(model, tokenizer, config)` of a model directory or hub id, through mlx-lm.

    Raises UserError where the directory is not a model or the hub has no such model.
    """
    from mlx_lm.utils import load as mlx_load

    path = Path(base)
    if path.is_dir():
        missing = [f for f in ("config.json", "tokenizer.json") if not (path / f).exists()]
        if missing:
            raise UserError(f"no {' or '.join(missing)}", where=base, expected="a model directory with config.json, "
                            "*.safetensors and tokenizer files", fix="check model.base in params.yaml")
        if not list(path.glob("model*.safetensors")):
            raise UserError("no weights (model*.safetensors)", where=base,
                            fix="only safetensors are loaded; convert first")
    elif path.is_absolute() or base.count("/") != 1:
        raise UserError("no such model directory", where=base, expected="a directory, or a hub id like org/name",
                        fix="check model.base in params.yaml")
    import mlx.core as mx

    try:
        model, tokenizer, config = mlx_load(base, return_config=True)
    # What mlx-lm and the hub's client raise for: no such file or connection, an unknown model type or hub id, a
    # missing setting, weights that do not fit, broken weights.
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        kind = "model directory" if path.is_dir() else "model (nor is there such a directory)"
        raise UserError(f"this {kind} could not be loaded: {_first_line(error)}", where=base,
                        fix="check model.base in params.yaml and the connection, or download the model and give "
                            "its directory") from error
    if mx.default_device() == mx.cpu:
        # Sixteen-bit weights would lose small updates, and are slower here than float32.
        model.set_dtype(mx.float32)
    return model, tokenizer, config


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


def write_arrays(path: Path, arrays: dict) -> None:
    """Write safetensors, names in order; a full disk is the OSError that it is, which MLX's own writer hides."""
    import mlx.core as mx

    with open(path, "wb") as file:
        mx.save_safetensors(file, dict(sorted(arrays.items())), metadata={"format": "mlx"})


def save(model, config: dict, tokenizer_from: Path, folder: Path) -> None:
    """Write config.json, model.safetensors and the tokenizer files into an existing folder (which may be the one that
    the tokenizer comes from)."""
    import shutil

    from mlx.utils import tree_flatten

    write_arrays(folder / "model.safetensors", dict(tree_flatten(model.parameters())))
    clean = {k: v for k, v in config.items() if not k.startswith("_")}
    (folder / "config.json").write_text(json.dumps(clean, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for name in TOKENIZER_FILES:
        if tokenizer_from != folder and (tokenizer_from / name).exists():
            shutil.copyfile(tokenizer_from / name, folder / name)


def folder(base: str) -> Path:
    """The directory of a model directory or of a downloaded hub model."""
    if Path(base).is_dir():
        return Path(base)
    from mlx_lm.utils import _download

    return Path(_download(base))


def fingerprint(base: str) -> str:
    """Hash of a model's configuration and weights."""
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(folder(base).glob("*")):
        if path.suffix in (".safetensors", ".json", ".jinja"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def window(config: dict) -> int:
    """The longest conversation that the model was made for, in tokens."""
    return stated_window(config) or 2048


def stated_window(config: Mapping) -> int | None:
    """What a configuration, or that of the text in it, says of it; None where it does not."""
    found = next((config[name] for name in WINDOWS if config.get(name)), None)
    text = config.get("text_config")
    return stated_window(text) if found is None and isinstance(text, Mapping) else found
