"""The comparison with transformers: its small models are models, and without PyTorch it says so."""

import importlib.util
import sys

import pytest

from benchmarks import transformers_logits
from realign.models import build


@pytest.mark.parametrize("family", ["lfm2", "qwen3_5"])
def test_a_small_model_of_a_family_is_exported_and_loads(family, tmp_path):
    transformers_logits.made(family, tmp_path)
    model, tokenizer, _ = build.load(str(tmp_path))
    assert len(model.layers) == 4 and tokenizer.encode("kites")


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is here")
def test_without_pytorch_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["transformers_logits.py"])
    with pytest.raises(SystemExit) as ended:
        transformers_logits.main()
    assert ended.value.code == 2
    assert "to do: pip install torch, in an environment of its own" in capsys.readouterr().err
