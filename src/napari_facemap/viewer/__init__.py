"""What a person sees: readers, writers, layers, docks and plots for napari."""
