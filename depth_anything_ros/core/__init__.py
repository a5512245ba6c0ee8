"""Pure values and algorithms on NumPy and OpenCV: no ROS, no torch."""
