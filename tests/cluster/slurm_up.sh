#!/usr/bin/env bash
# Start a small Slurm cluster on this one machine, for the tests of profiles/slurm.
#
#   usage:  slurm_up.sh [STATE_DIR]        then sinfo, sbatch, sacct, snakemake as on any cluster
#
# Two nodes that pretend to have A100s (gpu01, gpu02), one without (cpu01), a partition whose jobs
# drive others out (urgent), and accounting, so that sacct answers. Everything lies in STATE_DIR but
# the packages and one link, /etc/slurm/slurm.conf. Each daemon leaves a pid file in STATE_DIR/run;
# slurm_down.sh stops those and nothing else.
#
# Needs root, and the packages below; with INSTALL=1 it installs them. Tried on Debian 12.
set -euo pipefail

STATE_DIR=$(realpath -m "${1:-/var/tmp/gridwell-slurm}")
INSTALL=${INSTALL:-0}
PORT_BASE=${PORT_BASE:-17000}

ACCOUNT=screening
NODES=(cpu01 gpu01 gpu02)
GPUS=4
DEFAULT_CONF=/etc/slurm/slurm.conf
HOST=$(hostname -s)
ETC=$STATE_DIR/etc RUN=$STATE_DIR/run LOG=$STATE_DIR/log SPOOL=$STATE_DIR/spool
CTLD_PORT=$PORT_BASE DBD_PORT=$((PORT_BASE + 1)) SQL_PORT=$((PORT_BASE + 2))

die() { printf 'slurm_up: %s\n' "$*" >&2; exit 1; }

# await WHAT COMMAND...: wait until COMMAND succeeds
await() {
    local what=$1 tries=600 said
    shift
    until said=$("$@" 2>&1); do
        ((tries-- > 0)) || die "gave up waiting for $what: $said; see $LOG"
        sleep 0.1
    done
}

