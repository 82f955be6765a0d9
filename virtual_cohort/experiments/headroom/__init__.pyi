from .share import best_without_slide as best_without_slide
from .share import headroom_text as headroom_text
from .share import oracle_risks as oracle_risks
from .share import share_of_headroom as share_of_headroom
