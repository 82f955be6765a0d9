"""Why the model scores a patient as it does."""
