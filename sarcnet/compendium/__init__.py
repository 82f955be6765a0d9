"""What makes a folder of notebooks one study: stages, parameters, the runner, records of what was done, figures.

In come a profile (`papermill_params/*.yaml`) and the notebooks, each with a settings class; out come `runs/<profile>/`
with one folder per stage, its outputs, figures, numbers and `stage.json`, and the executed notebooks. A notebook opens
its :class:`Stage`, asks it for its inputs, hands it results and figures, and closes it. Knows no medicine.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