[[ $(id -u) == 0 ]] || die "only root can start it"
for pidfile in "$RUN"/*.pid; do
    [[ -e $pidfile ]] || continue
    kill -0 "$(<"$pidfile")" 2>/dev/null && die "already up ($pidfile); run slurm_down.sh first"
done
if [[ -e $DEFAULT_CONF && $(readlink "$DEFAULT_CONF") != "$ETC/slurm.conf" ]]; then
    die "this machine belongs to another Slurm cluster ($DEFAULT_CONF)"
fi

# --- packages -------------------------------------------------------------------------------------

packages=(slurm-wlm slurm-client munge slurmdbd slurm-wlm-mysql-plugin mariadb-server)
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
    ((INSTALL)) || die "not installed: one of ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    install=(apt-get install -y -q --no-install-recommends "${packages[@]}")
    "${install[@]}" >/dev/null 2>&1 || { apt-get update -q >/dev/null && "${install[@]}" >/dev/null; } ||
        die "apt-get cannot install ${packages[*]}"
fi

# --- a clean folder -------------------------------------------------------------------------------

# Only a folder that this script made is ever removed.
if [[ -e $STATE_DIR ]]; then
    [[ -e $STATE_DIR/.gridwell-slurm ]] || die "$STATE_DIR is there and not of this script"
    rm -rf "$STATE_DIR"
fi
mkdir -p "$ETC" "$RUN" "$LOG" "$SPOOL/ctld" "$STATE_DIR/dev"
for node in "${NODES[@]}"; do mkdir -p "$SPOOL/$node"; done
touch "$STATE_DIR/.gridwell-slurm"
chmod 755 "$STATE_DIR" "$ETC" "$RUN" "$LOG" "$SPOOL"

# Slurm wants a device file for each GPU, whatever device it is: only the number at its end is used
# (CUDA_VISIBLE_DEVICES). So they are all /dev/null. Where mknod is forbidden, GPUs are counted only.
gpu_files="File=$STATE_DIR/dev/nvidia[0-$((GPUS - 1))]"
for ((i = 0; i < GPUS; i++)); do
    mknod "$STATE_DIR/dev/nvidia$i" c 1 3 2>/dev/null || { gpu_files="Count=$GPUS"; break; }
done

# --- configuration --------------------------------------------------------------------------------

here="NodeHostname=$HOST NodeAddr=127.0.0.1"
cat >"$ETC/slurm.conf" <<CONF
ClusterName=gridwell
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$CTLD_PORT
SlurmUser=root
SlurmdUser=root
# cred_expire: so long a job waits that Slurm puts back into the queue (120 s, if not said).
AuthType=auth/munge
AuthInfo=socket=$RUN/munge.sock,cred_expire=10
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation=$SPOOL/ctld
SlurmdSpoolDir=$SPOOL/%n
SlurmctldPidFile=$RUN/slurmctld.pid
SlurmdPidFile=$RUN/slurmd-%n.pid
SlurmctldLogFile=$LOG/slurmctld.log
SlurmdLogFile=$LOG/slurmd-%n.log

# In a container there are neither systemd nor cgroups: processes are followed through /proc, and a
# poll each second sees to it that none has more memory than its job.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill

# The nodes are larger than this machine: believe the lines below.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=2
MinJobAge=600
# A node that vanished is noticed after so long, and welcome when it is back.
SlurmdTimeout=10
ReturnToService=2

AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD_PORT
AccountingStoragePass=$RUN/munge.sock
AccountingStorageTRES=gres/gpu,gres/gpu:a100
AccountingStoreFlags=job_comment

GresTypes=gpu
NodeName=DEFAULT CPUs=4 RealMemory=32000 State=UNKNOWN
NodeName=cpu01 $here Port=$((PORT_BASE + 10))
NodeName=gpu01 $here Port=$((PORT_BASE + 11)) Gres=gpu:a100:$GPUS
NodeName=gpu02 $here Port=$((PORT_BASE + 12)) Gres=gpu:a100:$GPUS

PartitionName=DEFAULT DefaultTime=00:10:00 MaxTime=2-00:00:00 DefMemPerCPU=1000 State=UP
PartitionName=cpuonly Nodes=cpu01 Default=YES
# LLN: jobs are spread over both nodes.
PartitionName=accelerated Nodes=gpu01,gpu02 LLN=YES
PartitionName=urgent Nodes=cpu01,gpu01,gpu02 PriorityTier=10 PreemptMode=OFF
CONF

cat >"$ETC/gres.conf" <<CONF
AutoDetect=off
NodeName=gpu[01-02] Name=gpu Type=a100 $gpu_files
CONF

export SLURM_CONF=$ETC/slurm.conf
# Inside a job, Snakemake drops all SLURM_* before it calls srun, which then looks here.
mkdir -p "${DEFAULT_CONF%/*}"
ln -sfn "$SLURM_CONF" "$DEFAULT_CONF"

# --- daemons, in the order in which they need each other ------------------------------------------

# munged refuses a key, log or socket that others could tamper with
install -m 700 -d "$STATE_DIR/munge"
head -c 1024 /dev/urandom >"$STATE_DIR/munge/key"
chmod 400 "$STATE_DIR/munge/key"
munged --key-file "$STATE_DIR/munge/key" --seed-file "$STATE_DIR/munge/seed" \
    --log-file "$STATE_DIR/munge/munged.log" \
    --pid-file "$RUN/munged.pid" --socket "$RUN/munge.sock"

password=$(head -c 18 /dev/urandom | base64 | tr -dc 'A-Za-z0-9')
install -o mysql -g mysql -m 700 -d "$STATE_DIR/db"
cat >"$ETC/my.cnf" <<CONF
[mariadbd]
user=mysql
datadir=$STATE_DIR/db
socket=$STATE_DIR/db/sock
pid-file=$STATE_DIR/db/mariadbd.pid
log-error=$STATE_DIR/db/error.log
bind-address=127.0.0.1
port=$SQL_PORT
innodb_buffer_pool_size=64M
innodb_log_file_size=32M
innodb_lock_wait_timeout=900
innodb_flush_log_at_trx_commit=2
skip-log-bin
CONF
mariadb-install-db --defaults-file="$ETC/my.cnf" --auth-root-authentication-method=socket \
    --skip-test-db >"$LOG/mariadb-install.log" 2>&1
setsid mariadbd --defaults-file="$ETC/my.cnf" >"$LOG/mariadbd.log" 2>&1 &
echo $! >"$RUN/mariadbd.pid"
sql=(mariadb --no-defaults --socket "$STATE_DIR/db/sock" -u root)
await mariadbd "${sql[@]}" -e 'SELECT 1'
"${sql[@]}" <<SQL
CREATE DATABASE slurm_acct;
CREATE USER slurm@'127.0.0.1' IDENTIFIED BY '$password';
GRANT ALL ON slurm_acct.* TO slurm@'127.0.0.1';
SQL

install -m 600 /dev/null "$ETC/slurmdbd.conf"
cat >"$ETC/slurmdbd.conf" <<CONF
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$DBD_PORT
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$RUN/munge.sock
PidFile=$RUN/slurmdbd.pid
LogFile=$LOG/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$SQL_PORT
StorageUser=slurm
StoragePass=$password
StorageLoc=slurm_acct
CONF
await munged munge --socket "$RUN/munge.sock" --no-input
slurmdbd
await slurmdbd sacctmgr -n show cluster
{
    sacctmgr -i add cluster gridwell
    sacctmgr -i add account $ACCOUNT cluster=gridwell description=$ACCOUNT organization=$ACCOUNT
    sacctmgr -i add user "$(id -un)" account=$ACCOUNT cluster=gridwell
} >"$LOG/sacctmgr.log"

slurmctld -c
await slurmctld scontrol ping
for node in "${NODES[@]}"; do slurmd -N "$node"; done
all_idle() { [[ $(sinfo -h -N -o %t | sort -u) == idle ]]; }
await "the nodes" all_idle
sinfo -o '%12P %8D %6t %6c %8m %14G %N'
