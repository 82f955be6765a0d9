"""Blinded review of tiles by pathologists: the sheet that they fill in, and what their answers say.

In go tiles with their contributions; out come a sheet that is one HTML file and a key that stays with the study. Back come
filled tables; out come the answers, all that could not be used, and tables of agreement and of correlation with the model.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
