"""ROS messages to core values and back, duck-typed: rclpy's messages and those read from bags."""
