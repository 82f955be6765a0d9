"""What the SuperLink runs: the installed package's own ServerApp."""

from sarcnet.federated.engines.deployed_server import app

__all__ = ["app"]
