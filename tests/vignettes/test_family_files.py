import pytest
from material import family, finding, rule

from r2d_bench.errors import UserError
from r2d_bench.records import Json


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rules": [rule("r", "NOW", "red_x", ["red_a"])], "pairs": []}, "'red_x' is no finding"),
        ({"pairs": [{"rule": "bothh", "flip": "red_b", "to": "one"}]}, "'bothh' is no rule (did you mean 'both'?)"),
        ({"pairs": [{"rule": "both", "flip": "red_z", "to": "one"}]}, "'red_z' is no finding"),
        ({"who": {"adult": {"age": "60-20 years", "callers": ["self"]}}}, "should be 'LOW-HIGH years'"),
        ({"who": {"red_a": {"age": "20-60 years", "callers": ["self"]}}}, "a finding and a kind of patient"),
        ({"stories": ["knee since {when}, told by the caller"] * 4}, "slot {when} is not declared"),
        ({"rules": [rule("r", "NOW", "red_a and", ["red_b"])]}, "cannot be read as a condition"),
        ({"story": []}, "unknown key 'story' (did you mean 'stories'?)"),
    ],
)
def test_a_family_that_does_not_fit_is_told_in_one_line(changes: dict[str, Json], told: str):
    with pytest.raises(UserError) as caught:
        family(**changes)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wording_may_not_say_less_than_its_term():
    findings = family().model_dump()["findings"]
    findings["hot"] = finding("heat", term="heat of {t} there", brief="heat {t}", slots={"t": "temp 38.0-38.4"})
    with pytest.raises(UserError, match=r"lacks \{t\}, which its term states"):
        family(findings=findings)
