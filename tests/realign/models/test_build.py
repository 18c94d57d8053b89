"""Making, saving and loading models; every way a base can be wrong, in one message."""

import json
import shutil

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign.errors import UserError
from realign.models import build

TOKENS = mx.array([[1, 5, 9, 2, 7]])


def weights(model) -> dict:
    return {name: np.array(value) for name, value in tree_flatten(model.parameters())}


@pytest.fixture
def copy(tiny_folder, tmp_path):
    """A model directory to break."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def test_the_weights_are_a_function_of_the_seed(tiny):
    one, again, other = (weights(tiny(seed)) for seed in (1, 1, 2))
    assert all((one[name] == again[name]).all() for name in one)
    assert all((one[name] != other[name]).any() for name in one if one[name].ndim > 1)


def test_the_weights_do_not_depend_on_what_was_drawn_before(tiny):
    mx.random.normal((10,))
    one = weights(tiny(1))
    mx.random.seed(5)
    assert all((one[name] == value).all() for name, value in weights(tiny(1)).items())


def test_the_size_of_weights(tiny):
    found = weights(tiny(0, hidden_size=128, intermediate_size=256, vocab_size=400))
    for name, expected in (("model.layers.0.self_attn.q_proj.weight", 128**-0.5),
                           ("model.layers.1.mlp.down_proj.weight", (256 * 4)**-0.5),
                           ("model.layers.1.self_attn.o_proj.weight", (16 * 4)**-0.5),  # heads × head_dim
                           ("model.embed_tokens.weight", 128**-0.5)):
        assert found[name].std() == pytest.approx(expected, rel=0.05), name
    assert (found["model.norm.weight"] == 1).all()


@pytest.mark.parametrize("changes", [
    {}, {"model_type": "qwen3", "tie_word_embeddings": False}, {"model_type": "qwen2"}, {"model_type": "mistral"}])
def test_saved_and_loaded_it_is_the_same(changes, tiny, tiny_config, tokenizer_folder, tmp_path):
    changes = changes | {"vocab_size": 340}
    model = tiny(3, **changes)
    build.save(model, tiny_config(**changes) | {"_name_or_path": "/tmp/x"}, tokenizer_folder, tmp_path)
    loaded, tokenizer, config = build.load(str(tmp_path))
    assert mx.array_equal(model(TOKENS), loaded(TOKENS))
    assert config["model_type"] == changes.get("model_type", "llama") and "_name_or_path" not in config
    assert tokenizer.encode("Lima")


def test_saving_twice_gives_the_same_bytes(tiny, tiny_config, tokenizer_folder, tmp_path):
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        build.save(tiny(3), tiny_config(), tokenizer_folder, tmp_path / name)
        files.append({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()})
    assert files[0] == files[1]


def test_a_template_in_a_file_of_its_own_goes_along(copy, tmp_path):
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    template = settings.pop("chat_template")
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    (copy / "chat_template.jinja").write_text(template)
    before = build.fingerprint(str(copy))
    model, tokenizer, config = build.load(str(copy))
    (tmp_path / "saved").mkdir()
    build.save(model, config, copy, tmp_path / "saved")
    assert build.load(str(tmp_path / "saved"))[1].chat_template == template == tokenizer.chat_template
    (copy / "chat_template.jinja").write_text(template + " ")
    assert build.fingerprint(str(copy)) != before


def test_sixteen_bit_weights_become_float32_on_cpu(copy):
    if mx.default_device() != mx.cpu:
        pytest.skip("a GPU trains in bfloat16")
    path = str(copy / "model.safetensors")
    mx.save_safetensors(path, {k: v.astype(mx.bfloat16) for k, v in mx.load(path).items()})
    assert {value.dtype for _, value in tree_flatten(build.load(str(copy))[0].parameters())} == {mx.float32}


def test_mlx_lm_generates_with_a_saved_model(tiny_folder):
    model, tokenizer = mlx_lm.load(str(tiny_folder))
    text = mlx_lm.generate(model, tokenizer, prompt=[1, 40, 50], max_tokens=5)
    assert isinstance(text, str)
    prompt, expected = [1, 40, 50], []
    for _ in range(5):
        expected.append(model(mx.array([prompt + expected]))[0, -1].argmax().item())
        if expected[-1] in tokenizer.eos_token_ids:
            break
    assert text == tokenizer.decode([t for t in expected if t not in tokenizer.eos_token_ids])


def broken(kind, folder):
    """Break a model directory in the named way."""
    config = json.loads((folder / "config.json").read_text())
    match kind:
        case "config.json" | "tokenizer.json" | "model.safetensors":
            (folder / kind).unlink()
        case "unknown type":
            config["model_type"] = "abacus"
        case "no hidden_size":
            del config["hidden_size"]
        case "other shape":
            config["hidden_size"] = 24
        case "more layers":
            config["num_hidden_layers"] = 3
        case "cut weights":
            whole = (folder / "model.safetensors").read_bytes()
            (folder / "model.safetensors").write_bytes(whole[:len(whole) // 2])
        case "only a head":
            (folder / "model.safetensors").rename(folder / "head.safetensors")
        case "no type":
            del config["model_type"]
    if (folder / "config.json").exists():
        (folder / "config.json").write_text("{" if kind == "broken config" else json.dumps(config))


@pytest.mark.parametrize("kind, says", [
    ("config.json", "no config.json"), ("tokenizer.json", "no tokenizer.json"),
    ("model.safetensors", r"no weights \(model\*\.safetensors\)"),
    ("only a head", r"no weights"), ("unknown type", "Model type abacus not supported"),
    ("no hidden_size", "hidden_size"), ("other shape", "shape"), ("more layers", "[Mm]issing"),
    ("cut weights", "could not be loaded: "), ("broken config", "could not be loaded: "), ("no type", "model_type")])
def test_a_broken_model_directory_is_named(kind, says, copy):
    broken(kind, copy)
    with pytest.raises(UserError, match=says) as caught:
        build.load(str(copy))
    assert str(copy) in str(caught.value) and "to do:" in str(caught.value)


@pytest.mark.parametrize("base", ["/nowhere/model", "nowhere", "./no/where"])
def test_a_directory_that_is_not_there(base):
    with pytest.raises(UserError, match="no such model directory"):
        build.load(base)


@pytest.mark.parametrize("base", ["org/name", "data/no-such", "bad id/na me", "-x-/--"])
def test_a_hub_that_cannot_be_asked_or_a_bad_id(base):
    with pytest.raises(UserError, match=r"this model \(nor is there such a directory\) could not be loaded") as caught:
        build.load(base)
    assert "download the model and give its directory" in str(caught.value)


def test_the_fingerprint_sees_weights_and_configuration(copy):
    marks = {build.fingerprint(str(copy))}
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-6}))
    marks.add(build.fingerprint(str(copy)))
    arrays = mx.load(str(copy / "model.safetensors"))
    mx.save_safetensors(str(copy / "model.safetensors"), {k: v * 1.001 for k, v in arrays.items()})
    marks.add(build.fingerprint(str(copy)))
    assert len(marks) == 3
