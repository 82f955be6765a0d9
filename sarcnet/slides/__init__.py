"""Opening slides, finding tissue, laying tiles, judging their quality, reading them at exact µm/px."""
