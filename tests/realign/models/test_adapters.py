"""Each method learns, moves what it should and nothing else, and comes back through mlx-lm as it was."""

import importlib
import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign.errors import UserError
from realign.models import adapters, build
from realign.models.adapters import Method
from realign.models.batches import batch_of
from realign.models.chat import Encoded
from realign.objectives import sft
from realign.train import loop
from realign.train.batches import RowBatches

SHAPE = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 32, "vocab_size": 340}
METHODS = {
    "full": Method("full"), "lora": Method("lora", rank=4), "dora": Method("dora", rank=4),
    "qlora": Method("lora", rank=4, bits=4, group=32), "qdora": Method("dora", rank=4, bits=8, group=64),
    "lora on some": Method("lora", rank=4, layers=1, targets=("mlp.up_proj", "model.embed_tokens")),
}
PROMPTS = np.random.default_rng(9).integers(1, 340, (4, 12)).tolist()


def rows(n=12, seed=0):
    rng = np.random.default_rng(seed)
    return [Encoded(rng.integers(1, 340, k).tolist(), [0] + [1] * (k - 1)) for k in rng.integers(6, 14, n)]


def arrays(model) -> dict:
    return {name: np.array(value) for name, value in tree_flatten(model.parameters())}


def outputs(model) -> np.ndarray:
    return np.array(model(mx.array(PROMPTS)))


@dataclass
class Trained:
    model: nn.Module
    config: dict
    method: Method
    base: str
    adapter: Path
    fused: Path
    names: frozenset = frozenset()  # of what was trainable
    before: dict = field(default_factory=dict)
    history: list = field(default_factory=list)


