"""A trained model as one file that other programs run: ONNX, torch's exported program, or TorchScript."""
