"""The label parser `standard/1` as a table; every expectation was decided by reading the text, not by running it."""

from __future__ import annotations

import pytest

from r2d_bench.records import Finish, LabelStatus
from r2d_bench.tasks.labels import LabelSpace, is_refusal, normalise

OFF, AMB, REF, CUT = LabelStatus.OFF_VOCABULARY, LabelStatus.AMBIGUOUS, LabelStatus.REFUSED, LabelStatus.TRUNCATED
EMPTY = LabelStatus.EMPTY

TRIAGE = LabelSpace(
    "ordinal",
    ("EMS_911", "ED_NOW", "SEE_4H", "SEE_24H", "SEE_3D", "HOME_CARE"),
    {"EMS_911": ("911", "call 911"), "ED_NOW": ("ED",), "HOME_CARE": ("self-care",)},
)
ANSWER = LabelSpace("closed", ("yes", "no", "maybe"))
CHOICES = LabelSpace("choices")
OPTIONS = ("Aspirin", "Heparin", "None", "C. difficile colitis")


def expect(space: LabelSpace, text: str, wanted: str | LabelStatus, options: tuple[str, ...] = ()) -> None:
    """A text of the label space means that label; a status means no label, for that reason."""
    got = space.vocabulary(options).parse(text)
    assert got == ((None, wanted) if isinstance(wanted, LabelStatus) else (wanted, LabelStatus.PARSED))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # the whole text is the label
        ("EMS_911", "EMS_911"),
        ("ems_911", "EMS_911"),
        ("EMS 911", "EMS_911"),
        ("EMS-911", "EMS_911"),
        ("  EMS_911 \n", "EMS_911"),
        ("EMS_911.", "EMS_911"),
        ("**EMS_911**", "EMS_911"),
        ("`EMS_911`", "EMS_911"),
        ('"EMS_911"', "EMS_911"),
        ("“EMS_911.”", "EMS_911"),
        ("__home care__", "HOME_CARE"),
        ("home-care", "HOME_CARE"),
        ("Home\tcare", "HOME_CARE"),
        ("\uff28\uff4fme\uff3fcare", "HOME_CARE"),  # full-width letters
        ("[HOME_CARE]", "HOME_CARE"),
        ("<HOME_CARE>", "HOME_CARE"),
        ("# HOME_CARE", "HOME_CARE"),
        ("> HOME_CARE", "HOME_CARE"),
        ("- HOME_CARE", "HOME_CARE"),
        # aliases
        ("911", "EMS_911"),
        ("Call 911", "EMS_911"),
        ("ED", "ED_NOW"),
        ("Self care.", "HOME_CARE"),
        # contingency advice does not displace the label in front of it
        ("HOME_CARE. Call 911 if the breathing gets worse.", "HOME_CARE"),
        ("HOME_CARE, but call 911 if it gets worse", "HOME_CARE"),
        ("HOME_CARE; ED if worse", "HOME_CARE"),
        ("HOME_CARE (call 911 if worse)", "HOME_CARE"),
        ("HOME_CARE - call 911 if worse", "HOME_CARE"),
        ("HOME_CARE—call 911 if worse", "HOME_CARE"),
        ("**HOME_CARE**\n\nCall 911 if worse.", "HOME_CARE"),
        ("SEE_24H, and ED if the fever returns", "SEE_24H"),
        ("Label: SEE_24H. Call 911 if she faints.", "SEE_24H"),
        # a label that is only mentioned is none
        ("Rest and fluids at home. Call 911 if it gets worse.", AMB),
        ("She should go to the ED.", AMB),
        ("I would choose ED_NOW.", AMB),
        ("The patient called 911 yesterday and was sent home.", AMB),
        # negation
        ("Not EMS_911.", AMB),
        ("Not EMS_911, HOME_CARE", AMB),
        ("Label: not EMS_911", AMB),
        ("This is not an ED case.", AMB),
        # ranges
        ("ED or 911", AMB),
        ("ED_NOW or EMS_911", AMB),
        ("ED_NOW/EMS_911", AMB),
        ("ED_NOW | EMS_911", AMB),
        ("ED_NOW and EMS_911", AMB),
        ("ED_NOW, or EMS_911", AMB),
        ("ED_NOW (or EMS_911)", AMB),
        ("ED_NOW, and EMS_911.", AMB),
        ("SEE_4H to SEE_24H", AMB),
        ("SEE_4H, SEE_24H", AMB),
        ("SEE_4H. SEE_24H.", AMB),
        ("SEE_4H - SEE_24H", AMB),
        ("SEE_4H – SEE_24H", AMB),
        ("SEE_4H; SEE_24H", AMB),
        ("ED vs SEE_4H", AMB),
        ("Label: ED_NOW or EMS_911", AMB),
        # hedges
        ("Probably HOME_CARE", AMB),
        ("HOME_CARE at first, later perhaps more", AMB),
        ("Either ED_NOW, SEE_4H", AMB),
        # announced answers
        ("Label: SEE_3D", "SEE_3D"),
        ("label = see 3d", "SEE_3D"),
        ("**Label:** SEE_3D", "SEE_3D"),
        ("**Label**: SEE_3D", "SEE_3D"),
        ("Final answer: **SEE_3D**", "SEE_3D"),
        ("The answer is SEE_3D.", "SEE_3D"),
        ("My final decision is SEE_3D because the rash is old.", AMB),  # no break: could go on "... or"
        ("My final decision is SEE_3D, because the rash is old.", "SEE_3D"),
        ("The rash is old. Disposition: SEE_3D", "SEE_3D"),
        ("Reasoning: old rash, no fever\nLabel:\nSEE_3D", "SEE_3D"),
        ("1. Prediction: SEE_3D", "SEE_3D"),
        ("Label: SEE_3D\nAnswer: SEE_3D", "SEE_3D"),
        ("Label: SEE_3D\nRationale: not an ED case, 911 is not needed", "SEE_3D"),
        ("Label: SEE_3D\nLabel: ED_NOW", AMB),
        ("The answer is SEE_3D. The answer is ED_NOW.", AMB),
        ("Answer: SEE_3D. Final answer: HOME_CARE", AMB),
        ("ED_NOW. Label: HOME_CARE", "HOME_CARE"),  # an announced answer stands before what the text begins with
        # neither label nor mention
        ("See a doctor soon.", OFF),
        ("SEE_48H", OFF),
        ("EMS_9111", OFF),
        ("SEE_4HOURS", OFF),
        ("label", OFF),
        ("{}", OFF),
        ("🙂", OFF),
        # refusals
        ("I'm sorry, but I can't help with that.", REF),
        ("I cannot provide medical advice.", REF),
        ("I’m unable to give a diagnosis. Call 911.", REF),
        ("As an AI language model, I do not decide.", REF),
        ("I'm sorry, as an AI I should not. Label: HOME_CARE", "HOME_CARE"),  # it answers after all
        # nothing
        ("", EMPTY),
        (" \n\t", EMPTY),
        ("***", OFF),
    ],
)
def test_triage_answers(text: str, wanted: str | LabelStatus):
    expect(TRIAGE, text, wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Yes", "yes"),
        ("YES!", "yes"),
        ("no.", "no"),
        ("Maybe", "maybe"),
        ("Yes, because mortality fell.", "yes"),
        ("Yes: mortality fell", "yes"),
        ("Yes—mortality fell", "yes"),
        ("Yes\n\nMortality fell.", "yes"),
        ("Yes. And the effect lasted.", "yes"),
        ("Yes, and no adverse events occurred.", "yes"),
        ("Yes, no difference remained after a year.", "yes"),
        ("Yes.\nNo further study is needed.", "yes"),
        ("No. The groups did not differ.", "no"),
        ("No; yes was expected.", "no"),
        ("yes yes", AMB),
        ("yes, yes, yes", "yes"),
        ("(no)", "no"),
        ("*maybe*, the sample is small", "maybe"),
        ("### Yes\nMortality fell.", "yes"),
        ("No difference was found.", AMB),
        ("No significant effect, so the treatment does not work", AMB),
        ("no/minimal difference", AMB),
        ("**No** difference was found", AMB),
        ("There was no difference.", AMB),
        ("Maybe yes", AMB),
        ("yes/no", AMB),
        ("yes / no", AMB),
        ("yes or no", AMB),
        ("yes, or maybe", AMB),
        ("Yes and no.", AMB),
        ("Yes, maybe", AMB),
        ("No. Yes.", AMB),
        ("Yes or no? Yes.", AMB),
        ("The answer is yes.", "yes"),
        ("The answer is no difference", AMB),
        ("The answer is no longer clear", AMB),
        ("The answer isn't yes", AMB),
        ("The answer is not yes", AMB),
        ("The answer is yes. The answer is no.", AMB),
        ("So the answer is maybe", "maybe"),
        ("Therefore, the correct answer is: maybe", "maybe"),
        ("Answer:\n\n**maybe**", "maybe"),
        ("Nothing is known", OFF),
        ("Yesterday", OFF),
        ("Norway", OFF),
        ("unknown", OFF),
        ("I cannot rule out a benefit: maybe", AMB),  # a finding, no refusal
        ("I can't answer this.", REF),
        ("Sorry, that I do not know", REF),
    ],
)
def test_question_answers(text: str, wanted: str | LabelStatus):
    expect(ANSWER, text, wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Aspirin", "Aspirin"),
        ("aspirin.", "Aspirin"),
        ("A", "Aspirin"),
        ("b", "Heparin"),
        ("(B)", "Heparin"),
        ("B.", "Heparin"),
        ("Option B", "Heparin"),
        ("option b: it works", "Heparin"),
        ("B) Heparin", "Heparin"),
        ("(B) Heparin", "Heparin"),
        ("B. Heparin", "Heparin"),
        ("B: Heparin, because", "Heparin"),
        ("**B) Heparin**", "Heparin"),
        ("The answer is B.", "Heparin"),
        ("Answer: B) Heparin", "Heparin"),
        ("None", "None"),
        ("C) None", "None"),
        ("C. difficile colitis", "C. difficile colitis"),
        ("D. C. difficile colitis", "C. difficile colitis"),
        ("C. difficile colitis, as the stool shows", "C. difficile colitis"),
        ("B. A patient with a clot needs it", "Heparin"),
        ("A patient with a clot", OFF),  # an article, no letter
        ("I think vitamin D", OFF),
        ("None of the above", AMB),
        ("B. Aspirin", AMB),
        ("A) Aspirin or B) Heparin", AMB),
        ("A. Aspirin or option B", AMB),
        ("A or B", AMB),
        ("A/B", AMB),
        ("A, B", AMB),
        ("E", OFF),
        ("Aspirin and Heparin", AMB),
        ("Warfarin", OFF),
    ],
)
def test_choices(text: str, wanted: str | LabelStatus):
    expect(CHOICES, text, wanted, OPTIONS)


