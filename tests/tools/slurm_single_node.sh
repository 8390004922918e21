#!/usr/bin/env bash
# A real Slurm on this one machine (munged, slurmctld, slurmd), as root and without systemd.
#
#   slurm_single_node.sh start | stop | status
#
# start   installs the Debian packages that are missing, writes slurm.conf, starts the daemons and
#         waits until the node is usable. A healthy cluster is left alone.
# stop    cancels all jobs, then ends the daemons that this script started, by process id.
# status  prints daemons, node and queue; succeeds only if all run and the node is usable.
#
# Environment (the same SLURM_SN_BASE for every subcommand):
#   SLURM_SN_BASE    ${TMPDIR:-/tmp}/slurm_single_node   state, spool, logs, pid files, slurm.conf
#   SLURM_SN_CPUS    $(nproc)           CPUs the node advertises; more than there are is allowed
#   SLURM_SN_MEM_MB  MemTotal - 512     RealMemory; more than there is is allowed
#   SLURM_SN_PORT    6817               slurmctld's port; slurmd takes the next one
#   SLURM_SN_WAIT    60                 seconds to wait for the node
# /etc/slurm/slurm.conf is linked to the file written here, so that sbatch needs no environment;
# a slurm.conf that somebody else put there is left alone and refused.
set -u
BASE=${SLURM_SN_BASE:-${TMPDIR:-/tmp}/slurm_single_node}
PORT=${SLURM_SN_PORT:-6817}
WAIT=${SLURM_SN_WAIT:-60}
CONF=$BASE/slurm.conf
RUN=$BASE/run
LOG=$BASE/log
ETC=/etc/slurm/slurm.conf
MUNGE_PID=/run/munge/munged.pid
export SLURM_CONF=$CONF
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

say() { echo "slurm_single_node: $*"; }
die() { echo "slurm_single_node: ERROR: $*" >&2; exit 1; }

# The process id in a pid file, only if that process lives and is the named program.
pid_of() {  # pid file, program
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 1
    [[ $pid =~ ^[0-9]+$ ]] || return 1
    [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */"$2"* ]] || return 1
    echo "$pid"
}

node_usable() {
    local state
    state=$(timeout 5 sinfo -h -N -o '%T' 2>/dev/null) || return 1
    [[ $state =~ ^(idle|mixed|allocated|completing)$ ]]
}

all_running() {
    pid_of "$MUNGE_PID" munged >/dev/null &&
        pid_of "$RUN/slurmctld.pid" slurmctld >/dev/null &&
        pid_of "$RUN/slurmd.pid" slurmd >/dev/null
}

port_busy() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

