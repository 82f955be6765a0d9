from .write import facts as facts
from .write import validation_sentence as validation_sentence
from .write import write_report as write_report
from .write import write_tables as write_tables
