"""Outlined nuclei against annotated ones."""
