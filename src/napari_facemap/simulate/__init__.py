"""A mouse made of code: a face video and a neural population whose truth is known."""
