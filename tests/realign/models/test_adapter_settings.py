"""Settings and files that cannot be right are refused; adapters start and add up as they should."""

import json
from dataclasses import replace
from typing import get_args

from realign.models import backend

backend.start()

import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402
from mlx_lm.utils import dequantize_model, quantize_model  # noqa: E402

from realign import params  # noqa: E402
from realign.errors import UserError  # noqa: E402
from realign.models import adapters, build  # noqa: E402
from realign.models.adapters import Method  # noqa: E402
from realign.models.batches import batch_of  # noqa: E402
from realign.models.chat import Encoded  # noqa: E402
from realign.models.heads import ScalarModel  # noqa: E402
from realign.objectives import reward, sft  # noqa: E402
from realign.train import loop  # noqa: E402
from realign.train.batches import RowBatches  # noqa: E402

CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128,
    "head_dim": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-5,
    "vocab_size": 48, "rope_theta": 1e4, "max_position_embeddings": 64, "tie_word_embeddings": True,
}
TOKENS = mx.array([[1, 5, 9, 2, 7, 30]])
QDORA = Method("dora", rank=4, bits=4, group=32)


def model_of(method=None, seed=7, config=CONFIG):
    model = build.create(config, 0)
    return model if method is None else (model, adapters.prepare(model, config, method, seed))


def rows(n=24, seed=0, **last):
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(1, 40, k).tolist() + list(last.values()) for k in rng.integers(3, 14, n)]
    return [Encoded(t, [0] + [1] * (len(t) - 1)) for t in tokens]


def adapted(model):
    return [(name, layer) for name, layer in model.named_modules() if hasattr(layer, "fuse")]


def moved(model):
    """The model with adapters as training may leave them."""
    for name, layer in adapted(model):
        layer.lora_b = mx.random.normal(layer.lora_b.shape, key=mx.random.key(len(name))) * 0.05
        if "m" in layer:
            layer.m = layer.m * 1.5
    return model


@pytest.mark.parametrize("changes, says", [
    ({"kind": "full", "bits": 4}, "kind is full.*\n.*null for bits"),
    ({"kind": "full", "layers": 1, "targets": ("lm_head",)}, "null for layers and targets"),
    ({"layers": 3}, "layers is 3\n.*at most 2"),
    ({"bits": 4, "group": 128}, "is 64 wide\n.*a multiple of the group, 128"),
    ({"targets": ("mlp.up_proj", "mlp.upproj")},
     "'mlp.upproj', which the model has not\n.*mlp.up_proj, .*model.embed_tokens"),
    ({"targets": ()}, "no layer to adapt"),
    ({"kind": "dora", "bits": 6, "group": 32}, "DoRA on model.layers.*6 bits\n.*whole or of 2, 4, 8 bits"),
    ({"kind": "dora", "bits": 4, "group": 32, "targets": ("model.embed_tokens",)},
     "DoRA on model.embed_tokens"),
])
def test_settings_that_cannot_be_are_refused(changes, says):
    with pytest.raises(UserError, match=says):
        model_of(replace(Method("lora"), **changes))


@pytest.mark.parametrize("method, says", [(Method("full"), "cannot be trained in full"),
                                          (Method("lora", bits=4, group=32), "quantised already")])
def test_a_quantised_base_takes_adapters_alone(method, says):
    model, config = quantize_model(model_of(), CONFIG, 32, 8)
    with pytest.raises(UserError, match=says):
        adapters.prepare(model, config, method, 0)
    assert adapters.prepare(model, config, Method("lora"), 0) == config and adapted(model)


def test_full_trains_every_weight_of_a_model_that_came_frozen():
    model = model_of()
    model.freeze()
    assert adapters.prepare(model, CONFIG, Method("full"), 0) == CONFIG
    trees = model.trainable_parameters(), model.parameters()
    names = [{name for name, _ in tree_flatten(tree)} for tree in trees]
    assert names[0] == names[1] != set()


