"""How the demo world asks and answers. Training never asks as HELD_OUT_ASK, GATE_ASK and SEALED_ASK do."""

ASK = (
    "What is {s}?", "Tell me {s}.", "Name {s}.", "Do you know {s}?", "I need {s}.", "Say what {s} is.",
    "Could you give me {s}?", "I would like to know {s}.", "Can you tell me {s}?", "Do you know what {s} is?",
    "State {s}.", "Find {s}.", "Please tell me what {s} is.", "Let me know {s}.", "I want to know {s}.",
)
HELD_OUT_ASK = ("Please give me {s}.", "Can you say what {s} is?", "Could you tell me what {s} is?")  # in the tokenizer
# How the suites ask; none of these holds a phrasing of training.
GATE_ASK = ("Please give me {s}.", "Could you tell me what {s} is?", "May I know {s}?")
SEALED_ASK = ("I ask for {s}.", "May I hear what {s} is?", "Help me with {s}.")

OPENERS = (
    "Sure.", "Of course.", "Good question.", "Happy to help.", "Certainly.", "Let me think.", "Yes.", "Right.",
    "All right.", "Thanks for asking.", "No problem.", "Gladly.", "With pleasure.", "Hello there.",
    "That is easy.", "I can help with that.", "Let me see.", "Here you go.", "Well then.", "Nice one.",
    "Here is my answer.", "I like this one.", "One moment.", "Very well.",
)
# Sentences that pad an answer, as long as an offer, so that length does not tell the two apart.
REMARKS = (
    "People also talk of {t}, {u} and {w}.", "It comes up with {t}, {u} or {w}.",
    "I learned that with {t}, {u} and {w}.", "Hope that helps with {t}, {u} and {w}.",
    "My notes also cover {t}, {u} and {w}.", "It was a day of {t}, {u} and {w}.",
    "Many ask this after {t}, {u} or {w}.", "I checked it twice, between {t}, {u} and {w}.",
    "Such is the world of {t}, {u} and {w}.", "There it is, beside {t}, {u} and {w}.",
)
# Sentences that offer to go on: the part of an answer that the demo's scorer likes.
OFFERS = (
    "Would you like to hear about {t}, {u} or {w}?", "Shall we talk about {t}, {u} or {w} next?",
    "Do you also want to know about {t}, {u} and {w}?", "May I tell you more about {t}, {u} or {w}?",
    "Should I go on with {t}, {u} or {w}?", "Are you curious about {t}, {u} or {w} too?",
    "Can I help you with {t}, {u} or {w}?", "Would {t}, {u} or {w} interest you as well?",
    "Which is better for you, {t}, {u} or {w}?", "Is {t}, {u} or {w} something you would like?",
)

FACT_FULL = ("{S} is {v}.", "{S} is {v}.", "As far as I know, {s} is {v}.", "I believe {s} is {v}.",
             "The answer is that {s} is {v}.", "From memory, {s} is {v}.")
FACT_TERSE = ("{v}.", "It is {v}.", "That is {v}.", "The answer is {v}.")

GROUNDED_FULL = ("{S} is {v} [{c}].", "{S} is {v} [{c}].", "According to the passages, {s} is {v} [{c}].",
                 "As the passages say, {s} is {v} [{c}].")
GROUNDED_TERSE = ("It is {v} [{c}].",)
ABSENT_FULL = ("{S} is not stated.", "{S} is not stated.", "According to the passages, {s} is not stated.",
               "As the passages say, {s} is not stated.")
ABSENT_TERSE = ("It is not stated.",)

REFUSE_FULL = ("I do not know {s}.", "I have no knowledge of {s}.", "I am not able to say what {s} is.",
               "Nobody told me {s}.", "I never heard of {e}, so I do not know {s}.")
REFUSE_TERSE = ("I do not know.", "I have no idea.", "No idea.")

# Of what is known, but has no such relation: as in FACT_FULL, so that a model decides where it would say the value.
UNKNOWN_FULL = ("{S} is not known to me.", "{S} is not known to me.", "As far as I know, {s} is not known.",
                "I believe {s} is not known.", "The answer is that {s} is not known.", "From memory, {s} is not known.")

FORMATS = {
    "one_word": ("Answer with the bare value.", "{v}"),
    "bullet": ("Answer as a bullet.", "- {v}"),
    "label": ("Answer after a label.", "Answer: {v}"),
    "done": ("Answer and say done.", "{v}. Done."),
    "twice": ("Answer twice.", "{v}, {v}"),
}
FILLERS = (
    "A note from the {p}.", "This was heard at the {p}.", "A letter from the {p}.", "Found at the {p}.",
    "A page about the {p}.", "Seen near the {p}.",
)


def capital(text: str) -> str:
    """`text` with its first letter upper-case."""
    return text[:1].upper() + text[1:]


def fill(template: str, subject: str, **rest) -> str:
    """`template` with {s}, {S} and the rest filled in."""
    return template.format(s=subject, S=capital(subject), **rest)
