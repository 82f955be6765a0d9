from .contact_sheet import write_contact_sheets as write_contact_sheets
from .failures import failed_table as failed_table
from .failures import known_failures as known_failures
from .failures import record_failures as record_failures
