#!/usr/bin/env bash
# Stop the cluster that slurm_up.sh started, and only that: each pid in STATE_DIR/run is compared
# with the program that it should be before it gets a signal.
#
#   usage:  slurm_down.sh [STATE_DIR]
set -uo pipefail

STATE_DIR=$(realpath -m "${1:-/var/tmp/gridwell-slurm}")
RUN=$STATE_DIR/run
[[ -e $STATE_DIR/.gridwell-slurm ]] || { echo "slurm_down: nothing at $STATE_DIR"; exit 0; }
export SLURM_CONF=$STATE_DIR/etc/slurm.conf

# Jobs outlive slurmd: cancel them while there is someone who can.
if timeout 5 scontrol ping 2>/dev/null | grep -q 'is UP'; then
    squeue -h -o %A | xargs -r scancel
    for _ in {1..20}; do
        [[ -z $(squeue -h) ]] && break
        sleep 0.5
    done
fi

# stop PROGRAM PIDFILE
stop() {
    local pid
    [[ -s $2 ]] || return 0
    pid=$(<"$2")
    [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$1"* ]] || return 0
    kill -TERM "$pid"
    for _ in {1..100}; do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid"
    echo "slurm_down: $1 ($pid) had to be killed"
}

for pidfile in "$RUN"/slurmd-*.pid; do stop slurmd "$pidfile"; done
for daemon in slurmctld slurmdbd mariadbd munged; do stop $daemon "$RUN/$daemon.pid"; done

[[ $(readlink /etc/slurm/slurm.conf) == "$SLURM_CONF" ]] && rm /etc/slurm/slurm.conf
rm -rf "$STATE_DIR"
