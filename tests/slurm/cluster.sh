#!/usr/bin/env bash
# A Slurm cluster of two virtual nodes with two counted GPUs each, on this machine:
#   tests/slurm/cluster.sh start | stop
# Needs root and Debian; installs Slurm, owns /etc/slurm and names the nodes in /etc/hosts.
set -euo pipefail

state=/run/aiv-rba-slurm
mark="# aiv-rba test cluster"

install_packages() {
    local program
    for program in slurmctld slurmd srun munged; do
        if ! command -v "$program" >/dev/null; then
            apt-get update -qq
            apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null
            return
        fi
    done
}

configure() {
    if [ -e /etc/slurm/slurm.conf ] && ! grep -q "^$mark" /etc/slurm/slurm.conf; then
        echo "cluster.sh: /etc/slurm/slurm.conf is not of this script, expected no other cluster here" >&2
        exit 2
    fi
    mkdir -p /etc/slurm "$state"
    local host gpu
    host=$(hostname -s)
    for gpu in 0 1; do
        # Slurm counts device files; what they are devices of does not matter to it.
        [ -e "$state/gpu$gpu" ] || mknod "$state/gpu$gpu" c 1 3
    done
    # Three cores of each node, however many the machine has: two for ranks, one for the workflow itself.
    cat >/etc/slurm/slurm.conf <<EOF
$mark
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2
MinJobAge=600
GresTypes=gpu
StateSaveLocation=$state/controller
SlurmctldPidFile=$state/slurmctld.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdSpoolDir=$state/%n
SlurmdPidFile=$state/slurmd-%n.pid
SlurmdLogFile=$state/slurmd-%n.log
SlurmdParameters=config_overrides
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[26821-26822] Sockets=1 CoresPerSocket=3 ThreadsPerCore=1 RealMemory=10000 Gres=gpu:2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
    echo "CgroupPlugin=cgroup/v1" >/etc/slurm/cgroup.conf
    printf 'AutoDetect=off\nNodeName=n[1-2] Name=gpu File=%s/gpu[0-1]\n' "$state" >/etc/slurm/gres.conf
    grep -q "$mark" /etc/hosts || echo "127.0.0.1 n1 n2 $mark" >>/etc/hosts
}

start_munge() {
    if munge --no-input >/dev/null 2>&1; then
        return
    fi
    pkill -x munged || true
    mkdir -p /etc/munge
    if [ ! -s /etc/munge/munge.key ]; then
        head -c 1024 /dev/urandom >/etc/munge/munge.key
    fi
    chown munge:munge /etc/munge/munge.key
    chmod 0400 /etc/munge/munge.key
    install -d -o munge -g munge -m 0755 /run/munge
    runuser -u munge -- munged
}

stop_daemons() {
    pkill -x slurmd || true
    pkill -x slurmctld || true
    while pgrep -x slurmd >/dev/null || pgrep -x slurmctld >/dev/null; do
        sleep 0.2
    done
}

start() {
    install_packages
    configure
    start_munge
    stop_daemons
    slurmctld -c
    slurmd -N n1
    slurmd -N n2
    for _ in $(seq 60); do
        if [ "$(sinfo --noheader --format=%D --states=idle | head -n 1)" = 2 ]; then
            return
        fi
        sleep 1
    done
    echo "cluster.sh: the nodes are not idle after 60 s, see $state/*.log" >&2
    sinfo >&2
    exit 1
}

stop() {
    stop_daemons
    sed -i "/$mark/d" /etc/hosts 2>/dev/null || true
    rm -rf "$state" /etc/slurm/slurm.conf /etc/slurm/cgroup.conf /etc/slurm/gres.conf
}

case "${1:-}" in
    start | stop) "$1" ;;
    *)
        echo "usage: cluster.sh start | stop" >&2
        exit 2
        ;;
esac
