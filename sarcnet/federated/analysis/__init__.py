"""What came of a federation: by round, by strategy, by hospital."""
