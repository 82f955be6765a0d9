"""What tables and figures call models, clinical variables and their columns: one name for one thing in the whole study.

In comes a name as code and tables have it (`sarcnet_pooled`, `size_mm`, `site=trunk_wall`); out goes the name that a reader
sees. The names themselves are data, in `names.toml`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
