"""Opening a slide and reading exact pieces of it: so many micrometres of glass on so many pixels.

In come a slide file and, where the file does not say it, its µm/px; out come its facts (size, levels, µm/px and who said
so) and tiles as RGB arrays, resampled once from the nearest finer level of the pyramid.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
