"""Stains, nuclei and what is measured on a tile."""
