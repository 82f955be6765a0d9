from .text import PAPER_NOTE as PAPER_NOTE
from .text import only as only
from .text import readable as readable
from .text import threshold_text as threshold_text
from .text import with_p as with_p
