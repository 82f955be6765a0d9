"""One risk from slides and clinical variables: a network for survival, trained and cross-validated by patient.

In come a table of patients with clinical variables and follow-up, and the feature files of their slides. Out go folds,
trained networks and out-of-fold risks: for every patient the cumulative incidence of metastasis by the horizon, predicted
by networks that were not trained on that patient. The networks of one model (each fold of each repeat) are trained together
as a *stack*. A trained stack is stored as plain numbers with a JSON description and loaded again for new patients.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
