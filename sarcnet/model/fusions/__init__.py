"""How a patient's image and clinical variables become one score. `late` adds two scores, so every tile and variable keeps
an exact part; the others let image and clinic work on each other through a hidden layer, and ADDITIVE is False.

A rule is a file here. Non-additive ones have `sizes` (parameters by name, leading axis the member), `start` (their first
values) and `combine` (the score from the patient's image vector m and clinical values ĉ). With one branch switched off
the other goes through the same layer alone; so does a patient without a slide.
"""

from __future__ import annotations

from types import ModuleType

from sarcnet.model.fusions import concatenation, gated, late

FUSIONS: dict[str, ModuleType] = {"late": late, "concatenation": concatenation, "gated": gated}
