"""The bundle that `flwr run` hands round."""
