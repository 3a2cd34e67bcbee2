"""From frames to keypoints: the network, its runtime, tracking and training."""
