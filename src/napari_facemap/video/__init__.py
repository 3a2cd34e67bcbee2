"""Frames in: videos and arrays read frame by frame, and videos written."""
