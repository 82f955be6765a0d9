"""What moved the prediction: tile contributions, heat maps, comparison with the truth."""
