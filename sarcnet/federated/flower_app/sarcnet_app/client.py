"""What a SuperNode runs: the installed package's own ClientApp."""

from sarcnet.federated.app.client_app import app

__all__ = ["app"]
