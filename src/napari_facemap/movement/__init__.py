"""Motion energy, its components, pupil, blinks and running from regions of a face video."""
