"""Profile the fault-free values at a model's sites: the `ranges` artifact, used for range limits."""

from tgr_cli.campaign import profiling
from tgr_cli.campaign.deployed import open_subject
from tgr_cli.campaign.profiling import Config as Config  # the options of `tgr profile-ranges`
from tgr_cli.campaign.profiling import Result
from tgr_cli.reporting import SILENT, Reporter


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Profile the model on the train split, write the `ranges` or `activation_ranges` artifact and return it."""
    subject = open_subject(config, reporter, profiling.split(config.data, reporter))
    if config.after_activations:
        return profiling.write_after_activations(config, subject)
    return profiling.write(config, subject, subject.network(config.targets))
