#!/usr/bin/env bash
# Every row of docs/performance.md, unattended, in some 20 minutes: compare.sh BINDIR WORKDIR [ROUNDS] > rows.jsonl
#
# BINDIR holds registrard and, for the comparisons, raftbench, registrardbench, etcdbench, etcd and disk, built from
# ../shared/bench as its README says; what is missing is left out. WORKDIR is on the disk to be measured. The systems
# alternate within a round. Standard output is one line of JSON for each measurement, standard error the progress.
set -u
bin=$(realpath "$1") work=$2 rounds=${3:-5}
mkdir -p "$work"
have() { [ -x "$bin/$1" ]; }
say() { echo "$(date +%T) $*" >&2; }
own() { # LABEL, then flags of bench
	local label=$1
	shift
	timeout 400 "$bin/registrard" bench --nodes 3 --dir "$work" --duration 2s --warm-up 500ms -o json "$@" |
		sed "s/^{/{\"system\":\"registrard\",\"variant\":\"$label\",\"round\":$r,/"
}
other() { timeout 120 "$@" -dur 2s -warm 500ms -round "$r"; }

r=0
say "disk"
have disk && "$bin/disk" -dir "$work/disk"
for r in $(seq "$rounds"); do
	say "round $r of $rounds: rows 1 and 2"
	have raftbench && other "$bin/raftbench" -dir "$work/raft" -store wal -pack 512 -packflight 2
	own embedded --rows embedded
	REGISTRARD_FRAMES_IN_FLIGHT=2 own embedded-in-flight-2 --rows embedded
	have etcdbench && other "$bin/etcdbench" -bin "$bin/etcd" -dir "$work/etcd" -ops put -conc 1,256
	have registrardbench && other "$bin/registrardbench" -bin "$bin/registrard" -dir "$work/http" -conc 1,256
	have registrardbench && other "$bin/registrardbench" -bin "$bin/registrard" -dir "$work/http" -conc 8,32 -batch 100
done
for r in 1 2 3; do
	say "round $r of 3: rows 4 and 8"
	own http --rows writes,reads,list,watch
	own mesos --rows mesos
done
for r in 1 2 3; do
	say "round $r of 3: rows 3, 5, 6, 7"
	own million --agents 1000000 --rows size,memory,snapshot,restart,rejoin
done
for r in 1 2; do
	say "round $r of 2: row 10"
	own million --agents 1000000 --rows heartbeats --duration 15s
done
r=0
say "disk"
have disk && "$bin/disk" -dir "$work/disk"
say "done"
