"""The words of labels in running text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from small_task import write_task

from r2d_bench.tasks.masking import LabelWords, Masker
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path

TRIAGE = LabelWords({"EMS_911": "EMS_911", "ED_NOW": "ED_NOW", "call 911": "EMS_911"}, ["ER", "tomorrow"], "#")
ANSWERS = LabelWords({"yes": "yes", "no": "no", "None": "None", "uncertain": "uncertain"}, (), "#")


@pytest.mark.parametrize(
    ("words", "text", "stated", "masked"),
    [
        (TRIAGE, "so EMS_911.", {"EMS_911"}, "so #."),
        (TRIAGE, "so ems 911, not Ed-Now", {"EMS_911", "ED_NOW"}, "so #, not #"),
        (TRIAGE, "Call 911 at once", {"EMS_911"}, "# at once"),
        (TRIAGE, "weighs 911 lb", set(), "weighs 911 lb"),
        (TRIAGE, "PREMS_911 and EMS_9111", set(), "PREMS_911 and EMS_9111"),
        (TRIAGE, "to the ER tomorrow", set(), "to the # #"),  # gives away that it is urgent, and names no label
        (TRIAGE, "", set(), ""),
        (ANSWERS, "there is no fever and none of the signs", set(), "there is no fever and none of the signs"),
        (ANSWERS, "No, the trial failed.", {"no"}, "#, the trial failed."),
        (ANSWERS, "No trial failed. Yes", {"yes"}, "No trial failed. #"),
        (ANSWERS, "The answer is no", {"no"}, "The answer is #"),
        (ANSWERS, "Label: None; it is uncertain", {"None", "uncertain"}, "Label: #; it is #"),
        (ANSWERS, "(yes) it does", {"yes"}, "(#) it does"),
        (LabelWords({}), "yes", set(), "yes"),
        (LabelWords({"+": "+", "-": "-"}), "+ or -", set(), "+ or -"),  # punctuation is everywhere
    ],
)
def test_what_is_stated_and_masked(words: LabelWords, text: str, stated: set[str], masked: str):
    assert words.stated(text) == stated
    assert words.mask(text) == masked


def test_names_of_a_task_are_labels_aliases_titles_and_a_checkpoint_s_own_words(tmp_path: Path):
    named = {"aliases": {"positive": ["affirmed"]}, "titles": {"negative": "it fails"}}
    card = {
        "label": {"values": ["positive", "negative"], **named},
        "rationale": {"mask_token": "[X]", "mask_words": ["p value"]},
    }
    task = load_task(str(write_task(tmp_path / "small", "id,note,label,why\n1,n,positive,w\n", **card)))
    masker, example = Masker(task, {"entails": "positive"}), task.examples()[0]
    assert masker.mask(example, "Affirmed: it fails, entails, P-value, positive") == "[X]: [X], [X], [X], [X]"
    assert masker.words(example).stated("it entails that it fails") == {"positive", "negative"}


def test_of_choices_the_texts_of_the_options_count_and_of_open_tasks_the_gold_label(tmp_path: Path):
    row = {"id": "1", "note": "n", "label": "Heparin", "why": "w", "options": ["Aspirin", "Heparin"]}
    rows = json.dumps(row) + "\n"
    space = {"label": {"space": "choices", "values": []}, "fields": {"options": "{{ options }}"}}
    choices = load_task(str(write_task(tmp_path / "choices", rows, "rows.jsonl", **space)))
    opened = load_task(str(write_task(tmp_path / "open", rows, "rows.jsonl", label={"space": "open", "values": []})))
    text = "A patient needs heparin, not aspirin"
    assert Masker(choices).mask(choices.examples()[0], text) == "A patient needs [masked], not [masked]"
    assert Masker(opened).mask(opened.examples()[0], text) == "A patient needs [masked], not aspirin"


def test_gold_rationales_of_the_bundled_set_name_no_label():
    task = load_task("triage")
    masker = Masker(task)
    for example in task.examples():
        for texts in example.styles.values():
            assert masker.words(example).stated(texts[0]) == set()