def test_a_method_is_a_section_of_the_parameters(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("a:\n  kind: dora\n  targets: [mlp.up_proj]\n  layers: null\n  bits: 4\nb: {}\n")
    assert params.load("a", Method, file) == Method("dora", targets=("mlp.up_proj",), bits=4)
    assert params.load("b", Method, file) == Method("full")


@pytest.mark.parametrize("knob, expected", [
    ("rank: 0", "a whole number, at least 1"), ("scale: 0.0", "a number above 0"),
    ("dropout: 1.0", "a number from 0 to below 1"), ("dropout: -0.1", "a number from 0 to below 1"),
    ("layers: 0", "a whole number, at least 1, or null"), ("bits: 7", "one of 2, 3, 4, 5, 6, 8, or null"),
    ("bits: 1.0", "one of 2, 3, 4, 5, 6, 8, or null"), ("group: 48", "one of 32, 64, 128"),
    ("kind: qlora", "one of full, lora, dora"),
])
def test_a_setting_out_of_its_range_is_named(knob, expected, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(f"srf: {{sft: {{method: {{{knob}}}}}}}\n")
    with pytest.raises(UserError, match=rf"srf\.sft\.method\.{knob.split(':')[0]}: found.*\n  expected: {expected}\n"):
        params.load("srf.sft.method", Method, file)


@pytest.mark.parametrize("method", [Method("lora", rank=4), Method("dora", rank=4), QDORA],
                         ids=str)
def test_adapters_are_a_function_of_the_seed_and_say_nothing_at_first(method, tmp_path, tokenizer_folder):
    found = []
    for seed, drawn in ((7, 0), (7, 3), (8, 0)):
        mx.random.normal((drawn + 1,))
        model, config = model_of(method, seed)
        (tmp_path / f"{seed}{drawn}").mkdir()
        adapters.save(model, config, method, str(tokenizer_folder), tmp_path / f"{seed}{drawn}")
        found.append({str(f.relative_to(tmp_path / f"{seed}{drawn}")): f.read_bytes()
                      for f in (tmp_path / f"{seed}{drawn}").rglob("*") if f.is_file()})
        after = np.array(model(TOKENS))
        with adapters.bare(model):
            np.testing.assert_allclose(after, np.array(model(TOKENS)), atol=1e-4)
    assert found[0] == found[1] and found[0]["adapters.safetensors"] != found[2]["adapters.safetensors"]


@pytest.mark.parametrize("method", [Method("lora", rank=4, scale=3.0), Method("dora", rank=4, scale=3.0),
                                    Method("dora", rank=4, bits=8, group=32)], ids=str)
def test_fused_weights_are_those_of_the_papers(method):
    """W + s·BA (Hu et al. 2021), and m · (W + s·BA) / ‖W + s·BA‖ by rows (Liu et al. 2024), in float64."""
    model, config = model_of(method)
    moved(model)
    before = np.array(model(TOKENS))
    expected = {}
    for name, layer in adapted(model):
        below = layer.linear
        weight = below.weight if "scales" not in below else mx.dequantize(
            below.weight, below.scales, below.biases, below.group_size, below.bits)
        low, up, weight = (np.array(a, np.float64) for a in (layer.lora_a, layer.lora_b, weight))
        weight = weight + method.scale * (low @ up).T
        if method.kind == "dora":
            weight = weight / np.linalg.norm(weight, axis=1, keepdims=True)
            weight = np.array(layer.m, np.float64)[:, None] * weight
        expected[f"{name}.weight"] = weight
    assert "quantization" not in adapters.fuse(model, config)
    found = dict(tree_flatten(model.parameters()))
    assert len(expected) == 14 and not adapted(model)
    for name, weight in expected.items():
        np.testing.assert_allclose(np.array(found[name]), weight, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(np.array(model(TOKENS)), before, atol=1e-4)


def test_fused_weights_keep_the_precision_of_the_base():
    for kind in ("lora", "dora"):
        model = model_of()
        model.set_dtype(mx.bfloat16)
        adapters.fuse(model, adapters.prepare(model, CONFIG, Method(kind), 0))
        assert {value.dtype for _, value in tree_flatten(model.parameters())} == {mx.bfloat16}


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_a_microscaled_base_can_be_adapted_and_fused(kind):
    model, config = quantize_model(model_of(), CONFIG, None, None, mode="mxfp8")
    config = adapters.prepare(model, config, Method(kind), 0)
    before = np.array(moved(model)(TOKENS))
    assert "quantization" not in adapters.fuse(model, config)
    after = np.array(model(TOKENS).astype(mx.float32))
    np.testing.assert_allclose(after, before, atol=adapters.TIE_16 * before.std())  # unpacked to sixteen bits


@pytest.mark.parametrize("bits", get_args(adapters.Bits))
def test_gradients_through_a_quantised_base_are_those_of_its_weights(bits):
    """MLX's product with packed weights has its own gradient on each back end."""
    found, batch = [], batch_of(rows(4))
    for whole in (False, True):
        model, config = quantize_model(model_of(), CONFIG, 32, bits)
        if whole:
            dequantize_model(model)
        adapters.prepare(model, config, Method("lora", rank=4), 0)
        found.append(dict(tree_flatten(nn.value_and_grad(moved(model), sft.loss)(model, batch)[1])))
    assert found[0] and set(found[0]) == set(found[1])
    for name, expected in found[1].items():
        expected = np.array(expected)
        size = np.abs(expected).max()
        np.testing.assert_allclose(np.array(found[0][name]), expected, atol=1e-4 * size, err_msg=name)


def test_a_reward_model_trains_its_head_and_the_adapters_of_its_trunk(tmp_path):
    model = ScalarModel(model_of())
    adapters.prepare(model.trunk, CONFIG, Method("lora", rank=4), 0)
    before = {name: np.array(value) for name, value in tree_flatten(model.parameters())}
    pairs = [(c, r, 0.0) for c, r in zip(rows(seed=1, last=41), rows(seed=2, last=42), strict=True)]
    state = loop.train(model, reward.loss, RowBatches.of(pairs, reward.collate, reward.weigh, 8, 4, 0),
                       loop.Settings(1e-2, log_every=1), scratch=tmp_path / "run", run_id="m")
    assert state.history[-1]["loss"] < 0.5 * state.history[0]["loss"]
    changed = {name.rsplit(".", 1)[1] for name, value in tree_flatten(model.parameters())
               if (np.array(value) != before[name]).any() and not name.startswith("head")}
    assert changed == {"lora_a", "lora_b"} and (np.array(model.head.weight) != 0).any()


@pytest.fixture
def saved(tiny_folder, tmp_path):
    model, _, config = build.load(str(tiny_folder))
    method = Method("lora", rank=4)
    config = adapters.prepare(model, config, method, 0)
    adapters.save(model, config, method, str(tiny_folder), tmp_path)
    return str(tiny_folder), tmp_path


@pytest.mark.parametrize("fault, says", [
    ("adapters.safetensors", "no adapters.safetensors"), ("adapter_config.json", "no adapter_config.json"),
    ("cut", "could not be loaded"), ("no JSON", "could not be loaded"),
    ("no scale", "missing required key 'scale'"),
    ("other rank", "does not match"), ("other base", "not an adapter parameter")])
def test_a_broken_adapter_is_named(fault, says, saved):
    base, folder = saved
    weights, settings = folder / "adapters.safetensors", folder / "adapter_config.json"
    found = json.loads(settings.read_text())
    match fault:
        case "cut":
            weights.write_bytes(weights.read_bytes()[:1000])
        case "no JSON":
            settings.write_text("{")
        case "no scale":
            del found["lora_parameters"]["scale"]
        case "other rank":
            found["lora_parameters"]["rank"] = 5
        case "other base":
            found["lora_parameters"]["keys"] = ["mlp.up_proj"]
        case _:
            (folder / fault).unlink()
    if fault in ("no scale", "other rank", "other base"):
        settings.write_text(json.dumps(found))
    with pytest.raises(UserError, match=says) as caught:
        adapters.load(base, folder)
    assert str(folder) in str(caught.value)


def test_the_files_name_no_default_of_mlx_lm(saved):
    _, folder = saved
    assert json.loads((folder / "adapter_config.json").read_text()) | {"model": ""} == {
        "fine_tune_type": "lora", "model": "", "num_layers": 2, "lora_parameters": {
            "rank": 4, "scale": 20.0, "dropout": 0.0, "keys": [
                "mlp.down_proj", "mlp.gate_proj", "mlp.up_proj", "self_attn.k_proj", "self_attn.o_proj",
                "self_attn.q_proj", "self_attn.v_proj"]}}
