"""Processes that read slides: isolated from crashes, on one machine or many."""
