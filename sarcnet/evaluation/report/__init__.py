"""The report of a run: TRIPOD+AI and PROBAST+AI checklists, model card, data card, and result tables as files.

The texts are data files beside this module; :func:`facts` computes what they state from the run's results, and
:func:`write_report` fills them in, so that a statement cannot outlive its number.
"""

from sarcnet.evaluation.report.checklists import Item, read_checklist
from sarcnet.evaluation.report.write import (
    ABSENT,
    checklist,
    facts,
    filled,
    validation_sentence,
    write_report,
    write_tables,
)

__all__ = [
    "ABSENT",
    "Item",
    "checklist",
    "facts",
    "filled",
    "read_checklist",
    "validation_sentence",
    "write_report",
    "write_tables",
]
