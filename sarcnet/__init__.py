"""The open, runnable form of the SarcNet study. Import the stage packages by name; nothing is imported here."""
