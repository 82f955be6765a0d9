"""Which model tells patients apart better, how sure is that, are its risks true, and would they change a decision?

In come patients with follow-up and tidy tables of predicted risks (patient_id, model, repeat, risk), which
:func:`evaluation_set` joins into a series. Out go AUCs at the horizon with paired bootstrap intervals
(:func:`compare_models`), and the comparisons of the statistical analysis plan. What cannot be computed with the patients at
hand is stated in a :class:`FailureLog`. The sub-packages hold the comparators, the metrics, calibration, subgroups,
decisions, sensitivity analyses, tables, figures and the report.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
