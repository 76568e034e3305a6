"""A network from an ONNX file: read, converted to torch, and compared with ONNX Runtime."""
