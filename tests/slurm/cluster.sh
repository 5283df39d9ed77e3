#!/usr/bin/env bash
# A throw-away SLURM (slurmctld, slurmdbd + MariaDB, munge, N slurmd) on one host, for tests.
# No systemd, no cgroups; nothing of the system's own SLURM, munge or MySQL is touched.
#
#   tests/slurm/cluster.sh up [--nodes N] [--cpus C] [--mem MB] [--set Key=Value]... [--etc-hosts]
#   tests/slurm/cluster.sh env        prints "export SLURM_CONF=...", so: eval "$(tests/slurm/cluster.sh env)"
#   tests/slurm/cluster.sh status     exit 0: all up, 1: partly up, 3: not up
#   tests/slurm/cluster.sh down [--purge]
#   tests/slurm/cluster.sh install    only the Debian packages
#   tests/slurm/cluster.sh kill-node NAME | start-node NAME | kill-ctld | start-ctld      for tests of failures
#
# `up` is idempotent: a second one restarts dead daemons, with other options it refuses. It prints the same line as
# `env` on stdout, all else goes to stderr. Before it returns 0 it has run a job on all nodes and seen it in sacct.
# `down` ends only the processes recorded by `up` (pid and kernel start time, so a reused pid is never hit) and this
# cluster's own jobs. `kill-node` kills the slurmd alone, as a node that lost its network: what runs there runs on.
#
#   --nodes N        nodes n1..nN, one slurmd each, told apart by port                 (6: as the tests need)
#   --cpus C         CPUs that each node claims (SLURM is told to believe it)          (2)
#   --mem MB         memory that each node claims                                      (8000)
#   --set K=V        one more line of slurm.conf in place of the line for K, if there is one; "K=" drops that line
#   --etc-hosts      as root: a marked line in /etc/hosts that makes n1..nN resolve; `down` removes it
#
# Environment: HCML_SLURM_DIR      where everything lives, at most 70 characters (.slurm-test in the checkout)
#              HCML_SLURM_PORT     first of N+3 ports (a free block from 21000 on)
#              HCML_SLURM_WAIT     seconds that each daemon has to become ready (60)
#              HCML_SLURM_NO_INSTALL=1   never call apt-get
#
# Partitions:  normal              default, may preempt the others
#              preemptible         REQUEUE, no grace
#              preemptible_grace   REQUEUE, 20 s of grace
#              preemptible_cancel  CANCEL, 20 s of grace
#
# Quicker than a real cluster, to keep tests short: a requeued job may start again after 5 s in place of 120
# (AuthInfo cred_expire), SIGTERM to SIGKILL 5 s in place of 30 (KillWait), a silent node is down after 20 s in place
# of 300 (SlurmdTimeout), jobs are scheduled each 5 s in place of 60. Claims of CPUs and memory are not enforced.
set -u
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

ROOT="$(cd "$(dirname "$0")/../.." && pwd)"
DIR="${HCML_SLURM_DIR:-$ROOT/.slurm-test}"
case "$DIR" in /*) ;; *) DIR="$PWD/$DIR" ;; esac
CONF="$DIR/etc/slurm.conf"
WAIT="${HCML_SLURM_WAIT:-60}"
ME="$(id -un)"
PACKAGES="slurmctld slurmd slurm-client slurmdbd munge mariadb-server-core mariadb-client-core"
MARK="# hcml slurm test $DIR"

say() { printf 'cluster.sh: %s\n' "$*" >&2; }
die() { printf 'cluster.sh: error: %s\n' "$*" >&2; exit 1; }

# ---------------------------------------------------------------- processes

start_time() { # PID: the kernel's start time of it
  local stat
  stat="$(cat "/proc/$1/stat" 2>/dev/null)" || return 1
  stat="${stat##*) }"
  set -- $stat
  echo "${20}"
}

pid_of() { # NAME: the pid of that daemon, only if it is still the process that was started, and no zombie
  local pid born
  [ -r "$DIR/pids/$1" ] || return 1
  read -r pid born < "$DIR/pids/$1" || return 1
  [ "$(start_time "$pid" 2>/dev/null)" = "$born" ] || return 1
  case "$(sed 's/.*) //;s/ .*//' "/proc/$pid/stat" 2>/dev/null)" in Z | X | '') return 1 ;; esac
  echo "$pid"
}

