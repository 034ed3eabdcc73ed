#!/usr/bin/env bash
# The table of docs/backends.md, unattended, in some ten minutes: backends.sh REGISTRARD WORKDIR [ROUNDS] > rows.jsonl
#
# Every backend is served by processes of its own and measured over HTTP by `registrard bench --address`, one after the
# other, round after round. WORKDIR is on the disk to be measured. ZooKeeper is three servers of Debian's package, which
# run all the time; where there is none, its rows are left out. Standard output is one line of JSON for each
# measurement, with the load average before it; standard error is the progress.
set -u
registrard=$(realpath "$1") rounds=${3:-3}
mkdir -p "$2" && work=$(mktemp -d "$(realpath "$2")/backends-XXXXXX")
port=17450 jar=/usr/share/java/zookeeper.jar
nodes=() servers=()
say() { echo "$(date +%T) $*" >&2; }
end() { # PIDs
	[ $# -gt 0 ] && kill "$@" && wait "$@"
} 2>/dev/null
trap 'end "${nodes[@]}"; end "${servers[@]}"; rm -rf "$work"' EXIT

ensemble=
zookeeper() { # starts three servers
	[ -e $jar ] && command -v java >/dev/null || { say "no ZooKeeper here: its rows are left out"; return; }
	local i quorum=""
	for i in 1 2 3; do quorum+="server.$i=127.0.0.1:$((port + 20 + i)):$((port + 30 + i))"$'\n'; done
	for i in 1 2 3; do
		mkdir -p "$work/zk$i" && echo $i >"$work/zk$i/myid"
		printf 'tickTime=1000\ninitLimit=30\nsyncLimit=10\ndataDir=%s\nclientPort=%s\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\nautopurge.purgeInterval=1\n%s' \
			"$work/zk$i" $((port + 10 + i)) "$quorum" >"$work/zk$i/zoo.cfg"
		java -Xmx1g -Dzookeeper.jmx.log4j.disable=true -cp $jar org.apache.zookeeper.server.quorum.QuorumPeerMain \
			"$work/zk$i/zoo.cfg" >"$work/zk$i/log" 2>&1 &
		servers+=($!)
		ensemble+="${ensemble:+,}127.0.0.1:$((port + 10 + i))"
	done
}

measure() { # LABEL, how many processes, flags of each
	local label=$1 count=$2 i addresses="" members="" dir
	shift 2
	dir=$work/$r-$label
	for i in $(seq "$count"); do
		addresses+="${addresses:+,}http://127.0.0.1:$((port + i))"
		members+="${members:+,}n$i=127.0.0.1:$((port + 40 + i))"
	done
	say "round $r of $rounds: $label"
	nodes=()
	for i in $(seq "$count"); do
		local own=("$@")
		[ "$*" = "--log raft" ] && own+=(--initial-members "$members")
		"$registrard" serve --id "n$i" --data-dir "$dir/n$i" --http-addr "127.0.0.1:$((port + i))" \
			--raft-addr "127.0.0.1:$((port + 40 + i))" --log-level error "${own[@]}" >&2 &
		nodes+=($!)
	done
	timeout 60 "$registrard" weights --address "$addresses" --timeout 60s >/dev/null &&
		timeout 300 "$registrard" bench --address "$addresses" --rows writes,reads --callers 1,256 --batch 1,100 --agents 10000 \
			--duration 2s --warm-up 500ms -o json |
		sed "s/^{/{\"system\":\"$label\",\"round\":$r,\"load\":$(cut -d' ' -f1 /proc/loadavg),/"
	end "${nodes[@]}"
	nodes=()
	rm -rf "$dir"
}

zookeeper
for r in $(seq "$rounds"); do
	measure raft-3 3 --log raft
	measure raft-1 1 --log raft
	measure leveldb-1 1 --log leveldb
	measure memory-1 1 --log memory
	[ -n "$ensemble" ] && measure zookeeper-1 1 --log zookeeper --zookeeper "$ensemble/$r/one"
	[ -n "$ensemble" ] && measure zookeeper-3 3 --log zookeeper --zookeeper "$ensemble/$r/three"
done
say "done"
