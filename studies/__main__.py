"""Prints what the studies ask and which command runs each: `make studies`."""

import studies

print(studies.__doc__)
