"""Blinded review of tiles by pathologists."""
