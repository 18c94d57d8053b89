"""What is sampled, as rows and as texts: the prompt before it, the end of the turn left out, no repeats."""

import pytest

from realign.evaluate import responses
from realign.evaluate.responses import PATIENCE, answers, at_temperature, rows, several, texts
from realign.models import build, generate
from realign.models.chat import Encoded, prompt_tokens, stop_tokens
from realign.models.generate import Sampling

CHATS = [{"messages": [{"role": "user", "content": text}]} for text in
         ("What is gold?", "Peru?", "3 apples and 14", "Ada has 3 apples and buys 14 more",
          "What is the capital of Peru?")]


@pytest.fixture(scope="module")
def loaded(tiny_folder):
    return build.load(str(tiny_folder))[:2]


def how(tokenizer) -> Sampling:
    """Several tokens end the turn, so that some do."""
    return Sampling(9, 1.0, stop_tokens=(*stop_tokens(tokenizer), *range(100, 180)))


def test_a_row_is_the_prompt_and_what_was_sampled_which_alone_is_marked(loaded):
    model, tokenizer = loaded
    prompts = [prompt_tokens(tokenizer, chat["messages"]) for chat in CHATS]
    expected = generate.generate(model, prompts, how(tokenizer), seed=4)
    found = rows(model, tokenizer, CHATS, how(tokenizer), 4)
    assert len({len(c.tokens) for c in expected}) > 1 and any(c.stopped for c in expected)
    for row, prompt, completion in zip(found, prompts, expected, strict=True):
        assert row == Encoded([*prompt, *completion.tokens], [0] * len(prompt) + [1] * len(completion.tokens))


def test_answers_are_the_texts_of_the_rows(loaded):
    model, tokenizer = loaded
    found = rows(model, tokenizer, CHATS, how(tokenizer), 4)
    assert answers(model, tokenizer, CHATS, how(tokenizer), 4) == texts(tokenizer, found)
    assert answers(model, tokenizer, CHATS, how(tokenizer), 5) != texts(tokenizer, found)
    assert answers(model, tokenizer, [], how(tokenizer), 4) == []


def test_texts_leave_out_the_prompt_and_the_end_of_the_turn(loaded):
    _, tokenizer = loaded
    ends, lima = stop_tokens(tokenizer), tokenizer.encode(" Lima")
    assert ends
    for end in ends:
        row = Encoded([*tokenizer.encode("What is the capital of Peru?"), *lima, end], [])
        marked = Encoded(row.tokens, [0] * (len(row.tokens) - len(lima) - 1) + [1] * (len(lima) + 1))
        assert texts(tokenizer, [marked]) == ["Lima"]
    assert texts(tokenizer, [Encoded(lima, [0] * len(lima))]) == [""]


def test_a_turn_ends_where_the_tokenizer_says(loaded):
    _, tokenizer = loaded
    assert at_temperature(tokenizer, 7, 0.5) == Sampling(7, 0.5, stop_tokens=stop_tokens(tokenizer))
    assert at_temperature(tokenizer, 7).temperature == 1.0


def test_several_are_one_a_temperature_each_with_its_own_seed_without_repeats_in_order(loaded, monkeypatch):
    model, tokenizer = loaded
    told = {(0.5, 3): ["a", "b"], (1.0, 4): ["a", "c"], (1.5, 5): ["d", "b"]}
    monkeypatch.setattr(responses, "answers",
                        lambda model, tokenizer, chats, sampling, seed: told.pop((sampling.temperature, seed)))
    assert several(model, tokenizer, CHATS[:2], [0.5, 1.0, 1.5], 8, seed=3) == [["a", "d"], ["b", "c"]]
    assert not told


def test_several_of_a_model_are_its_answers(loaded):
    model, tokenizer = loaded
    found = several(model, tokenizer, CHATS, [0.0, 0.0, 1.2], 6, seed=3)
    for number, temperature in ((0, 0.0), (2, 1.2)):
        told = answers(model, tokenizer, CHATS, at_temperature(tokenizer, 6, temperature), 3 + number)
        assert all(text in own for text, own in zip(told, found, strict=True))
    assert all(len(own) == len(set(own)) <= 2 for own in found)  # greedy twice is one answer


def test_sampling_that_lasts_shows_how_far_it_is(loaded, monkeypatch, capsys):
    model, tokenizer = loaded
    rows(model, tokenizer, CHATS, how(tokenizer), 4)
    assert capsys.readouterr().err == ""
    shown = []

    def bar(name, unit, least):
        assert (name, unit, least) == ("sampling", "responses", PATIENCE)
        return lambda done, of, figures: shown.append((done, of))

    monkeypatch.setattr(responses, "bar", bar)
    rows(model, tokenizer, CHATS, how(tokenizer), 4)
    assert shown[-1] == (5, 5) and shown == sorted(shown) and len(shown) > 1
