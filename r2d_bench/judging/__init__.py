"""Language models as judges of rationales: rubric, asking, verdicts, audit."""
