from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from material import LABELS, family, lexicon

from r2d_bench.records import Json
from r2d_bench.vignettes.cases import CHANGES, Drawer, flipped, retold
from r2d_bench.vignettes.lint import problems
from r2d_bench.vignettes.notes import write_note
from r2d_bench.vignettes.rationales import STYLES, mask, write_rationales
from r2d_bench.vignettes.reader import RuleReader

LEXICON = lexicon()
KNEE = family(rules=[rule.model_dump(by_alias=True) for rule in family().rules if rule.id != "never"])
RULES = {rule.id: rule for rule in KNEE.rules}


def draw(rule: str, key: str = "k", **more: Json):
    return Drawer(KNEE, LEXICON).of_rule(RULES[rule], key, **more)


@settings(max_examples=60)
@given(st.sampled_from(sorted(RULES)), st.text("abc123", min_size=1, max_size=6))
def test_a_drawn_case_is_decided_by_its_rule_and_read_back_from_its_note(rule: str, key: str):
    case = draw(rule, key)
    assert KNEE.rule_for({*case.positives, case.who}) is RULES[rule]
    assert not set(case.positives) & set(case.negatives)
    note, reader = write_note(case, LEXICON), RuleReader([KNEE], LEXICON)
    for present, spans, names in ((True, note.positives, case.positives), (False, note.negatives, case.negatives)):
        assert sorted(span.finding for span in spans) == sorted(names)
        for span in spans:
            assert note.text[span.start : span.end] == span.text
            assert reader.finding(KNEE, span.text, present=present) == span.finding
    row = {
        "family": "knee",
        "age": case.age,
        "age_unit": case.unit,
        "sex": case.manner.sex,
        "note": note.text,
        "positives": [span.as_json() for span in note.positives],
    }
    assert reader.label(row) == case.label


def test_the_same_key_gives_the_same_note_and_another_key_another():
    one, again, other = draw("one", "a"), draw("one", "a"), draw("one", "b")
    assert write_note(one, LEXICON) == write_note(again, LEXICON)
    assert write_note(one, LEXICON).text != write_note(other, LEXICON).text


def test_a_rule_behind_another_cannot_be_reached():
    whole = family()
    never = next(rule for rule in whole.rules if rule.id == "never")
    with pytest.raises(ValueError, match="rule never cannot be reached"):
        Drawer(whole, LEXICON).of_rule(never, "k")
    assert any("cannot be reached" in problem for problem in problems(whole, LEXICON, LABELS))


def test_a_minimal_pair_differs_in_one_finding_alone():
    pair = KNEE.pairs[0]
    for key in "abcdefgh":
        base = draw("both", key, pair=pair)
        twin = flipped(base, pair)
        assert (base.label, twin.label) == ("NOW", "LATER")
        one, other = write_note(base, LEXICON), write_note(twin, LEXICON)
        found = next(span for span in one.positives if span.finding == "red_b")
        ruled_out = next(span for span in other.negatives if span.finding == "red_b")
        assert one.text[: found.start] == other.text[: ruled_out.start]
        assert one.text[found.end :] == other.text[ruled_out.end :]


@pytest.mark.parametrize("change", range(len(CHANGES)))
def test_an_invariance_pair_keeps_every_finding(change: int):
    for key in "abcdef":
        case = draw("one", key)
        _, twin = retold(case, LEXICON, change)
        assert (twin.positives, twin.negatives, twin.label) == (case.positives, case.negatives, case.label)
        one, other = write_note(case, LEXICON), write_note(twin, LEXICON)
        assert one.text != other.text
        assert sorted(s.finding for s in one.positives) == sorted(s.finding for s in other.positives)


def test_a_temperature_is_the_same_in_note_and_rationale():
    units = set()
    for number in range(40):
        case = draw("one", f"t{number}")
        if "hot" not in case.positives:
            continue
        case = replace(case, decisive=case.positives, manner=replace(case.manner, region="us"))
        value = next(w for w in write_note(case, LEXICON).text.split() if w.startswith(("38.", "100.", "101.")))
        units.add(value.endswith("F"))
        assert value.strip(".,;") in write_note(case, LEXICON).text
    assert units == {True, False}


def test_rationales_have_three_styles_of_20_to_50_words_and_name_what_decides():
    for rule in RULES:
        case = draw(rule)
        written = write_rationales(case, LEXICON)
        assert tuple(written) == STYLES
        for style, text in written.items():
            assert 20 <= len(text.split()) <= 50
            for name in case.decisive:
                said = KNEE.findings[name].brief if style == "nurse" else KNEE.findings[name].term
                assert said.split(" {")[0].split()[0].lower() in text.lower()


def test_masking_takes_words_of_labels_and_time_frames():
    assert mask("Go to the hospital now, it cannot wait two hours.", LEXICON) == (
        "Go to the [masked] now, it cannot [masked] two [masked]."
    )


def test_words_are_localised_and_abbreviated_and_found_again():
    text = "mom gave acetaminophen with water for 3 days"
    assert LEXICON.local(text, "uk", 0.0, "x") == "mum gave paracetamol with water for 3 days"
    assert LEXICON.local(text, "us", 1.0, "x") == "mom gave Tylenol w/ water for 3 d"
    assert LEXICON.local("withheld; withdrawn", "us", 1.0, "x") == "withheld; withdrawn"


def test_a_family_that_contradicts_itself_is_told():
    rules = [rule.model_dump(by_alias=True) for rule in KNEE.rules]
    rules[1]["without"] = ["red_a"]
    assert any("both stated and denied" in p for p in problems(family(rules=rules), LEXICON, LABELS))
    rules[1]["without"] = ["red_b"]
    rules[1]["why"]["llm"] = ["an ambulance is needed"]
    assert any("disposition word 'ambulance'" in p for p in problems(family(rules=rules), LEXICON, LABELS))