@pytest.mark.parametrize(
    ("options", "text", "wanted"),
    [
        (("B", "A"), "A", "A"),  # an option's own text stands before another's letter
        (("B", "A"), "option A", "B"),
        (("x", "x", "y"), "B", "x"),  # a duplicate keeps its letter and is the same label
        (("x", "X.", "y"), "X.", "x"),
        (("x", "X.", "y"), "B", "x"),
        (("x", "X.", "y"), "C", "y"),
        (("+", "-"), "-", "-"),
        (("+", "-"), "B", "-"),
        (("+", "-"), "- it is negative", OFF),
        (("-1", "1"), "-1", "-1"),
        (("-1", "1"), "1", "1"),
        (("-.5", ".5"), "-.5", "-.5"),
        (("1", "2"), "1.5 mg", OFF),
        (("1", "2"), "1,000", OFF),
        (("1", "2"), "1. It is mild", "1"),
        (("1", "2"), "1-2", OFF),
        (("a (b", "[c]"), "a (b", "a (b"),  # no pattern is broken by what options hold
        (("a*", "a+"), "a+", "a+"),
        ((), "A", OFF),
        (tuple(f"option text {n}" for n in range(40)), "Z", "option text 25"),
        (tuple(f"option text {n}" for n in range(40)), "[", OFF),
        (tuple(f"option text {n}" for n in range(40)), "option text 39", "option text 39"),
    ],
)
def test_odd_options(options: tuple[str, ...], text: str, wanted: str | LabelStatus):
    expect(CHOICES, text, wanted, options)


