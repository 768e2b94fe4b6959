"""Models for others: a folder with a model card, on the Hugging Face hub or on a disk."""
