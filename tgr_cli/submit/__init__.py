"""Campaigns divided into tasks that processes here, Slurm or Ray run: started, watched, started again, cancelled."""
