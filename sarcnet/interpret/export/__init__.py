"""Explained slides for QuPath, for a browser, and on one page per patient."""
