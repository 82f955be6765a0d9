"""Image encoders and the feature files they fill."""
