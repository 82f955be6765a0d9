"""The report of a run: TRIPOD+AI and PROBAST+AI checklists, model card, data card, and result tables as files.

The texts are data files in this folder. :func:`facts` computes what they state from the run's results, and
:func:`write_report` fills them in, so that a statement cannot outlive its number.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
