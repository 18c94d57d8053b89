"""Whatever was trained, mlx-lm loads what is exported, and it chooses the same tokens."""

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

from realign.errors import UserError
from realign.models import adapters, build
from realign.models.adapters import Method
from realign.models.export import ADAPTER, average, export

WIDE = {"hidden_size": 64, "head_dim": 32, "intermediate_size": 64, "vocab_size": 340}
PROMPTS = [[5, 9, 200, 31, 7], [300, 2, 2, 18]]
METHODS = {"full": Method(), "lora": Method("lora", rank=4), "dora": Method("dora", rank=4),
           "qlora": Method("lora", rank=4, bits=4, group=32)}


@pytest.fixture(params=sorted(METHODS))
def trained(request, tiny, tiny_config, tokenizer_folder, tmp_path):
    """A model whose trainable weights were moved, its config, its method and its base."""
    base = tmp_path / "base"
    base.mkdir()
    build.save(tiny(1, **WIDE), tiny_config(**WIDE), tokenizer_folder, base)
    model, _, config = build.load(str(base))
    method = METHODS[request.param]
    config = adapters.prepare(model, config, method, 0)
    key = mx.random.key(3)
    model.update(tree_map(lambda w: w + 0.05 * mx.random.normal(w.shape, key=key), model.trainable_parameters()))
    return model, config, method, str(base)


def test_mlx_lm_loads_the_folder_and_chooses_the_same(trained, tmp_path):
    model, config, method, base = trained
    (tmp_path / "out").mkdir()
    exported = export(model, config, method, base, tmp_path / "out", PROMPTS)
    loaded, _ = mlx_lm.load(str(tmp_path / "out"))
    for prompt in PROMPTS:
        tokens = mx.array([prompt])
        assert mx.array_equal(exported(tokens), loaded(tokens))
        np.testing.assert_allclose(np.array(loaded(tokens)), np.array(model(tokens)), atol=1e-3)
    assert "quantization" not in build.load(str(tmp_path / "out"))[2]
    adapter = tmp_path / "out" / ADAPTER
    assert adapter.exists() == (method.kind != "full")
    if adapter.exists():
        adapted, _ = mlx_lm.load(adapters.base_of(base, adapter), adapter_path=str(adapter))
        np.testing.assert_allclose(np.array(adapted(tokens)), np.array(model(tokens)), atol=1e-4)


def test_a_fused_model_that_lost_its_adapters_is_refused(trained, tmp_path, monkeypatch):
    model, config, method, base = trained
    if method.kind == "full":
        return
    real = adapters.fuse

    def forgets(fused, config):
        for _, layer in fused.named_modules():
            if "lora_b" in layer:
                layer.lora_b = mx.zeros_like(layer.lora_b)
        return real(fused, config)

    monkeypatch.setattr(adapters, "fuse", forgets)  # planted fault
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="fused model chooses another token"):
        export(model, config, method, base, tmp_path / "out", PROMPTS)


def test_an_average_lies_between_its_base_and_what_was_trained(trained, tmp_path):
    model, config, method, base = trained
    out = tmp_path / "out"
    out.mkdir()
    export(model, config, method, base, out, PROMPTS)
    start, end = (dict(tree_flatten(build.load(str(folder))[0].parameters())) for folder in (base, out))
    moved = average(out, base, 0.75)
    loaded, _ = mlx_lm.load(str(out))
    for name, found in tree_flatten(loaded.parameters()):
        expected = np.array(start[name]) / 4 + np.array(end[name]) * 3 / 4
        np.testing.assert_allclose(np.array(found), expected, atol=1e-6, err_msg=name)
    assert any(np.abs(np.array(end[name]) - np.array(start[name])).max() > 0.01 for name in start)
    tokens = mx.array([PROMPTS[0]])
    assert mx.array_equal(moved(tokens), loaded(tokens))
