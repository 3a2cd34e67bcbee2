"""What a network can run on: float or eight-bit, PyTorch or OpenVINO, processor or GPU."""
