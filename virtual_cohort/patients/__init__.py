"""Simulated patients: centres, pathology, clinical variables, treatment and outcomes, each drawn by a named generator.

In come a seed, a centre and a number; out come the patients as the hospital's tables know them and the truth as nobody
does, and, for very many patients without slides, how hard the task is beside published series.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
