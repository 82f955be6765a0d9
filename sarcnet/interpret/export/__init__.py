"""What leaves the study for others to look at: heat maps, files for QuPath, a slide viewer and a page per patient.

In go the scores taken apart (`Explanation` of :mod:`sarcnet.interpret.attribution`), the slides and where their tiles lie. Out
come GeoJSON, PNG, OME-TIFF and HTML files that open without this package and without a network.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
