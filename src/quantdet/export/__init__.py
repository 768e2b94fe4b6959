"""Keras model in, .tflite out."""
