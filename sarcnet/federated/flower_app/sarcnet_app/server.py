"""What the SuperLink runs: the installed package's own ServerApp."""

from sarcnet.federated.deployed import app

__all__ = ["app"]
