from .words import column_words as column_words
from .words import in_order as in_order
from .words import label as label
from .words import variable_words as variable_words
