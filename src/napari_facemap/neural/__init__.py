"""From behaviour to neural activity: clocks, features, models and scores."""