alive() { pid_of "$1" > /dev/null; }

start() { # NAME COMMAND...: in a session of its own, its output in log/NAME.out
  local name="$1" pid
  shift
  alive "$name" && return 0
  setsid env SLURM_CONF="$CONF" HCML_SLURM_CLUSTER="$DIR" "$@" < /dev/null >> "$DIR/log/$name.out" 2>&1 9>&- &
  pid=$!
  disown "$pid" 2>/dev/null
  sleep 0.05
  echo "$pid $(start_time "$pid")" > "$DIR/pids/$name"
}

stop() { # NAME SECONDS: TERM, wait, KILL
  local pid i
  pid="$(pid_of "$1")" || { rm -f "$DIR/pids/$1"; return 0; }
  kill -TERM "$pid" 2>/dev/null
  for ((i = 0; i < $2 * 10; i++)); do alive "$1" || break; sleep 0.1; done
  if alive "$1"; then
    say "$1 (pid $pid) did not end in $2 s: KILL"
    kill -KILL "$pid" 2>/dev/null
    sleep 0.3
  fi
  rm -f "$DIR/pids/$1"
}

job_pids() { # slurmstepd and job processes of this cluster, no one else's
  local d p daemons
  daemons=" $(cat "$DIR"/pids/* 2>/dev/null | cut -d' ' -f1 | tr '\n' ' ') "
  for d in /proc/[0-9]*; do
    p="${d#/proc/}"
    [ "$p" = "$$" ] && continue
    { tr '\0' '\n' < "$d/environ"; } 2>/dev/null | awk -v c="SLURM_CONF=$CONF" -v t="HCML_SLURM_CLUSTER=$DIR" '
      $0==c{a=1} $0==t{b=1} /^SLURM_JOB_ID=/{j=1} END{exit !((a&&j)||b)}' || continue
    case "$daemons" in *" $p "*) continue ;; esac
    echo "$p"
  done
}

tcp_open() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

wait_for() { # WHAT DAEMON COMMAND...: poll until the command succeeds
  local what="$1" name="$2" began=$SECONDS
  shift 2
  until "$@" > /dev/null 2>&1; do
    alive "$name" || fail "$name ended before $what" "$name"
    [ $((SECONDS - began)) -lt "$WAIT" ] || fail "no $what after $WAIT s" "$name"
    sleep 0.2
  done
}

fail() { # MESSAGE DAEMON: show the daemon's log, end what was started
  say "error: $1"
  local f
  for f in "$DIR/log/$2.log" "$DIR/log/$2.out"; do # .log and .out say the same for SLURM's daemons
    [ -s "$f" ] && { say "--- last lines of $f"; tail -n 15 "$f" >&2; break; }
  done
  stop_all
  exit 1
}

# ---------------------------------------------------------------- packages

missing_commands() {
  local command
  for command in slurmctld slurmd slurmdbd sinfo sacct sbatch munged mariadbd mariadb-install-db \
    my_print_defaults flock; do
    command -v "$command" > /dev/null || printf ' %s' "$command"
  done
}

