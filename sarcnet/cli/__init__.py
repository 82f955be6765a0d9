"""The command line: one module for each command. The only place that imports every wing."""
