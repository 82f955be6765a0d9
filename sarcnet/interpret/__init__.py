"""Why the model scores a patient as it does: which tiles and which clinical variables moved the evaluated prediction.

In come a trained stack, the patients whom it was cross-validated on, its folds and the risks that were evaluated. Out
come the scores taken apart, tile by tile and variable by variable (`Explanation`), held against these very risks. How
far to believe the parts is the matter of `attribution`, what the tiles look like that of `patterns`; `figures` draws,
`export` writes files for others to open, `review` asks pathologists.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
