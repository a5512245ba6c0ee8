"""Image and reference in, Frame out: arrays only, without ROS."""
