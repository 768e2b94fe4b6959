"""Quantization-aware training for Keras 3 functional models; knows nothing of detection."""
