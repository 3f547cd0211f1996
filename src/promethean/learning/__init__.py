"""Trained models, their training and deployment."""
