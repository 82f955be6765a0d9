from .pages import page_frame as page_frame
from .pages import somebody_watches as somebody_watches
from .patient_report import write_patient_reports as write_patient_reports
from .qupath import write_slide_exports as write_slide_exports
from .run_outputs import read_run_outputs as read_run_outputs
from .viewer import show_viewer as show_viewer
from .viewer import write_viewer as write_viewer