install_packages() {
  local missing policy=/usr/sbin/policy-rc.d made="" log rc
  missing="$(missing_commands)"
  [ -z "$missing" ] && return 0
  [ -z "${HCML_SLURM_NO_INSTALL:-}" ] || die "missing:$missing (HCML_SLURM_NO_INSTALL is set; install: $PACKAGES)"
  command -v apt-get > /dev/null ||
    die "missing:$missing, and there is no apt-get: install SLURM, munge and MariaDB yourself"
  [ "$(id -u)" = 0 ] || die "missing:$missing; run this as root, or: apt-get install $PACKAGES"
  say "installing $PACKAGES"
  # Debian's maintainer scripts start the daemons system-wide unless this policy forbids it.
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' > $policy; chmod 755 $policy; made=1; }
  log="$(mktemp)"
  {
    DEBIAN_FRONTEND=noninteractive apt-get update -q &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $PACKAGES util-linux
  } > "$log" 2>&1 9>&-
  rc=$?
  [ -z "$made" ] || rm -f $policy
  [ $rc = 0 ] || { tail -n 20 "$log" >&2; die "apt-get failed (log: $log)"; }
  rm -f "$log"
  hash -r
  missing="$(missing_commands)"
  [ -z "$missing" ] || die "still missing after apt-get:$missing"
}

# ---------------------------------------------------------------- configuration

pick_ports() { # N: the first of N+3 free ports in a row
  local n="$1" base p free
  if [ -n "${HCML_SLURM_PORT:-}" ]; then
    for ((p = HCML_SLURM_PORT; p < HCML_SLURM_PORT + n + 3; p++)); do
      tcp_open $p && die "port $p is in use (HCML_SLURM_PORT)"
    done
    echo "$HCML_SLURM_PORT"
    return
  fi
  for ((base = 21000; base < 31000; base += 100)); do
    free=1
    for ((p = base; p < base + n + 3; p++)); do tcp_open $p && { free=; break; }; done
    [ -n "$free" ] && { echo $base; return; }
  done
  die "no free block of ports from 21000 on"
}

write_config() {
  local host pass pair key
  host="$(hostname -s 2>/dev/null || hostname)"
  umask 022
  mkdir -p "$DIR"/{etc,log,pids,state,spool,munge,mysql/run}
  chmod 700 "$DIR/mysql"
  chmod 755 "$DIR/munge"
  [ -s "$DIR/munge/munge.key" ] || (umask 077; head -c 1024 /dev/urandom > "$DIR/munge/munge.key")
  [ -s "$DIR/mysql/pass" ] || (umask 077; od -An -N12 -tx1 /dev/urandom | tr -d ' \n' > "$DIR/mysql/pass")
  pass="$(cat "$DIR/mysql/pass")"
  (
    umask 077
    cat > "$DIR/mysql/init.sql" <<SQL
CREATE DATABASE IF NOT EXISTS slurm_acct_db;
CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY '$pass';
GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1';
SQL
    cat > "$DIR/etc/slurmdbd.conf" <<CF
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$((BASE + 1))
SlurmUser=$ME
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((BASE + 2))
StorageUser=slurm
StoragePass=$pass
StorageLoc=slurm_acct_db
LogFile=$DIR/log/slurmdbd.log
PidFile=$DIR/pids/slurmdbd.own
CF
  )
  # cgroup/v1 by name: "autodetect" ends slurmd where /sys/fs/cgroup is not mounted, and cgroup/v2 wants systemd's
  # dbus; with linuxproc, task/none and jobacct_gather/linux below, the plugin is loaded and never used.
  printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' > "$DIR/etc/cgroup.conf"
  cat > "$CONF.tmp" <<CF
ClusterName=hcmltest
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$BASE
SlurmUser=$ME
SlurmdUser=$ME
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
SlurmdParameters=config_overrides
ReturnToService=2
MailProg=/bin/true
MpiDefault=none
PropagateResourceLimits=NONE
MessageTimeout=30
SlurmdTimeout=20
KillWait=5
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd-%n.log
SlurmctldPidFile=$DIR/pids/slurmctld.own
SlurmdPidFile=$DIR/pids/slurmd-%n.own
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((BASE + 1))
AccountingStoragePass=$DIR/munge/socket
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=1
NodeName=DEFAULT CPUs=$CPUS RealMemory=$MEM State=UNKNOWN
NodeName=n[1-$NODES] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((BASE + 3))-$((BASE + 2 + NODES))]
PartitionName=DEFAULT Nodes=ALL MaxTime=INFINITE State=UP
PartitionName=normal Default=YES PriorityTier=10 PreemptMode=OFF
PartitionName=preemptible PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=preemptible_grace PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=preemptible_cancel PriorityTier=1 PreemptMode=CANCEL GraceTime=20
CF
  if [ "$NODES" = 1 ]; then # SLURM takes no range of one
    sed -i "s/^NodeName=n\[1-1\]/NodeName=n1/; s/Port=\[\([0-9]*\)-[0-9]*\]/Port=\1/" "$CONF.tmp"
  fi
  for pair in ${SETS[@]+"${SETS[@]}"}; do
    key="${pair%%=*}"
    case "$key" in PartitionName | NodeName) ;; *) sed -i "/^$key=/Id" "$CONF.tmp" ;; esac
    [ -z "${pair#*=}" ] || echo "$pair" >> "$CONF.tmp"
  done
  mv "$CONF.tmp" "$CONF"
}

