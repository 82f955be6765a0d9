"""Stages, parameters, runner, manifest and figures: what makes a folder of notebooks one study."""
