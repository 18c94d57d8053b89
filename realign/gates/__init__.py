"""Gates: one Great Expectations suite and one stage's metrics make one verdict."""
