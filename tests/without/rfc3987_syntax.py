"""Stands in for the package of this name, which builds a grammar of IRIs for a second whenever jsonschema is imported: no
notebook has one, and the tests start a hundred programs that read notebooks. jsonschema does without where it is missing.
"""

raise ImportError("left out in tests")
