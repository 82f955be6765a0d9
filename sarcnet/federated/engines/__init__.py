"""Where the app runs: in one process, in the Flower simulation, on deployed nodes."""
