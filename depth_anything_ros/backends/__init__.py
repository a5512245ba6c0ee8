"""What runs the network: PyTorch, OpenVINO, ONNX Runtime, or upstream's package, unchanged."""
