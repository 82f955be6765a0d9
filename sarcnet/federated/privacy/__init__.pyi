from .accountant import spent as spent
from .attacks import attack_membership as attack_membership
from .attacks import inspect_gradient as inspect_gradient
from .small_cells import merge_counts as merge_counts
from .small_cells import suppressed_counts as suppressed_counts