@pytest.fixture(scope="module")
def base(tiny, tiny_config, tokenizer_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    build.save(tiny(3, **SHAPE), tiny_config(**SHAPE), tokenizer_folder, folder)
    return str(folder)


@pytest.fixture(scope="module", params=sorted(METHODS))
def trained(request, base, tmp_path_factory) -> Trained:
    """A model trained by each method, saved as an adapter, and fused from disk."""
    folder, method = tmp_path_factory.mktemp("run"), METHODS[request.param]
    model, _, config = build.load(base)
    config = adapters.prepare(model, config, method, 7)
    names, before = frozenset(name for name, _ in tree_flatten(model.trainable_parameters())), arrays(model)
    state = loop.train(model, sft.loss, RowBatches.of(rows(), batch_of, sft.weigh, 12, 25, 0),
                       loop.Settings(2e-2, log_every=1), scratch=folder / "checkpoint", run_id="m")
    for name in ("adapter", "fused"):
        (folder / name).mkdir()
    adapters.save(model, config, method, base, folder / "adapter")
    loaded, _, found = adapters.load(base, folder / "adapter")
    build.save(loaded, adapters.fuse(loaded, found), build.folder(base), folder / "fused")
    return Trained(model, config, method, base, folder / "adapter", folder / "fused", names, before,
                   state.history)


def test_the_loss_falls(trained):
    losses = [h["loss"] for h in trained.history]
    assert losses[-1] < 0.8 * losses[0]


def test_what_is_trainable_moves_and_nothing_else(trained):
    after = arrays(trained.model)
    assert trained.names == {name for name in after if (after[name] != trained.before[name]).any()}
    if trained.method.kind == "full":
        assert trained.names == set(after)  # mlx-lm's `full` leaves embedding and final norm alone
    else:
        assert {name.rsplit(".", 1)[1] for name in trained.names} == {"lora_a", "lora_b"} | (
            {"m"} if trained.method.kind == "dora" else set())


def test_quantised_bases_are_quantised(trained):
    layer = trained.model.layers[0].mlp.down_proj
    if trained.method.bits:
        assert (layer.linear.bits, layer.linear.group_size) == (trained.method.bits, trained.method.group)
        assert trained.config["quantization"]["bits"] == trained.method.bits
    else:
        assert "quantization" not in trained.config


def test_mlx_lm_loads_what_was_saved(trained):
    model, _ = mlx_lm.load(adapters.base_of(trained.base, trained.adapter), adapter_path=str(trained.adapter))
    assert (outputs(model) == outputs(trained.model)).all()
    assert set(mx.load(str(trained.adapter / "adapters.safetensors"))) == trained.names
    assert np.abs(outputs(model) - outputs(build.load(trained.base)[0])).max() > 0.5  # it is not the base


def test_loaded_it_can_be_trained_on(trained):
    model, _, _ = adapters.load(trained.base, trained.adapter)
    assert {name for name, _ in tree_flatten(model.trainable_parameters())} == trained.names


def test_without_its_adapters_the_model_is_its_base(trained):
    before = outputs(trained.model)
    base = build.load(adapters.base_of(trained.base, trained.adapter))[0]
    if trained.method.kind == "full":  # and has none
        base = trained.model
    with adapters.bare(trained.model):
        assert (outputs(trained.model) == outputs(base)).all()
    assert (outputs(trained.model) == before).all()


def test_the_export_agrees_and_says_by_how_much(trained):
    assert adapters.check_export(trained.model, trained.base, trained.adapter, trained.fused, PROMPTS) == {
        "adapter": 1.0, "fused": 1.0}
    fused = build.load(str(trained.fused))[0]
    np.testing.assert_allclose(outputs(fused), outputs(trained.model), atol=2e-3)
    assert set(arrays(fused)) == set(arrays(build.load(trained.base)[0]))
    assert "quantization" not in json.loads((trained.fused / "config.json").read_text())


def entry_point(monkeypatch, name, *arguments):
    """mlx-lm's command line of that name, in this process."""
    monkeypatch.setattr(sys, "argv", [f"mlx_lm.{name}", *map(str, arguments)])
    importlib.import_module(f"mlx_lm.{name}").main()


def test_mlx_lm_fuse(trained, tmp_path, monkeypatch):
    entry_point(monkeypatch, "fuse", "--model", adapters.base_of(trained.base, trained.adapter),
                "--adapter-path", trained.adapter, "--save-path", tmp_path / "fused", "--dequantize")
    theirs, ours = (arrays(build.load(str(folder))[0]) for folder in (tmp_path / "fused", trained.fused))
    assert set(theirs) == set(ours) and all((theirs[name] == ours[name]).all() for name in ours)
    adapters.check_export(trained.model, trained.base, trained.adapter, tmp_path / "fused", PROMPTS)


def test_mlx_lm_generate(trained, monkeypatch, capsys):
    prompt = "What is the capital of Peru?"
    entry_point(monkeypatch, "generate", "--model", adapters.base_of(trained.base, trained.adapter),
                "--adapter-path", trained.adapter, "--prompt", prompt, "--ignore-chat-template",
                "--max-tokens", 6, "--verbose", "False")
    _, tokenizer = mlx_lm.load(trained.base)
    tokens, said = tokenizer.encode(prompt), []
    while len(said) < 6:
        said.append(trained.model(mx.array([tokens + said]))[0, -1].argmax().item())
        if said[-1] in tokenizer.eos_token_ids:
            said.pop()
            break
    text = tokenizer.detokenizer  # as generate uses it: some ids of the untrained model have no token
    for token in said:
        text.add_token(token)
    text.finalize()
    assert said and capsys.readouterr().out.strip() == text.text.strip()


# Faults.

def prepared(base, method, seed=7):
    model, _, config = build.load(base)
    return model, adapters.prepare(model, config, method, seed)


@pytest.fixture
def lora(base, tmp_path):
    """A LoRA model that differs from its base, saved and fused, still with the dropout of training."""
    method = Method("lora", rank=4, dropout=0.5)
    model, config = prepared(base, method)
    model.train()
    for name, layer in model.named_modules():
        if hasattr(layer, "fuse"):
            layer.lora_b = mx.random.normal(layer.lora_b.shape, key=mx.random.key(len(name))) * 0.05
    for name in ("adapter", "fused"):
        (tmp_path / name).mkdir()
    adapters.save(model, config, method, base, tmp_path / "adapter")
    loaded, _, found = adapters.load(base, tmp_path / "adapter")
    build.save(loaded, adapters.fuse(loaded, found), build.folder(base), tmp_path / "fused")
    return Trained(model, config, method, base, tmp_path / "adapter", tmp_path / "fused")


def spoil(path: Path, change) -> None:
    changed = {name: change(name, value) for name, value in mx.load(str(path)).items()}
    mx.eval(changed)  # the file is read only now
    build.write_arrays(path, changed)


def export(run: Trained) -> dict:
    return adapters.check_export(run.model, run.base, run.adapter, run.fused, PROMPTS)


def test_an_export_that_is_not_the_trained_model_is_refused(lora):
    assert export(lora) == {"adapter": 1.0, "fused": 1.0}
    whole = (lora.adapter / "adapters.safetensors").read_bytes()
    spoil(lora.adapter / "adapters.safetensors",
          lambda name, value: -value if name.endswith("lora_b") else value)
    with pytest.raises(UserError, match="the adapter model chooses another token than the trained one"):
        export(lora)
    (lora.adapter / "adapters.safetensors").write_bytes(whole)
    shutil.copy(Path(lora.base) / "model.safetensors", lora.fused)  # nothing was fused
    with pytest.raises(UserError, match="the fused model chooses another token"):
        export(lora)


def test_an_export_that_is_not_a_number_is_refused(lora):
    spoil(lora.fused / "model.safetensors", lambda name, value: value * mx.nan if "norm" in name else value)
    with pytest.raises(UserError, match="weights that are NaN or infinite"):
        export(lora)


@pytest.mark.parametrize("size, passes", [(1e-6, True), (1e-1, False)])
def test_only_a_tie_may_change_places(size, passes, lora):
    """Every token has a twin of the same embedding; then the second of each two is made a little louder."""
    def louder(name, value):
        odd = (mx.arange(340) % 2)[:, None]
        return value * (1 + size * odd) if name == "model.embed_tokens.weight" else value

    def twins(name, value):
        return mx.repeat(value[::2], 2, axis=0) if name == "model.embed_tokens.weight" else value

    spoil(lora.fused / "model.safetensors", twins)
    model, _, _ = build.load(str(lora.fused))
    spoil(lora.fused / "model.safetensors", louder)
    adapted = lora.adapter / "adapters.safetensors"
    build.write_arrays(adapted, dict(tree_flatten(model.parameters())))
    (lora.adapter / "adapter_config.json").write_text(json.dumps({"fine_tune_type": "full"}))
    run = Trained(model, {}, Method(), lora.base, lora.adapter, lora.fused)
    if passes:
        shares = export(run)
        assert shares["adapter"] == 1.0 and shares["fused"] < 1.0
    else:
        with pytest.raises(UserError, match="the fused model"):
            export(run)


def test_quantised_again_it_is_another_model(base, tmp_path, monkeypatch):
    """Without --dequantize `mlx_lm.fuse` rounds adapter and quantised base off again, at two bits a lot."""
    method = Method("lora", rank=4, bits=2, group=32)
    model, config = prepared(base, method)
    for name, layer in model.named_modules():
        if hasattr(layer, "fuse"):
            layer.lora_b = mx.random.normal(layer.lora_b.shape, key=mx.random.key(len(name))) * 0.01
    (tmp_path / "adapter").mkdir()
    adapters.save(model, config, method, base, tmp_path / "adapter")
    entry_point(monkeypatch, "fuse", "--model", tmp_path / "adapter" / "base", "--adapter-path",
                tmp_path / "adapter", "--save-path", tmp_path / "fused")
    with pytest.raises(UserError, match=r"the fused model chooses another token.*\n.*\n.*quantised anew"):
        adapters.check_export(model, base, tmp_path / "adapter", tmp_path / "fused", PROMPTS)


def test_nothing_to_compare_on_is_refused(lora):
    with pytest.raises(UserError, match="no prompt"):
        adapters.check_export(lora.model, lora.base, lora.adapter, lora.fused, [[]])
