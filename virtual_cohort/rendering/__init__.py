"""Rendered H&E slides."""
