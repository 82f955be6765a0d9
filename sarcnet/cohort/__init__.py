"""Cohorts of patients and their slides: reading and checking them, outcomes and follow-up, Table 1, TCGA-SARC.

In comes a folder with one sub-folder per hospital (`patients.csv`, `slides.csv`, the slide files); out come one checked
table of patients, their events coded for the chosen outcome, and one of slides. Knows nothing of pixels or models.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
