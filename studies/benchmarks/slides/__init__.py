"""From slide to features, beside other tools."""
