"""The card beside a checkpoint: what is handed on, and nothing of the machine."""

import pytest
from ruamel.yaml import YAML

from realign.models import build, card


def head(folder) -> dict:
    return YAML(typ="safe").load((folder / card.NAME).read_text().split("---\n")[1])


@pytest.fixture
def folders(tmp_path):
    return [(tmp_path / name, (tmp_path / name).mkdir())[0] for name in ("base", "sft", "rl")]


def test_base_and_licence_are_handed_on(folders, tiny_folder):
    base, sft, rl = folders
    for file in tiny_folder.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    (base / card.NAME).write_text("---\nlicense: apache-2.0\n---\n# A base\n")
    card.write(sft, str(base), "srf", "sft")
    card.write(rl, str(sft), "srf", "rl")
    made_from = f"a local llama model, content {build.fingerprint(str(base))[:12]}"
    assert head(sft) == head(rl) == {"library_name": "transformers", "license": "apache-2.0", "made_from": made_from,
                                     "pipeline_tag": "text-generation"}
    text = (rl / card.NAME).read_text()
    assert f"Made from {made_from} by the stage `rl` of the workflow `srf`. Licence: apache-2.0, as" in text
    assert str(base.parent) not in text


def test_a_model_of_the_hub_is_named_and_its_licence_is_not_guessed(folders):
    card.write(folders[1], "org/name", "srf", "sft")
    assert head(folders[1])["base_model"] == "org/name" and "license" not in head(folders[1])
    assert "Licence: the base's, not known here" in (folders[1] / card.NAME).read_text()


@pytest.mark.parametrize("text", ["", "no head", "---\n- a list\n---\n", "---\n{broken\n---\n", "---\nlicense: mit\n"])
def test_a_card_without_a_head_tells_nothing(text, folders, tiny_folder):
    for file in tiny_folder.iterdir():
        (folders[0] / file.name).write_bytes(file.read_bytes())
    (folders[0] / card.NAME).write_text(text)
    card.write(folders[1], str(folders[0]), "srf", "sft")
    assert head(folders[1])["made_from"].startswith("a local llama model") and "license" not in head(folders[1])
