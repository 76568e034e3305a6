"""tgr: measure and improve how image classifiers survive transient hardware faults."""

__version__ = "0.1.0"
