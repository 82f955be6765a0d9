"""The virtual cohort: simulated patients, their pathology, rendered slides and the truth behind them."""
