"""The versions of the global model, and the metrics of the runs that made them, in MLflow."""

from gaitkeeper_server.registry.registry import ModelVersion, Registry

__all__ = ["ModelVersion", "Registry"]
