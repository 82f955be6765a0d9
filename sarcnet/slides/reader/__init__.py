"""Opening slides and reading exact regions in micrometres per pixel."""
