"""What the reward model is tested on, by hand: which responses are held against which."""

from dataclasses import dataclass

import numpy as np
import pytest

from realign.verify.reference import Reference, Score, score
from stages.srf import reward_validation
from stages.srf.reward_validation import Answered

CHAT = {"row_id": "row", "messages": [{"role": "user", "content": "What is 2 + 3?"}],
        "reference": Reference(number=5, subject=("answer",)).to_json()}


@dataclass
class Rewarder:
    """Rewards by a rule on the last answer; the dialogues that it was asked for."""

    rule: object

    def __post_init__(self):
        self.asked = []

    def rewards(self, dialogues):
        self.asked.append([messages[-1]["content"] for messages in dialogues])
        return np.array([self.rule(messages[-1]["content"]) for messages in dialogues], float)


def answered(*responses, rewards):
    texts, scores = zip(*responses, strict=True)
    return Answered(CHAT, list(texts), list(scores), np.array(rewards, float))


def worth(value, **parts):
    return Score(value, "test", parts)


def test_responses_of_different_worth_are_ranked_and_equal_ones_must_lie_near():
    """0.9 against 0.2 is right by 3, 0.9 against 0.5 wrong by 1, 0.5 against 0.2 right by 4; 0.9 twice lies 0.5 off;
    0.1 off is no difference."""
    one = answered(("a", worth(0.9, right=True)), ("b", worth(0.2)), ("c", worth(0.5)), rewards=[3, 0, 4])
    two = answered(("d", worth(0.9, right=True)), ("e", worth(0.9, right=True)), ("f", worth(0.8)), rewards=[1, 1.5, 9])
    found = reward_validation._probes([one, two], Rewarder(len), seed=0)
    assert found["ood_accuracy"].n == 3 and found["ood_accuracy"].value == pytest.approx(2 / 3)
    assert found["consistency"].value == 1.0  # 0.5 is less than 3, 1 and 4


def test_responses_that_are_right_in_different_parts_are_no_two_wordings():
    both = answered(("a", worth(0.5, right=True, brief=False)), ("b", worth(0.5, right=False, brief=True)),
                    rewards=[0, 9])
    found = reward_validation._probes([both], Rewarder(len), seed=0)
    assert found["consistency"].n == 0 and found["ood_accuracy"].n == 0


def test_the_plainest_right_response_is_held_against_the_best_dressed_made_wrong():
    texts = ["The answer is 5.", "5", "no idea"]
    scored = [(text, score(Reference.parse(CHAT["reference"]), text)) for text in texts]
    right = sorted((s.value, text) for text, s in scored if s.value > 0)
    assert [text for _, text in right] == ["5", "The answer is 5."] and right[0][0] < right[1][0]
    (honest, forged), = reward_validation._attacks([answered(*scored, rewards=[0, 0, 0])], seed=1)
    assert honest[-1]["content"] == right[0][1]
    assert forged[-1]["content"] != right[-1][1]
    assert score(Reference.parse(CHAT["reference"]), forged[-1]["content"]).value < right[0][0]
    assert not reward_validation._attacks([answered(scored[2], rewards=[0])], seed=1)  # nothing right to attack


def rows(turns):
    return [{"messages": [{"role": "user", "content": "x"}] * n, "chosen": "I do not know.", "rejected": "Lima",
             "chosen_score": 1.0, "rejected_score": 0.0, "preference_type": "right"} for n in turns]


def test_given_labels_are_probed_by_long_prompts_padding_and_wordings():
    given = rows([1, 4, 3, 1])
    given[1]["chosen"] = ""  # by length a wrong order, among the longer prompts
    found = reward_validation._probes_of_labels(given, Rewarder(len))
    assert found["ood_accuracy"].n == 2 and found["ood_accuracy"].value == 0.5  # the longer half of the prompts
    assert found["adversarial_accuracy"].n == 4 and found["adversarial_accuracy"].value == 0.0  # it goes by length


def test_the_margin_goes_with_the_gap_and_given_labels_have_one_gap():
    graded = [{"chosen_score": gap, "rejected_score": 0.0} for gap in (0.2, 0.4, 0.6, 0.8)]
    assert reward_validation._margin_gap(np.array([1.0, 2, 3, 4]), graded).value == pytest.approx(1.0)
    assert reward_validation._margin_gap(np.array([4.0, 3, 2, 1]), graded).value == pytest.approx(-1.0)
    same = [{"chosen_score": 1.0, "rejected_score": 0.0}] * 4
    assert reward_validation._margin_gap(np.array([1.0, 2, 3, 4]), same).value > 0.8
    assert reward_validation._margin_gap(np.array([-1.0, -2, -3, -4]), same).value < -0.8
