"""A rubric's prompt tried on a made-up case, so that a broken one is told before a judge is paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.judging.candidates import make_candidate
from r2d_bench.judging.prompts import judge_request, pair_request
from r2d_bench.records import Example

if TYPE_CHECKING:
    from r2d_bench.judging.rubric import LoadedRubric

CASE = Example("rehearsal", "test", "CASETEXT", "GOLDLABEL", references=("REFERENCETEXT",))


def rehearse(rubric: LoadedRubric) -> int:
    """Render the prompt once and check that all that it must show is there.

    Returns:
        Words of the prompt, case and answer aside.

    Raises:
        UserError: the template fails, or leaves out case, answer or format, or shows the gold to a blind judge.
    """
    one = make_candidate(rubric.spec, CASE, "LABELTEXT", "ANSWERTEXT", labels=(("LABELTEXT", "a label"),))
    other = make_candidate(rubric.spec, CASE, "LABELTEXT", "OTHERTEXT")
    if rubric.spec.mode == "pairwise":
        request = pair_request(rubric, one, other, order="ab", chat=False)
    else:
        request = judge_request(rubric, one, chat=False)
    text = str(request.prompt)
    wanted = {"case": "CASETEXT", "format": '"explanation"'}
    if rubric.spec.mode == "pairwise":
        wanted |= {"first": "ANSWERTEXT", "second": "OTHERTEXT"}
    else:
        wanted |= {"answer": "ANSWERTEXT"}
    if rubric.spec.reference:
        wanted |= {"reference": "REFERENCETEXT"}
    for name, shown in wanted.items():
        if text.count(shown) < 1:
            raise UserError(f"judge {rubric.spec.name}, prompt.j2: does not show {{{{ {name} }}}}")
    for criterion in rubric.spec.criteria:
        if criterion.question not in text:
            raise UserError(
                f"judge {rubric.spec.name}, prompt.j2: does not ask '{criterion.question}' (criterion {criterion.name})"
            )
    return len(text.split())