AWKWARD = ("yes", "no", "None", "NA", "1", "01", "1e3", "null", "~x", "true", "-1", "N/A")


@pytest.mark.parametrize("label", AWKWARD)
@pytest.mark.parametrize("dress", ["{}", "{}.", "**{}**", "Label: {}", "{}, because of the cough", "{}\nlater"])
def test_labels_that_look_like_other_types_stay_themselves(label: str, dress: str):
    expect(LabelSpace("closed", AWKWARD), dress.format(label), label)


@pytest.mark.parametrize(
    ("text", "finish", "wanted"),
    [
        ("yes", Finish.LENGTH, ("yes", LabelStatus.PARSED)),
        ("Yes, because the", Finish.LENGTH, ("yes", LabelStatus.PARSED)),
        ("The study shows that", Finish.LENGTH, (None, CUT)),
        ("yes or", Finish.LENGTH, (None, CUT)),
        ("", Finish.LENGTH, (None, CUT)),
        ("", Finish.STOP, (None, EMPTY)),
        ("yes", Finish.FILTERED, (None, REF)),
        ("yes", Finish.REFUSED, (None, REF)),
        ("", Finish.REFUSED, (None, REF)),
    ],
)
def test_how_the_answer_ended(text: str, finish: Finish, wanted: tuple[str | None, LabelStatus]):
    assert ANSWER.vocabulary().parse(text, finish) == wanted


