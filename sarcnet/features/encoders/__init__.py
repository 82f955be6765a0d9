"""Pretrained networks that turn a tile into a feature vector."""
