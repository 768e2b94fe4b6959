"""A fake-quantized model as the content of a full-integer .tflite."""
