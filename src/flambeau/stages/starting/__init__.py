"""What a training starts from: pretrained weights, or an earlier run."""
