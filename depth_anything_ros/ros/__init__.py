"""The rclpy plumbing: parameters, QoS, worker thread, diagnostics."""
