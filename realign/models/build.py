"""New models from a configuration, and models on disk: load, save."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from realign import paths
from realign.errors import UserError
from realign.files import read_json

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json",
                   "added_tokens.json")
HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
OWN_FOLDERS = ("checkpoints", "data", "models", "released", "runs", str(paths.DEMO))  # usual here, there yet or not
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

    Raises UserError where the directory is not a model or the hub has no such model, and where it cannot be trained:
    weights that are not finite, a tokenizer of more tokens than it has embeddings.
    """
    import mlx.core as mx
    from mlx_lm.utils import load as mlx_load

    from realign.models import sound
    from realign.models.hidden import anatomy

    local = _local(base)
    try:
        # No code of a model's is run, and nobody is asked whether it may.
        model, tokenizer, config = mlx_load(base, tokenizer_config={"trust_remote_code": False}, return_config=True)
        checked = anatomy(model)
    # The hub's client, mlx-lm and a family's own code raise whatever they like on what is not there, not known, does
    # not fit or is broken; some families exit where a package is missing.
    except (Exception, SystemExit) as error:
        kind = "model directory" if local else "model (nor is there such a directory)"
        fix = (f"download it again or put it right{_remedy(error)}" if local else "check model.base in params.yaml and "
               "the connection, or download the model and give its directory; where a directory is meant, its path")
        raise UserError(f"this {kind} could not be loaded: {said(error)}", where=base, fix=fix) from error
    sound.require_numbers(model, base)
    sound.require_rows(tokenizer, checked.vocabulary, base)
    if mx.default_device() == mx.cpu:
        # Sixteen-bit weights would lose small updates, and are slower here than float32.
        model.set_dtype(mx.float32)
    return model, tokenizer, config


def _local(base: str) -> bool:
    """Whether the base is a directory with the files of a model; else it is for the hub. UserError where it is neither:
    a mistyped path is not asked for there."""
    path, fix = Path(base), "check model.base in params.yaml"
    if path.is_dir():
        missing = [f for f in ("config.json", "tokenizer.json") if not (path / f).exists()]
        if missing:
            raise UserError(f"no {' or '.join(missing)}", where=base, expected="a model directory with config.json, "
                            "*.safetensors and tokenizer files", fix=fix)
        if not list(path.glob("model*.safetensors")):
            raise UserError("no weights (model*.safetensors)", where=base,
                            fix="only safetensors are loaded; convert first")
        return True
    if path.exists():
        raise UserError("this is a file", where=base, expected="the directory of a model, or a hub id like org/name",
                        fix=fix)
    parts = base.split("/")
    if len(parts) != 2 or not all(HUB_NAME.fullmatch(part) for part in parts):
        raise UserError("no such model directory", where=base, expected="a directory, or a hub id like org/name",
                        fix=fix)
    if Path(parts[0]).exists() or parts[0] in OWN_FOLDERS:
        raise UserError("no such model directory", where=base, expected=f"a directory in {parts[0]}; the hub is not "
                        f"asked for {base}, as {parts[0]} is a name of this project's",
                        fix=f"{fix}: correct the path, make the model first (`dvc repro`), or, for a model of the hub, "
                            "download it and give its directory")
    return False


def said(error: BaseException) -> str:
    """An error's text on one line, up to 300 characters: what its names are is often told behind the first."""
    text, kind = " ".join(str(error).split()), type(error).__name__
    bare = isinstance(error, KeyError | SystemExit) or " " not in text  # a name or number that says nothing by itself
    return (f"{kind} {text}" if bare else text)[:300]


def _remedy(error: BaseException) -> str:
    """What else there is to do for some errors of loading."""
    text = str(error)
    if "trust_remote_code" in text or "custom code" in text or "model_file" in text:
        return "; models that bring code of their own are not run here: choose one of a family that mlx-lm has"
    if "not supported" in text:
        return ", or choose a model of a family that the installed mlx-lm has"
    if isinstance(error, SystemExit):
        return "; this family needs a package that is not installed"
    return ""


def write_arrays(path: Path, arrays: dict) -> None:
    """Write safetensors, names in order; a full disk is the OSError that it is, which MLX's own writer hides."""
    import mlx.core as mx

    with open(path, "wb") as file:
        mx.save_safetensors(file, dict(sorted(arrays.items())), metadata={"format": "mlx"})


def save(model, config: dict, tokenizer_from: Path, folder: Path) -> None:
    """Write config.json, generation_config.json, model.safetensors and the tokenizer files into an existing folder
    (which may be the one that the tokenizer comes from), for mlx-lm and transformers alike."""
    import shutil

    from realign.models.layout import hugging_face

    write_arrays(folder / "model.safetensors", hugging_face(model, config))
    clean = {k: v for k, v in config.items() if not k.startswith("_")}
    _write_json(folder / "config.json", clean)
    for name in TOKENIZER_FILES:
        if tokenizer_from != folder and (tokenizer_from / name).exists():
            shutil.copyfile(tokenizer_from / name, folder / name)
    _write_json(folder / "generation_config.json", _generation(config, tokenizer_from, folder))


def _generation(config: Mapping, before: Path, folder: Path) -> dict:
    """How to generate: as the model before, and until a token that ends an assistant's turn by the chat template."""
    from mlx_lm.utils import load_tokenizer

    from realign.models.chat import stop_tokens

    path = before / "generation_config.json"
    found = read_json(path) if path.exists() else {}
    tokenizer = load_tokenizer(folder, {"trust_remote_code": False}, eos_token_ids=config.get("eos_token_id"))
    found["eos_token_id"] = list(stop_tokens(tokenizer))
    named = {"bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id}
    return {key: value for key, value in named.items() if value is not None} | found


def _write_json(path: Path, value: Mapping) -> None:
    """Write settings as Hugging Face's libraries read them, keys in order."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


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