edit_hosts() { # add|remove our marked line (in place: /etc/hosts may be a mount)
  local rest
  rest="$(grep -vF "$MARK" /etc/hosts)"
  [ "$1" = add ] && rest="$rest
127.0.0.1 $(eval echo n{1..$NODES}) $MARK"
  printf '%s\n' "$rest" > /etc/hosts
}

# ---------------------------------------------------------------- verbs

daemons() {
  local i
  echo munged mariadbd slurmdbd slurmctld
  for ((i = 1; i <= NODES; i++)); do echo "slurmd-n$i"; done
}

load_args() {
  NODES=6 CPUS=2 MEM=8000 HOSTS="" BASE="" SETS=()
  [ -r "$DIR/args" ] && . "$DIR/args"
  return 0
}

take_lock() {
  exec 9> "$DIR/lock"
  flock -w "$WAIT" 9 || die "another cluster.sh holds $DIR/lock"
}

start_munge() {
  start munged "$(command -v munged)" -F --force --num-threads=2 --socket="$DIR/munge/socket" \
    --key-file="$DIR/munge/munge.key" --pid-file="$DIR/munge/pid" --seed-file="$DIR/munge/seed" \
    --log-file="$DIR/log/munged.log"
}

start_database() {
  if [ ! -e "$DIR/mysql/data/.installed" ]; then
    rm -rf "$DIR/mysql/data"
    mkdir -p "$DIR/mysql/data"
    mariadb-install-db --no-defaults --user="$ME" --datadir="$DIR/mysql/data" --skip-test-db \
      --auth-root-authentication-method=normal > "$DIR/log/mariadb-install-db.log" 2>&1 9>&- ||
      fail "mariadb-install-db failed (see $DIR/log/mariadb-install-db.log)" mariadb-install-db
    : > "$DIR/mysql/data/.installed"
  fi
  start mariadbd "$(command -v mariadbd)" --no-defaults --user="$ME" --datadir="$DIR/mysql/data" \
    --socket="$DIR/mysql/run/sock" --pid-file="$DIR/mysql/run/pid" --bind-address=127.0.0.1 --port=$((BASE + 2)) \
    --skip-name-resolve --skip-log-bin --init-file="$DIR/mysql/init.sql" --innodb-buffer-pool-size=32M \
    --innodb-log-file-size=10M --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=0 \
    --performance-schema=OFF --log-error="$DIR/log/mariadbd.log"
}

start_ctld() { start slurmctld "$(command -v slurmctld)" -D -f "$CONF"; }

start_node() {
  mkdir -p "$DIR/spool/$1"
  start "slurmd-$1" "$(command -v slurmd)" -D -f "$CONF" -N "$1"
}

nodes_ready() {
  [ "$(sinfo -h -N -p normal -t idle,alloc,mix -o %N 2>/dev/null | sort -u | wc -l)" = "$NODES" ]
}

