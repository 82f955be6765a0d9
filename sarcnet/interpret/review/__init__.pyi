from .analysis import analyse_answers as analyse_answers
from .figures import draw_review as draw_review
from .parse import read_answers as read_answers
from .parse import read_key as read_key
from .sheet import write_review as write_review