@pytest.mark.parametrize(
    ("text", "finish", "wanted"),
    [
        (" acute otitis media \n", Finish.STOP, ("acute otitis media", LabelStatus.PARSED)),
        ("Yes.", Finish.STOP, ("Yes.", LabelStatus.PARSED)),
        ("", Finish.STOP, (None, EMPTY)),
        ("acute otitis", Finish.LENGTH, (None, CUT)),
        ("I'm sorry, I can't help.", Finish.STOP, (None, REF)),
        ("otitis", Finish.FILTERED, (None, REF)),
    ],
)
def test_open_label_space(text: str, finish: Finish, wanted: tuple[str | None, LabelStatus]):
    assert LabelSpace("open").vocabulary().parse(text, finish) == wanted


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I can't help with that", True),
        ("I cannot.", True),
        ("I am not able to offer advice", True),
        ("I must decline", True),
        ("I won't answer", True),
        ("I'm sorry.", True),
        ("I cannot rule out a heart attack, so 911.", False),
        ("I can't exclude a fracture.", False),
        ("I'm sorry to hear that; the fever needs care.", False),
        ("Her son is sorry, he cannot help.", False),
        ("Chest pain at rest.", False),
        ("", False),
    ],
)
def test_refusals(text: str, refused: bool):
    assert is_refusal(text) is refused


@pytest.mark.parametrize(
    ("one", "other"),
    [("A_b", "a B"), ("covid-19", "Covid 19"), ("x.", "x"), ("“x”", "x"), ("ﬁne", "fine"), ("a  b", "a\nb")],
)
def test_spellings_of_one_label(one: str, other: str):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), [("-1", "1"), ("01", "1"), ("1.0", "10"), ("a/b", "ab"), ("NA", "N/A")])
def test_spellings_of_two_labels(one: str, other: str):
    assert normalise(one) != normalise(other)