wait_for_nodes() {
  local began=$SECONDS i
  until nodes_ready; do
    alive slurmctld || fail "slurmctld ended" slurmctld
    for ((i = 1; i <= NODES; i++)); do alive "slurmd-n$i" || fail "slurmd of n$i ended" "slurmd-n$i"; done
    if [ $((SECONDS - began)) -ge "$WAIT" ]; then
      sinfo -N -o '%N %T %E' >&2
      fail "not all $NODES nodes idle after $WAIT s" slurmctld
    fi
    sleep 0.2
  done
}

first_job() { # the real check: a job on every node, and its record in the accounting database
  local out id
  out="$(timeout "$WAIT" srun -p normal -N "$NODES" -t 1 --mem=10 -J first sh -c 'echo job=$SLURM_JOB_ID' 2>&1)" ||
    fail "the first job did not run: $out" slurmctld
  id="$(printf '%s\n' "$out" | sed -n 's/^job=//p' | head -1)"
  wait_for "sacct record of job $id" slurmdbd eval "timeout 10 sacct -n -X -P -o State -j ${id:-0} | grep -q COMPLETED"
}

up() {
  local began=$SECONDS nodes="" cpus="" mem="" hosts="" sets=() any="" d i
  while [ $# -gt 0 ]; do
    case "$1" in
      --nodes) nodes="${2:?}"; shift 2 ;;
      --cpus) cpus="${2:?}"; shift 2 ;;
      --mem) mem="${2:?}"; shift 2 ;;
      --set) sets+=("${2:?}"); shift 2 ;;
      --etc-hosts) hosts=1; shift ;;
      *) die "up: unknown option $1" ;;
    esac
  done
  case "${nodes:-1}${cpus:-1}${mem:-1}" in *[!0-9]*) die "--nodes, --cpus and --mem take numbers" ;; esac
  { [ "${nodes:-1}" -ge 1 ] && [ "${nodes:-1}" -le 64 ]; } || die "--nodes: 1 to 64"
  [ ${#DIR} -le 70 ] || die "HCML_SLURM_DIR is too long (${#DIR} > 70 characters) for unix sockets: $DIR"
  case "$DIR" in *[!A-Za-z0-9_./+-]*) die "HCML_SLURM_DIR has characters that slurm.conf does not take: $DIR" ;; esac
  [ -z "$hosts" ] || [ -w /etc/hosts ] || die "--etc-hosts needs a writable /etc/hosts"
  install_packages
  mkdir -p "$DIR" || die "cannot make $DIR"
  : > "$DIR/.hcml-slurm-test"
  take_lock
  load_args
  for d in $(daemons); do alive "$d" && any=1; done
  if [ -n "$any" ]; then # already (partly) up: the options must agree; dead daemons are started again below
    [ "${nodes:-$NODES} ${cpus:-$CPUS} ${mem:-$MEM}" = "$NODES $CPUS $MEM" ] ||
      die "already up with nodes/cpus/mem $NODES $CPUS $MEM; run down first"
    [ ${#sets[@]} = 0 ] || [ "${sets[*]}" = "${SETS[*]-}" ] || die "already up with other --set lines; run down first"
  else
    NODES="${nodes:-6}" CPUS="${cpus:-2}" MEM="${mem:-8000}" HOSTS="$hosts" SETS=(${sets[@]+"${sets[@]}"})
    BASE="$(pick_ports "$NODES")" || exit 1
    { declare -p NODES CPUS MEM HOSTS BASE; declare -p SETS; } | sed 's/^declare -[-a-zA-Z]* //' > "$DIR/args"
    rm -f "$DIR"/pids/*
    write_config
  fi
  [ -z "$HOSTS" ] || edit_hosts add
  export SLURM_CONF="$CONF"
  start_munge
  start_database
  wait_for "answer from munged" munged timeout 5 munge -S "$DIR/munge/socket" -n
  wait_for "answer from MariaDB on port $((BASE + 2))" mariadbd tcp_open $((BASE + 2))
  start slurmdbd "$(command -v slurmdbd)" -D # takes its configuration from the folder of SLURM_CONF
  wait_for "answer from slurmdbd on port $((BASE + 1))" slurmdbd timeout 10 sacctmgr -n -P show cluster
  timeout 20 sacctmgr -i -Q add cluster hcmltest > /dev/null 2>&1
  start_ctld
  wait_for "answer from slurmctld on port $BASE" slurmctld eval 'timeout 10 scontrol ping | grep -q " UP"'
  for ((i = 1; i <= NODES; i++)); do start_node "n$i"; done
  wait_for_nodes
  [ -n "$any" ] || first_job
  say "up in $((SECONDS - began)) s: $NODES nodes x $CPUS CPUs, ports $BASE-$((BASE + 2 + NODES)), $DIR"
  env_line
}

stop_all() {
  export SLURM_CONF="$CONF"
  local i p left
  if alive slurmctld && alive munged && timeout 5 scontrol ping 2>/dev/null | grep -q " UP"; then
    left="$(timeout 10 squeue -h -o %A 2>/dev/null | sort -u)"
    if [ -n "$left" ]; then
      timeout 10 scancel -Q $left 2>/dev/null
      for ((i = 0; i < 50; i++)); do [ -z "$(timeout 10 squeue -h -o %A 2>/dev/null)" ] && break; sleep 0.2; done
    fi
  fi
  for ((i = 1; i <= NODES; i++)); do p="$(pid_of "slurmd-n$i")" && kill -TERM "$p" 2>/dev/null; done
  for ((i = 1; i <= NODES; i++)); do stop "slurmd-n$i" 10; done
  stop slurmctld 15 # takes its own slurmscriptd with it
  left="$(job_pids)"
  if [ -n "$left" ]; then
    kill -TERM $left 2>/dev/null
    sleep 1
    left="$(job_pids)"
    [ -z "$left" ] || { say "left over job processes: KILL" $left; kill -KILL $left 2>/dev/null; }
  fi
  stop slurmdbd 15
  stop mariadbd 30
  stop munged 5
  [ -z "$HOSTS" ] || edit_hosts remove
}

down() {
  [ -e "$DIR/.hcml-slurm-test" ] || { say "nothing at $DIR"; return 0; }
  take_lock
  load_args
  stop_all
  if [ "${1:-}" = --purge ]; then rm -rf "$DIR"; say "down, $DIR removed"; else say "down ($DIR kept)"; fi
}

status() {
  [ -r "$DIR/args" ] || { say "not set up at $DIR"; exit 3; }
  load_args
  local d n=0 dead=0
  for d in $(daemons); do
    if alive "$d"; then
      printf '%-12s up    pid %s\n' "$d" "$(pid_of "$d")"
      n=$((n + 1))
    else
      printf '%-12s down\n' "$d"
      dead=$((dead + 1))
    fi
  done
  [ $n = 0 ] && exit 3
  SLURM_CONF="$CONF" timeout 10 sinfo -N -o '%6N %.18P %.10T %.5c %.8m %E' || dead=1
  [ $dead = 0 ] || exit 1
}

env_line() { printf 'export SLURM_CONF=%q\n' "$CONF"; }

kill_daemon() {
  local pid
  pid="$(pid_of "$1")" || die "$1 is not running"
  kill -KILL "$pid"
}

verb="${1:-help}"
[ $# -gt 0 ] && shift
case "$verb" in
  install) install_packages ;;
  up) up "$@" ;;
  down) down "$@" ;;
  status) status ;;
  env) [ -r "$CONF" ] || die "no cluster at $DIR (run: $0 up)"; env_line ;;
  kill-node) load_args; kill_daemon "slurmd-${1:?node}" ;;
  start-node) load_args; start_node "${1:?node}" ;;
  kill-ctld) load_args; kill_daemon slurmctld ;;
  start-ctld) load_args; start_ctld ;;
  *) sed -n '2,/^set -u/p' "$0" | sed '$d; s/^# \{0,1\}//'; [ "$verb" = help ] || exit 2 ;;
esac
