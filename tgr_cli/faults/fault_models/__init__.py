"""Fault models: distributions over what a fault does to a code word."""

from tgr_cli.faults.fault_models.choices import Choices as Choices
from tgr_cli.faults.fault_models.fault_model import FaultModel as FaultModel
from tgr_cli.faults.fault_models.flip import Flip as Flip
from tgr_cli.faults.fault_models.names import fault_model_named as fault_model_named
