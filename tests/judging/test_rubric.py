"""`judge.yaml`: read, checked, and part of a verdict's identity."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from r2d_bench import content
from r2d_bench.errors import UserError
from r2d_bench.judging.candidates import candidate_of
from r2d_bench.judging.prompts import judge_request, pair_request
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.records import Prediction
from r2d_bench.tasks.task import Task, load_task

JUDGES = Path(__file__).parents[2] / "judges"


@pytest.fixture(scope="module")
def triage() -> Task:
    return load_task("triage")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return Path(shutil.copytree(JUDGES / "label_support", tmp_path / "mine"))


def edit(folder: Path, old: str, new: str, *, name: str = "judge.yaml") -> Path:
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", sorted(content.found("judges")))
def test_bundled_judges_load_and_have_a_card(name: str) -> None:
    rubric = load_rubric(name)
    assert rubric.spec.name == name
    assert rubric.card
    assert len(rubric.digest) == 32


def test_the_clinical_rubric_is_the_stated_one() -> None:
    spec = load_rubric("clinical_rationale").spec
    assert [criterion.name for criterion in spec.criteria] == [
        "label_support", "clinical_accuracy", "grounding", "completeness", "safety", "clarity",
    ]  # fmt: skip
    assert spec.critical == ("unsafe_advice", "contradicts_predicted_label", "omits_red_flag")
    assert not spec.reference


def test_a_judge_of_ones_own_by_folder_and_by_name(own: Path) -> None:
    assert load_rubric(str(own)).spec.name == "label_support"
    assert load_rubric("mine", [own.parent]).spec.name == "label_support"


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("version: 1", "version: 2", "judge.yaml"),
        ("point rather to", "hint at", "judge.yaml"),
        ("max_new_tokens: 200", "max_new_tokens: 201", "judge.yaml"),
        ("Your reply:", "Reply:", "prompt.j2"),
    ],
)
def test_whatever_can_change_a_verdict_changes_the_digest(own: Path, old: str, new: str, name: str) -> None:
    before = load_rubric(str(own)).digest
    assert load_rubric(str(edit(own, old, new, name=name))).digest != before


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("Do the reasons lead", "Does it lead", "judge.yaml"),
        ("# label_support", "# Another heading", "card.md"),
    ],
)
def test_words_for_people_do_not(own: Path, old: str, new: str, name: str) -> None:
    before = load_rubric(str(own)).digest
    assert load_rubric(str(edit(own, old, new, name=name))).digest == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scale:", "scael:", "did you mean 'scale'"),
        ("      2: The reasons point rather to another label.\n", "", "describe each level from 1 to 5"),
        ("      5: The reasons", "      6: Better still.\n      5: The reasons", "and no other"),
        ("{low: 1, high: 5}", "{low: 5, high: 5}", "high should be above low"),
        ("version: 1", "version: one", "version"),
        ("name: label_support\nversion", "name: Label Support\nversion", "name"),
        ("mode: pointwise", "mode: pairwise", "a pairwise one has none"),
        ("version: 1", "version: 1\nempty: {flags: [off_topic]}", "unknown flag 'off_topic'"),
        ("version: 1", "version: 1\nflags: [{name: label_support, title: t, question: q}]", "stands twice"),
    ],
)
def test_mistakes_are_told_in_one_line(own: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        load_rubric(str(edit(own, old, new)))
    assert "judge.yaml" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_broken_or_absent_prompt(own: Path) -> None:
    edit(own, "{{ case }}", "{{ case", name="prompt.j2")
    with pytest.raises(UserError, match=r"prompt\.j2"):
        load_rubric(str(own))
    (own / "prompt.j2").unlink()
    with pytest.raises(UserError, match="needs its prompt"):
        load_rubric(str(own))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{{ answer }}", "", "shows answer 0 times"),
        ("{{ case }}", "{{ case }}{{ case }}", "shows case 2 times"),
        ("{{ format }}", "", "shows format 0 times"),
        ("{{ case }}", "{{ case }}{{ reference }}", "shows the reference"),
        ("{{ case }}", "{{ cases }}", "'cases' is undefined"),
        ("{{ case }}", "{{ case }}{{ case.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_prompt_shows_what_must_be_seen_once(own: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        load_rubric(str(edit(own, old, new, name="prompt.j2")))
    assert "prompt.j2" in str(told.value)


def test_a_rubric_with_a_reference_must_show_it(own: Path) -> None:
    with pytest.raises(UserError, match="shows reference 0 times"):
        load_rubric(str(edit(own, "reference: false", "reference: true")))


@pytest.mark.parametrize("name", sorted(content.found("judges")))
def test_every_level_is_one_short_sentence(name: str) -> None:
    for criterion in load_rubric(name).spec.criteria:
        assert len(set(criterion.anchors.values())) == len(criterion.anchors)
        for text in criterion.anchors.values():
            assert text.endswith(".")
            assert len(text.split()) <= 15


def test_bundled_prompts_fit_small_contexts(triage: Task) -> None:
    for name in content.found("judges"):
        rubric = load_rubric(name)
        for example in triage.examples("test")[:20]:
            said = Prediction(example.id, example.gold, rationale=example.references[0])
            shown = candidate_of(triage, example, said, rubric.spec)
            if rubric.spec.mode == "pairwise":
                request = pair_request(rubric, shown, shown, order="ab", chat=False)
            else:
                request = judge_request(rubric, shown, chat=False)
            assert isinstance(request.prompt, str)
            # Some 1.55 tokens a word: the longest has about 1,200, which leaves a context of 2,048 its reply.
            assert len(request.prompt.split()) <= 780
            assert request.max_new_tokens <= 400


def test_an_unknown_judge_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'clinical_rationale'"):
        load_rubric("clinical_rationales")


def test_a_prompt_that_asks_nothing_is_refused(own: Path) -> None:
    (own / "prompt.j2").write_text("{{ case }} {{ answer }} {{ format }}\n", encoding="utf-8")
    with pytest.raises(UserError, match="does not ask"):
        load_rubric(str(own))