write_conf() {
    local host memory
    host=$(hostname -s)
    memory=$(($(awk '/^MemTotal:/{print $2}' /proc/meminfo) / 1024 - 512))
    mkdir -p "$RUN" "$LOG" "$BASE/state" "$BASE/spool" || die "cannot create $BASE"
    cat >"$CONF" <<EOF
# written by slurm_single_node.sh
ClusterName=single
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$PORT
SlurmdPort=$((PORT + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=256
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
CompleteWait=0
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
StateSaveLocation=$BASE/state
SlurmdSpoolDir=$BASE/spool
SlurmctldPidFile=$RUN/slurmctld.pid
SlurmdPidFile=$RUN/slurmd.pid
SlurmctldLogFile=$LOG/slurmctld.log
SlurmdLogFile=$LOG/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=${SLURM_SN_CPUS:-$(nproc)} RealMemory=${SLURM_SN_MEM_MB:-$memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
    mkdir -p /etc/slurm
    if [[ -e $ETC ]] && ! grep -q 'written by slurm_single_node.sh' "$ETC"; then
        die "$ETC exists and is not ours; move it away to start a test cluster here"
    fi
    ln -sfn "$CONF" "$ETC"
}

start_munge() {
    pid_of "$MUNGE_PID" munged >/dev/null && return 0
    local answer
    getent passwd munge >/dev/null || die "no munge user; reinstall the munge package"
    [[ -s /etc/munge/munge.key ]] || runuser -u munge -- /usr/sbin/mungekey --create ||
        die "cannot create /etc/munge/munge.key"
    # systemd would make these; munged insists on the owner, and on execute for all for /run/munge
    install -d -o munge -g munge -m 0755 /run/munge
    install -d -o munge -g munge -m 0700 /var/log/munge
    answer=$(runuser -u munge -- /usr/sbin/munged 2>&1) || die "munged did not start: $answer"
    for _ in {1..50}; do
        if munge -n 2>/dev/null | unmunge >/dev/null 2>&1; then
            touch "$BASE/munged.ours"
            return 0
        fi
        sleep 0.1
    done
    die "munged runs but munge | unmunge fails; see /var/log/munge/munged.log"
}

explain() {
    local log
    { sinfo -N -l; sinfo -R; } 2>&1 | sed 's/^/  /' >&2
    for log in "$LOG"/*.log; do
        echo "  --- $log" >&2
        grep -iE 'error|fatal' "$log" 2>/dev/null | tail -n 5 | sed 's/^/  /' >&2
    done
}

daemon() {  # program, arguments
    local program=$1
    "$@" >"$LOG/$program.start" 2>&1 && return 0
    cat "$LOG/$program.start" >&2
    explain
    die "$program did not start"
}

start() {
    ((EUID == 0)) || die "a test cluster has to be started by root"
    if command -v sinfo >/dev/null && all_running && node_usable; then
        say "already running"
        print_status
        return 0
    fi
    bash "$(dirname "$0")/debian_packages.sh" munge slurmctld slurmd slurm-client ||
        die "Slurm could not be installed"
    if [[ -e $RUN/slurmctld.pid || -e $RUN/slurmd.pid ]]; then
        say "partly running or left over; stopping first"
        stop
    fi
    local host port started=$SECONDS
    host=$(hostname -s)
    getent hosts "$host" >/dev/null ||
        die "host name $host does not resolve; add '127.0.0.1 $host' to /etc/hosts"
    for port in "$PORT" "$((PORT + 1))"; do
        port_busy "$port" && die "TCP port $port is in use (another Slurm?); set SLURM_SN_PORT"
    done
    write_conf
    start_munge
    daemon slurmctld -c
    daemon slurmd -N "$host"
    for ((i = 0; i < WAIT * 5; i++)); do
        if node_usable && all_running; then
            say "up after $((SECONDS - started)) s"
            print_status
            return 0
        fi
        sleep 0.2
    done
    explain
    die "node not usable after $WAIT s; logs are in $LOG"
}

stop_one() {  # pid file, program
    local pid
    pid=$(pid_of "$1" "$2") || { rm -f "$1"; return 0; }
    kill "$pid"
    for _ in {1..100}; do
        kill -0 "$pid" 2>/dev/null || { rm -f "$1"; say "$2 ($pid) stopped"; return 0; }
        sleep 0.1
    done
    kill -9 "$pid"
    rm -f "$1"
    say "$2 ($pid) killed, as it did not stop in 10 s"
}

# Ending slurmd leaves its job steps alive, so the jobs are ended first.
cancel_jobs() {
    local jobs
    mapfile -t jobs < <(timeout 5 squeue -h -o %A 2>/dev/null)
    ((${#jobs[@]})) || return 0
    say "cancelling jobs: ${jobs[*]}"
    timeout 10 scancel "${jobs[@]}" 2>/dev/null
    for _ in {1..100}; do
        [[ -z $(timeout 5 squeue -h 2>/dev/null) ]] && return 0
        sleep 0.2
    done
    echo "slurm_single_node: WARNING: some jobs are still there" >&2
    return 1
}

stop() {
    local result=0
    if pid_of "$RUN/slurmctld.pid" slurmctld >/dev/null; then cancel_jobs || result=1; fi
    stop_one "$RUN/slurmd.pid" slurmd
    stop_one "$RUN/slurmctld.pid" slurmctld
    if [[ -e $BASE/munged.ours ]]; then
        stop_one "$MUNGE_PID" munged
        rm -f "$BASE/munged.ours"
    fi
    if [[ -L $ETC && $(readlink "$ETC") == "$CONF" ]]; then rm -f "$ETC"; fi
    say "stopped"
    return "$result"
}

print_status() {
    echo "munged    $(pid_of "$MUNGE_PID" munged || echo 'not running')"
    echo "slurmctld $(pid_of "$RUN/slurmctld.pid" slurmctld || echo 'not running')"
    echo "slurmd    $(pid_of "$RUN/slurmd.pid" slurmd || echo 'not running')"
    if pid_of "$RUN/slurmctld.pid" slurmctld >/dev/null; then
        timeout 10 sinfo -N -o '%N %T cpus=%c mem=%mM %E' 2>&1
        timeout 10 squeue 2>&1
    fi
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    status) print_status; all_running && node_usable ;;
    *) sed -n '2,18p' "$0"; exit 2 ;;
esac
