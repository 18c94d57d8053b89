"""Making, saving and loading models; every way a base can be wrong, in one message."""

import json
import shutil

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten
from tokenizers import Tokenizer

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


def read(folder) -> dict:
    arrays = mx.load(str(folder / "model.safetensors"))
    mx.eval(arrays)  # before the file is written anew
    return arrays


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
        case "null":
            config["max_position_embeddings"] = None
        case "no heads":
            config["num_attention_heads"] = 0
        case "a list":
            config = [config]
        case "a text":
            config["num_hidden_layers"] = "two"
        case "own file":
            config["model_file"] = "model.py"
            (folder / "model.py").write_text("raise SystemExit('this was run')")
        case "own code":
            config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
            config["model_type"] = "strange"
            (folder / "code.py").write_text("raise SystemExit('this was run')")
        case "own tokenizer":
            settings = json.loads((folder / "tokenizer_config.json").read_text())
            settings |= {"auto_map": {"AutoTokenizer": ["code.Own", "code.Own"]}, "tokenizer_class": "Own"}
            (folder / "tokenizer_config.json").write_text(json.dumps(settings))
            (folder / "code.py").write_text("raise SystemExit('this was run')")
        case "a package":
            config |= {"model_type": "olmo", "d_model": 16, "n_layers": 2, "mlp_hidden_size": 32, "n_heads": 2,
                       "embedding_size": 340}
        case "no tokens":
            (folder / "tokenizer.json").write_text("{}")
        case "tied and not":
            build.write_arrays(folder / "model.safetensors", read(folder) | {"strange.weight": mx.zeros((2, 2))})
        case "nan" | "infinite" | "integers":
            arrays, name = read(folder), "model.layers.1.mlp.up_proj.weight"
            bad = arrays[name] + {"nan": float("nan"), "infinite": float("inf"), "integers": 0.0}[kind]
            bad = bad.astype(mx.int32) if kind == "integers" else mx.where(mx.arange(16) == 3, bad, arrays[name])
            build.write_arrays(folder / "model.safetensors", arrays | {name: bad})
        case "fewer rows":
            config["vocab_size"] = 100
            fewer = dict(tree_flatten(build.create(config, 0).parameters()))
            build.write_arrays(folder / "model.safetensors", fewer)
    if (folder / "config.json").exists():
        (folder / "config.json").write_text("{" if kind == "broken config" else json.dumps(config))


@pytest.mark.parametrize("kind, says", [
    ("config.json", "no config.json"), ("tokenizer.json", "no tokenizer.json"),
    ("model.safetensors", r"no weights \(model\*\.safetensors\)"),
    ("only a head", r"no weights"), ("unknown type", "Model type abacus not supported"),
    ("no hidden_size", "hidden_size"), ("other shape", "shape"), ("more layers", "[Mm]issing"),
    ("cut weights", "could not be loaded: "), ("broken config", "could not be loaded: "), ("no type", "model_type"),
    ("null", "max_position_embeddings"), ("no heads", "could not be loaded: "), ("a list", "could not be loaded: "),
    ("a text", "could not be loaded: "), ("own file", "code of their own are not run"),
    ("own code", "not run here|strange"),
    ("own tokenizer", "code of their own are not run"), ("a package", "needs a package that is not installed"),
    ("no tokens", "could not be loaded: "), ("tied and not", r"parameters not in model: .*strange\.weight"),
    ("nan", r"weights that are NaN or infinite: model\.layers\.1\.mlp\.up_proj\.weight\n"),
    ("infinite", "NaN or infinite"), ("integers", r"no floating-point numbers: model\.layers\.1\.mlp\.up_proj"),
    ("fewer rows", r"the tokenizer has \d+ tokens, the model 100 embeddings")])
def test_a_broken_model_directory_is_named(kind, says, copy):
    broken(kind, copy)
    with pytest.raises(UserError, match=says) as caught:
        build.load(str(copy))
    told = str(caught.value)
    assert str(copy) in told and "to do:" in told and "this was run" not in told and "connection" not in told


def test_special_tokens_that_nothing_writes_may_have_no_row(copy):
    """As that of images in Gemma 3 of one billion parameters."""
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    rows = json.loads((copy / "config.json").read_text())["vocab_size"]
    while tokenizer.get_vocab_size() < rows:
        tokenizer.add_special_tokens([f"<unused{tokenizer.get_vocab_size()}>"])
    tokenizer.add_special_tokens(["<image>"])
    tokenizer.save(str(copy / "tokenizer.json"))
    assert build.load(str(copy))[0] is not None
    tokenizer.add_tokens(["<typed>"])
    tokenizer.save(str(copy / "tokenizer.json"))
    with pytest.raises(UserError, match=f"the tokenizer has {rows + 2} tokens, the model {rows} embeddings"):
        build.load(str(copy))


@pytest.fixture
def no_hub(monkeypatch):
    """Any question to the hub fails the test."""
    monkeypatch.setattr("mlx_lm.utils.snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))


@pytest.mark.parametrize("base", [
    "data/nothere", "checkpoints/srf", "released/x", "./org/name", "../name", "~/model", "org/name/", "a/b/c",
    "here/name", "bad id/na me", "-x-/--", ".hidden/x", "org/na:me"])
def test_a_mistyped_path_never_goes_to_the_hub(base, no_hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    with pytest.raises(UserError, match="no such model directory") as caught:
        build.load(base)
    assert "to do: check model.base" in str(caught.value)
    if base.startswith(("data", "here")):
        assert "the hub is not asked for" in str(caught.value) and "download it" in str(caught.value)


def test_a_file_is_no_model(no_hub, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="this is a file"):
        build.load(str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("base", ["/nowhere/model", "nowhere", "./no/where"])
def test_a_directory_that_is_not_there(base):
    with pytest.raises(UserError, match="no such model directory"):
        build.load(base)


@pytest.mark.parametrize("base", ["org/name", "Org-1/name_2.5"])
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


def test_a_saved_model_says_where_its_answers_end(copy, tmp_path):
    """By the template, whatever the tokenizer or the configuration names; what else is said of sampling goes along."""
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    end, other = settings["eos_token"], settings["pad_token"]
    (copy / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": other}))
    (copy / "generation_config.json").write_text(json.dumps({"temperature": 0.6, "eos_token_id": 7}))
    model, tokenizer, config = build.load(str(copy))
    (tmp_path / "saved").mkdir()
    build.save(model, config, copy, tmp_path / "saved")
    found = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    ids = tokenizer._tokenizer.convert_tokens_to_ids([end, other])
    assert found == {"eos_token_id": sorted([7, *ids]), "pad_token_id": ids[1], "temperature": 0.6}
    assert ids[0] in mlx_lm.load(str(tmp_path / "saved"))[1].eos_token_ids
