"""Schema and checks of a cohort's tables, Table 1 and splits."""
