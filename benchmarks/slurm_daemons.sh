# A Slurm of one machine, for the scripts that source this: controller, node and munge, on 127.0.0.1 only.
#
#     apt-get install slurm-wlm munge            # as root; Slurm's daemons run as root here
#
# Makes a temporary folder and works in it; `stop` ends the daemons and removes it. On failure it is kept.
folder=$(mktemp -d)
cd "$folder"
mkdir state spool

host=$(hostname -s)
cat > slurm.conf <<END
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/controller.pid
SlurmdPidFile=$folder/node.pid
SlurmctldLogFile=$folder/controller.log
SlurmdLogFile=$folder/node.log
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc --all) RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF=$folder/slurm.conf
pgrep -x munged > /dev/null || { mkdir -p /run/munge; chown munge /run/munge; su -s /bin/sh munge -c munged; }
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
end_daemons() {
    for daemon in controller node; do pkill -F "$folder/$daemon.pid" || true; done
    for _ in $(seq 50); do pgrep -F "$folder/controller.pid" > /dev/null 2>&1 || break; sleep 0.2; done
}
trap end_daemons EXIT
for _ in $(seq 50); do sinfo -h -t idle | grep -q all && break; sleep 0.2; done
sinfo --version

# until COMMAND…: wait at most ten minutes for it to succeed
until_() { for _ in $(seq 3000); do "$@" && return; sleep 0.2; done; echo "waited in vain: $*" >&2; exit 1; }
stop() { trap - EXIT; end_daemons; cd / && rm -rf "$folder"; }
