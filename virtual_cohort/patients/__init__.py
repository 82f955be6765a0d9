"""Simulated patients: centres, pathology, clinical variables, outcomes."""
