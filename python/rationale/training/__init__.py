"""Trains classifiers with Caffe's solver on the project's data sets."""

from rationale.training.classifier import train_classifier

__all__ = ["train_classifier"]
